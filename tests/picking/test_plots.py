"""Pictures of picked events, by what their panels hold."""

from __future__ import annotations

import numpy as np
import pytest

import cubeengine as ce
from tests.picking.test_pick import made_run, spec_of
from tests.planning.runs import memory_run


@pytest.fixture(scope="module")
def picked():
    run, _ = made_run()
    return ce.pick(run, spec_of("largest", 2, signals=["frame", "map"])).compute(workers=1)


def test_frames_are_drawn_for_every_bin_with_events(picked):
    figure = ce.plot_cube(picked, "frame")

    pictures = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    wanted = picked["frame"].isel(selection=0).transpose("pick", "x", ...).values[:, :3].reshape(-1, 3, 5)
    np.testing.assert_array_equal(np.ma.filled(np.ma.asarray(pictures), np.nan), wanted)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["x 0.5", "x 1.5", "x 2.5"]


def test_vectors_are_curves_and_numbers_points_over_the_axis(picked):
    curves = ce.plot_cube(picked, "map").axes
    points = ce.plot_cube(picked, "v_value").axes[0]

    np.testing.assert_array_equal(curves[1].lines[0].get_ydata(), picked["map"].values[0, 1, 0])
    np.testing.assert_array_equal(points.lines[0].get_xdata(), picked["x"].values[:3])
    np.testing.assert_array_equal(points.lines[0].get_ydata(), picked["v_value"].values[0, :3, 0])


def test_two_axes_and_none_are_drawn_as_well():
    run, _ = made_run()
    axes = [{"field": "x", "edges": [0, 1, 2]}, {"field": "flag", "edges": [-0.5, 0.5, 1.5]}]
    two = ce.pick(run, spec_of("first", 1, axes=axes)).compute(workers=1)
    none = ce.pick(run, spec_of("first", 1, axes=[])).compute(workers=1)

    assert sum(bool(axes.images) for axes in ce.plot_cube(two).axes) == 4
    assert sum(bool(axes.images) for axes in ce.plot_cube(none, "frame").axes) == 1


def test_missing_frames_are_not_drawn_as_numbers():
    run, _ = made_run(valid={"frame": np.zeros(200, bool)})
    figure = ce.plot_cube(ce.pick(run, spec_of("largest", 1)).compute(workers=1), "frame")

    assert all(np.ma.getmaskarray(axes.images[0].get_array()).all() for axes in figure.axes if axes.images)


def test_empty_store_says_so():
    run, _ = made_run()
    spec = spec_of("largest", 1, axes=[{"field": "x", "edges": [50, 60]}])
    empty = ce.pick(run, spec, force=True).compute(workers=1)

    assert int(empty["n_picked"].sum()) == 0
    assert "picked events 'test'" in ce.describe_cube(empty)
    with pytest.raises(ce.SpecError, match="no event was picked"):
        ce.plot_cube(empty)


@pytest.mark.parametrize(("scale", "unit", "factor"), [(1e-12, "ps", 1e12), (1e-13, "fs", 1e15), (1, "s", 1)])
def test_values_in_seconds_are_shown_as_a_cube_shows_them(scale, unit, factor):
    values = np.array([1.0, 5.0, 2.0, 9.0, np.nan, 3.0]) * scale
    run = memory_run({"at": values, "late": values[:, None] * [0.1, 0.5, 1.0]})
    spec = ce.PickSpec(
        cube="late", units={"at": "s", "late": "s"}, signals=["late"],
        pick=ce.Pick(field="at", which="largest", events=2),
    )  # fmt: skip
    picked = ce.pick(run, spec).compute(workers=1)

    points, curves = (ce.plot_cube(picked, name).axes[0] for name in ("at_value", "late"))
    assert points.get_ylabel() == f"at of picked events ({unit})"
    np.testing.assert_allclose(points.lines[0].get_ydata(), values[3] * factor)
    assert curves.get_ylabel() == f"late of picked events ({unit})"
    assert picked["at_value"].attrs["units"] == "s"  # the store has the unit of the file
    np.testing.assert_array_equal(picked["at_value"].values.ravel(), np.array([9.0, 5.0]) * scale)
