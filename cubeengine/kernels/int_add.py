"""Compiled addition of integer blocks: exact sums and sums of squares, in words of 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.jit import jit
from cubeengine.kernels.vectors import is_less, load, splat, store
from cubeengine.types import IntArray

LANES = 32  # elements of a strip: a cache line of 16 bits
TILE = 2048  # elements per row before the next group: long enough for the hardware prefetcher
CHUNK = 16  # rows added between two updates of the state: as many streams as the processor follows
_HALF = 0xFFFFFFFF


@jit
def add_narrow(
    data: NDArray[Any], rows: IntArray, starts: IntArray, n_events: IntArray, words: NDArray[np.uint64]
) -> None:
    """Add rows[starts[g]:starts[g+1]] of up to 16 bits to group g of the state, for all groups."""
    n_elements = data.shape[1]
    planes = words.reshape((words.shape[0] * 2, n_elements))
    strips = n_elements - n_elements % LANES
    for left in range(0, strips, TILE):
        for group in np.nonzero(starts[1:] > starts[:-1])[0]:
            for first in range(starts[group], starts[group + 1], CHUNK):
                last = min(first + CHUNK, starts[group + 1])
                _add_narrow_tile(data, rows[first:last], left, min(left + TILE, strips), planes, 2 * group)
    for group in np.nonzero(starts[1:] > starts[:-1])[0]:
        n_events[group] += starts[group + 1] - starts[group]
        for element in range(strips, n_elements):
            _add_narrow_element(data, rows[starts[group] : starts[group + 1]], element, words[group])


@jit
def add_wide(
    data: NDArray[Any], rows: IntArray, starts: IntArray, n_events: IntArray, words: NDArray[np.uint64]
) -> None:
    """Do the same for 32 bits."""
    n_elements = data.shape[1]
    planes = words.reshape((words.shape[0] * 3, n_elements))
    strips = n_elements - n_elements % LANES
    for left in range(0, strips, TILE):
        for group in np.nonzero(starts[1:] > starts[:-1])[0]:
            for first in range(starts[group], starts[group + 1], CHUNK):
                last = min(first + CHUNK, starts[group + 1])
                _add_wide_tile(data, rows[first:last], left, min(left + TILE, strips), planes, 3 * group)
    for group in np.nonzero(starts[1:] > starts[:-1])[0]:
        n_events[group] += starts[group + 1] - starts[group]
        for element in range(strips, n_elements):
            _add_wide_element(data, rows[starts[group] : starts[group + 1]], element, words[group])


@jit
def add_long(
    data: NDArray[Any], rows: IntArray, starts: IntArray, n_events: IntArray, words: NDArray[np.uint64]
) -> None:
    """Do the same for 64 bits, one value at a time."""
    for group in np.nonzero(starts[1:] > starts[:-1])[0]:
        n_events[group] += starts[group + 1] - starts[group]
        for p in range(starts[group], starts[group + 1]):
            for element in range(data.shape[1]):
                _add_long_value(data[rows[p], element], words[group], element)


@jit
def _add_narrow_tile(data, rows, left, right, planes, plane):  # type: ignore[no-untyped-def]
    """Add rows of up to 16 bits: one word for the sum, one for the sum of squares."""
    zero = splat(0, LANES)

    for e in range(left, right, LANES):
        total, squares = zero, zero
        for i in range(len(rows)):
            x = load(data, rows[i], e, LANES)
            total = total + x
            squares = squares + x * x
        store(planes, plane, e, load(planes, plane, e, LANES) + total)
        store(planes, plane + 1, e, load(planes, plane + 1, e, LANES) + squares)


@jit
def _add_wide_tile(data, rows, left, right, planes, plane):  # type: ignore[no-untyped-def]
    """Add rows of 32 bits: one word for the sum, two for the sum of squares."""
    zero, half, thirty_two = splat(0, LANES), splat(_HALF, LANES), splat(32, LANES)
    for e in range(left, right, LANES):
        total, low, high = zero, zero, zero
        for i in range(len(rows)):
            x = load(data, rows[i], e, LANES)
            square = x * x
            total = total + x
            low = low + (square & half)
            high = high + (square >> thirty_two)
        added = low + (high << thirty_two)
        above = (high >> thirty_two) + is_less(added, low)
        squares = load(planes, plane + 1, e, LANES) + added
        store(planes, plane, e, load(planes, plane, e, LANES) + total)
        store(planes, plane + 1, e, squares)
        store(planes, plane + 2, e, load(planes, plane + 2, e, LANES) + above + is_less(squares, added))


@jit
def _add_narrow_element(data, rows, e, words):  # type: ignore[no-untyped-def]
    total, squares = words[0, e], words[1, e]
    for i in range(len(rows)):
        x = np.uint64(np.int64(data[rows[i], e]))
        total += x
        squares += x * x
    words[0, e], words[1, e] = total, squares


@jit
def _add_wide_element(data, rows, e, words):  # type: ignore[no-untyped-def]
    total, low, high = words[0, e], words[1, e], words[2, e]
    for i in range(len(rows)):
        x = np.uint64(np.int64(data[rows[i], e]))
        square = x * x
        total += x
        low += square
        high += np.uint64(low < square)
    words[0, e], words[1, e], words[2, e] = total, low, high


@jit
def _add_long_value(x, words, e):  # type: ignore[no-untyped-def]
    """Add one value of 64 bits: two words for the sum, three for the sum of squares."""
    negative = x < 0
    word = np.uint64(x)
    words[0, e] += word
    words[1, e] += np.uint64(words[0, e] < word) - np.uint64(negative)
    size = np.uint64(0) - word if negative else word
    shift = np.uint64(32)
    low, high = size & np.uint64(_HALF), size >> shift
    cross = low * high
    square = low * low
    above = high * high + (cross >> np.uint64(31))
    twice = cross << np.uint64(33)
    square += twice
    above += np.uint64(square < twice)
    words[2, e] += square
    above += np.uint64(words[2, e] < square)  # cannot overflow: a square is at most 2**128 - 2**65 + 1
    words[3, e] += above
    words[4, e] += np.uint64(words[3, e] < above)
