"""Running statistics against plain loops: ties, NaN, missing values, ends, gaps in time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.events.running import event_spans, running, time_spans
from cubeengine.sources.times import pack
from cubeengine.types import Column

NAN = math.nan
value = (
    st.integers(-6, 6).map(lambda n: n / 4) | st.floats(-1e6, 1e6) | st.sampled_from([NAN, math.inf, -0.0])
)
values = st.lists(value, max_size=60)
at = st.sampled_from(["center", "trailing"])
SECOND = 10**9


def plain_events(data: list[float], window: int, where: str) -> list[list[float]]:
    """The finite values of every window, by its definition."""
    before, after = (window // 2, window // 2) if where == "center" else (window - 1, 0)
    around = [data[max(i - before, 0) : i + after + 1] for i in range(len(data))]
    return [[value for value in part if math.isfinite(value)] for part in around]


def plain_times(data: list[float], times: list[int], length: int, where: str) -> list[list[float]]:
    def near(i: int, j: int) -> bool:
        if where == "center":
            return abs(times[j] - times[i]) <= length // 2
        return 0 <= times[i] - times[j] <= length

    everywhere = range(len(data))
    return [[data[j] for j in everywhere if near(i, j) and math.isfinite(data[j])] for i in everywhere]


def check(found: np.ndarray, count: np.ndarray, parts: list[list[float]], statistic: str) -> None:
    assert count.tolist() == [len(part) for part in parts]
    if statistic == "median":
        expected = [float(np.median(part)) if part else NAN for part in parts]
        np.testing.assert_array_equal(found, expected)
        return
    expected = [math.fsum(part) / len(part) if part else NAN for part in parts]
    size = [max(map(abs, part), default=0) for part in parts]
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert (np.nan_to_num(np.abs(found - expected)) <= 4 * np.finfo(float).eps * np.array(size)).all()


@given(values, st.integers(0, 40), at, st.sampled_from(["median", "mean"]))
def test_windows_of_events_are_those_of_a_plain_loop(data, half, where, statistic):
    window = 2 * half + 1
    spans = event_spans(slice(0, len(data)), len(data), window=window, at=where)
    found, count = running(Column(np.array(data, float)), spans, statistic=statistic)
    check(found, count, plain_events(data, window, where), statistic)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(0, 700), at)
def test_medians_of_windows_wider_than_a_block_are_those_of_a_plain_loop(seed, half, where):
    rng = np.random.default_rng(seed)
    data = rng.integers(-20, 20, 1500) / 2 + (seed % 2) * np.arange(1500)
    data[rng.random(1500) < 0.3] = NAN
    spans = event_spans(slice(0, 1500), 1500, window=2 * half + 1, at=where)
    found, _ = running(Column(data), spans)
    some = rng.integers(0, 1500, 40)
    parts = plain_events(data.tolist(), 2 * half + 1, where)
    expected = [float(np.median(parts[i])) if parts[i] else NAN for i in some]
    np.testing.assert_array_equal(found[some], expected)


@given(
    st.lists(st.tuples(value, st.sampled_from([0, 1, 8, SECOND // 3, SECOND, 50 * SECOND])), max_size=50),
    st.sampled_from([1, 2, 9, SECOND, 2 * SECOND, 100 * SECOND]),
    at,
    st.sampled_from(["median", "mean"]),
)
def test_windows_of_time_are_those_of_a_plain_loop(events, length, where, statistic):
    data = [value for value, _ in events]
    times = np.cumsum([step for _, step in events], dtype=np.int64) + SECOND - 20
    spans = time_spans(pack(*np.divmod(times, SECOND)), slice(0, len(data)), nanoseconds=length, at=where)
    found, count = running(Column(np.array(data, float)), spans, statistic=statistic)
    check(found, count, plain_times(data, times.tolist(), length, where), statistic)


@given(values, st.integers(1, 30), st.data())
def test_any_part_of_a_run_gives_the_same_bits(data, window, draw):
    whole = Column(np.array(data, float) * 0.1)
    n = len(data)
    start = draw.draw(st.integers(0, n))
    stop = draw.draw(st.integers(start, n))
    for statistic in ("median", "mean"):
        found, _ = running(
            whole, event_spans(slice(0, n), n, window=window, at="trailing"), statistic=statistic
        )
        first, last = event_spans(slice(start, stop), n, window=window, at="trailing")
        low, high = int(first.min(initial=start)), int(last.max(initial=stop))
        part, _ = running(
            Column(whole.data[low:high]), (first - low, last - low), statistic=statistic, start=low
        )
        assert part.tobytes() == found[start:stop].tobytes()


def test_missing_integers_are_left_out_and_have_the_value_of_their_window():
    column = Column(np.array([1, 99, 4, 99]), np.array([True, False, True, False]))
    found, count = running(column, event_spans(slice(0, 4), 4, window=3))
    assert found.tolist() == [1, 2.5, 4, 4]
    assert count.tolist() == [1, 2, 1, 1]


def test_a_window_without_values_has_none():
    found, count = running(Column(np.array([NAN, NAN, NAN, 3])), event_spans(slice(0, 4), 4, window=3))
    np.testing.assert_array_equal(found, [NAN, NAN, 3, 3])
    assert count.tolist() == [0, 0, 1, 1]


def test_large_values_outside_a_window_do_not_touch_its_mean():
    data = np.array([1e300, 1.0, 2.0, 3.0, -1e300])
    found, _ = running(Column(data), event_spans(slice(0, 5), 5, window=3), statistic="mean")
    assert found[2] == 2


def test_a_second_has_a_thousand_million_nanoseconds_whatever_its_packed_number():
    stamps = pack(np.array([9, 10]), np.array([999_999_000, 1000]))  # 2 us apart, 4294967296 - 10^9 in packed
    first, stop = time_spans(stamps, slice(0, 2), nanoseconds=4000)
    assert (first.tolist(), stop.tolist()) == ([0, 0], [2, 2])


def test_windows_at_the_ends_of_all_time_are_cut():
    stamps = pack(np.array([0, 2**32 - 1]), np.array([5, 5]))
    first, stop = time_spans(stamps, slice(0, 2), nanoseconds=4 * SECOND)
    assert (first.tolist(), stop.tolist()) == ([0, 1], [1, 2])


def test_times_that_fall_are_refused():
    stamps = pack(np.array([1, 2]), np.array([3 * SECOND, 0]))
    with pytest.raises(SpecError, match=r"fall from 4.000000000 s to 2.000000000 s"):
        time_spans(stamps, slice(0, 2), nanoseconds=4000)


def test_arrays_are_refused():
    with pytest.raises(SpecError, match=r"one number per event, got float64 of shape \(2,\)"):
        running(Column(np.ones((3, 2))), event_spans(slice(0, 3), 3, window=3))
