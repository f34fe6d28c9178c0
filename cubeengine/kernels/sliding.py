"""Windows that slide along the events: where they begin and end, medians and sums over them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.jit import jit
from cubeengine.types import FloatArray, IntArray

_LEAST_WINDOW = 128
"""Values are sorted in blocks of two windows; windows count as at least so many values."""


@jit
def below(values: NDArray[np.uint64], limits: NDArray[np.uint64], start: int) -> IntArray:
    """Count the values that are smaller than each limit: `numpy.searchsorted` in one pass over both.

    Parameters
    ----------
    values : (n_values,) uint64
        Never falling.
    limits : (n_limits,) uint64
        Never falling.
    start : int
        So many values are known to be smaller than all limits.
    """
    counts = np.empty(len(limits), np.int64)
    for i in range(len(limits)):
        while start < len(values) and values[start] < limits[i]:
            start += 1
        counts[i] = start
    return counts


@jit
def sliding_medians(values: FloatArray, first: IntArray, stop: IntArray) -> FloatArray:
    """Return the median of every window; of an even number of values, the mean of the two in the middle.

    The values of a block of windows are sorted once; which of them are in the window is kept in a Fenwick
    tree over their ranks, in which the middle is found. A block ends where the windows have moved on by as
    much as they are wide, so that the cost is O((n_values + n_windows) log n) for windows of any width.

    Parameters
    ----------
    values : (n_values,) float64
        Finite.
    first, stop : (n_windows,) int64
        Window i is `values[first[i]:stop[i]]`; neither ever falls.

    Returns
    -------
    (n_windows,) float64
        NaN for empty windows.

    References
    ----------
    P. M. Fenwick, Software: Practice and Experience 24 (1994) 327: the tree.
    """
    medians = np.full(len(first), np.nan)
    begin = 0
    while begin < len(first):
        low = first[begin]
        room = low + 2 * max(stop[begin] - low, _LEAST_WINDOW)
        end = begin + 1
        while end < len(first) and stop[end] <= room:
            end += 1
        high = stop[end - 1]
        _block_medians(values[low:high], first[begin:end] - low, stop[begin:end] - low, medians[begin:end])
        begin = end
    return medians


@jit
def _block_medians(values: FloatArray, first: IntArray, stop: IntArray, medians: FloatArray) -> None:
    order = np.argsort(values, kind="mergesort")  # the other kind has slow worst cases
    place = np.empty(len(values), np.int64)  # of each value in the tree, from 1
    for rank in range(len(order)):
        place[order[rank]] = rank + 1
    tree = np.zeros(len(values) + 1, np.int64)
    top = 1
    while 2 * top <= len(values):
        top *= 2
    left = right = 0
    for i in range(len(first)):
        while right < stop[i]:
            _add(tree, place[right], 1)
            right += 1
        while left < first[i]:
            _add(tree, place[left], -1)
            left += 1
        count = right - left
        if count > 0:
            upper = values[order[_find(tree, top, count // 2)]]
            if count % 2 == 0:
                upper = (values[order[_find(tree, top, count // 2 - 1)]] + upper) / 2
            medians[i] = upper


@jit
def _add(tree: IntArray, place: int, change: int) -> None:
    while place < len(tree):
        tree[place] += change
        place += place & -place


@jit
def _find(tree: IntArray, top: int, below: int) -> int:
    """Return the rank of the value in the window that has so many others of the window below it."""
    place, step = 0, top
    while step:
        if place + step < len(tree) and tree[place + step] <= below:
            place += step
            below -= tree[place]
        step //= 2
    return place


@jit
def sliding_sums(values: FloatArray, first: IntArray, stop: IntArray, start: int) -> FloatArray:
    """Return the sum of every window.

    Sums are put together of those of aligned runs of 1, 2, 4, ... events, so that nothing is ever
    subtracted, what lies outside a window never touches its sum, and the same window has the same
    sum to the last bit whichever events around it are at hand.

    Parameters
    ----------
    values : (n_events,) float64
        Finite.
    first, stop : (n_windows,) int64
        Window i is `values[first[i]:stop[i]]`.
    start : int
        Number of the first event in the run: runs of events are aligned to the whole run.
    """
    widest = 1
    for i in range(len(first)):
        widest = max(widest, stop[i] - first[i])
    n_levels = 1
    while 2**n_levels <= widest:
        n_levels += 1
    offset = start % 2**n_levels
    levels, starts = _aligned_sums(values, offset, n_levels)
    sums = np.zeros(len(first))
    for i in range(len(first)):
        left, right, level = first[i] + offset, stop[i] + offset, 0
        before, after = 0.0, 0.0
        while left < right:
            if left % 2:
                before += levels[starts[level] + left]
                left += 1
            if right % 2:
                right -= 1
                after = levels[starts[level] + right] + after
            left //= 2
            right //= 2
            level += 1
        sums[i] = before + after
    return sums


@jit
def _aligned_sums(values: FloatArray, offset: int, n_levels: int) -> tuple[FloatArray, IntArray]:
    """Return the sums of aligned runs of 2**level events, level after level, and where each level starts."""
    size = offset + len(values)
    starts = np.zeros(n_levels + 1, np.int64)
    for level in range(n_levels):
        starts[level + 1] = starts[level] + size // 2**level
    levels = np.zeros(starts[n_levels])
    levels[offset:size] = values
    for level in range(1, n_levels):
        below, here = starts[level - 1], starts[level]
        for i in range(starts[level + 1] - here):
            levels[here + i] = levels[below + 2 * i] + levels[below + 2 * i + 1]
    return levels, starts
