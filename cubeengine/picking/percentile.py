"""Percentiles of every group, exact, of more values than fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from cubeengine.planning.side import scratch
from cubeengine.types import FloatArray, IntArray

SORTED_TOGETHER = 2**20
"""Values that are sorted at a time, unless one group has more."""


def percentiles(
    pieces: Iterable[tuple[IntArray, FloatArray]], counts: IntArray, percent: float
) -> FloatArray:
    """Return a percentile of every group, interpolated linearly as `numpy.percentile` does.

    Parameters
    ----------
    pieces : iterable of ((n,) int64, (n,) float64)
        Group and finite value of each event, some at a time, in any order.
    counts : (n_groups,) int64
        Values of each group in all pieces.
    percent : float
        0 to 100.

    Returns
    -------
    (n_groups,) float64
        NaN for groups without values.

    Notes
    -----
    Values are put in the order of their groups, in a side file where they are many, and sorted there a
    million at a time; a group of more is partitioned in place. Memory: some 50 MB.
    """
    begin = np.cumsum(counts) - counts
    values = scratch(int(counts.sum()), np.dtype(np.float64))
    place = begin.copy()
    for groups, some in pieces:
        order = np.argsort(groups, kind="stable")
        present, n_new = np.unique(groups, return_counts=True)
        within = np.arange(len(groups)) - np.repeat(np.cumsum(n_new) - n_new, n_new)
        values[np.repeat(place[present], n_new) + within] = some[order]
        place[present] += n_new
    found = np.full(len(counts), np.nan)
    for first, stop in _ranges(counts):
        full = first + np.flatnonzero(counts[first:stop])
        part = values[begin[first] : begin[first] + counts[first:stop].sum()]
        found[full] = _of_range(part, counts[full], percent)
    return found


def _ranges(counts: IntArray) -> Iterator[tuple[int, int]]:
    """Split groups into ranges of about `SORTED_TOGETHER` values: less, or one group that has more."""
    before = np.cumsum(counts) - counts
    first = 0
    while first < len(counts):
        stop = int(np.searchsorted(before + counts, before[first] + SORTED_TOGETHER, side="right"))
        stop = max(stop, first + 1)
        yield first, stop
        first = stop


def _of_range(values: NDArray[np.float64], counts: IntArray, percent: float) -> FloatArray:
    """Return the percentile of some groups, of which `values` has all values, one after the other."""
    begin = np.cumsum(counts) - counts
    position = (counts - 1) * (percent / 100)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, counts - 1)
    if len(counts) == 1:
        values.partition([int(low[0]), int(high[0])])
        ordered = values
    else:
        ordered = values[np.lexsort((values, np.repeat(np.arange(len(counts)), counts)))]
    return _between(ordered[begin + low], ordered[begin + high], position - low)


def _between(low: FloatArray, high: FloatArray, part: FloatArray) -> FloatArray:
    """Interpolate; weights, not differences, so that far values do not overflow."""
    mixed: FloatArray = np.where(low == high, low, low * (1 - part) + high * part)
    return mixed
