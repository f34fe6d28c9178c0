"""An axis with a name of its own: in the spec, the cube, and what is made of the cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.plots import describe_cube, plot_cube
from cubeengine.session.session import Session
from cubeengine.spec.model import CubeSpec
from tests.planning.runs import memory_run

N = 400
RNG = np.random.default_rng(4)
STEP = np.arange(N) % 4
SIGNAL = RNG.normal(size=N)


def scan(signal: np.ndarray = SIGNAL) -> Run:
    return memory_run({"scan/lxt": STEP * 1e-12, "x": RNG.random(N), "diode": signal})


SPEC = """
cube: named
units: {scan/lxt: s}
axes:
  - {field: scan/lxt, steps: auto, unit: ps, name: delay}
signals: [diode, scan/lxt]
"""


def expected(signal: np.ndarray = SIGNAL) -> list[float]:
    return [signal[step == STEP].mean() for step in range(4)]


def test_spec_comes_back_and_the_cube_is_called_so() -> None:
    spec = CubeSpec.loads(SPEC)
    assert CubeSpec.loads(spec.to_yaml()) == spec
    assert spec.axes[0] == ce.Axis("scan/lxt", steps="auto", unit="ps", name="delay")

    cube = ce.plan(scan(), spec).compute()

    assert cube["diode_mean"].dims == ("selection", "delay")
    np.testing.assert_allclose(cube["delay"], [0, 1, 2, 3])
    np.testing.assert_allclose(cube["diode_mean"][0], expected(), rtol=1e-13)
    np.testing.assert_allclose(cube["delay_mean"][0], [0, 1, 2, 3])
    np.testing.assert_allclose(cube["scan__lxt_mean"][0], np.arange(4) * 1e-12)  # the signal keeps its unit
    assert cube["delay"].attrs["long_name"] == "delay"
    assert cube["delay"].attrs["field"] == "scan/lxt"
    assert cube["delay"].attrs["units"] == "ps"
    assert cube["delay_bnds"].dims == ("delay", "bnds")


def test_axis_without_a_name_is_as_it_was() -> None:
    cube = ce.plan(scan(), CubeSpec.loads(SPEC.replace(", name: delay", ""))).compute()

    assert cube["scan__lxt"].attrs["long_name"] == "scan/lxt"
    assert "field" not in cube["scan__lxt"].attrs


def test_one_field_may_be_two_axes() -> None:
    axes = [ce.Axis("x", edges=[0, 0.5, 1], name="coarse"), ce.Axis("x", edges=[0, 0.25, 1], name="fine")]
    run = scan()
    x = run["x"].values

    cube = ce.plan(run, CubeSpec(cube="two", axes=axes, units={"x": ""})).compute()

    wanted = [[np.sum(x < 0.25), np.sum((x >= 0.25) & (x < 0.5))], [0, np.sum(x >= 0.5)]]
    np.testing.assert_array_equal(cube["n_events"][0], wanted)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            "[{field: x, quantiles: 2}, {field: x, quantiles: 3}]",
            r"two variables called 'x'; rename one of them",
        ),
        (
            "[{field: x, quantiles: 2, name: selection}]",
            r"axes\[0\].name: .*two variables called 'selection'",
        ),
        ("[{field: x, quantiles: 2, name: run}]", r"axes\[0\].name: 'run' is the axis of stacked cubes"),
        ("[{field: run, quantiles: 2}]", r"axes\[0\].field: 'run' is the axis of stacked cubes"),
        ("[{field: x, quantiles: 2, name: a/b}]", r"axes\[0\].name: 'a/b' is not a name"),
        ("[{field: x, quantiles: 2, name: diode}]", "an axis in the cube is already called 'diode'"),
    ],
)
def test_name_that_cannot_be_is_told(axes: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        CubeSpec.loads(f"cube: x\naxes: {axes}\nsignals: [diode]")


def test_name_goes_through_merging_rebinning_and_pictures(tmp_path: Path) -> None:
    spec = CubeSpec.loads(SPEC)
    others = RNG.normal(size=N)
    paths = [tmp_path / "a.zarr", tmp_path / "b.zarr"]
    for path, signal in zip(paths, (SIGNAL, others), strict=True):
        ce.plan(scan(signal), spec).to_zarr(path)

    ce.merge_cubes(paths, tmp_path / "both.zarr", allow=["same-run"])
    ce.rebin_cube(tmp_path / "both.zarr", tmp_path / "coarse.zarr", by={"delay": 2})

    coarse = ce.open_cube(tmp_path / "coarse.zarr")
    both, step = np.concatenate([SIGNAL, others]), np.tile(STEP, 2)
    wanted = [both[step < 2].mean(), both[step >= 2].mean()]
    np.testing.assert_allclose(coarse["diode_mean"][0], wanted, rtol=1e-12)
    assert coarse["delay"].attrs["field"] == "scan/lxt"
    figure = plot_cube(ce.open_cube(tmp_path / "both.zarr"), "diode")
    assert figure.axes[0].get_xlabel() == "delay (ps)"
    assert "delay" in describe_cube(coarse)


def test_session_and_picked_events_know_the_name() -> None:
    session = Session(scan())
    session.declare({"scan/lxt": "s"})
    axis = ce.Axis("scan/lxt", steps="auto", unit="ps", name="delay")

    plan = session.cube(axis, signals="diode")
    assert plan.bound.spec.cube == "delay"
    assert "name: delay" in session.to_yaml()
    picked = session.pick(axis, which="largest", field="diode").compute()
    np.testing.assert_array_equal(
        picked["event"].values.ravel(),
        [np.where(step == STEP, SIGNAL, -np.inf).argmax() for step in range(4)],
    )
    assert "delay" in picked["event"].dims
