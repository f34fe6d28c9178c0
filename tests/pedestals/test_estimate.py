"""Windows, sums and estimates against plain numpy and against known distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cubeengine.pedestals.compiled import WEIGHT, add_frames, estimate, find_windows
from tests.pedestals.makers import Truth

ONE = (0, -1, np.zeros(1, np.int64), np.empty(0, bool))
JUNGFRAU = (14, 0x3FFF, np.array([0, 1, -1, 2]), np.empty(0, bool))


def windows_of(
    frames: NDArray[Any], told: tuple[Any, ...] = ONE, *, clip: float = 5.0, fewest: int = 2
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    n_slots = int(told[2].max()) + 1
    centre, half = (np.empty((n_slots, frames.shape[1]), np.int32) for _ in range(2))
    skew = np.empty(centre.shape, np.float32)
    find_windows(np.ascontiguousarray(frames.T), *told, clip, fewest, centre, half, skew)
    return centre, half, skew


def sums_of(
    frames: NDArray[Any], centre: NDArray[Any], half: NDArray[Any], told: tuple[Any, ...] = ONE
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    counts, sums = np.zeros((3, *centre.shape), np.int32), np.zeros((2, *centre.shape), np.int64)
    events = np.zeros((4, len(frames)), np.int64)
    weight = (WEIGHT // np.maximum(half, 1)).astype(np.int32)
    every = np.arange(len(frames))
    add_frames(frames, every, every, *told, centre, half, weight, counts, sums, events)
    return counts, sums, events


def estimates_of(
    frames: NDArray[Any], centre: NDArray[Any], half: NDArray[Any], fewest: int = 2
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    counts, sums, _ = sums_of(frames, centre, half)
    mean, noise = (np.empty(centre.size, np.float32) for _ in range(2))
    estimate(centre[0], half[0], counts[:, 0], sums[:, 0], fewest, mean, noise)
    return mean, noise


@pytest.mark.slow
@given(
    values=st.lists(st.integers(0, 2**16 - 1), min_size=2, max_size=60),
    clip=st.floats(3, 10),
)
def test_window_is_made_of_median_and_median_deviation(values: list[int], clip: float) -> None:
    frames = np.array(values, np.uint16)[:, None]
    centre, half, _ = windows_of(frames, clip=clip)
    ordered = np.sort(values)
    median = ordered[(len(values) - 1) // 2]
    deviation = np.sort(np.abs(ordered.astype(np.int64) - median))[(len(values) - 1) // 2]

    assert centre[0, 0] == median
    assert half[0, 0] == np.ceil(clip * (1.4826 * (deviation + 0.5)))


@given(seed=st.integers(0, 2**32), n_events=st.integers(1, 40), n_pixels=st.integers(1, 50))
def test_sums_are_those_of_plain_numpy(seed: int, n_events: int, n_pixels: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 2**16, (n_events, n_pixels)).astype(np.uint16)
    centre = rng.integers(0, 2**14, (3, n_pixels)).astype(np.int32)
    half = rng.integers(-1, 4000, (3, n_pixels)).astype(np.int32)
    half[half == 0] = -1
    counts, sums, events = sums_of(frames, centre, half, JUNGFRAU)
    seen, total = np.zeros(n_events, int), np.zeros(n_events, int)
    for slot, code in ((0, 0), (1, 1), (2, 3)):
        here = (frames >> 14 == code) & (half[slot] >= 0)
        off = (frames & 0x3FFF).astype(np.int64) - centre[slot]
        inside = here & (np.abs(off) <= half[slot])
        np.testing.assert_array_equal(counts[0, slot], inside.sum(axis=0))
        np.testing.assert_array_equal(counts[1, slot], (here & (off < -half[slot])).sum(axis=0))
        np.testing.assert_array_equal(counts[2, slot], (here & (off > half[slot])).sum(axis=0))
        np.testing.assert_array_equal(sums[0, slot], np.where(inside, off, 0).sum(axis=0))
        np.testing.assert_array_equal(sums[1, slot], np.where(inside, off**2, 0).sum(axis=0))
        weight = WEIGHT // np.maximum(half[slot], 1)
        seen += here.sum(axis=1)
        total += np.where(here, np.clip(off, -half[slot], half[slot]) * weight, 0).sum(axis=1)

    np.testing.assert_array_equal(events[0], seen)
    np.testing.assert_array_equal(events[3], total)


def test_values_in_a_wide_window_give_mean_and_sample_standard_deviation() -> None:
    frames = Truth.of((500,)).frames(300)
    wide = np.full((1, 500), 3000, np.int32)
    mean, noise = estimates_of(frames, np.full((1, 500), 2000, np.int32), wide)

    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(noise, frames.std(axis=0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("sigmas", [2.5, 3.0, 5.0])
@pytest.mark.parametrize("shift", [0.0, 0.4])
@pytest.mark.parametrize("noise", [3.0, 30.0])
def test_cut_values_give_the_whole_distribution(sigmas: float, shift: float, noise: float) -> None:
    truth = Truth(np.full(300, 2000.3), np.full(300, noise))
    frames = truth.frames(10_000)
    centre = np.full((1, 300), round(2000.3 + shift * noise), np.int32)
    half = np.full((1, 300), round(sigmas * noise), np.int32)
    mean, found = estimates_of(frames, centre, half)

    # 3 million values leave 6e-4 of the noise, somewhat more where much is cut
    assert abs(mean.mean() - 2000.3) < 4e-3 * noise
    assert abs(found.mean() / truth.rounded_noise[0] - 1) < 4e-3


@pytest.mark.slow
@pytest.mark.parametrize("clip", [3.0, 5.0])
@pytest.mark.parametrize("noise", [0.3, 0.7, 1.0, 2.0, 8.0])
def test_windows_of_samples_bias_nothing(clip: float, noise: float) -> None:
    rng = np.random.default_rng(5)
    truth = Truth(2000 + rng.random(1000), np.full(1000, noise))
    frames = truth.frames(1000)
    mean, found = estimates_of(frames, *windows_of(frames[::10], clip=clip)[:2])
    # the noise of whole numbers when the mean lies anywhere between two of them
    wanted = np.sqrt(np.mean(frames.std(axis=0, ddof=1).astype(np.float64) ** 2))

    assert abs((mean - truth.mean).mean()) < 5e-3 * max(noise, 0.5)
    assert np.sqrt(np.mean(found.astype(np.float64) ** 2)) == pytest.approx(wanted, rel=4e-3)


def test_plain_standard_deviation_of_cut_values_would_be_wrong() -> None:
    frames = Truth(np.full(400, 2000.0), np.full(400, 30.0)).frames(2000).astype(np.float64)
    frames[np.abs(frames - 2000) > 90] = np.nan

    assert np.nanmean(np.nanstd(frames, axis=0)) < 0.99 * 30


def test_standard_errors_are_those_stated() -> None:
    truth = Truth(np.full(4000, 2000.0), np.full(4000, 5.0))
    frames = truth.frames(200)
    mean, noise = estimates_of(frames, *windows_of(frames)[:2])

    assert mean.std() * np.sqrt(200) / 5.0 == pytest.approx(1, abs=0.04)
    assert noise.std() * np.sqrt(2 * 199) / 5.0 == pytest.approx(1, abs=0.05)
    assert noise.mean() == pytest.approx(truth.rounded_noise[0], abs=5 * 0.25 / np.sqrt(4000))


def test_outliers_change_nothing() -> None:
    truth = Truth.of((1000,))
    clean = truth.frames(400)
    spoilt = clean.copy()
    spoilt[::40] = 9000  # 2.5 % of the values
    without = np.delete(clean, np.arange(0, 400, 40), axis=0)
    centre, half, _ = windows_of(clean)
    counts, _, _ = sums_of(spoilt, centre, half)
    mean, noise = estimates_of(spoilt, centre, half)
    wanted = estimates_of(without, centre, half)

    np.testing.assert_array_equal(counts[2, 0], 10 + sums_of(without, centre, half)[0][2, 0])
    np.testing.assert_array_equal(mean, wanted[0])
    np.testing.assert_array_equal(noise, wanted[1])


def test_window_from_a_sample_with_outliers_still_holds_the_distribution() -> None:
    truth = Truth.of((2000,))
    frames = truth.frames(256)
    frames[:25] = 9000  # a tenth of the sample
    centre, half, _ = windows_of(frames)

    assert (np.abs(centre[0] - truth.mean) < 0.5 * truth.noise).all()
    assert (half[0] > 3.5 * truth.noise).all()
    assert (half[0] < 9 * truth.noise).all()


def test_pixel_that_never_varies_has_no_noise() -> None:
    frames = np.full((100, 3), 1234, np.uint16)
    mean, noise = estimates_of(frames, *windows_of(frames)[:2])

    np.testing.assert_array_equal(mean, 1234)
    np.testing.assert_array_equal(noise, 0)


def test_too_few_values_give_nan_not_zero() -> None:
    frames = Truth.of((10,)).frames(30)
    mean, noise = estimates_of(frames, *windows_of(frames)[:2], fewest=31)

    assert np.isnan(mean).all()
    assert np.isnan(noise).all()
    assert (windows_of(frames, fewest=31)[1] == -1).all()


def test_flat_distribution_ends_with_some_noise() -> None:
    frames = np.tile(np.arange(2000, 2100, dtype=np.uint16), 10)[:, None]
    mean, noise = estimates_of(frames, np.array([[2050]], np.int32), np.array([[20]], np.int32))

    assert np.isfinite([mean[0], noise[0]]).all()


def test_skewness_is_that_of_the_values_and_unknown_where_rounding_makes_it() -> None:
    rng = np.random.default_rng(3)
    values = rng.poisson(0.5, (200, 50)) * 100 + 2000
    skew = windows_of(values.astype(np.uint16))[2][0]
    off = values - values.mean(axis=0)

    np.testing.assert_allclose(skew, (off**3).mean(axis=0) / values.std(axis=0) ** 3, rtol=1e-5)
    assert np.isnan(windows_of(rng.integers(0, 2, (200, 5)).astype(np.uint16))[2]).all()
