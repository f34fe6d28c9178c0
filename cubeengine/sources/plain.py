"""Reader of rows whose byte offsets are known: contiguous datasets, and chunks without filters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.base import Block
from cubeengine.sources.batches import (
    INDEX_NBYTES,
    Batch,
    batches,
    buffer_units,
    element_range,
    units_per_block,
)
from cubeengine.sources.bytesio import GAP_NBYTES, EqualPieces, SegmentReader, Segments, opened
from cubeengine.types import InputFile, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class PlainReader:
    """Reads rows by their byte offsets."""

    file: InputFile  # the file, as it was when the offsets were found
    stored: np.dtype[Any]  # type of one element as stored, in its byte order
    shape: tuple[int, ...]  # shape of one row
    chunk_rows: int  # rows that lie one after another at each offset; all rows for a contiguous dataset
    offsets: IntArray  # (n_chunks,) int64: Where each chunk begins in the file

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, native byte order."""
        return self.stored.newbyteorder("=")

    @property
    def _row_nbytes(self) -> int:
        return math.prod(self.shape) * self.stored.itemsize

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        first, stop = element_range(elements, math.prod(self.shape))
        if stop == first or len(rows) == 0:
            yield from _empty_blocks(rows, self.dtype)
            return
        whole_rows = self._reads_whole_rows(stop - first)
        read = self._whole_rows if whole_rows and not self._scattered(rows) else self._pieces
        with opened(self.file) as descriptor:
            yield from read(SegmentReader(self.file, descriptor), rows, first, stop, block_nbytes)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        part, row = n_elements * self.stored.itemsize, max(self._row_nbytes, 1)
        read = row if self._reads_whole_rows(n_elements) else max(part, 1)
        n_rows = units_per_block(block_nbytes, read)
        copied = n_rows * part if read != part else 0
        return n_rows * (read + INDEX_NBYTES) + copied + GAP_NBYTES

    def _reads_whole_rows(self, n_elements: int) -> bool:
        return self._row_nbytes - n_elements * self.stored.itemsize <= GAP_NBYTES

    def _whole_rows(
        self, source: SegmentReader, rows: IntArray, first: int, stop: int, block_nbytes: int
    ) -> Iterator[Block]:
        nbytes = self._row_nbytes
        capacity = buffer_units(rows, units_per_block(block_nbytes, nbytes))
        buffer = _Buffer(capacity, math.prod(self.shape), self.stored)
        reach = 1 + GAP_NBYTES // nbytes
        part = None if stop - first == buffer.width else slice(first, stop)
        for batch in batches(rows, capacity=buffer.capacity, reach=reach):
            source.read(self._row_segments(batch), buffer.bytes)
            yield Block(buffer.native(batch.n_units, part), batch.start, batch.stop, batch.take)

    def _scattered(self, rows: IntArray) -> bool:
        """Return whether rows are large and mostly apart, so that a read for each costs no more."""
        if self._row_nbytes < GAP_NBYTES:
            return False
        step = np.diff(rows)
        return bool(step.all()) and 2 * int(np.count_nonzero(step == 1)) < len(rows)

    def _pieces(
        self, source: SegmentReader, rows: IntArray, first: int, stop: int, block_nbytes: int
    ) -> Iterator[Block]:
        """Read each row, or the same part of each, by itself; a row that repeats is read again."""
        itemsize = self.stored.itemsize
        size = (stop - first) * itemsize
        buffer = _Buffer(min(units_per_block(block_nbytes, size), len(rows)), stop - first, self.stored)
        take = np.arange(buffer.capacity)
        pieces = EqualPieces(buffer.bytes, buffer.capacity)
        for start in range(0, len(rows), buffer.capacity):
            wanted = rows[start : start + buffer.capacity]
            inside = (wanted % self.chunk_rows) * self._row_nbytes + first * itemsize
            source.read_pieces(pieces, self.offsets[wanted // self.chunk_rows] + inside)
            n = len(wanted)
            yield Block(buffer.native(n), start, start + n, take[:n])

    def _row_segments(self, batch: Batch) -> Segments:
        """Split runs of rows where chunks end."""
        chunk, nbytes = self.chunk_rows, self._row_nbytes
        first, last = batch.first, batch.first + batch.count
        if len(self.offsets) == 1:
            return Segments(self.offsets[0] + first * nbytes, batch.count * nbytes, batch.slot * nbytes)
        pieces = (last - 1) // chunk - first // chunk + 1
        run = np.repeat(np.arange(len(first)), pieces)
        nth = np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        number = (first // chunk)[run] + nth
        low = np.maximum(first[run], number * chunk)
        high = np.minimum(last[run], (number + 1) * chunk)
        place = (batch.slot[run] + low - first[run]) * nbytes
        return Segments(self.offsets[number] + (low - number * chunk) * nbytes, (high - low) * nbytes, place)


class _Buffer:
    """One reused piece of memory for rows of bytes as stored."""

    def __init__(self, capacity: int, width: int, stored: np.dtype[Any]) -> None:
        self.capacity, self.width = capacity, width
        self._rows = np.empty((capacity, width), stored)
        self.bytes = self._rows.reshape(-1).view(np.uint8)

    def native(self, n_rows: int, part: slice | None = None) -> NDArray[Any]:
        """Return the rows in native byte order, or some of their columns."""
        rows = self._rows[:n_rows]
        if part is not None:
            rows = np.ascontiguousarray(rows[:, part])
        if not rows.dtype.isnative:
            rows = rows.byteswap(inplace=True).view(rows.dtype.newbyteorder("="))
        return rows


def _empty_blocks(rows: IntArray, dtype: np.dtype[Any]) -> Iterator[Block]:
    """Serve a request of no elements, or of no rows."""
    if len(rows):
        yield Block(np.empty((1, 0), dtype), 0, len(rows), np.zeros(len(rows), np.int64))
