"""Correlations against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cubeengine import look
from tests.look.runs import odd_run, tiny_windows
from tests.planning.runs import memory_run


@given(hnp.arrays(np.float64, (2, 30), elements=st.floats(-1e3, 1e3)))
def test_coefficient_and_line_are_those_of_numpy(values):
    x, y = values
    assume(x.std() > 1e-3 and y.std() > 1e-3)
    found = look.correlation(memory_run({"x": x, "y": y}), "x", "y")
    np.testing.assert_allclose(found["correlation"], np.corrcoef(x, y)[0, 1], rtol=1e-7, atol=1e-9)
    slope, intercept = np.polyfit(x, y, 1)
    np.testing.assert_allclose(found["slope"], slope, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found["intercept"], intercept, rtol=1e-6, atol=1e-4)


def test_windows_change_nothing(monkeypatch):
    whole = look.correlation(odd_run(), "x", "y", select="`n` > 0")
    tiny_windows(monkeypatch)
    cut = look.correlation(odd_run(), "x", "y", select="`n` > 0")
    np.testing.assert_allclose(cut["correlation"], whole["correlation"], rtol=1e-12)
    np.testing.assert_array_equal(cut["counts"], whole["counts"])
    np.testing.assert_array_equal(cut["points"], whole["points"])


def test_single_events_are_given_while_they_are_few():
    run = odd_run()
    found = look.correlation(run, "x", "y")
    there = np.isfinite(run.column("x").data)
    wanted = np.stack([run.column("x").data, run.column("y").data], axis=1)[there]
    np.testing.assert_array_equal(found["points"], wanted)
    assert "points" not in look.correlation(run, "x", "y", points=513)


def test_infinite_values_have_no_correlation():
    found = look.correlation(odd_run(), "far", "y")
    assert found["correlation"] > 0.9
    assert found.attrs["n_outside"] == 6


def test_what_does_not_vary_has_no_correlation():
    found = look.correlation(memory_run({"x": np.ones(9), "y": np.arange(9.0)}), "x", "y")
    assert np.isnan(found["correlation"])
    assert np.isnan(found["slope"])
    look.plot_correlation(memory_run({"x": np.ones(9), "y": np.arange(9.0)}), "x", "y").figure.canvas.draw()


def test_no_events_are_drawn_as_none():
    ax = look.plot_correlation(odd_run(), "x", "y", select="`y` > 1e9")
    assert "n = 0, no r: one quantity is constant" in ax.get_title(loc="left")


def test_few_are_points_and_many_are_density():
    run = odd_run()
    ax = look.plot_correlation(run, "x", "y")
    x, _ = ax.lines[0].get_data()
    np.testing.assert_array_equal(x, run.column("x").data[np.isfinite(run.column("x").data)])
    assert not ax.collections
    ax = look.plot_correlation(run, "x", "y", points=10)
    assert len(ax.collections) == 1
    assert "n = 514, 86 missing, r = 0.9" in ax.get_title(loc="left")


def test_line_is_that_of_least_squares():
    run = odd_run()
    found = look.correlation(run, "x", "y")
    x, y = look.plot_correlation(run, "x", "y").lines[-1].get_data()
    np.testing.assert_allclose(y, float(found["slope"]) * x + float(found["intercept"]))


def test_units_stand_at_the_axes_and_the_slope():
    run = odd_run().with_units({"x": "mm", "y": "V"})
    assert look.correlation(run, "x", "y")["slope"].attrs["units"] == "V/mm"
    assert look.plot_correlation(run, "x", "y").get_ylabel() == "y (V)"


@pytest.mark.parametrize("pair", [("n", "b"), ("b", "x"), ("n", "y")])
def test_integers_and_booleans_are_drawn(pair):
    look.plot_correlation(odd_run(), *pair, points=3).figure.canvas.draw()
