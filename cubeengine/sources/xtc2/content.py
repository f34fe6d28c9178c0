"""One file of a stream: where its events lie, and its transitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.chunks import chunk_names
from cubeengine.sources.xtc2.dgram import DGRAM, DGRAM_NBYTES, DgramTable, Place, Service, read_exactly
from cubeengine.sources.xtc2.hop import hop_file
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.opening import opened
from cubeengine.sources.xtc2.pointers import read_pointers
from cubeengine.sources.xtc2.transitions import Transition, read_transition
from cubeengine.types import BoolArray, InputFile, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Every event of a stream, as stored: arrays of equal length.

    Attributes
    ----------
    timestamp : (n,) uint64
        Rising strictly.
    file : (n,) int32
        Number in `Stream.files`.
    offset, size : (n,) int64
        The datagram in that file, header included: it ends within the file.
    schema : (n,) int32
        Number in `Stream.schemas`.
    """

    timestamp: NDArray[np.uint64]
    file: NDArray[np.int32]
    offset: IntArray
    size: IntArray
    schema: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.timestamp)


NO_EVENTS = Events(
    timestamp=np.zeros(0, np.uint64),
    file=np.zeros(0, np.int32),
    offset=np.zeros(0, np.int64),
    size=np.zeros(0, np.int64),
    schema=np.zeros(0, np.int32),
)


def columns_of(events: Events) -> tuple[NDArray[Any], ...]:
    """Return the columns in the order in which `Events` takes them."""
    return events.timestamp, events.file, events.offset, events.size, events.schema


@dataclass(frozen=True, slots=True, eq=False)
class FileContent:
    """What one file holds."""

    file: InputFile
    events: Events  # its events; `file` counts the files in `chunks` that began before them
    transitions: tuple[Transition, ...]
    chunks: tuple[str, ...]  # names of the files that the stream goes on in
    notes: tuple[str, ...]  # what was left off
    left_off: NDArray[np.uint64]  # (n,) uint64: Times of events that were left off, as far as they are known


def read_content(path: Path, schemas: list[Schema], *, is_index: bool) -> FileContent:
    """Find all events of a file, and decode its transitions.

    Parameters
    ----------
    path : Path
    schemas : list of Schema
        Those of the stream up to this file; those of the file are appended.
    is_index : bool
        Whether it is an smd file: offset and size of the events are then those of the datagrams it points to.

    Raises
    ------
    SourceFormatError
        If the file is not what it should be.

    Notes
    -----
    Memory: 32 bytes per event and 8 while it works, the bytes of the transitions, and some MB.
    """
    with opened(path) as (descriptor, file):
        reader = _FileReader(descriptor, path, schemas, is_index)
        pieces = [reader.events_of(table) for table in hop_file(descriptor, path, file.size)]
        left_off = _begun_event(descriptor, path, reader.end, file.size)
    events = Events(*joined(pieces))
    left = file.size - reader.end
    notes: tuple[str, ...] = ()
    if left:
        text = f"the last {left:,} bytes are not yet a complete datagram, and are left out"
        notes = (f"{path}, byte {reader.end:,}: {text}",)
    return FileContent(file, events, tuple(reader.transitions), tuple(reader.chunks), notes, left_off)


def _begun_event(descriptor: int, path: Path, start: int, stop: int) -> NDArray[np.uint64]:
    """Return the time of the event that a file ends in the middle of; none where it is none, or unknown."""
    if stop - start < DGRAM_NBYTES:
        return np.zeros(0, np.uint64)
    header = np.frombuffer(read_exactly(descriptor, start, DGRAM_NBYTES, path), DGRAM)[0]
    begun = Service(int(header["env"]) >> 24 & 0xF).is_event
    return np.array([int(header["sec"]) << 32 | int(header["ns"])] if begun else [], np.uint64)


def events_from(path: Path, start: int) -> NDArray[np.uint64]:
    """Return the times of the whole events of a file from a byte on, at which a datagram begins.

    Raises
    ------
    SourceFormatError
        If what is there cannot be datagrams.
    """
    with opened(path) as (descriptor, file):
        tables = hop_file(descriptor, path, file.size, start) if start < file.size else ()
        found = [table.timestamp[_is_event(table.service)] for table in tables]
    return np.concatenate([np.zeros(0, np.uint64), *found])


def _is_event(service: NDArray[np.uint8]) -> BoolArray:
    found: BoolArray = (service == Service.L1_ACCEPT) | (service == Service.LAST_OF_BATCH)
    return found


def joined(pieces: list[tuple[NDArray[Any], ...]]) -> Iterable[NDArray[Any]]:
    """Join the columns of pieces one by one; the pieces are let go meanwhile, and so is their memory."""
    columns = list(zip(*pieces, strict=True))
    pieces.clear()
    while columns:
        parts = columns.pop(0)
        yield parts[0] if len(parts) == 1 else np.concatenate(parts)


class _FileReader:
    """Looks through a file piece by piece; keeps all but the events."""

    def __init__(self, descriptor: int, path: Path, schemas: list[Schema], is_index: bool) -> None:
        self._descriptor, self._path, self._is_index = descriptor, path, is_index
        self._schemas = schemas
        self.transitions: list[Transition] = []
        self.chunks: list[str] = []
        self.end = 0
        """Byte behind the last whole datagram."""

    def events_of(self, table: DgramTable) -> tuple[NDArray[Any], ...]:
        """Return the columns of `Events` for the next datagrams of the file."""
        service = table.service
        is_event = _is_event(service)
        rows = np.flatnonzero(is_event)
        number = len(self._schemas) - 1 + np.cumsum(service == Service.CONFIGURE, dtype=np.int32)
        schema = self._checked(table, rows, number[rows])
        n_before = len(self.chunks)
        enables = self._read_transitions(table, service, np.flatnonzero(~is_event))
        chunk = (n_before + np.searchsorted(enables, rows)).astype(np.int32)
        self.end = int(table.offset[-1] + table.size[-1]) if len(table) else self.end
        offset, size = self._offset_and_size(table, rows, schema)
        return table.timestamp[rows], chunk, offset, size, schema

    def _checked(self, table: DgramTable, rows: IntArray, schema: NDArray[np.int32]) -> NDArray[np.int32]:
        if len(rows) and schema[0] < 0:
            raise Place(self._path, int(table.offset[rows[0]])).error(
                0,
                "an event before the first Configure; if this file continues another (c000), give that file",
            )
        return schema

    def _read_transitions(self, table: DgramTable, service: NDArray[np.uint8], rows: IntArray) -> list[int]:
        """Decode the transitions; gives the rows of those behind which the stream goes on elsewhere."""
        columns = (
            rows,
            service[rows],
            *(c[rows] for c in (table.timestamp, table.damage, table.offset, table.size)),
        )
        enables = []
        for row, *header in zip(*(column.tolist() for column in columns), strict=True):
            found = read_transition(self._descriptor, self._path, self._schemas, *header)
            names = chunk_names(found)
            self.transitions.append(found)
            self.chunks += names
            enables += [row] * len(names)
        return enables

    def _offset_and_size(
        self, table: DgramTable, rows: IntArray, schema: NDArray[np.int32]
    ) -> tuple[IntArray, IntArray]:
        if not self._is_index:
            return table.offset[rows], table.size[rows]
        return read_pointers(self._descriptor, self._path, table, rows, schema, self._schemas)
