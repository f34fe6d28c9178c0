"""Compiled merging of states, and what is read off those of floats in the end.

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37 (1983) 242-247 (moments merged).
"""

from __future__ import annotations

from math import nan, sqrt

import numpy as np

from cubeengine.kernels.jit import jit
from cubeengine.kernels.partial import MAX_RESIDUAL
from cubeengine.kernels.vectors import (
    any_lane,
    load,
    splat,
    store,
    to_float,
    to_integer,
    where_positive,
    where_within,
)

LANES = 16  # elements of a strip, as in `float_add`


@jit
def merge_floats(n_a, mean_a, rest_a, m2_a, gone_a, n_b, mean_b, rest_b, m2_b, gone_b, mean, rest, m2, gone):  # type: ignore[no-untyped-def]
    """Merge moments. An empty side leaves the other as it is.

    The results are the arrays of a, or all zeros: `gone` is written only where it is not zero.
    """
    strips = mean.shape[1] - mean.shape[1] % LANES
    _merge_strips(
        strips, n_a, mean_a, rest_a, m2_a, gone_a, n_b, mean_b, rest_b, m2_b, gone_b, mean, rest, m2, gone
    )
    for g in range(mean.shape[0]):
        for e in range(strips, mean.shape[1]):
            left, right = (mean_a[g, e], rest_a[g, e], m2_a[g, e]), (mean_b[g, e], rest_b[g, e], m2_b[g, e])
            count_a, count_b = float(n_a[g] - gone_a[g, e]), float(n_b[g] - gone_b[g, e])
            gone[g, e] = gone_a[g, e] + gone_b[g, e]
            mean[g, e], rest[g, e], m2[g, e] = _merge_element(count_a, left, count_b, right)


@jit
def _merge_strips(  # type: ignore[no-untyped-def]
    strips, n_a, mean_a, rest_a, m2_a, gone_a, n_b, mean_b, rest_b, m2_b, gone_b, mean, rest, m2, gone
):
    """Merge the elements before `strips`. Left to itself, the compiler takes fewer arrays than these."""
    zero, storable = splat(0.0, LANES), splat(MAX_RESIDUAL, LANES)
    for g in range(mean.shape[0]):
        events_a, events_b = splat(float(n_a[g]), LANES), splat(float(n_b[g]), LANES)
        for e in range(0, strips, LANES):
            lost_a, lost_b = to_float(load(gone_a, g, e, LANES)), to_float(load(gone_b, g, e, LANES))
            count_a, count_b = events_a - lost_a, events_b - lost_b
            base, left, right = (
                load(mean_a, g, e, LANES),
                load(rest_a, g, e, LANES),
                load(rest_b, g, e, LANES),
            )
            other = load(mean_b, g, e, LANES)
            shift = (other - base) + (right - left)
            share = count_b / (count_a + count_b)
            step = shift * share + left
            moved = base + step
            back = moved - base
            lost = (base - (moved - back)) + (step - back)
            kept = where_within(lost, storable, lost, zero)
            spread_a, spread_b = load(m2_a, g, e, LANES), load(m2_b, g, e, LANES)
            spread = spread_a + spread_b + shift * shift * (count_a * share)
            store(rest, g, e, where_positive(count_b, where_positive(count_a, kept, right), left))
            store(m2, g, e, where_positive(count_b, where_positive(count_a, spread, spread_b), spread_a))
            store(mean, g, e, where_positive(count_b, where_positive(count_a, moved, other), base))
            if any_lane(lost_a + lost_b):
                store(gone, g, e, to_integer(lost_a + lost_b))


@jit
def _merge_element(count_a, a, count_b, b):  # type: ignore[no-untyped-def]
    """Merge (mean, residual, m2) of two sides, by the same operations as a strip."""
    if count_b == 0.0:
        return a[0], np.float64(a[1]), a[2]
    if count_a == 0.0:
        return b[0], np.float64(b[1]), b[2]
    base, left = a[0], np.float64(a[1])
    shift = (b[0] - base) + (np.float64(b[1]) - left)
    share = count_b / (count_a + count_b)
    step = shift * share + left
    moved = base + step
    back = moved - base
    lost = (base - (moved - back)) + (step - back)
    spread = a[2] + b[2] + shift * shift * (count_a * share)
    return moved, lost if abs(lost) < MAX_RESIDUAL else 0.0, spread


@jit
def merge_words(a, b, out):  # type: ignore[no-untyped-def]
    """Add sums and sums of squares; `out` may be a. Written out by size, so that no carry is looped over."""
    for g in range(out.shape[0]):
        if out.shape[1] == 2:
            _add_one(a[g, 0], b[g, 0], out[g, 0])
            _add_one(a[g, 1], b[g, 1], out[g, 1])
        elif out.shape[1] == 3:
            _add_one(a[g, 0], b[g, 0], out[g, 0])
            _add_two(a[g, 1:], b[g, 1:], out[g, 1:])
        else:
            _add_two(a[g, :2], b[g, :2], out[g, :2])
            _add_three(a[g, 2:], b[g, 2:], out[g, 2:])


@jit
def _add_one(a, b, out):  # type: ignore[no-untyped-def]
    for e in range(out.shape[0]):
        out[e] = a[e] + b[e]


@jit
def _add_two(a, b, out):  # type: ignore[no-untyped-def]
    for e in range(out.shape[1]):
        low = a[0, e] + b[0, e]
        out[1, e] = a[1, e] + b[1, e] + np.uint64(low < b[0, e])
        out[0, e] = low


@jit
def _add_three(a, b, out):  # type: ignore[no-untyped-def]
    for e in range(out.shape[1]):
        low = a[0, e] + b[0, e]
        carry = np.uint64(low < b[0, e])
        half = a[1, e] + carry
        middle = half + b[1, e]
        out[2, e] = a[2, e] + b[2, e] + np.uint64(half < carry) + np.uint64(middle < half)
        out[1, e] = middle
        out[0, e] = low


@jit
def float_mean(n_events, mean, rest, gone, out):  # type: ignore[no-untyped-def]
    """Return the mean of floats."""
    for g in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[g, e] = mean[g, e] + rest[g, e] if n_events[g] > gone[g, e] else nan


@jit
def float_std(n_events, m2, gone, out):  # type: ignore[no-untyped-def]
    """Return the standard deviation of floats."""
    for g in range(out.shape[0]):
        for e in range(out.shape[1]):
            count = float(n_events[g] - gone[g, e])
            out[g, e] = sqrt(m2[g, e] / count) if count > 0.0 else nan
