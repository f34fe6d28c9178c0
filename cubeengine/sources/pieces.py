"""Readers made of readers: parts one after another, rows that are elsewhere or nowhere, marks, float16."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.base import Block, Reader
from cubeengine.sources.batches import element_range
from cubeengine.sources.columns import LOOK_ELEMENTS, rows_of_only
from cubeengine.types import BoolArray, IntArray, memory_dtype

_ABSENT_ROWS = 65_536
"""Rows per block of rows that are nowhere: they cost no reading, only their index."""

_AGAIN_NBYTES = 2**18
"""Block size of the second look at rows of which a part holds nothing but marks."""


@dataclass(frozen=True, slots=True, eq=False)
class PiecewiseReader:
    """Rows that lie in several places, or nowhere."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    readers: tuple[Reader, ...]  # the places
    borders: IntArray  # (n_pieces + 1,) int64: Piece k holds rows `borders[k]` to `borders[k + 1] - 1`
    which: IntArray  # (n_pieces,) int64: Number of the piece's reader; -1 where the rows are missing
    shift: IntArray  # (n_pieces,) int64: Added to a row's number to get its number in the piece's reader

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`. No block goes over the border of a piece."""
        pieces = np.searchsorted(self.borders, rows, side="right") - 1
        cuts = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(rows)] if len(rows) else [0]
        for begin, end in pairwise(cuts):
            piece = int(pieces[begin])
            which = int(self.which[piece])
            if which < 0:
                first, stop = element_range(elements, math.prod(self.shape))
                blocks = absent_blocks(end - begin, stop - first, self.dtype)
            else:
                part = rows[begin:end] + self.shift[piece]
                blocks = self.readers[which].blocks(part, elements=elements, block_nbytes=block_nbytes)
            for block in blocks:
                yield replace(block, start=block.start + begin, stop=block.stop + begin)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        absent = n_elements * self.dtype.itemsize + _ABSENT_ROWS * 9
        return max([absent, *(reader.memory_nbytes(n_elements, block_nbytes) for reader in self.readers)])


def absent_blocks(n_rows: int, n_elements: int, dtype: np.dtype[Any]) -> Iterator[Block]:
    """Serve rows that are missing: NaN, or zeros that are not valid."""
    floating = dtype.kind == "f"
    data = np.full((1, n_elements), np.nan if floating else 0, dtype)
    for start in range(0, n_rows, _ABSENT_ROWS):
        stop = min(start + _ABSENT_ROWS, n_rows)
        valid = None if floating else np.zeros(stop - start, bool)
        yield Block(data, start, stop, np.zeros(stop - start, np.int64), valid)


def without_rows(reader: Reader, absent: BoolArray | IntArray, n_rows: int) -> Reader:
    """Return the same rows with some of them missing.

    Parameters
    ----------
    absent : (n_ranges, 2) int64
        First and last + 1 of each range of missing rows, rising, not overlapping.
    """
    ranges = absent[absent[:, 0] < absent[:, 1]]
    if len(ranges) == 0:
        return reader
    borders = np.unique(np.concatenate(([0, n_rows], ranges.ravel())))
    inside = np.searchsorted(ranges[:, 0], borders[:-1], side="right") - 1
    missing = (inside >= 0) & (borders[:-1] < ranges[np.maximum(inside, 0), 1])
    which = np.where(missing, -1, 0)
    return PiecewiseReader(
        reader.dtype, reader.shape, (reader,), borders, which, np.zeros(len(which), np.int64)
    )


@dataclass(frozen=True, slots=True, eq=False)
class MatchedReader:
    """Rows that stand for rows of another reader: how the run's fields serve the events of an align group."""

    reader: Reader  # where the values are
    match: IntArray  # (n_rows,) int64: Row there for each row here; -1 where there is none

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element."""
        return self.reader.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.reader.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`. Asks the reader once per rising run of rows."""
        wanted = self.match[rows]
        first, stop = element_range(elements, math.prod(self.shape))
        turns = (np.diff(wanted) < 0) | (np.diff(wanted < 0) != 0)
        for run in np.split(np.arange(len(rows)), np.flatnonzero(turns) + 1) if len(rows) else ():
            if wanted[run[0]] < 0:
                blocks = absent_blocks(len(run), stop - first, self.dtype)
            else:
                blocks = self.reader.blocks(wanted[run], elements=elements, block_nbytes=block_nbytes)
            for block in blocks:
                yield replace(block, start=block.start + int(run[0]), stop=block.stop + int(run[0]))

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        absent = n_elements * self.dtype.itemsize + _ABSENT_ROWS * 9
        index = len(self.match) * 40
        return max(absent, self.reader.memory_nbytes(n_elements, block_nbytes)) + index


def with_marks(reader: Reader, marks: Sequence[int | float], narrow: np.dtype[Any] | None = None) -> Reader:
    """Return a reader of the same rows for which values that are marks are missing.

    A row of integers is missing if all its elements are marks; elements of floats become NaN one by one.

    Parameters
    ----------
    reader : Reader
    marks : sequence of numbers
        Numbers that the reader's type can hold.
    narrow : numpy.dtype, optional
        Type that the values were stored in, where the reader widens it.
    """
    if not marks:
        return reader
    if reader.dtype.kind == "f":
        stored = reader.dtype if narrow is None else narrow
        return UnmarkedReader(reader, tuple(float(stored.type(mark)) for mark in marks))
    return MarkedReader(reader, tuple(marks))


def _is_mark(data: NDArray[Any], marks: Sequence[int | float]) -> BoolArray:
    found: BoolArray = data == np.asarray(marks[0], data.dtype)
    for mark in marks[1:]:
        found |= data == np.asarray(mark, data.dtype)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class WideReader:
    """Rows of float16 as float32: what `memory_dtype` says of a type that is too narrow to compute with."""

    reader: Reader

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element in memory."""
        return memory_dtype(self.reader.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.reader.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        narrow, wide = self._narrow_nbytes(block_nbytes), np.empty((0, 0), self.dtype)
        for block in self.reader.blocks(rows, elements=elements, block_nbytes=narrow):
            n_rows, n_elements = block.data.shape
            if len(wide) < n_rows:
                wide = np.empty((n_rows, n_elements), self.dtype)
            wide[:n_rows] = block.data
            yield replace(block, data=wide[:n_rows])

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        stored = self.reader.memory_nbytes(n_elements, self._narrow_nbytes(block_nbytes))
        return stored + stored * self.dtype.itemsize // self.reader.dtype.itemsize

    def _narrow_nbytes(self, block_nbytes: int) -> int:
        """Return the bytes as stored of a block that has `block_nbytes` in memory."""
        return block_nbytes * self.reader.dtype.itemsize // self.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedReader:
    """Rows of a part in the type of the joined dataset, converted as HDF5 does on reading that.

    What is missing in the part stays missing: of integers that become floats it is NaN; and of floats that
    become integers, which have no NaN, rows with a NaN in any element are not valid.
    """

    reader: Reader  # reads the part
    stored: np.dtype[Any]  # type of the joined dataset

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element in memory."""
        return memory_dtype(self.stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.reader.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        first, stop = element_range(elements, math.prod(self.shape))
        read, wanted = (slice(None), slice(first, stop)) if self._loses_nan else (elements, slice(None))
        for block in self.reader.blocks(rows, elements=read, block_nbytes=self._read_nbytes(block_nbytes)):
            data = converted(block.data[:, wanted], self.stored).astype(self.dtype, copy=False)
            valid = block.valid
            if self._loses_nan:
                valid = ~np.isnan(block.data).any(axis=1)[block.take]
            elif valid is not None and self.dtype.kind == "f":
                data[block.take[~valid]] = np.nan
                valid = None
            yield replace(block, data=np.ascontiguousarray(data), valid=valid)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        n_read = math.prod(self.shape) if self._loses_nan else n_elements
        stored = self.reader.memory_nbytes(n_read, self._read_nbytes(block_nbytes))
        return stored + 3 * max(stored, stored * self.dtype.itemsize // self.reader.dtype.itemsize)

    @property
    def _loses_nan(self) -> bool:
        """Whether NaN have to be looked for in whole rows: ranges of elements must lack the same rows."""
        return self.reader.dtype.kind == "f" and self.stored.kind != "f"

    def _read_nbytes(self, block_nbytes: int) -> int:
        """Return the bytes as stored of a block that has `block_nbytes` in memory at most."""
        return (
            block_nbytes * self.reader.dtype.itemsize // max(self.dtype.itemsize, self.reader.dtype.itemsize)
        )


def converted(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Convert numbers as HDF5 does: fractions are cut off, and an integer type's limits are kept to."""
    if dtype.kind == "f" or values.dtype.kind == "b":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    if values.dtype.kind != "f":
        own = np.iinfo(values.dtype)
        kept: NDArray[Any] = np.clip(values, max(own.min, limits.min), min(own.max, limits.max)).astype(dtype)
        return kept
    low, high = values <= float(limits.min), values >= float(limits.max)
    cut = np.where(low | high | np.isnan(values), 0, values).astype(dtype)
    cut[low], cut[high] = limits.min, limits.max
    return cut


@dataclass(frozen=True, slots=True, eq=False)
class UnmarkedReader:
    """Rows of floats with NaN in the place of marks."""

    reader: Reader  # where the values are
    marks: tuple[int | float, ...]  # what stands for a missing element

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element."""
        return self.reader.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.reader.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        for block in self.reader.blocks(rows, elements=elements, block_nbytes=block_nbytes):
            found = _is_mark(block.data, self.marks)
            # A copy: a block may be a view of an array that belongs to somebody else.
            yield replace(block, data=np.where(found, block.data.dtype.type(np.nan), block.data))

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        needed = self.reader.memory_nbytes(n_elements, block_nbytes)
        return 2 * needed + 2 * needed // self.dtype.itemsize  # the copy, and two masks


@dataclass(frozen=True, slots=True, eq=False)
class MarkedReader:
    """Rows of integers, of which those whose elements are all marks are missing."""

    reader: Reader  # where the values are
    marks: tuple[int | float, ...]  # what stands for a missing value

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element."""
        return self.reader.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.reader.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        seen = element_range(elements, math.prod(self.shape))
        again = min(block_nbytes, _AGAIN_NBYTES)
        for block in self.reader.blocks(rows, elements=elements, block_nbytes=block_nbytes):
            marked = self._marked(block)
            if marked.any():
                marked = self._confirmed(rows[block.start : block.stop], marked, seen, again)
            if marked.any():
                valid = ~marked if block.valid is None else block.valid & ~marked
                block = replace(block, valid=valid)
            yield block

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        needed = self.reader.memory_nbytes(n_elements, block_nbytes) + 10 * LOOK_ELEMENTS
        if n_elements < math.prod(self.shape):
            needed += self.reader.memory_nbytes(n_elements, min(block_nbytes, _AGAIN_NBYTES))
        return needed

    def _marked(self, block: Block) -> BoolArray:
        """Find the requested rows whose elements in the block are all marks."""
        found: BoolArray = rows_of_only(block.data, self._test)[block.take]
        return found

    def _test(self, data: NDArray[Any]) -> BoolArray:
        return _is_mark(data, self.marks)

    def _confirmed(self, rows: IntArray, marked: BoolArray, seen: tuple[int, int], nbytes: int) -> BoolArray:
        """Find the rows that are marks in all their elements, of those that are in the elements seen."""
        n_elements, confirmed = math.prod(self.shape), marked.copy()
        width = (seen[1] - seen[0]) or n_elements
        others = [(0, seen[0]), (seen[1], n_elements)]
        for low in (low for first, stop in others for low in range(first, stop, width)):
            suspects = np.flatnonzero(confirmed)
            if not len(suspects):
                break
            part = slice(low, min(low + width, n_elements if low >= seen[1] else seen[0]))
            for block in self.reader.blocks(rows[suspects], elements=part, block_nbytes=nbytes):
                confirmed[suspects[block.start : block.stop]] = self._marked(block)
        return confirmed
