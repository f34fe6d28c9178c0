"""Compiled mean and standard deviation of exact integer sums, without rounding on the way.

The mean is rounded once. The variance n * squares - total**2 is an exact integer of up to 192 bits;
its root and the division by n are done in pairs of floats, so that the result is within 1 ulp.

References
----------
D. E. Knuth, The Art of Computer Programming, vol. 2, 4.3.1 (long multiplication and division);
T. J. Dekker, Numerische Mathematik 18 (1971) 224-242 (pairs of floats).
"""

from __future__ import annotations

from math import nan, sqrt

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.jit import jit
from cubeengine.types import FloatArray, IntArray

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_HALF, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
_DIGITS = np.uint64(2**53)  # integers up to here are floats
_GUARDED = np.uint64(2**54)  # from here on a word holds all digits of a float, and two to round by
_SPLITTER = 134217729.0  # 2**27 + 1: splits a float64 into two halves of its digits


@jit
def integer_mean(n_events: IntArray, words: NDArray[np.uint64], out: FloatArray) -> None:
    """Give total / n, correctly rounded; NaN where n is 0."""
    for g in range(out.shape[0]):
        n = np.uint64(n_events[g])
        for e in range(out.shape[1]):
            if n == _ZERO:
                out[g, e] = nan
                continue
            negative, low, high = _magnitude(words[g], e)
            size = _ratio(low, high, n)
            out[g, e] = -size if negative else size


@jit
def integer_std(n_events: IntArray, words: NDArray[np.uint64], out: FloatArray) -> None:
    """Give sqrt(n * squares - total**2) / n within 1 ulp; NaN where n is 0."""
    for g in range(out.shape[0]):
        n = np.uint64(n_events[g])
        for e in range(out.shape[1]):
            if n == _ZERO:
                out[g, e] = nan
                continue
            _, low, high = _magnitude(words[g], e)
            out[g, e] = _root_ratio(_spread(words[g], e, low, high, n), float(n))


@jit
def _magnitude(words, e):  # type: ignore[no-untyped-def]
    """Give sign and size (two words) of the total."""
    low = words[0, e]
    high = words[1, e] if len(words) == 5 else (_ZERO - (low >> np.uint64(63)))
    if high >> np.uint64(63) == _ZERO:
        return False, low, high
    return True, _ZERO - low, ~high + np.uint64(low == _ZERO)


@jit
def _ratio(low, high, n):  # type: ignore[no-untyped-def]
    """Give (high, low) / n as the nearest float; the quotient is below 2**64, as all values are."""
    if high == _ZERO and low <= _DIGITS:
        return float(low) / float(n)
    upper = ((high % n) << _SHIFT) | (low >> _SHIFT)
    lower = ((upper % n) << _SHIFT) | (low & _HALF)
    quotient, rest, scale = ((upper // n) << _SHIFT) + lower // n, lower % n, 1.0
    while quotient < _GUARDED:
        rest = rest << np.uint64(8)
        quotient = (quotient << np.uint64(8)) | (rest // n)
        rest = rest % n
        scale /= 256.0
    return float(quotient | np.uint64(rest != _ZERO)) * scale


@jit
def _product(a, b):  # type: ignore[no-untyped-def]
    """Give the two words of a * b."""
    a0, a1, b0, b1 = a & _HALF, a >> _SHIFT, b & _HALF, b >> _SHIFT
    low = a0 * b0
    middle = a1 * b0 + (low >> _SHIFT)
    other = a0 * b1 + (middle & _HALF)
    return (other << _SHIFT) | (low & _HALF), a1 * b1 + (middle >> _SHIFT) + (other >> _SHIFT)


@jit
def _spread(words, e, low, high, n):  # type: ignore[no-untyped-def]
    """Give the three words of n * squares - total**2, which is never negative."""
    first = len(words) // 2  # 1, 1, 2 words of the total
    v0, carry = _product(words[first, e], n)
    v1 = v2 = _ZERO
    if len(words) > 2:
        v1, v2 = _product(words[first + 1, e], n)
    if len(words) == 5:
        v2 += words[4, e] * n
    v1 += carry
    v2 += np.uint64(v1 < carry)
    q0, q1 = _product(low, low)
    c0, c1 = _product(low, high)
    q2 = high * high + (c1 << _ONE) + (c0 >> np.uint64(63))
    twice = c0 << _ONE
    q1 += twice
    q2 += np.uint64(q1 < twice)
    borrow = np.uint64(v0 < q0)
    r1 = v1 - q1
    r2 = v2 - q2 - np.uint64(v1 < q1) - np.uint64(r1 < borrow)
    return v0 - q0, r1 - borrow, r2


@jit
def _root_ratio(spread, n):  # type: ignore[no-untyped-def]
    """Give sqrt(spread) / n."""
    top, rest = _pair(spread)
    if top == 0.0:
        return 0.0
    root = sqrt(top)
    square, lost = _exact_product(root, root)
    root_rest = ((top - square) - lost + rest) / (2.0 * root)
    ratio = root / n
    back, lost = _exact_product(ratio, n)
    return ratio + ((root - back) - lost + root_rest) / n


@jit
def _pair(spread):  # type: ignore[no-untyped-def]
    """Give three words as a float and what it lacks."""
    top = rest = 0.0
    scale = 2.0**160
    for word in (spread[2], spread[1], spread[0]):
        for digit in (word >> _SHIFT, word & _HALF):
            part = float(digit) * scale
            total = top + part
            rest += part - (total - top)
            top = total
            scale /= 4294967296.0
    return top, rest


@jit
def _exact_product(a, b):  # type: ignore[no-untyped-def]
    """Give a * b as a float and what it lacks."""
    c, d = a * _SPLITTER, b * _SPLITTER
    a1, b1 = c - (c - a), d - (d - b)
    a2, b2 = a - a1, b - b1
    product = a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
