"""Compiled loops: windows from a sample, sums over events, and what these say of a normal distribution.

All sums are of whole numbers: they do not depend on the order of the events, nor on how the work is cut.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from cubeengine.kernels.jit import jit

STRIP = 512
"""Pixels that are worked on at a time: their windows and sums stay in the cache, and most often all are in
the same slot, for which there is a loop without branches: half the time."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

WEIGHT = 2**20
"""A deviation as wide as the window counts as much in the sum of a frame."""

FAR = 8.0
"""Window borders so many standard deviations off change nothing: 1e-15 of a normal lies beyond."""

ROUNDING = 1 / 12
"""Variance that rounding to whole numbers adds (Sheppard)."""


@jit
def find_windows(  # type: ignore[no-untyped-def]
    raw, shift, bits, codes, fixed, clip, fewest, centre, half, skew
):
    """Find for every pixel and slot what is near enough to the median of a sample.

    Parameters
    ----------
    raw : (n_elements, n_events) integers
        The sample, pixel by pixel.
    shift, bits, codes, fixed
        As in `Slots`; `fixed` is of these elements, or empty.
    clip : float
        Half width of the window, in standard deviations.
    fewest : int
        Values that a median needs; with fewer there is no window.
    centre, half : (n_slots, n_elements) int32
        Receive median and half width; -1 where there is no window.
    skew : (n_slots, n_elements) float32
        Receives the skewness, NaN where there is no window, or where rounding makes it.
    """
    values = np.empty((centre.shape[0], raw.shape[1]), np.int64)
    found = np.empty(centre.shape[0], np.int64)
    for e in range(raw.shape[0]):
        found[:] = 0
        for i in range(raw.shape[1]):
            word = np.int64(raw[e, i])
            slot = codes[(word >> shift) & (codes.size - 1)]
            if fixed.size > 0 and fixed[e]:
                slot = 0
            if slot >= 0:
                values[slot, found[slot]] = word & bits
                found[slot] += 1
        for slot in range(centre.shape[0]):
            centre[slot, e], half[slot, e], skew[slot, e] = 0, -1, np.nan
            if found[slot] >= fewest:
                ordered = np.sort(values[slot, : found[slot]])
                centre[slot, e] = ordered[(ordered.size - 1) // 2]
                sigma = MAD_TO_SIGMA * (_deviation(ordered) + 0.5)  # whole numbers are half a unit coarse
                half[slot, e] = math.ceil(clip * sigma)
                skew[slot, e] = _skewness(ordered)


@jit
def _deviation(ordered):  # type: ignore[no-untyped-def]
    """Return the median absolute deviation of ordered whole numbers from their median."""
    middle = (ordered.size - 1) // 2
    low, high, deviation = middle, middle + 1, 0
    for _ in range(middle + 1):
        below = ordered[middle] - ordered[low] if low >= 0 else np.iinfo(np.int64).max
        above = ordered[high] - ordered[middle] if high < ordered.size else np.iinfo(np.int64).max
        if below <= above:
            deviation, low = below, low - 1
        else:
            deviation, high = above, high + 1
    return deviation


@jit
def _skewness(values):  # type: ignore[no-untyped-def]
    """Return the third central moment over the cube of the standard deviation; NaN below one of 1.

    What whole numbers vary by less is skewed by where the mean lies between two of them.
    """
    mean = values.mean()
    second = third = 0.0
    for value in values:
        second += (value - mean) ** 2
        third += (value - mean) ** 3
    second, third = second / values.size, third / values.size
    return third / second**1.5 if second >= 1 else np.nan


@jit
def add_frames(  # type: ignore[no-untyped-def]
    frames, take, where, shift, bits, codes, fixed, centre, half, weight, counts, sums, events
):
    """Add frames up.

    Parameters
    ----------
    frames : (n, n_elements) integers
        Raw frames.
    take, where : (m,) int64
        Frames to add, and their places in `events`.
    shift, bits, codes, fixed
        As in `Slots`; `fixed` is of these elements, or empty.
    centre, half, weight : (n_slots, n_elements) int32
        Windows, and `WEIGHT` over the half width.
    counts : (3, n_slots, n_elements) int32
        Values inside the window, below it, above it.
    sums : (2, n_slots, n_elements) int64
        Sum and sum of squares, inside the window and from its centre.
    events : (4, n_events) int64
        For each event: pixels with a window, those below it, those above it, and the sum of all deviations,
        cut at the window, times `weight`.
    """
    for start in range(0, frames.shape[1], STRIP):
        stop = min(start + STRIP, frames.shape[1])
        own = fixed[start:stop]
        for i in range(take.size):
            words, event = frames[take[i], start:stop], where[i]
            code = _common_code(words, shift, codes.size - 1)
            slot = codes[code] if code >= 0 and own.size == 0 else -1
            if slot >= 0:  # all in one slot, as most are
                _add_one(
                    words, bits, centre[slot, start:stop], half[slot, start:stop], weight[slot, start:stop],
                    counts[:, slot, start:stop], sums[:, slot, start:stop], events[:, event],
                )  # fmt: skip
            else:
                _add_any(
                    words, shift, bits, codes, own, centre[:, start:stop], half[:, start:stop],
                    weight[:, start:stop], counts[:, :, start:stop], sums[:, :, start:stop], events[:, event],
                )  # fmt: skip


@jit
def _common_code(words, shift, last):  # type: ignore[no-untyped-def]
    """Return the code that all words have; -1 where they have several."""
    some, all_of_them = np.int64(0), np.int64(-1)
    for word in words:
        some |= np.int64(word)
        all_of_them &= np.int64(word)
    some, all_of_them = (some >> shift) & last, (all_of_them >> shift) & last
    return some if some == all_of_them else -1


@jit
def _add_one(words, bits, centre, half, weight, counts, sums, event):  # type: ignore[no-untyped-def]
    """Add pixels that are in the same slot, without branches."""
    inside, below, above, first, second = counts[0], counts[1], counts[2], sums[0], sums[1]
    seen = n_below = n_above = total = np.int64(0)
    for e in range(words.size):
        width = np.int64(half[e])
        off = (np.int64(words[e]) & bits) - centre[e]
        known = np.int64(width >= 0)
        low, high = np.int64(off < -width) * known, np.int64(off > width) * known
        near = known - low - high
        inside[e] += np.int32(near)
        below[e] += np.int32(low)
        above[e] += np.int32(high)
        kept = off * near
        first[e] += kept
        second[e] += kept * kept
        seen, n_below, n_above = seen + known, n_below + low, n_above + high
        total += (kept + (high - low) * width) * weight[e]
    event[0] += seen
    event[1] += n_below
    event[2] += n_above
    event[3] += total


@jit
def _add_any(  # type: ignore[no-untyped-def]
    words, shift, bits, codes, fixed, centre, half, weight, counts, sums, event
):
    """Add pixels of several slots."""
    for e in range(words.size):
        word = np.int64(words[e])
        slot = codes[(word >> shift) & (codes.size - 1)]
        if fixed.size > 0 and fixed[e]:
            slot = 0
        if slot < 0 or half[slot, e] < 0:
            continue
        width, off = np.int64(half[slot, e]), (word & bits) - centre[slot, e]
        side = 1 + np.int64(off < -width) + 2 * np.int64(off > width)
        counts[side - 1, slot, e] += 1
        event[0] += 1
        if side == 1:
            sums[0, slot, e] += off
            sums[1, slot, e] += off * off
        else:
            event[side - 1] += 1
            off = width if side == 3 else -width
        event[3] += off * weight[slot, e]


@jit
def estimate(centre, half, counts, sums, fewest, mean, noise):  # type: ignore[no-untyped-def]
    """Estimate mean and standard deviation of normal distributions cut at the windows.

    Parameters
    ----------
    centre, half, counts, sums
        As `add_frames` has them, all slots flattened: (n,) and (3, n), (2, n).
    fewest : int
        Values inside the window that are needed.
    mean, noise : (n,) float32
        Receive the estimates; NaN where there are too few.

    References
    ----------
    Cohen, Ann. Math. Stat. 21 (1950) 557: for a normal distribution of which only what lies between two
    known limits is seen, the likelihood is largest where the cut distribution has mean and variance of the
    sample.
    """
    for e in range(centre.size):
        mean[e] = noise[e] = np.nan
        count = counts[0, e]
        if half[e] < 0 or count < fewest:
            continue
        first = sums[0, e] / count
        variance = max(sums[1, e] / count - first * first, 0.0)
        first, variance = _uncut(first, variance, half[e] + 0.5)
        mean[e] = centre[e] + first
        noise[e] = math.sqrt(variance * count / (count - 1))


@jit
def _uncut(mean, variance, border):  # type: ignore[no-untyped-def]
    """Return mean and variance of the whole normal distribution from those between -border and border."""
    inner = variance - ROUNDING
    if inner <= 0 or border - abs(mean) > FAR * math.sqrt(variance):
        return mean, variance
    middle, sigma = mean, math.sqrt(inner)
    for _ in range(60):
        low, high = (-border - middle) / sigma, (border - middle) / sigma
        inside = 0.5 * (math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0)))
        at_low, at_high = _density(low), _density(high)
        shift = (at_low - at_high) / inside
        part = 1 + (low * at_low - high * at_high) / inside - shift * shift
        if not part > 0.1:  # as flat as can be: no normal distribution fits
            break
        middle, sigma = mean - sigma * shift, math.sqrt(inner / part)
    return middle, sigma * sigma + ROUNDING


@jit
def _density(x):  # type: ignore[no-untyped-def]
    return math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
