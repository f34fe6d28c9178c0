"""Which rows of a request make a block: rows that repeat are read once, rows that are nowhere not at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cubeengine.types import BoolArray, IntArray

MAX_ROWS = 4096
"""Rows of a block at most: keeps what is known of each, some 200 bytes, below a MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """The rows of one block.

    Attributes
    ----------
    start, stop : int
        The part of the request that is served.
    read : (n,) int64
        The rows that slots 0, 1, ... n - 1 of the buffer hold.
    take : (stop - start,) int64
        Slot of each row of the request; rows that are nowhere share the last one, n.
    """

    start: int
    stop: int
    read: IntArray
    take: IntArray

    @property
    def n_slots(self) -> int:
        """Slots in use."""
        return int(self.take.max()) + 1


def next_slots(rows: IntArray, present: BoolArray, start: int, capacity: int) -> Slots:
    """Choose the rows of the block that begins with the first of some rows.

    Parameters
    ----------
    rows : (n,) int64, n > 0
        What is left of the request, or the start of it.
    present : (n,) bool
        False where a row is nowhere.
    start : int
        Place of the first row in the request.
    capacity : int
        Slots of the buffer, at least 1.
    """
    fresh = present.copy()
    fresh[1:] &= (rows[1:] != rows[:-1]) | ~present[:-1]
    read = np.cumsum(fresh)
    used = read + np.maximum.accumulate(~present)
    n = int(np.searchsorted(used, capacity, side="right"))
    n_read = int(read[n - 1])
    take = np.where(present[:n], read[:n] - 1, n_read)
    return Slots(start, start + n, rows[:n][fresh[:n]], take)


def slot_capacity(block_nbytes: int, row_nbytes: int) -> int:
    """Return how many rows make a block: at least one."""
    return max(min(block_nbytes // max(row_nbytes, 1), MAX_ROWS), 1)
