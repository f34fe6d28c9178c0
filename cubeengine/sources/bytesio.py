"""Plain reads of byte ranges of a file, past the HDF5 library and its lock."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.vectored import read_until_short
from cubeengine.types import InputFile, IntArray

GAP_NBYTES = 16 * 1024
"""Bytes that are read through rather than skipped: with every second row of a page-cached file read, both
cost the same at rows of 16 to 32 KiB; below, skipping is up to 30 times slower."""

_MAX_SEGMENTS = 500
"""Segments of one preadv, with a gap behind each; the system allows 1024 pieces."""


@contextmanager
def opened(file: InputFile) -> Iterator[int]:
    """Open a file for reading; stops if it is not the file it was when the run was opened."""
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise SourceFormatError(f"{file.path}: cannot be opened ({err.strerror})") from err
    try:
        check_unchanged(file, os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def check_unchanged(file: InputFile, status: os.stat_result) -> None:
    """Raise SourceFormatError if size or time stamp differ from what they were."""
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise SourceFormatError(
            f"{file.path}: changed after the run was opened ({file.size:,} bytes then, "
            f"{status.st_size:,} now); wait until it is written, then open the run again"
        )


@dataclass(frozen=True, slots=True)
class Segments:
    """Byte ranges of a file and where they go: arrays of equal length, offsets usually rising."""

    offset: IntArray
    size: IntArray
    place: IntArray

    def merged(self) -> Segments:
        """Return the same with ranges that adjoin in file and buffer made one."""
        if len(self.offset) < 2:
            return self
        apart = np.diff(self.offset) != self.size[:-1]
        apart |= np.diff(self.place) != self.size[:-1]
        begins = np.concatenate(([0], np.flatnonzero(apart) + 1))
        return Segments(self.offset[begins], np.add.reduceat(self.size, begins), self.place[begins])


class EqualPieces:
    """A buffer as pieces of one size, each filled by a read of its own; made once for many blocks.

    Parameters
    ----------
    buffer : (n,) uint8, contiguous
    capacity : int
        Number of pieces.
    """

    def __init__(self, buffer: NDArray[np.uint8], capacity: int) -> None:
        self.buffer = buffer  # kept, as only its address is used
        size = len(buffer) // capacity
        self.pieces = np.empty((capacity, 2), np.uint64)
        self.pieces[:, 0] = buffer.ctypes.data + np.arange(capacity) * size
        self.pieces[:, 1] = size
        self.first = np.arange(capacity)
        self.count = np.ones(capacity, np.int64)
        self.size = np.full(capacity, size)


class SegmentReader:
    """Reads segments of one open file into one buffer, close ones together."""

    def __init__(self, file: InputFile, descriptor: int) -> None:
        self._file, self._descriptor = file, descriptor
        self._between = np.empty(GAP_NBYTES, np.uint8)  # receives what is read through

    def read(self, segments: Segments, buffer: NDArray[np.uint8]) -> None:
        """Fill the buffer.

        Parameters
        ----------
        segments : Segments
            What to read, in any order; `place` within the buffer.
        buffer : (n,) uint8, contiguous
            Receives it.

        Raises
        ------
        SourceFormatError
            If the file ends too early.
        """
        merged = segments.merged()
        gap = merged.offset[1:] - (merged.offset + merged.size)[:-1]
        joined = (gap >= 0) & (gap <= GAP_NBYTES)
        joined &= np.arange(1, len(gap) + 1) % _MAX_SEGMENTS != 0
        gap = np.where(joined, gap, 0)
        begins = np.concatenate(([0], np.flatnonzero(~joined) + 1)) if len(merged.offset) else joined[:0]
        ends = np.append(begins[1:], len(merged.offset))
        sizes = np.add.reduceat(merged.size + np.append(gap, 0), begins) if len(begins) else merged.size
        pieces = self._pieces(merged, gap, buffer)
        self._read_groups(pieces, 2 * begins, 2 * (ends - begins) - 1, merged.offset[begins], sizes)

    def read_pieces(self, pieces: EqualPieces, offset: IntArray) -> None:
        """Fill the first pieces, one from each offset of the file.

        Raises
        ------
        SourceFormatError
            If the file ends too early.
        """
        n = len(offset)
        self._read_groups(pieces.pieces, pieces.first[:n], pieces.count[:n], offset, pieces.size[:n])

    def _pieces(self, segments: Segments, gap: IntArray, buffer: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Return address and size of every segment, and of every gap behind one (empty if not read)."""
        pieces = np.empty((len(segments.offset), 2, 2), np.uint64)
        pieces[:, 0, 0] = buffer.ctypes.data + segments.place
        pieces[:, 0, 1] = segments.size
        pieces[:, 1, 0] = self._between.ctypes.data
        pieces[:-1, 1, 1] = gap
        pieces[-1:, 1, 1] = 0
        return pieces.reshape(-1, 2)

    def _read_groups(
        self, pieces: NDArray[np.uint64], first: IntArray, count: IntArray, offset: IntArray, size: IntArray
    ) -> None:
        group = 0
        while True:
            group = read_until_short(self._descriptor, pieces, first, count, offset, size, group)
            if group == len(first):
                return
            views = [_view(*piece) for piece in pieces[first[group] : first[group] + count[group]].tolist()]
            self._fill(views, int(offset[group]))
            group += 1

    def _fill(self, views: Sequence[memoryview], offset: int) -> None:
        """Read again what came short: it can at the file's end, at 2 GiB, or on a network file system."""
        wanted, found = sum(map(len, views)), 0
        while found < wanted:
            more = os.preadv(self._descriptor, _after(views, found), offset + found)
            if more == 0:
                raise SourceFormatError(
                    f"{self._file.path}, byte {offset:,}: needs {wanted:,} bytes, but {found:,} remain; "
                    "the file is cut off: copy it again, or wait until it is written"
                )
            found += more


def _view(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def _after(views: Sequence[memoryview], nbytes: int) -> list[memoryview]:
    """Return the views without their first bytes."""
    rest = []
    for view in views:
        if nbytes < len(view):
            rest.append(view[nbytes:])
        nbytes = max(nbytes - len(view), 0)
    return rest
