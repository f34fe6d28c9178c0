"""Plain reads of byte ranges of a file, past the HDF5 library and its lock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from cubeengine.errors import SourceFormatError
from cubeengine.types import InputFile, IntArray

GAP_NBYTES = 16 * 1024
"""Bytes that are read through rather than skipped: with every second row of a page-cached file read, both
cost the same at rows of 16 to 32 KiB; below, skipping is up to 30 times slower."""

_MAX_VECTORS = 1000
"""Pieces of one preadv; the system allows 1024."""


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
        """Give the same with ranges that adjoin in file and buffer made one."""
        if len(self.offset) < 2:
            return self
        apart = np.diff(self.offset) != self.size[:-1]
        apart |= np.diff(self.place) != self.size[:-1]
        begins = np.concatenate(([0], np.flatnonzero(apart) + 1))
        return Segments(self.offset[begins], np.add.reduceat(self.size, begins), self.place[begins])


class SegmentReader:
    """Reads segments of one open file into one buffer, close ones together."""

    def __init__(self, file: InputFile, descriptor: int) -> None:
        self._file, self._descriptor = file, descriptor
        self._between = memoryview(bytearray(GAP_NBYTES))  # receives what is read through

    def read(self, segments: Segments, buffer: memoryview) -> None:
        """Fill the buffer.

        Raises
        ------
        SourceFormatError
            If the file ends too early.
        """
        merged = segments.merged()
        offsets, sizes, places = merged.offset.tolist(), merged.size.tolist(), merged.place.tolist()
        views: list[memoryview] = []
        begin = end = -1
        for offset, size, place in zip(offsets, sizes, places, strict=True):
            gap = offset - end
            if views and 0 <= gap <= GAP_NBYTES and len(views) < _MAX_VECTORS:
                if gap:
                    views.append(self._between[:gap])
            else:
                self._fill(views, begin)
                views, begin = [], offset
            views.append(buffer[place : place + size])
            end = offset + size
        self._fill(views, begin)

    def _fill(self, views: Sequence[memoryview], offset: int) -> None:
        wanted = sum(map(len, views))
        found = os.preadv(self._descriptor, views, offset) if views else 0
        # A read can end early: at the file's end, at 2 GiB, or on a network file system.
        while found < wanted:
            rest = _after(views, found)
            more = os.preadv(self._descriptor, rest, offset + found)
            if more == 0:
                raise SourceFormatError(
                    f"{self._file.path}, byte {offset:,}: needs {wanted:,} bytes, but {found:,} remain; "
                    "the file is cut off: copy it again, or wait until it is written"
                )
            found += more


def _after(views: Sequence[memoryview], nbytes: int) -> list[memoryview]:
    """Give the views without their first bytes."""
    rest = []
    for view in views:
        if nbytes < len(view):
            rest.append(view[nbytes:])
        nbytes = max(nbytes - len(view), 0)
    return rest
