"""Neighbours and shifted values against plain loops: ties, NaN, gaps in time, nobody near."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.events.neighbours import ANY_TIME, chosen, neighbour_means, shifted
from cubeengine.types import Column

NAN = math.nan


def plain_means(times, keep, values, n, within):
    """The mean over the nearest events, by its definition."""
    means, counts = [], []
    for i, time in enumerate(times):
        others = [
            (abs(times[j] - time), j > i, abs(j - i), values[j])
            for j in range(len(times))
            if j != i and keep[j] and any(map(math.isfinite, values[j])) and abs(times[j] - time) <= within
        ]
        near = [row for *_, row in sorted(others, key=lambda other: other[:3])[:n]]
        columns = [[v for v in column if math.isfinite(v)] for column in zip(*near, strict=True)]
        means.append([math.fsum(c) / len(c) if c else NAN for c in columns] or [NAN] * len(values[i]))
        counts.append(len(near))
    return means, counts


number = st.integers(-8, 8).map(lambda n: n / 4) | st.sampled_from([NAN, math.inf])
step = st.sampled_from([0, 1, 2, 1000])


@given(
    st.lists(st.tuples(step, st.booleans(), st.tuples(number, number)), min_size=1, max_size=40),
    st.integers(1, 6),
    st.sampled_from([0, 1, 5, 1500, ANY_TIME]),
)
def test_means_are_those_of_a_plain_loop(rows, n, within):
    steps, keep, values = (list(part) for part in zip(*rows, strict=True))
    times, events = np.cumsum(steps), np.arange(len(rows))
    column = Column(np.array(values))
    among = chosen(column, np.array(keep), events, times)
    means, count = neighbour_means(events, times, among, n=n, within=within)
    expected, counts = plain_means(times.tolist(), keep, values, n, within)
    assert count.tolist() == counts
    np.testing.assert_array_equal(means, expected)  # sums of quarters are exact


def test_an_event_is_never_its_own_neighbour():
    events, times = np.arange(3), np.array([0, 10, 30])
    among = chosen(Column(np.array([1.0, 2, 4])), np.ones(3, bool), events, times)
    means, _ = neighbour_means(events, times, among, n=1)
    assert means.ravel().tolist() == [2, 1, 2]


def test_missing_integers_are_no_neighbours():
    events, times = np.arange(3), np.array([0, 10, 30])
    among = chosen(
        Column(np.array([1, 2, 4]), np.array([True, False, True])), np.ones(3, bool), events, times
    )
    means, count = neighbour_means(events, times, among, n=2)
    assert means.ravel().tolist() == [4, 2.5, 1]
    assert count.tolist() == [1, 2, 1]


def test_without_chosen_events_nothing_is_near():
    events = np.arange(3)
    among = chosen(Column(np.ones(3)), np.zeros(3, bool), events, events)
    means, count = neighbour_means(events, events, among, n=2)
    assert np.isnan(means).all()
    assert count.tolist() == [0, 0, 0]


def test_shifted_values_keep_their_type_and_say_what_is_missing():
    column = Column(np.array([5, 6, 7], np.int16), np.array([True, False, True]))
    found, missing = shifted(column, np.array([-1, 0, 1, 2]), np.array([False, True, True, True]))
    assert found.data.dtype == np.int16
    assert found.valid.tolist() == [False, True, False, True]
    assert found.data[found.valid].tolist() == [5, 7]
    assert missing.tolist() == [False, False, True, False]


def test_shifted_floats_are_nan_where_there_is_no_other_event():
    column = Column(np.array([5.0, NAN], np.float32), damaged=np.array([False, True]))
    found, missing = shifted(column, np.array([1, 0, 2]), np.array([True, True, False]))
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data, [NAN, 5, NAN])
    assert found.damaged.tolist() == [True, False, False]
    assert missing.tolist() == [True, False, False]


def test_nothing_to_shift():
    found, missing = shifted(Column(np.empty((0, 2))), np.array([3, 4]), np.zeros(2, bool))
    assert found.data.shape == (2, 2)
    assert np.isnan(found.data).all()
    assert not missing.any()
