"""The distinct values of a run's events, in rising order and with their numbers, in bounded memory.

Each window's values are sorted and counted by themselves; what is left of a step scan is a few values, of
a continuous variable all of them, in side files. The windows are merged block by block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cubeengine.events.settings import Settings, begins, find_settings, joined
from cubeengine.planning.side import Growing, scratch
from cubeengine.types import FloatArray, IntArray

Counted: TypeAlias = tuple[NDArray[Any], IntArray]
"""Distinct values, rising, and how many events have each."""

BLOCK_VALUES = 2**22
"""About so many values are merged at a time: 64 MB, and some copies of them."""

SAMPLE_STEP = 2**12
"""Every n-th value of a window helps to find where to cut: windows differ by no more per block."""


class Distinct:
    """Counts the distinct values of all events, window by window."""

    def __init__(self) -> None:
        self._values, self._counts = Growing(), Growing()
        self._borders = [0]
        self.n_values = 0

    def add(self, values: NDArray[Any]) -> None:
        """Add the finite values of some events."""
        seen, counts = np.unique(values, return_counts=True)
        self._values.append(seen)
        self._counts.append(counts.astype(np.int64))
        self._borders.append(self._borders[-1] + len(seen))
        self.n_values += len(values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds all values."""
        return self._values.array().dtype

    @property
    def limits(self) -> tuple[Any, Any]:
        """Lowest and highest value; there must be one."""
        runs = [values for values, _ in self._runs()]
        return min(run[0] for run in runs), max(run[-1] for run in runs)

    def blocks(self) -> Iterator[Counted]:
        """Yield all distinct values in rising order, block after block, each value once."""
        runs = self._runs()
        if not runs:
            return
        places = [np.zeros(1, np.int64) for _ in runs]
        if len(runs) > 1:
            splits = _splits([values for values, _ in runs])
            places = [np.append(0, np.searchsorted(values, splits, side="right")) for values, _ in runs]
        stops = [np.append(place, len(values)) for place, (values, _) in zip(places, runs, strict=True)]
        for number in range(len(stops[0]) - 1):
            parts = [
                (values[stop[number] : stop[number + 1]], counts[stop[number] : stop[number + 1]])
                for stop, (values, counts) in zip(stops, runs, strict=True)
            ]
            merged = _merged(parts)
            if len(merged[0]):
                yield merged

    def _runs(self) -> list[Counted]:
        values, counts = self._values.array(), self._counts.array()
        borders = zip(self._borders[:-1], self._borders[1:], strict=True)
        return [(values[a:b], counts[a:b]) for a, b in borders if b > a]


def _splits(runs: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Find values that cut all runs into blocks of about `BLOCK_VALUES`, the last one open."""
    sample = np.sort(np.concatenate([run[SAMPLE_STEP - 1 :: SAMPLE_STEP] for run in runs]))
    every = max(BLOCK_VALUES // SAMPLE_STEP, 1)
    return np.unique(sample[every - 1 :: every])


def _merged(parts: Sequence[Counted]) -> Counted:
    if len(parts) == 1:
        return parts[0]
    values = np.concatenate([part[0] for part in parts])
    order = np.argsort(values, kind="stable")
    values = values[order]
    if not len(values):
        return values, np.empty(0, np.int64)
    first = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    counts = np.concatenate([part[1] for part in parts])[order]
    return values[first], np.add.reduceat(counts, first)


def quantile_edges(distinct: Distinct, n_bins: int) -> FloatArray:
    """Return the `n_bins` + 1 quantiles of all values, as `numpy.quantile` does."""
    return quantiles(distinct, np.linspace(0, 1, n_bins + 1))


def quantiles(distinct: Distinct, shares: FloatArray) -> FloatArray:
    """Return the quantiles of all values at rising shares, 0 to 1, as `numpy.quantile` does."""
    virtual = (distinct.n_values - 1) * shares
    below = np.floor(virtual).astype(np.int64)
    above = np.minimum(below + 1, distinct.n_values - 1)
    ranks = np.unique(np.concatenate([below, above]))
    found = values_at(distinct, ranks)
    low, high = (found[np.searchsorted(ranks, rank)] for rank in (below, above))
    pairs = zip(low, high, virtual - below, strict=True)
    return np.array([np.quantile([a, b], share) for a, b, share in pairs])


def whole_quantile(distinct: Distinct, share: float) -> int | None:
    """Return a quantile of whole numbers exactly; None between two of them, and of floats."""
    if distinct.dtype.kind not in "iu":
        return None
    virtual = (distinct.n_values - 1) * share
    ranks = np.unique([int(np.floor(virtual)), int(np.ceil(virtual))])
    found = values_at(distinct, ranks, distinct.dtype)
    return int(found[0]) if found[0] == found[-1] else None


def values_at(distinct: Distinct, ranks: IntArray, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return the values of some ranks (rising) among all values in rising order, from 0."""
    found, before, done = np.empty(len(ranks), dtype), 0, 0
    for values, counts in distinct.blocks():
        upto = before + np.cumsum(counts)
        stop = int(np.searchsorted(ranks, upto[-1], side="left"))
        found[done:stop] = values[np.searchsorted(upto, ranks[done:stop], side="right")]
        before, done = int(upto[-1]), stop
    return found


def smallest_gap(distinct: Distinct) -> float:
    """Return the smallest distance of two distinct values; infinity where there is but one."""
    smallest, last = np.inf, None
    for values, _ in distinct.blocks():
        row = values if last is None else np.append(last, values)
        smallest = min(smallest, np.diff(row.astype(np.float64)).min(initial=np.inf))
        last = values[-1:]
    return float(smallest)


def n_chains(distinct: Distinct, tolerance: float) -> int:
    """Count the stretches of values that follow one another within the tolerance: not above the settings."""
    found, last = 0, None
    for values, _ in distinct.blocks():
        found += len(begins(values, tolerance)) + (last is None or _apart(last, values[0], tolerance))
        last = values[-1]
    return found


def settings(distinct: Distinct, tolerance: float) -> Settings:
    """Find the settings among all values; see `find_settings`."""
    parts = [find_settings(*part, tolerance, room=scratch) for part in _stretches(distinct, tolerance)]
    return joined(parts)


def _stretches(distinct: Distinct, tolerance: float) -> Iterator[Counted]:
    """Yield the values in parts that lie apart by more than the tolerance; a long one in side files."""
    values, counts = Growing(), Growing()
    for block, events in distinct.blocks():
        places = begins(block, tolerance)
        if len(values) and _apart(values.last, block[0], tolerance):
            places = np.append(0, places)
        start = 0
        if len(places):
            start = int(places[-1])
            values.append(block[:start])
            counts.append(events[:start])
            yield values.array(), counts.array()
            values, counts = Growing(), Growing()
        values.append(block[start:])
        counts.append(events[start:])
    if len(values):
        yield values.array(), counts.array()


def _apart(low: Any, high: Any, tolerance: float) -> bool:
    return bool(float(high) > float(low) + tolerance)
