"""Values that hold until the next one: written at transitions, asked for per event."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.shared import SharedArray
from cubeengine.sources.base import Block
from cubeengine.sources.batches import element_range
from cubeengine.sources.xtc2.slots import MAX_ROWS, slot_capacity
from cubeengine.types import IntArray


@dataclass(frozen=True, slots=True)
class Setting:
    """One value and the packed time from which on it holds."""

    timestamp: int
    value: Any
    damaged: bool = False  # whether it came damaged: what it was is not known until the next one


@dataclass(frozen=True, slots=True, eq=False)
class HeldReader:
    """Gives each event the last value at or before it; rows are event numbers."""

    values: SharedArray
    begins: SharedArray  # SharedArray of (n,) int64, rising: The first event that has each value
    damaged: SharedArray  # SharedArray of (n,) bool: Where the value is not to be trusted
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    match: SharedArray | None = None
    """SharedArray of (n_rows,) int64, or None: The event of each row, -1 for none; None where rows are
    events.
    """

    @classmethod
    def of(cls, values: NDArray[Any], begins: IntArray, damaged: NDArray[np.bool_]) -> HeldReader:
        """Take values, at least one, and where each begins; see the attributes."""
        shared = SharedArray(values), SharedArray(begins), SharedArray(damaged)
        return cls(*shared, values.dtype, values.shape[1:])

    def matched(self, match: IntArray) -> HeldReader:
        """Return the same for other rows, where `match` gives the event of each, or -1."""
        return replace(self, match=SharedArray(match))

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Yield the values of events, block after block; see `Reader.blocks`."""
        first, stop = element_range(elements, math.prod(self.shape))
        values = self.values.load()
        part = values.reshape(len(values), -1)[:, first:stop] if values.size else np.empty((len(values), 0))
        match = None if self.match is None else self.match.load()
        begins, damaged = self.begins.load(), self.damaged.load()
        capacity = slot_capacity(block_nbytes, (stop - first) * self.dtype.itemsize)
        for start in range(0, len(rows), capacity):
            wanted = rows[start : start + capacity]
            events = wanted if match is None else match[wanted]
            which = np.where(events >= 0, np.searchsorted(begins, events, side="right") - 1, -1)
            yield self._block(part.astype(self.dtype, copy=False), damaged, which, start)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time beside the values themselves."""
        row_nbytes = n_elements * self.dtype.itemsize
        return slot_capacity(block_nbytes, row_nbytes) * (row_nbytes + 60) + MAX_ROWS * 60

    def _block(self, values: NDArray[Any], damaged: NDArray[np.bool_], which: IntArray, start: int) -> Block:
        data = np.take(values, which, axis=0, mode="clip")
        take = np.arange(len(which))
        spoilt = damaged[np.maximum(which, 0)] & (which >= 0)
        lacking = spoilt | (which < 0)
        if not lacking.any():
            return Block(data, start, start + len(which), take)
        floating = self.dtype.kind == "f"
        data[lacking] = np.nan if floating else 0
        valid = None if floating else ~lacking
        return Block(data, start, start + len(which), take, valid, spoilt if spoilt.any() else None)
