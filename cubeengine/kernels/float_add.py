"""Compiled addition of float blocks: moments about a running base.

The rows of a group are added a few at a time. With m the mean so far (for the first rows: the first
finite value) the sums of x - m and its square stay in registers; then mean and m2 move on by the
update below. The base always is a mean or a value of the same group and element, so an offset costs no
digits, and a stray value elsewhere does no harm. Never more rows at a time than were seen before: a
first value far off the others is soon outweighed.

With n events before, k new ones, S1 and S2 their sums about m, and r the residual of the mean:

    T = S1 + n r,  step = T / (n + k),  mean += step,  m2 += S2 - T step

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37 (1983) 242-247 (moments merged);
D. E. Knuth, The Art of Computer Programming, vol. 2, 4.2.2 (the rounding error of a sum).
"""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.jit import jit
from cubeengine.kernels.partial import MAX_RESIDUAL
from cubeengine.kernels.vectors import (
    any_lane,
    load,
    multiply_add,
    splat,
    store,
    to_float,
    to_integer,
    where_positive,
    where_within,
)
from cubeengine.types import FloatArray, IntArray

LANES = 16  # elements of a strip: a cache line of float32, and eight 512-bit registers of sums
TILE = 2048  # elements per row before the next group: long enough for the hardware prefetcher
CHUNK = 16  # rows added between two updates of the state: as many streams as the processor follows


@jit
def add_floats(
    data: NDArray[Any],
    rows: IntArray,
    starts: IntArray,
    n_events: IntArray,
    mean: FloatArray,
    residual: NDArray[np.float32],
    m2: FloatArray,
    missing: NDArray[np.int32],
) -> None:
    """Add rows[starts[g]:starts[g+1]] of `data` to group g of the state, for all groups."""
    n_elements = data.shape[1]
    strips = n_elements - n_elements % LANES
    present = np.nonzero(starts[1:] > starts[:-1])[0]
    for left in range(0, strips, TILE):
        right = min(left + TILE, strips)
        for group in present:
            n = n_events[group]
            first = starts[group]
            while first < starts[group + 1]:
                last = min(first + min(CHUNK, max(n, 1)), starts[group + 1])
                _add_tile(data, rows[first:last], left, right, n, group, mean, residual, m2, missing)
                n, first = n + last - first, last
    for group in present:
        n = n_events[group]
        first = starts[group]
        while first < starts[group + 1]:
            last = min(first + min(CHUNK, max(n, 1)), starts[group + 1])
            for element in range(strips, n_elements):
                _add_element(data, rows, first, last, element, n, group, mean, residual, m2, missing)
            n, first = n + last - first, last
        n_events[group] = n


@jit
def _add_tile(data, rows, left, right, n, group, mean, residual, m2, missing):  # type: ignore[no-untyped-def]
    """Add some rows of one group to the elements left <= e < right, a strip at a time.

    Where a strip has values that are not finite, its sums are made again with a mask, and the next
    strip is masked at once; with or without a mask the bits are the same.
    """
    zero, one, infinite = splat(0.0, LANES), splat(1.0, LANES), splat(inf, LANES)
    before, after = splat(float(n), LANES), splat(float(n + len(rows)), LANES)
    weight = splat(1.0 / (n + len(rows)), LANES)
    storable = splat(MAX_RESIDUAL, LANES)
    masked = False
    for e in range(left, right, LANES):
        gone = to_float(load(missing, group, e, LANES))
        base = load(mean, group, e, LANES)
        seen = before - gone
        if any_lane(where_positive(seen, zero, one)):
            fresh = zero
            for i in range(len(rows) - 1, -1, -1):
                x = load(data, rows[i], e, LANES)
                fresh = where_within(x, infinite, x, fresh)
            base = where_positive(seen, base, fresh)
        sum1, sum2, bad = zero, zero, zero
        if not masked:
            for i in range(len(rows)):
                d = load(data, rows[i], e, LANES) - base
                sum1 = sum1 + d
                sum2 = multiply_add(d, d, sum2)
            masked = any_lane(where_within(sum2, infinite, zero, one))
        if masked:
            sum1, sum2 = zero, zero
            for i in range(len(rows)):
                x = load(data, rows[i], e, LANES)
                d = where_within(x, infinite, x - base, zero)
                sum1 = sum1 + d
                sum2 = multiply_add(d, d, sum2)
                bad = bad + where_within(x, infinite, zero, one)
            masked = any_lane(bad)
        total = sum1 + load(residual, group, e, LANES) * seen
        if any_lane(gone + bad):
            count = after - gone - bad
            step = total / where_positive(count, count, one)
        else:
            step = total * weight
        moved = base + step
        rise = sum2 - total * step
        back = moved - base
        rest = (base - (moved - back)) + (step - back)
        store(residual, group, e, where_within(rest, storable, rest, zero))
        store(mean, group, e, moved)
        store(m2, group, e, load(m2, group, e, LANES) + where_positive(rise, rise, zero))
        if masked:
            store(missing, group, e, to_integer(gone + bad))


@jit
def _add_element(data, rows, first, last, e, n, group, mean, residual, m2, missing):  # type: ignore[no-untyped-def]
    """Add some rows of one group to one element."""
    seen = n - missing[group, e]
    base = mean[group, e]
    started = seen > 0
    sum1 = sum2 = 0.0
    count = 0
    for p in range(first, last):
        x = float(data[rows[p], e])
        if isfinite(x):
            if not started:
                base, started = x, True
            d = x - base
            sum1 += d
            sum2 += d * d
            count += 1
    missing[group, e] += last - first - count
    if count == 0:
        return
    total = sum1 + residual[group, e] * seen
    step = total / (seen + count)
    moved = base + step
    rise = sum2 - total * step
    mean[group, e] = moved
    back = moved - base
    rest = (base - (moved - back)) + (step - back)
    residual[group, e] = rest if abs(rest) < MAX_RESIDUAL else 0.0
    if rise > 0.0:
        m2[group, e] += rise
