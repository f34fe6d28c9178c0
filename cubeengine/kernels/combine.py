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


@jit
def merge_floats(n_a, mean_a, rest_a, m2_a, gone_a, n_b, mean_b, rest_b, m2_b, gone_b, mean, rest, m2, gone):  # type: ignore[no-untyped-def]
    """Merge moments; the results may be the arrays of a. An empty side leaves the other as it is."""
    for g in range(mean.shape[0]):
        for e in range(mean.shape[1]):
            count_a = float(n_a[g] - gone_a[g, e])
            count_b = float(n_b[g] - gone_b[g, e])
            gone[g, e] = gone_a[g, e] + gone_b[g, e]
            base, left = mean_a[g, e], np.float64(rest_a[g, e])
            shift = (mean_b[g, e] - base) + (rest_b[g, e] - left)
            share = count_b / (count_a + count_b)
            step = shift * share + left
            moved = base + step
            back = moved - base
            lost = (base - (moved - back)) + (step - back)
            kept = lost if abs(lost) < MAX_RESIDUAL else 0.0
            spread = m2_a[g, e] + m2_b[g, e] + shift * shift * (count_a * share)
            one, other = count_b == 0.0, count_a == 0.0  # an empty side: the other as it is
            rest[g, e] = rest_a[g, e] if one else rest_b[g, e] if other else kept
            m2[g, e] = m2_a[g, e] if one else m2_b[g, e] if other else spread
            mean[g, e] = base if one else mean_b[g, e] if other else moved


@jit
def merge_words(a, b, out, n_total):  # type: ignore[no-untyped-def]
    """Add sums (the first `n_total` words) and sums of squares; `out` may be a."""
    for g in range(out.shape[0]):
        if out.shape[1] == 2:
            for w in range(2):
                for e in range(out.shape[2]):
                    out[g, w, e] = a[g, w, e] + b[g, w, e]
            continue
        for e in range(out.shape[2]):
            carry = np.uint64(0)
            for w in range(out.shape[1]):
                if w == n_total:
                    carry = np.uint64(0)
                half = a[g, w, e] + carry
                full = half + b[g, w, e]
                carry = np.uint64(half < carry) + np.uint64(full < half)
                out[g, w, e] = full


@jit
def float_mean(n_events, mean, rest, gone, out):  # type: ignore[no-untyped-def]
    """Give the mean of floats."""
    for g in range(out.shape[0]):
        for e in range(out.shape[1]):
            out[g, e] = mean[g, e] + rest[g, e] if n_events[g] > gone[g, e] else nan


@jit
def float_std(n_events, m2, gone, out):  # type: ignore[no-untyped-def]
    """Give the standard deviation of floats."""
    for g in range(out.shape[0]):
        for e in range(out.shape[1]):
            count = float(n_events[g] - gone[g, e])
            out[g, e] = sqrt(m2[g, e] / count) if count > 0.0 else nan
