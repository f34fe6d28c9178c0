"""Traces along the run against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import look
from cubeengine.errors import SpecError
from tests.look.runs import N_EVENTS, odd_run, tiny_windows
from tests.planning.runs import memory_run


def timed_run(n_events: int = 5000):
    """A run of 50 s with a pause of 20 s in the middle."""
    nanoseconds = np.arange(n_events) * 10_000_000
    nanoseconds[n_events // 2 :] += 20 * 10**9
    seconds, rest = np.divmod(nanoseconds, 10**9)
    stamps = ((seconds + 10**9) << 32 | rest).astype(np.uint64)
    values = np.random.default_rng(1).normal(size=n_events)
    values[::9] = np.nan
    return memory_run({"v": values}, timestamps=stamps)


def test_few_events_are_shown_one_by_one():
    run = odd_run()
    found = look.trace(run, "x", over="event")
    np.testing.assert_array_equal(found["mean"], run.column("x").data)
    assert found.attrs["n_missing"] == 86
    assert look.trace(run, "x").sizes["time"] == N_EVENTS


def test_bins_hold_mean_and_spread():
    run = odd_run()
    found = look.trace(run, "y", over="event", bins=50)
    values = run.column("y").data.reshape(50, 12)
    np.testing.assert_allclose(found["mean"], values.mean(axis=1))
    np.testing.assert_allclose(found["std"], values.std(axis=1))
    assert found["count"].values.tolist() == [12] * 50


def test_bins_of_time_are_of_equal_length_and_empty_in_a_pause():
    run = timed_run()
    found = look.trace(run, "v", bins=70)
    starts = found["time"].values.astype(np.int64)
    assert np.ptp(np.diff(starts)) <= 1
    edges = np.append(starts, run.time[-1].astype(np.int64) + 1)
    values, time = run.column("v").data, run.time.astype(np.int64)
    wanted = np.histogram(time[np.isfinite(values)], edges)[0]
    np.testing.assert_array_equal(found["count"], wanted)
    assert (wanted == 0).sum() > 10
    assert np.isnan(found["mean"].values[wanted == 0]).all()


@pytest.mark.parametrize("over", ["time", "event"])
def test_windows_change_nothing(monkeypatch, over):
    whole = look.trace(timed_run(), "v", over=over, select="`v` > -1")
    tiny_windows(monkeypatch, 333)
    cut = look.trace(timed_run(), "v", over=over, select="`v` > -1")
    np.testing.assert_array_equal(cut["count"], whole["count"])
    np.testing.assert_allclose(cut["mean"], whole["mean"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(cut["std"], whole["std"], rtol=1e-10)


def test_infinite_values_are_outside():
    assert look.trace(odd_run(), "far", bins=4).attrs["n_outside"] == 6


def test_line_is_the_mean_and_the_band_the_spread():
    found = look.trace(odd_run(), "y", over="event", bins=20)
    ax = look.plot_trace(odd_run().with_units({"y": "V"}), "y", over="event", bins=20)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), found["mean"])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(band.max(), (found["mean"] + found["std"]).max())
    assert ax.get_ylabel() == "y (V)"
    assert "mean and spread" in ax.get_legend_handles_labels()[1][0]


def test_missing_values_are_gaps():
    drawn = look.plot_trace(odd_run(), "x", over="event").lines[0].get_ydata()
    assert np.isnan(drawn[::7]).all()


def test_day_stands_in_the_label():
    assert look.plot_trace(timed_run(), "v").get_xlabel().startswith("time (UTC), from 20")


def test_run_without_events_is_drawn_empty():
    run = memory_run({"v": np.empty(0)})
    look.plot_trace(run, "v").figure.canvas.draw()
    look.plot_histogram(run, "v").figure.canvas.draw()


def test_mistakes_are_answered():
    with pytest.raises(SpecError, match="over must be 'time' or 'event', got 'shot'"):
        look.trace(odd_run(), "x", over="shot")
    with pytest.raises(SpecError, match="bins must be at least 1"):
        look.trace(odd_run(), "x", bins=0)
