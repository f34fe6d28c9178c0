"""One file of a stream: its datagrams, and the values of those that are not events."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import (
    DGRAM,
    DGRAM_NBYTES,
    XTC_NBYTES,
    DgramTable,
    Place,
    Service,
    read_exactly,
)
from cubeengine.sources.xtc2.hop import hop_file
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.values import Contribution, decode, read_schema
from cubeengine.types import InputFile, IntArray, RunId

_MAX_DGRAMS_AHEAD = 64
"""Datagrams ahead of the BeginRun at most: usually it is the second."""


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """A datagram that is not an event.

    Attributes
    ----------
    service : Service
    timestamp : int
        Packed (seconds << 32 | nanoseconds).
    damage : int
        That of the datagram.
    schema : int
        Number in `Stream.schemas`; that of a Configure is its own.
    contributions : tuple of Contribution
        Its values.
    path : Path
    offset : int
        Where it was read, for messages.
    """

    service: Service
    timestamp: int
    damage: int
    schema: int
    contributions: tuple[Contribution, ...]
    path: Path
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class FileContent:
    """What one file holds.

    Attributes
    ----------
    file : InputFile
    table : DgramTable
        All its datagrams.
    schema : (n,) int32
        Number of the latest Configure of the stream before each datagram, -1 where there is none.
    transitions : tuple of Transition
    rows : tuple of int
        Number of each transition in the table.
    n_left : int
        Bytes behind the last whole datagram.
    """

    file: InputFile
    table: DgramTable
    schema: NDArray[np.int32]
    transitions: tuple[Transition, ...]
    rows: tuple[int, ...]
    n_left: int

    @property
    def event_rows(self) -> IntArray:
        """(n_events,) int64, the datagrams that are events."""
        is_event = np.ones(len(self.table), bool)
        is_event[list(self.rows)] = False
        return np.flatnonzero(is_event)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left off."""
        if not self.n_left:
            return ()
        text = f"the last {self.n_left:,} bytes are no whole datagram yet, and are left off"
        return (f"{self.file.path}, byte {self.file.size - self.n_left:,}: {text}",)


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, InputFile]]:
    """Open a file for reading, and describe it as it is at that moment: it may still be growing.

    Raises
    ------
    SourceFormatError
        If it cannot be opened or read.
    """
    try:
        # Opening a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as err:
        raise SourceFormatError(f"{path}: cannot be opened ({err.strerror})") from err
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceFormatError(f"{path}: is no plain file")
        yield descriptor, InputFile(path.resolve(), status.st_size, status.st_mtime_ns)
    finally:
        os.close(descriptor)


def read_content(path: Path, schemas: list[Schema]) -> FileContent:
    """Find all datagrams of a file, and decode its transitions.

    Parameters
    ----------
    path : Path
    schemas : list of Schema
        Those of the stream up to this file; those of the file are appended.

    Raises
    ------
    SourceFormatError
        If the file is not what it should be.

    Notes
    -----
    Memory: 34 bytes per datagram, and the bytes of the transitions.
    """
    with opened(path) as (descriptor, file):
        table, n_left = hop_file(descriptor, path, file.size)
        service = table.service  # made anew every time it is asked for
        number = len(schemas) - 1 + np.cumsum(service == Service.CONFIGURE, dtype=np.int32)
        rows = np.flatnonzero((service != Service.L1_ACCEPT) & (service != Service.LAST_OF_BATCH))
        columns = (service, table.timestamp, table.damage, table.offset, table.size)
        headers = zip(*(column[rows].tolist() for column in columns), strict=True)
        found = tuple(_transition(descriptor, path, schemas, *header) for header in headers)
    return FileContent(file, table, number, found, tuple(rows.tolist()), n_left)


def _transition(
    descriptor: int,
    path: Path,
    schemas: list[Schema],
    service: int,
    timestamp: int,
    damage: int,
    offset: int,
    size: int,
) -> Transition:
    place, data = Place(path, offset), read_exactly(descriptor, offset, size, path)
    if service == Service.CONFIGURE:
        schemas.append(read_schema(data, place))
    contributions = decode(data, schemas[-1] if schemas else Schema({}), place)
    return Transition(Service(service), timestamp, damage, len(schemas) - 1, contributions, path, offset)


def run_of(path: Path) -> RunId | None:
    """Give experiment and run as the first BeginRun of a file says; None where none comes before the events.

    Raises
    ------
    SourceFormatError
        If the file is not what it should be.
    """
    schema, offset = Schema({}), 0
    with opened(path) as (descriptor, file):
        for _ in range(_MAX_DGRAMS_AHEAD):
            if file.size - offset < DGRAM_NBYTES:
                break
            service, size = _header(read_exactly(descriptor, offset, DGRAM_NBYTES, path), Place(path, offset))
            if service.is_event or size > file.size - offset:
                break
            if service in (Service.CONFIGURE, Service.BEGIN_RUN):
                data, place = read_exactly(descriptor, offset, size, path), Place(path, offset)
                schema = read_schema(data, place) if service is Service.CONFIGURE else schema
                if service is Service.BEGIN_RUN:
                    return _run_id(decode(data, schema, place))
            offset += size
    return None


def _header(data: bytes, place: Place) -> tuple[Service, int]:
    header = np.frombuffer(data, DGRAM)[0]
    extent = int(header["extent"])
    if int(header["type"]) & 0xFFF or extent < XTC_NBYTES:
        raise place.error(
            0, f"type {header['type']}, {extent} bytes is no datagram; the file is damaged, or no xtc2 file"
        )
    return Service(int(header["env"]) >> 24 & 0xF), DGRAM_NBYTES - XTC_NBYTES + extent


def _run_id(contributions: Sequence[Contribution]) -> RunId | None:
    for contribution in contributions:
        experiment, run = (contribution.values.get(name) for name in ("expt", "runnum"))
        if contribution.names.detector == "runinfo" and str(run).isdecimal():
            return RunId(str(experiment), int(str(run)))
    return None


def input_file(path: Path) -> InputFile:
    """Describe a file as it is now.

    Raises
    ------
    SourceFormatError
        If it is not there.
    """
    with opened(path) as (_, file):
        return file
