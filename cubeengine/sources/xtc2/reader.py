"""Reader of one field of raw files: of one segment, or of several one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.base import Block
from cubeengine.sources.batches import element_range
from cubeengine.sources.xtc2.datagrams import OpenEvents, StreamEvents
from cubeengine.sources.xtc2.dgram import MAX_DEPTH
from cubeengine.sources.xtc2.faults import fault
from cubeengine.sources.xtc2.gather import WINDOW_NBYTES, fetch
from cubeengine.sources.xtc2.locate import DAMAGED, FOUND, MISSING
from cubeengine.sources.xtc2.names import MAX_RANK
from cubeengine.sources.xtc2.slots import MAX_ROWS, Slots, next_slots, slot_capacity
from cubeengine.sources.xtc2.window import DESCRIPTOR, N_STATE
from cubeengine.types import BoolArray, IntArray

_ROW_NBYTES = 100
"""Bytes of index arrays per row of a request that is looked at."""
_PLACE_NBYTES = 64
"""Bytes of index arrays per row that is read and stream."""

_LEAST_ROWS = 512
"""Rows of a block of large frames at most, those that are nowhere included."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one segment contributes to a field."""

    stream: int  # number in `Xtc2Reader.streams`
    layouts: IntArray  # (n_schemas, 4) int64
    fields: IntArray  # (m, 2) int64: Where the field is in a contribution; see `gather`


@dataclass(frozen=True, slots=True, eq=False)
class Xtc2Reader:
    """Reads a field event by event; rows are event numbers.

    An event counts only where all parts are there and whole, whichever range of elements is read: of parts
    outside the range only the headers are looked at.

    Attributes
    ----------
    name : str
        Of the field, for messages.
    stored : numpy.dtype
        Type of one element in the files.
    shape, part_shape : tuple of int
        Shape of one event's value, and of one part of it.
    streams : tuple of StreamEvents
        The streams that the parts are in.
    parts : tuple of Part
        The segments, in the order in which their elements follow one another.
    """

    name: str
    stored: np.dtype[Any]
    shape: tuple[int, ...]
    part_shape: tuple[int, ...]
    streams: tuple[StreamEvents, ...]
    parts: tuple[Part, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, native byte order."""
        return self.stored.newbyteorder("=")

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`.

        Raises
        ------
        SourceFormatError
            If a file changed, is cut off or contradicts itself, or a value has another shape than the first.
        """
        first, stop = element_range(elements, math.prod(self.shape))
        if len(rows) == 0:
            return
        with ExitStack() as stack:
            yield from _Reading(self, first, stop, stack).blocks(rows, block_nbytes)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        row_nbytes = n_elements * self.stored.itemsize
        capacity = slot_capacity(block_nbytes, row_nbytes)
        slots = capacity * (row_nbytes + _PLACE_NBYTES * len(self.streams))
        return slots + _rows_seen(capacity) * _ROW_NBYTES + WINDOW_NBYTES


class _Reading:
    """One request: what is open, and what is reused, while its blocks are read."""

    def __init__(self, reader: Xtc2Reader, first: int, stop: int, stack: ExitStack) -> None:
        self._reader, self._row_nbytes = reader, (stop - first) * reader.stored.itemsize
        self._streams = [OpenEvents(events, stack) for events in reader.streams]
        self._window = np.empty(WINDOW_NBYTES, np.uint8)
        self._state = np.zeros(N_STATE, np.int64)
        self._state[DESCRIPTOR] = -1
        self._depths = np.zeros((MAX_DEPTH, 2), np.int64)
        self._shape = np.zeros(MAX_RANK, np.int64)
        self._shape[: len(reader.part_shape)] = reader.part_shape
        self._wanted = _wanted(reader, first, stop)

    def blocks(self, rows: IntArray, block_nbytes: int) -> Iterator[Block]:
        """Read all rows."""
        capacity = slot_capacity(block_nbytes, self._row_nbytes)
        buffer = np.empty((min(capacity, len(rows)), self._row_nbytes), np.uint8)
        seen = _rows_seen(capacity)
        start = 0
        while start < len(rows):
            window = rows[start : start + seen]
            slots = next_slots(window, self._present(window), start, capacity)
            yield self._block(slots, buffer[: slots.n_slots])
            start = slots.stop

    def _present(self, rows: IntArray) -> BoolArray:
        """Tell for which events every stream has a datagram."""
        present = np.ones(len(rows), bool)
        for stream in self._streams:
            present &= stream.numbers(rows) >= 0
        return present

    def _block(self, slots: Slots, buffer: NDArray[np.uint8]) -> Block:
        status = np.full(len(buffer), MISSING, np.int8)
        status[: len(slots.read)] = self._fill(slots.read, buffer)
        data = buffer.view(self._reader.stored)
        if not data.dtype.isnative:
            data = data.byteswap(inplace=True).view(self._reader.dtype)
        lacking = status != FOUND
        if not lacking.any():
            return Block(data, slots.start, slots.stop, slots.take)
        floating = data.dtype.kind == "f"
        data[lacking] = np.nan if floating else 0
        valid = None if floating else ~lacking[slots.take]
        damaged = (status == DAMAGED)[slots.take]
        return Block(data, slots.start, slots.stop, slots.take, valid, damaged if damaged.any() else None)

    def _fill(self, rows: IntArray, buffer: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Fill the first rows of the buffer, part after part; give what became of each."""
        numbers = [stream.numbers(rows) for stream in self._streams]
        places = [stream.places(there) for stream, there in zip(self._streams, numbers, strict=True)]
        status = np.empty((2, len(rows)), np.int8)
        status[0] = FOUND
        for nth, part in enumerate(self._reader.parts):
            done = self._fetch(nth, part, places[part.stream], buffer, status[1])
            if done < len(rows):
                path = self._streams[part.stream].path(int(numbers[part.stream][done]))
                raise fault(path, self._state, f"field {self._reader.name!r}, event {int(rows[done]):,}")
            worse = (status[1] == MISSING) | ((status[1] == DAMAGED) & (status[0] == FOUND))
            np.copyto(status[0], status[1], where=worse)
        combined: NDArray[np.int8] = status[0]
        return combined

    def _fetch(
        self, nth: int, part: Part, places: IntArray, buffer: NDArray[np.uint8], status: NDArray[np.int8]
    ) -> int:
        """Fetch what one part has of the wanted elements."""
        return fetch(
            self._state, self._window, self._depths, places, part.layouts, part.fields, self._shape,
            self._wanted[nth], buffer, status,
        )  # fmt: skip


def _rows_seen(capacity: int) -> int:
    """Return how many rows of the request a block may serve: more than it holds, as rows may be missing."""
    return min(max(4 * capacity, _LEAST_ROWS), MAX_ROWS)


def _wanted(reader: Xtc2Reader, first: int, stop: int) -> IntArray:
    """Give, for each part, what `gather.fetch` is to take of it for a range of elements: (n_parts, 3)."""
    size, itemsize = math.prod(reader.part_shape), reader.stored.itemsize
    begins = size * np.arange(len(reader.parts))
    low, high = np.clip(first - begins, 0, size), np.clip(stop - begins, 0, size)
    column = np.where(high > low, np.maximum(begins - first, 0), 0)
    return np.stack([low, column, high - low], axis=1) * itemsize
