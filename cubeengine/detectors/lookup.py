"""Compiled lookup of constants: raw value -> (value - offset) * factor, by the gain bits of each pixel.

All in float32, in the order of operations of the facility's software, so that the bits are the same.
A frame is worked on in strips that are short enough for the strip's constants to stay in the cache while
event after event passes.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numba.extending
import numpy as np
from numba import types

from cubeengine.kernels.jit import jit

STRIP = 4096
"""Pixels of a strip: up to 96 KiB of constants, of a second-level cache of 512 KiB or more (measured:
1024 is a fifth slower, 16384 no faster)."""

VALUE_BITS = 0x3FFF
"""Bits 0 to 13 of a raw pixel are its value: jungfrau, epix10ka and epixhr alike."""

intrinsic: Any = numba.extending.intrinsic


@intrinsic
def choose(typing: Any, condition: Any, first: Any, second: Any) -> Any:  # noqa: ARG001 - as numba calls it
    """Return `first` if the condition holds, else `second`, without a branch: loops are vectorised."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.select(*args)

    return first(types.boolean, first, first), generate


@jit
def three_ranges(raw, first, offset, factor, out):  # type: ignore[no-untyped-def]
    """Calibrate jungfrau: bits 14 and 15 are the range, 00, 01 and 11; 10 is no range and gives NaN.

    Parameters
    ----------
    raw : (n, m) uint16
        Frames from element `first` on.
    first : int
        Number of the first element.
    offset, factor : (3, n_elements) float32
        Constants of whole frames.
    out : (n, m) float32
        Receives the values.
    """
    for start in range(0, raw.shape[1], STRIP):
        stop = min(start + STRIP, raw.shape[1])
        a, b = first + start, first + stop
        o0, o1, o2 = offset[0, a:b], offset[1, a:b], offset[2, a:b]
        f0, f1, f2 = factor[0, a:b], factor[1, a:b], factor[2, a:b]
        for i in range(raw.shape[0]):
            if _any_bit(raw[i, start:stop]) <= VALUE_BITS:  # all in the first range, as most are
                _one(raw[i, start:stop], o0, f0, out[i, start:stop])
            else:
                _three(raw[i, start:stop], o0, o1, o2, f0, f1, f2, out[i, start:stop])


@jit
def two_ranges(raw, first, bit, offset, factor, out):  # type: ignore[no-untyped-def]
    """Calibrate epix10ka and epixhr: one bit chooses between the two ranges a pixel may be in.

    Parameters are those of `three_ranges`, with two ranges, and `bit`, the number of the bit.
    """
    for start in range(0, raw.shape[1], STRIP):
        stop = min(start + STRIP, raw.shape[1])
        a, b = first + start, first + stop
        o0, o1, f0, f1 = offset[0, a:b], offset[1, a:b], factor[0, a:b], factor[1, a:b]
        for i in range(raw.shape[0]):
            _two(raw[i, start:stop], bit, o0, o1, f0, f1, out[i, start:stop])


@jit
def one_range(raw, first, offset, factor, out):  # type: ignore[no-untyped-def]
    """Calibrate a camera of one gain: raw values of any type, all bits of which are the value.

    Parameters are those of `three_ranges`, with one range.
    """
    for start in range(0, raw.shape[1], STRIP):
        stop = min(start + STRIP, raw.shape[1])
        a, b = first + start, first + stop
        o, f = offset[0, a:b], factor[0, a:b]
        for i in range(raw.shape[0]):
            _one(raw[i, start:stop], o, f, out[i, start:stop])


@jit
def _any_bit(raw):  # type: ignore[no-untyped-def]
    """Return all bits that are set in any pixel."""
    bits = np.uint16(0)
    for e in range(raw.size):
        bits |= raw[e]
    return bits


# The loops over one strip run over arrays of their own: only so does LLVM see that it may vectorise them.


@jit
def _one(raw, offset, factor, out):  # type: ignore[no-untyped-def]
    for e in range(raw.size):
        out[e] = np.float32(raw[e] - offset[e]) * factor[e]


@jit
def _two(raw, bit, o0, o1, f0, f1, out):  # type: ignore[no-untyped-def]
    for e in range(raw.size):
        word = np.int32(raw[e])
        low = ((word >> np.int32(bit)) & 1) != 0
        value = np.float32(word & VALUE_BITS)
        out[e] = (value - choose(low, o1[e], o0[e])) * choose(low, f1[e], f0[e])


@jit
def _three(raw, o0, o1, o2, f0, f1, f2, out):  # type: ignore[no-untyped-def]
    nothing = np.float32(np.nan)
    for e in range(raw.size):
        word = np.int32(raw[e])
        code = word >> 14
        offset = choose(code == 0, o0[e], choose(code == 1, o1[e], o2[e]))
        factor = choose(code == 0, f0[e], choose(code == 1, f1[e], choose(code == 3, f2[e], nothing)))
        out[e] = (np.float32(word & VALUE_BITS) - offset) * factor
