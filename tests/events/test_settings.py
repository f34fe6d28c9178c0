"""Settings among readings: never wider than the tolerance, whatever lies between them left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeengine.events.scan import distinct_settings
from cubeengine.events.settings import FEW_VALUES, find_settings

READINGS = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=1, max_size=60)
TOLERANCES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0, 20.0])


def densest_windows(values: np.ndarray, width: float) -> list[np.ndarray]:
    """The rule as it is stated, asked of every pair of windows: the readings in each that is a setting."""
    starts = np.unique(values)
    held = np.array([np.count_nonzero((values >= low) & (values <= low + width)) for low in starts])
    chosen: list[np.ndarray] = []
    for low, events in zip(starts, held, strict=True):
        overlap = (starts <= low + width) & (starts + width >= low)
        apart = not chosen or low > chosen[-1][0] + width
        if (held[overlap] <= events).all() and apart:
            chosen.append(np.sort(values[(values >= low) & (values <= low + width)]))
    return chosen


@given(READINGS, TOLERANCES)
def test_settings_are_the_windows_that_hold_more_than_all_they_overlap(readings, tolerance):
    values = np.array(readings)
    found = distinct_settings(values, tolerance)
    windows = densest_windows(values, tolerance)
    assert found.values.tolist() == [window[(len(window) - 1) // 2] for window in windows]
    expected = np.full(len(values), -1)
    for number, window in enumerate(windows):
        expected[np.isin(values, window)] = number
    np.testing.assert_array_equal(found.index, expected)


@given(READINGS, TOLERANCES, st.randoms(use_true_random=False))
def test_settings_are_no_wider_than_the_tolerance_and_know_no_order(readings, tolerance, random):
    values = np.array(readings)
    found = distinct_settings(values, tolerance)
    for number, setting in enumerate(found.values):
        its = values[found.index == number]
        assert len(its)
        assert np.ptp(its) <= tolerance
        assert setting in its
    assert (np.diff(found.values) > 0).all()
    order = list(range(len(values)))
    random.shuffle(order)
    again = distinct_settings(values[order], tolerance)
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(again.index, found.index[order])


@given(READINGS, TOLERANCES)
def test_readings_that_are_no_farther_apart_than_the_tolerance_are_one_setting(readings, tolerance):
    values = np.array(readings)
    found = distinct_settings(values, max(tolerance, np.ptp(values)))
    assert found.events.tolist() == [len(values)]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.01, 0.05, 0.12]))
def test_noisy_readbacks_keep_their_settings(seed, n_settings, spread):
    """Readings of an encoder: no two alike, a tolerance of four standard deviations, uneven steps."""
    rng = np.random.default_rng(seed)
    set_to = np.cumsum(rng.uniform(1, 5, n_settings))
    true = rng.permutation(np.repeat(np.arange(n_settings), rng.integers(50, 150, n_settings)))
    readings = set_to[true] + rng.normal(0, spread, len(true))
    found = distinct_settings(readings, 4 * spread)
    assert len(found.values) == n_settings
    np.testing.assert_allclose(found.values, set_to, atol=spread)
    inside = found.index >= 0
    np.testing.assert_array_equal(found.index[inside], true[inside])
    assert inside.mean() > 0.9  # of a normal distribution 95.4 % lie within two standard deviations


def test_readings_in_transit_join_no_settings():
    rng = np.random.default_rng(1)
    true = np.repeat(np.arange(5), 80)
    readings = true + rng.uniform(-0.004, 0.004, 400)
    readings[75:80] = [0.1, 0.3, 0.5, 0.7, 0.9]
    found = distinct_settings(readings, 0.3)
    np.testing.assert_allclose(found.values, np.arange(5), atol=0.004)
    assert found.events.tolist() == [76, 81, 80, 80, 80]  # with 0.1, and with 0.9
    assert np.flatnonzero(found.index < 0).tolist() == [76, 77, 78]


def test_a_long_ramp_is_no_single_setting():
    found = distinct_settings(np.linspace(0, 1, 101), 0.1)
    widths = [np.ptp(np.linspace(0, 1, 101)[found.index == number]) for number in range(len(found.values))]
    assert len(widths) > 5
    assert max(widths) <= 0.1 + 1e-15


def test_the_label_is_the_reading_of_most_events():
    readings = np.concatenate([np.full(60, 0.3), np.full(25, 0.29), np.full(15, 0.32)])
    assert distinct_settings(readings, 0.05).values.tolist() == [0.3]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.uint64, bool])
def test_any_type_of_number(dtype):
    values = np.array([1, 1, 0, 1], dtype)
    found = distinct_settings(values, 0.5)
    assert found.values.tolist() == [0.0, 1.0]
    assert found.index.tolist() == [1, 1, 0, 1]


def test_many_readings_are_worked_on_in_the_room_that_is_given(monkeypatch):
    monkeypatch.setattr("cubeengine.events.settings.FEW_VALUES", 10)
    given_room: list[int] = []

    def room(length, dtype):
        given_room.append(length)
        return np.empty(length, dtype)

    values = np.arange(100) * 0.1
    found = find_settings(values, np.ones(100, np.int64), 0.05, room)
    assert found.values.tolist() == values.tolist()
    assert given_room == [101, 100, 100]
    assert FEW_VALUES > 1000
