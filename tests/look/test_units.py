"""Pictures of runs show the unit that pictures of cubes show; what is drawn stays in that of the data."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axis import Axis

import cubeengine as ce
from cubeengine import look
from cubeengine.look.figures import label_axis, new_figure
from cubeengine.plots import plot_cube
from tests.look.runs import pump_probe
from tests.planning.runs import memory_run


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context({"axes.unicode_minus": False}):
        yield


def ticks(axis: Axis) -> dict[float, float]:
    """Return the numbers written at the ticks, by their places."""
    axis.figure.canvas.draw()
    texts = [label.get_text() for label in axis.get_ticklabels()]
    return {float(at): float(text) for at, text in zip(axis.get_ticklocs(), texts, strict=True) if text}


def times(scale: float) -> ce.Run:
    """A run whose only field is in seconds, from -2 to 5 of a scale."""
    values = np.linspace(-2, 5, 71) * scale
    return memory_run({"at": values, "v": values**2}).with_units({"at": "s"})


@pytest.mark.parametrize(
    ("scale", "unit", "factor"),
    [
        (1e-12, "ps", 1e12),
        pytest.param(1e-9, "ps", 1e12, marks=pytest.mark.slow),
        pytest.param(1e-13, "fs", 1e15, marks=pytest.mark.slow),
        (1e-5, "s", 1),
        pytest.param(1.0, "s", 1, marks=pytest.mark.slow),
    ],
)
def test_seconds_are_shown_as_pictures_of_cubes_show_them(scale: float, unit: str, factor: float) -> None:
    run = times(scale)
    along = [
        look.plot_histogram(run, "at", bins=7).xaxis,
        look.plot_histogram2d(run, "at", "v").xaxis,
        look.plot_histogram2d(run, "v", "at").yaxis,
        look.plot_correlation(run, "v", "at").yaxis,
        look.plot_correlation(run, "at", "v", points=10).xaxis,
        look.plot_scan(run, "v", axis="at", bins=7).xaxis,
        look.plot_scan(run, "at", axis="v", bins=7).yaxis,
        look.plot_trace(run, "at", over="event").yaxis,
        look.plot_cuts(run, ["`at` > 0"])[0].xaxis,
    ]
    spec = ce.CubeSpec(
        cube="a", units={"at": "s"}, signals=["v"],
        axes=[ce.Axis("at", edges={"start": -2 * scale, "stop": 5 * scale, "bins": 7}, unit="s")],
    )  # fmt: skip
    cube = ce.plan(run, spec).compute(workers=1)

    assert plot_cube(cube, "v").axes[0].get_xlabel() == f"at ({unit})"
    for axis in along:
        assert axis.get_label_text().endswith(f"at ({unit})")
        written = ticks(axis)
        assert len(written) > 2
        for at, number in written.items():
            assert number == pytest.approx(at * factor, rel=1e-5, abs=1e-6 * scale * factor)


def test_what_is_drawn_stays_in_the_unit_of_the_data_so_that_more_can_be_drawn() -> None:
    ax = look.plot_scan(pump_probe(), "diode", show="curves")
    assert ax.get_xlabel() == "scan/lxt (ps)"
    assert 4.9e-12 < ax.dataLim.x1 < 5.1e-12
    ax.axvline(1e-12)

    assert {at: number / 1e12 for at, number in ticks(ax.xaxis).items()} == {
        at: pytest.approx(at, abs=1e-18) for at in ax.get_xticks()
    }


def test_a_second_picture_on_the_same_axes_has_the_unit_of_both() -> None:
    ax = look.plot_histogram(times(1e-13), "at", bins=7)
    assert ax.get_xlabel() == "at (fs)"
    look.plot_histogram(times(1e-12), "at", bins=7, ax=ax)
    assert ax.get_xlabel() == "at (ps)"
    assert all(number == pytest.approx(at * 1e12) for at, number in ticks(ax.xaxis).items())
    look.plot_histogram(times(1e-3), "at", bins=7, ax=ax)
    assert ax.get_xlabel() == "at (s)"
    assert all(number == pytest.approx(at) for at, number in ticks(ax.xaxis).items())


def test_data_and_other_units_stay_as_they_are() -> None:
    run = memory_run({"at": np.linspace(-2, 5, 71) * 1e-12}).with_units({"at": "m"})
    assert look.plot_histogram(run, "at").get_xlabel() == "at (m)"
    found = look.histogram(times(1e-12), "at", bins=7)
    assert found["at"].attrs["units"] == "s"
    np.testing.assert_allclose(found["at_high"][-1], 5e-12)


def test_colours_of_an_image_have_their_unit() -> None:
    frames = np.linspace(1e-12, 9e-12, 12).reshape(3, 4) * np.ones((5, 1, 1))
    run = memory_run({"t": frames}).with_units({"t": "s"})
    bar = next(
        axes for axes in look.plot_average_image(run, "t").figure.axes if axes.get_label() == "<colorbar>"
    )

    assert bar.get_ylabel() == "mean of t (ps)"
    assert all(number == pytest.approx(at * 1e12) for at, number in ticks(bar.yaxis).items())


def test_axes_without_anything_drawn_keep_the_unit() -> None:
    ax = new_figure().subplots()
    label_axis(ax.xaxis, look.histogram(times(1e-12), "at", bins=7)["at"])

    assert ax.get_xlabel() == "at (s)"
