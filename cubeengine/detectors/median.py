"""Compiled common mode: what all pixels of a group have in common is their median, and is taken off."""

# mypy: allow-untyped-decorators

from __future__ import annotations

import numpy as np

from cubeengine.detectors.lookup import VALUE_BITS
from cubeengine.kernels.jit import jit


@jit
def corrected_switching(  # type: ignore[no-untyped-def]
    raw, first, shift, rows, offset, factor, eligible, shape, groups, limits, wanted, out
):
    """Calibrate whole panels of pixels with gain bits, with their common mode corrected.

    Parameters
    ----------
    raw : (n, m) uint16
        Whole panels of frames, from element `first` on.
    first : int
        Number of the first element.
    shift, rows : int, (codes,) int64
        Gain bits and the row of the tables each value of theirs means; see `Tables`.
    offset, factor, eligible : (n_rows, n_elements) float32, float32, bool
        Constants of whole frames.
    shape : (int, int)
        Rows and columns of a panel.
    groups : (n_groups, 2) int64
        Rows and columns of the groups of pixels, one after another: each is corrected in what the one
        before has left.
    limits : (float32, int)
        A correction must be smaller than the first, in ADU, and made of more pixels than the second.
    wanted : (int, int)
        Range of elements to give.
    out : (n, wanted[1] - wanted[0]) float32
        Receives them.
    """
    size = shape[0] * shape[1]
    x, row = np.empty(size, np.float32), np.empty(size, np.int64)
    able, pool = np.empty(size, np.bool_), np.empty(size, np.float32)
    for i in range(raw.shape[0]):
        for start in range(0, raw.shape[1], size):
            p = first + start
            _decode(raw[i, start : start + size], shift, rows, row, x)
            _subtract(row, p, offset, eligible, x, able)
            _correct(x, able, shape, groups, limits, pool)
            _scale(x, row, p, factor, wanted, out[i])


@jit
def corrected_single(raw, first, offset, factor, eligible, shape, groups, limits, wanted, out):  # type: ignore[no-untyped-def]
    """Calibrate whole panels of a camera of one gain; parameters as in `corrected_switching`."""
    size = shape[0] * shape[1]
    x, row = np.empty(size, np.float32), np.zeros(size, np.int64)
    able, pool = np.empty(size, np.bool_), np.empty(size, np.float32)
    for i in range(raw.shape[0]):
        for start in range(0, raw.shape[1], size):
            p = first + start
            for e in range(size):
                x[e] = np.float32(raw[i, start + e] - offset[0, p + e])
                able[e] = eligible[0, p + e] and np.isfinite(x[e])
            _correct(x, able, shape, groups, limits, pool)
            _scale(x, row, p, factor, wanted, out[i])


@jit
def _decode(raw, shift, rows, row, x):  # type: ignore[no-untyped-def]
    """Split raw pixels into their row of the tables and their value."""
    for e in range(raw.size):
        row[e] = rows[(raw[e] >> shift) & (rows.size - 1)]
        x[e] = np.float32(raw[e] & VALUE_BITS)


@jit
def _subtract(row, p, offset, eligible, x, able):  # type: ignore[no-untyped-def]
    """Take the offset off, and tell which pixels take part in the common mode."""
    for e in range(x.size):
        r = row[e]
        if r < 0:
            x[e] = np.nan
            able[e] = False
        else:
            x[e] = x[e] - offset[r, p + e]
            able[e] = eligible[r, p + e] and np.isfinite(x[e])


@jit
def _scale(x, row, p, factor, wanted, out):  # type: ignore[no-untyped-def]
    """Return the part of a panel, which begins at element p, that is wanted."""
    for e in range(max(wanted[0] - p, 0), min(wanted[1] - p, x.size)):
        out[p + e - wanted[0]] = x[e] * factor[row[e], p + e] if row[e] >= 0 else np.float32(np.nan)


@jit
def _correct(x, able, shape, groups, limits, pool):  # type: ignore[no-untyped-def]
    """Correct the groups of one panel, all of one form, then all of the next."""
    rows, columns = shape
    for g in range(groups.shape[0]):
        height, width = groups[g, 0], groups[g, 1]
        for top in range(0, rows, height):
            for left in range(0, columns, width):
                _correct_group(x, able, columns, (top, top + height), (left, left + width), limits, pool)


@jit
def _correct_group(x, able, columns, down, across, limits, pool):  # type: ignore[no-untyped-def]
    n = 0
    for j in range(down[0], down[1]):
        for e in range(j * columns + across[0], j * columns + across[1]):
            if able[e]:
                pool[n] = x[e]
                n += 1
    if n <= limits[1]:
        return
    common = median(pool, n)
    if not abs(common) < limits[0]:
        return
    for j in range(down[0], down[1]):
        for e in range(j * columns + across[0], j * columns + across[1]):
            if able[e]:
                x[e] -= common


@jit
def median(values, n):  # type: ignore[no-untyped-def]
    """Return the median of the first n values, none of them NaN, and change their order.

    Of an even number it is half the sum of the two in the middle, in float32 as numpy computes it.
    """
    middle = n // 2
    _select(values, n, middle)
    upper = values[middle]
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, middle):
        lower = max(lower, values[i])
    return np.float32(np.float32(lower + upper) / np.float32(2))


@jit
def _select(values, n, place):  # type: ignore[no-untyped-def]
    """Put the value of that rank in its place, none larger before it and none smaller behind (Hoare)."""
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            return
