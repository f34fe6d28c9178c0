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
_WORD = 2.0**64
_FITS, _EXACT = 2.0**62, 2.0**100  # below them a spread and n * squares, in floats, show that one word does
_SPLITTER = 134217729.0  # 2**27 + 1: splits a float64 into two halves of its digits


@jit
def integer_mean(n_events: IntArray, words: NDArray[np.uint64], out: FloatArray) -> None:
    """Compute total / n, correctly rounded; NaN where n is 0."""
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
    """Compute sqrt(n * squares - total**2) / n within 1 ulp; NaN where n is 0."""
    for g in range(out.shape[0]):
        n = np.uint64(n_events[g])
        if n == _ZERO:
            out[g, :] = nan
        elif _std_short(words[g], n, out[g]):
            _std_long(words[g], n, out[g])


@jit
def _std_short(words, n, out):  # type: ignore[no-untyped-def]
    """Return the std where the spread fits one word, else -1; tell whether there is such an element.

    There the low words alone hold it, as what they lose is a multiple of 2**64. That it fits is told from
    its value in floats: that one strays by less than 2**-49 of n * squares. Without branches, so that
    several elements are done at once: 2 ns each, where `_std_long` takes 40.
    """
    first = len(words) // 2
    count, share = float(n), 1.0 / float(n)
    n_long = 0
    for e in range(out.shape[0]):
        total, squares = _as_floats(words, e)
        spread = words[first, e] * n - words[0, e] * words[0, e]
        whole = squares * count
        fits = (whole < _EXACT) & (whole - total * total < _FITS)
        upper, lower = float(spread >> _SHIFT) * 4294967296.0, float(spread & _HALF)
        top = upper + lower
        ratio = _root_pair(top, lower - (top - upper), count, share)
        out[e] = (ratio if top > 0.0 else 0.0) if fits else -1.0
        n_long += 0 if fits else 1
    return n_long > 0


@jit
def _as_floats(words, e):  # type: ignore[no-untyped-def]
    """Return the sum and the sum of squares in floats."""
    if len(words) == 2:
        return float(np.int64(words[0, e])), float(words[1, e])
    if len(words) == 3:
        return float(np.int64(words[0, e])), float(words[1, e]) + _WORD * float(words[2, e])
    total = float(words[0, e]) + _WORD * float(np.int64(words[1, e]))
    return total, float(words[2, e]) + _WORD * (float(words[3, e]) + _WORD * float(words[4, e]))


@jit
def _std_long(words, n, out):  # type: ignore[no-untyped-def]
    """Return the std where it is -1 so far."""
    for e in range(out.shape[0]):
        if out[e] < 0.0:
            _, low, high = _magnitude(words, e)
            top, rest = _pair(_spread(words, e, low, high, n))
            out[e] = _root_pair(top, rest, float(n), 1.0 / float(n)) if top > 0.0 else 0.0


@jit
def _magnitude(words, e):  # type: ignore[no-untyped-def]
    """Return sign and size (two words) of the total."""
    low = words[0, e]
    high = words[1, e] if len(words) == 5 else (_ZERO - (low >> np.uint64(63)))
    if high >> np.uint64(63) == _ZERO:
        return False, low, high
    return True, _ZERO - low, ~high + np.uint64(low == _ZERO)


@jit
def _ratio(low, high, n):  # type: ignore[no-untyped-def]
    """Return (high, low) / n as the nearest float; the quotient is below 2**64, as all values are."""
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
    """Return the two words of a * b."""
    a0, a1, b0, b1 = a & _HALF, a >> _SHIFT, b & _HALF, b >> _SHIFT
    low = a0 * b0
    middle = a1 * b0 + (low >> _SHIFT)
    other = a0 * b1 + (middle & _HALF)
    return (other << _SHIFT) | (low & _HALF), a1 * b1 + (middle >> _SHIFT) + (other >> _SHIFT)


@jit
def _spread(words, e, low, high, n):  # type: ignore[no-untyped-def]
    """Return the three words of n * squares - total**2, which is never negative."""
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
def _root_pair(top, rest, n, share):  # type: ignore[no-untyped-def]
    """Return sqrt(top + rest) / n for share = 1 / n; NaN for zero."""
    root = sqrt(top)
    square, lost = _exact_product(root, root)
    root_rest = ((top - square) - lost + rest) / (2.0 * root)
    ratio = root * share
    back, lost = _exact_product(ratio, n)
    return ratio + ((root - back) - lost + root_rest) * share


@jit
def _pair(spread):  # type: ignore[no-untyped-def]
    """Return three words as a float and what it lacks."""
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
    """Return a * b as a float and what it lacks."""
    c, d = a * _SPLITTER, b * _SPLITTER
    a1, b1 = c - (c - a), d - (d - b)
    a2, b2 = a - a1, b - b1
    product = a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2
