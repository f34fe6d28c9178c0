"""The std of integers is within 1 ulp, whichever way its spread is computed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from cubeengine.kernels import compiled, reference
from cubeengine.kernels.partial import MAX_EVENTS, Partial, empty_partial, words_of

RNG_SEED = 5
CODES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]


def of_sums(dtype: str, n: int, sums: list[tuple[int, int]]) -> Partial:
    """One group with the given sums and sums of squares."""
    partial = empty_partial(np.dtype(dtype), 1, len(sums))
    partial.n_events[0] = n
    for element, pair in enumerate(sums):
        parts = zip(pair, words_of(partial.dtype), strict=True)
        words = [(value >> (64 * i)) % 2**64 for value, count in parts for i in range(count)]
        partial.arrays["words"][0, :, element] = words
    return partial


def of_two_values(dtype: str, n: int, low: int, high: int) -> tuple[int, int]:
    """Return the sums where half of the events have one value and the others another one."""
    half = n // 2
    return half * low + (n - half) * high, half * low**2 + (n - half) * high**2


def ulps(partial: Partial) -> NDArray[np.float64]:
    got, wanted = compiled.std(partial), reference.std(partial)
    return np.abs(got - wanted) / np.spacing(wanted)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("n", [1, 2, 3, 480, 65535, 65536, 10**6, MAX_EVENTS])
def test_values_of_all_sizes_are_within_an_ulp(dtype: str, n: int) -> None:
    rng, limits = np.random.default_rng(RNG_SEED), np.iinfo(dtype)
    scales = 2.0 ** rng.uniform(0, math.log2(limits.max), (200, 2))
    pairs = [tuple(int(rng.uniform(-1 if limits.min else 0, 1) * s) for s in row) for row in scales]
    pairs += [(limits.min, limits.max), (limits.max, limits.max), (0, 0), (limits.max - 1, limits.max)]
    assert ulps(of_sums(dtype, n, [of_two_values(dtype, n, *pair) for pair in pairs])).max() <= 1.0


@pytest.mark.parametrize("dtype", ["i4", "i8"])
@pytest.mark.parametrize("power", [53, 61, 62, 63, 64, 65])
def test_spreads_about_one_word_are_within_an_ulp(dtype: str, power: int) -> None:
    n = 1000
    difference = math.isqrt(2 ** (power + 2)) // n  # spread = (n * difference / 2)**2
    bases = [0, 1, -7, 10**6, -(10**8), 2**31 - difference - 400]
    pairs = [(base, base + difference + step) for base in bases for step in range(-300, 300, 7)]
    assert ulps(of_sums(dtype, n, [of_two_values(dtype, n, *pair) for pair in pairs])).max() <= 1.0


def test_small_spread_on_a_large_base_is_not_lost() -> None:
    bases = [2**40, 2**43 + 1, 2**50 - 3, 2**62, -(2**62)]
    partial = of_sums("i8", 1000, [of_two_values("i8", 1000, base, base + 2) for base in bases])
    np.testing.assert_array_equal(compiled.std(partial), 1.0)


def test_short_and_long_spreads_of_one_group_are_each_done_their_way() -> None:
    pairs = [(0, 1), (-(2**31), 2**31 - 1), (5, 5), (0, 2**30), (10, 30)]
    partial = of_sums("i4", 2000, [of_two_values("i4", 2000, *pair) for pair in pairs])
    np.testing.assert_array_equal(compiled.std(partial)[0], [0.5, (2**32 - 1) / 2, 0.0, 2.0**29, 10.0])


def test_empty_group_between_others_is_nan() -> None:
    partial = empty_partial(np.dtype("u2"), 3, 4)
    partial.n_events[[0, 2]] = 1
    np.testing.assert_array_equal(np.isnan(compiled.std(partial)).all(axis=1), [False, True, False])
