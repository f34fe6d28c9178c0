"""Which rows go into one block: pure arithmetic on row numbers, the same for every layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cubeengine.types import IntArray

MAX_UNITS = 16_384
"""Units of a batch at most: bounds the index arrays, which for scalars are larger than the data."""

MAX_ROWS = 65_536
"""Rows of a batch at most, unless one unit has more: likewise."""

INDEX_NBYTES = 400
"""Bytes of index arrays per unit of a batch at most: a dozen int64 and three lists of Python integers,
where every unit is a run of its own."""


_FIRST_SLOT = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one block reads. A unit is a row, or a chunk of rows that are decoded together.

    Attributes
    ----------
    start, stop : int
        The part of the request that is served.
    first, count : (n_spans,) int64
        Runs of units to read: `first`, `first + 1`, ... `count` of them.
    slot : (n_spans,) int64
        Place in the buffer, in units, of the first unit of each run.
    take : (stop - start,) int64
        Row of the buffer that serves each row of the request.
    n_units : int
        Units in the buffer.
    """

    start: int
    stop: int
    first: IntArray
    count: IntArray
    slot: IntArray
    take: IntArray
    n_units: int

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield number and slot of every unit."""
        for first, count, slot in zip(
            self.first.tolist(), self.count.tolist(), self.slot.tolist(), strict=True
        ):
            yield from zip(range(first, first + count), range(slot, slot + count), strict=True)


def batches(rows: IntArray, *, unit: int = 1, capacity: int, reach: int = 1) -> Iterator[Batch]:
    """Split a request into batches that fit a buffer.

    Parameters
    ----------
    rows : (n,) int64, any order, repeats allowed
        A row that is less than the one before begins a run of its own.
    unit : int
        Rows per unit.
    capacity : int
        Units the buffer holds, at least 1.
    reach : int
        Units that are at most so far apart are read as one run, with what lies between.

    Notes
    -----
    Memory: `INDEX_NBYTES` per unit of one batch, 40 bytes per row.
    """
    start = 0
    while start < len(rows):
        batch = _next_batch(rows, start, unit, capacity, reach)
        yield batch
        start = batch.stop


def units_per_block(block_nbytes: int, row_nbytes: int, *, unit: int = 1) -> int:
    """Return how many units of `unit` rows make a block: at least one."""
    fitting = block_nbytes // max(row_nbytes * unit, 1)
    return max(min(fitting, MAX_UNITS, MAX_ROWS // unit), 1)


def buffer_units(rows: IntArray, per_block: int, *, unit: int = 1) -> int:
    """Return the units of a buffer for these rows: those of a block, or fewer where fewer are wanted."""
    if len(rows) == 0:
        return 1
    first, last = int(rows[0]), int(rows[-1])
    if len(rows) < per_block * unit and bool((np.diff(rows) >= 0).all()):
        return min(per_block, last // unit - first // unit + 1)
    return per_block


def _next_batch(rows: IntArray, start: int, unit: int, capacity: int, reach: int) -> Batch:
    window = rows[start : start + unit * capacity]
    units = window if unit == 1 else window // unit
    step = np.diff(units)
    if unit == 1 and bool((step == 1).all()):  # the usual case, spared the arithmetic below
        n = len(window)
        return Batch(start, start + n, window[:1], np.array([n]), _FIRST_SLOT, np.arange(n), n)
    apart = (step > reach) | (step < 0)
    place = np.zeros(len(units), np.int64)
    np.cumsum(np.where(apart, 1, step), out=place[1:])
    n = int(np.searchsorted(place, capacity))
    begins = np.concatenate(([0], np.flatnonzero(apart[: n - 1]) + 1))
    slot = place[begins]
    n_units = int(place[n - 1]) + 1
    count = np.diff(slot, append=n_units)
    take = place[:n] if unit == 1 else place[:n] * unit + (window[:n] - units[:n] * unit)
    return Batch(start, start + n, units[begins], count, slot, take, n_units)


def element_range(elements: slice, n_elements: int) -> tuple[int, int]:
    """Return first and last + 1 of a range of elements.

    Raises
    ------
    ValueError
        If the slice has a step.
    """
    first, stop, step = elements.indices(n_elements)
    if step != 1:
        raise ValueError(f"elements must be a plain range, got {elements!r}")
    return first, max(first, stop)
