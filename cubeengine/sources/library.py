"""Reader of everything that only the HDF5 library can read; it holds the library's lock meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cubeengine.sources.base import Block
from cubeengine.sources.batches import (
    INDEX_NBYTES,
    Batch,
    batches,
    buffer_units,
    element_range,
    units_per_block,
)
from cubeengine.sources.bytesio import check_unchanged
from cubeengine.sources.hdf5 import check_filters, filter_numbers, library_errors, opened_hdf5
from cubeengine.types import InputFile, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class LibraryReader:
    """Reads rows through h5py, whole chunks at a time so that none is decoded twice.

    Attributes
    ----------
    file : InputFile
        The file, as it was when the run was opened.
    name : str
        Path of the dataset in the file.
    dtype, shape : of one element (native byte order), of one row
    n_rows : int
        Rows of the dataset.
    chunk_rows : int
        Rows per chunk; 1 where there are no chunks.
    """

    file: InputFile
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    n_rows: int
    chunk_rows: int

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        width = math.prod(self.shape)
        first, stop = element_range(elements, width)
        if len(rows) == 0:
            return
        capacity = buffer_units(rows, self._capacity(block_nbytes), unit=self.chunk_rows)
        buffer = np.empty((capacity * self.chunk_rows, *self.shape), self.dtype)
        what = f"field {self.name!r}"
        with opened_hdf5(self.file.path) as file, library_errors(self.file.path, what):
            check_unchanged(self.file, self.file.path.stat())
            dataset = file[self.name]
            check_filters(self.file.path, what, filter_numbers(dataset.id))
            for batch in batches(rows, unit=self.chunk_rows, capacity=capacity):
                self._fill(dataset, batch, buffer)
                data = buffer[: batch.n_units * self.chunk_rows].reshape(-1, width)
                yield Block(np.ascontiguousarray(data[:, first:stop]), batch.start, batch.stop, batch.take)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        capacity, width = self._capacity(block_nbytes), math.prod(self.shape)
        copied = n_elements if n_elements < width else 0
        # HDF5 holds a chunk raw, and again between its filters.
        chunk = 2 * self.chunk_rows * width * self.dtype.itemsize
        n_rows = capacity * self.chunk_rows
        return n_rows * ((width + copied) * self.dtype.itemsize + 40) + capacity * INDEX_NBYTES + chunk

    def _capacity(self, block_nbytes: int) -> int:
        return units_per_block(
            block_nbytes, math.prod(self.shape) * self.dtype.itemsize, unit=self.chunk_rows
        )

    def _fill(self, dataset: Any, batch: Batch, buffer: Any) -> None:
        unit = self.chunk_rows
        for first, count, slot in zip(
            batch.first.tolist(), batch.count.tolist(), batch.slot.tolist(), strict=True
        ):
            begin, end = first * unit, min((first + count) * unit, self.n_rows)
            target = slice(slot * unit, slot * unit + end - begin)
            dataset.read_direct(buffer, np.s_[begin:end], np.s_[target])
