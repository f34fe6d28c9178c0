"""Reading and stages in one: frames are worked on block by block, as they come from storage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cubeengine.detectors.pipeline import Pipeline, Work
from cubeengine.errors import DataError
from cubeengine.sources.base import Block, Reader
from cubeengine.sources.batches import element_range
from cubeengine.types import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class StagedReader:
    """Serves the frames of a reader after the stages of a signal."""

    reader: Reader  # reads the frames
    pipeline: Pipeline  # what is done to them

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element after all stages."""
        return self.pipeline.output.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame after all stages."""
        return self.pipeline.output.shape

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows and work on them, block after block; see `Reader.blocks`.

        Blocks may have a mask `valid` whatever the type: rows that are missing are not worked on.

        Raises
        ------
        DataError
            If an event has values that a stage cannot work on; names its row.
        """
        wanted = element_range(elements, self.pipeline.output.n_elements)
        work = self.pipeline.work(wanted, self.pipeline.events_per_block(wanted, block_nbytes))
        nbytes = work.capacity * (work.needs[1] - work.needs[0]) * self.pipeline.input.dtype.itemsize
        for block in self.reader.blocks(rows, elements=slice(*work.needs), block_nbytes=nbytes):
            yield from _worked(work, block, rows, self.pipeline.field)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for the first elements of a frame."""
        wanted = (0, n_elements)
        capacity = self.pipeline.events_per_block(wanted, block_nbytes)
        start, stop = self.pipeline.needs(wanted)
        nbytes = capacity * (stop - start) * self.pipeline.input.dtype.itemsize
        return self.reader.memory_nbytes(stop - start, nbytes) + self.pipeline.memory_nbytes(wanted, capacity)


def _worked(work: Work, block: Block, wanted: IntArray, field: str) -> Iterator[Block]:
    """Work on a block in pieces that fit; a compressed chunk may hold more events than wanted."""
    for start in range(0, len(block.take), work.capacity):
        stop = min(start + work.capacity, len(block.take))
        valid = None if block.valid is None else block.valid[start:stop]
        there = np.arange(stop - start) if valid is None else np.flatnonzero(valid)
        rows, places = np.unique(block.take[start:stop][there], return_inverse=True)
        take = np.zeros(stop - start, np.int64)  # 0 where nothing is: what is missing is not looked at
        take[there] = places
        try:
            data = work(block.data, rows)
        except DataError as err:
            row = int(wanted[block.start + start + there[places == err.row][0]])
            raise DataError(f"field {field!r}, the event in row {row:,} (from 0): {err}", row) from None
        damaged = None if block.damaged is None else block.damaged[start:stop]
        yield Block(data, block.start + start, block.start + stop, take, valid, damaged)
