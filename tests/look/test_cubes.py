"""The ratio of two signals of a cube, from its run: against plain numpy over the events."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.cli.app import run_command
from cubeengine.look import RatioOfRun
from cubeengine.plots import drawable, plot_cube
from cubeengine.types import Column
from tests.look.runs import tiny_windows
from tests.makers.smalldata import write_lcls1

N = 900
STEPS = np.arange(3) * 1e-12


@pytest.fixture(scope="module")
def truth() -> Mapping[str, Any]:
    """Signals that follow the intensity, each lacking in some events: other ones for each."""
    rng = np.random.default_rng(11)
    events = np.arange(N)
    i0 = rng.gamma(9.0, 1 / 9.0, N)
    step, laser = events % 3, (events % 5 != 0).astype(np.int64)
    diode = 3 * i0 * (1 + 0.2 * step * laser) + rng.normal(0, 0.01, N)
    channels = diode[:, None] * [1.0, 2.0] + rng.normal(0, 0.02, (N, 2))
    frame = i0[:, None, None] * np.arange(1.0, 13.0).reshape(3, 4) + rng.normal(0, 0.1, (N, 3, 4))
    whole = diode.copy()
    azav = i0[:, None] * np.arange(1.0, 21.0) + rng.normal(0, 0.05, (N, 20))
    # Where the intensity is high frames lack more often, as where a detector saturates.
    diode[(i0 > 1.2) & (events % 2 == 0)] = np.nan
    frame[i0 > 1.5] = np.nan
    channels[events % 11 == 0, 1] = np.nan
    azav[i0 > 1.3] = np.nan
    i0[events % 13 == 0] = np.nan
    return {"i0": i0, "step": step, "laser": laser, "diode": diode, "channels": channels, "frame": frame,
            "whole": whole, "azav": azav}  # fmt: skip


@pytest.fixture(scope="module")
def made(truth: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and cubes of it: over the steps, and over steps and intensity."""
    folder = tmp_path_factory.mktemp("ratio")
    write_lcls1(folder / "xpptest01_Run0007.h5", n_events=N, frame=(2, 2))
    with h5py.File(folder / "xpptest01_Run0007.h5", "r+") as file:
        file["scan/lxt"][:] = STEPS[truth["step"]]
        file["lightStatus/laser"][:] = truth["laser"]
        for name in ("i0", "diode", "channels", "frame", "whole", "azav"):
            file[f"own/{name}"] = truth[name]
    steps = ce.Axis("scan/lxt", steps="auto", unit="ps", name="delay")
    wanted = {
        "one": ce.CubeSpec(
            cube="one",
            units={"scan/lxt": "s", "own/diode": "V", "own/i0": "mJ"},
            derive={"twice": "2 * own__diode"},
            select={"on": {"laser": "on"}, "off": {"laser": "off"}, "all": []},
            axes=[steps],
            cubes=["on", "off", "all"],
            signals=["own/i0", "own/diode", "own/channels", "own/frame", "own/whole", "own/azav", "twice",
                     ce.Signal("own/frame", name="total", stages=["sum"])],
        ),
        "two": ce.CubeSpec(
            cube="two",
            units={"scan/lxt": "s", "own/whole": ""},
            axes=[steps, ce.Axis("own/whole", edges=[0, 3, 30])],
            signals=["own/i0", "own/diode", "own/frame"],
        ),
    }  # fmt: skip
    for name, spec in wanted.items():
        ce.plan(ce.open_run(folder / "xpptest01_Run0007.h5"), spec).to_zarr(folder / f"{name}.zarr")
    return folder


def ratio(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """Cochran's ratio of means and its error, over what is finite in both."""
    both = np.isfinite(y) & np.isfinite(x)
    y, x = y[both], x[both]
    value = y.sum() / x.sum()
    return value, np.std(y - value * x, ddof=1) / np.sqrt(len(y)) / x.mean()


def masks(truth: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"on": truth["laser"] == 1, "off": truth["laser"] == 0, "all": np.ones(N, bool)}


@pytest.mark.parametrize(("name", "factor"), [("own/diode", 1), ("twice", 2)])
@pytest.mark.parametrize("tiny", [False, True])
def test_ratio_and_error_of_a_scalar_are_those_of_the_events_that_have_both(
    name: str,
    factor: float,
    tiny: bool,
    made: Path,
    truth: Mapping[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if tiny:
        tiny_windows(monkeypatch)
    found = drawable(ce.open_cube(made / "one.zarr"), name, over="own/i0", ratio=RatioOfRun())

    for selection, kept in masks(truth).items():
        for step, kept_there in enumerate(kept & (truth["step"] == step) for step in range(3)):
            value, error = ratio(factor * truth["diode"][kept_there], truth["i0"][kept_there])
            one = {"selection": selection}
            assert float(found.value.sel(one)[step]) == pytest.approx(value, rel=1e-12)
            assert float(found.error.sel(one)[step]) == pytest.approx(error, rel=1e-9)
    both = np.isfinite(truth["diode"]) & np.isfinite(truth["i0"])
    on = masks(truth)["on"]
    assert f"on {(both & on).sum()} of {on.sum()}" in found.notes[0]
    assert "from the run (xpptest01_Run0007.h5)" in found.notes[0]
    # The errors would be some times larger without the covariance.
    there = both & on & (truth["step"] == 0)
    y, x = truth["diode"][there], truth["i0"][there]
    apart = np.hypot(y.std() / y.mean(), x.std() / x.mean()) * y.mean() / x.mean() / np.sqrt(len(y))
    assert float(found.error.sel(selection="on")[0]) < apart / 20 * (2 if name == "twice" else 1)


def test_each_channel_has_its_own_events(made: Path, truth: Mapping[str, Any]) -> None:
    found = drawable(ce.open_cube(made / "one.zarr"), "own/channels", over="own/i0", ratio=RatioOfRun())

    assert found.value.dims == ("selection", "delay", "own__channels_dim0")
    kept = (truth["laser"] == 0) & (truth["step"] == 2)
    for channel in range(2):
        value, error = ratio(truth["channels"][kept, channel], truth["i0"][kept])
        assert float(found.value.sel(selection="off")[2, channel]) == pytest.approx(value, rel=1e-12)
        assert float(found.error.sel(selection="off")[2, channel]) == pytest.approx(error, rel=1e-9)


def test_each_element_of_a_vector_is_divided_over_the_events_that_have_it(
    made: Path, truth: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = ce.open_cube(made / "one.zarr")
    found = drawable(cube, "own/azav", over="own/i0", ratio=RatioOfRun())
    for element in range(20):
        value, error = ratio(truth["azav"][truth["step"] == 1, element], truth["i0"][truth["step"] == 1])
        assert float(found.value.sel(selection="all")[1, element]) == pytest.approx(value, rel=1e-12)
        assert float(found.error.sel(selection="all")[1, element]) == pytest.approx(error, rel=1e-9)

    monkeypatch.setattr("cubeengine.look.cubes.MOST_NBYTES", N * 20 * 8 - 1)
    with pytest.raises(ce.SpecError, match=r"own__azav has 141 KiB in the run, too much for a picture"):
        drawable(cube, "own/azav", over="own/i0", ratio=RatioOfRun())


def test_mean_of_frames_over_two_axes_is_of_the_events_that_have_both(
    made: Path, truth: Mapping[str, Any]
) -> None:
    figure = plot_cube(made / "two.zarr", "own/frame", "own/i0", ratio=RatioOfRun())

    panel = next(axes for axes in figure.axes if axes.collections)
    shown = np.asarray(panel.collections[0].get_array()).reshape(2, 3)  # intensity upwards, steps across
    mean = truth["frame"].mean(axis=(1, 2))
    for high in (0, 1):
        for step in range(3):
            kept = (truth["step"] == step) & ((truth["whole"] >= 3) == high)
            assert shown[high, step] == pytest.approx(ratio(mean[kept], truth["i0"][kept])[0], rel=1e-9)
    assert "from the run" in figure.get_supxlabel()


@pytest.mark.parametrize(
    ("signal", "reason"),
    [("own/frame", "12 elements"), ("total", "made by stages")],
)
def test_what_cannot_be_had_from_the_run_is_refused_with_the_reason(
    signal: str, reason: str, made: Path
) -> None:
    advice = r"select: {both: \[.*cubes: \[both\]"
    with pytest.raises(
        ce.SpecError, match=rf"over different events.*{advice}.*not computed from the run.*{reason}"
    ):
        drawable(ce.open_cube(made / "one.zarr"), signal, over="own/i0", ratio=RatioOfRun())


def test_frames_that_lack_nowhere_are_divided_without_errors_and_say_why(made: Path) -> None:
    found = drawable(same_events(made), "own/frame", over="own/whole", ratio=RatioOfRun())

    assert np.isnan(found.error).all()
    assert found.notes[0].startswith("ratio of the sums in the cube: own__frame has 12 elements")


def same_events(made: Path) -> xr.Dataset:
    """The cube as if frames lacked nowhere."""
    cube = ce.open_cube(made / "one.zarr")
    return cube.assign(own__frame_count=xr.ones_like(cube["own__frame_count"]) * cube["n_events"])


def touched(cube: xr.Dataset, made: Path) -> xr.Dataset:
    os.utime(made / "xpptest01_Run0007.h5", ns=(0, 0))
    return cube


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (touched, "has changed since the cube was made"),
        (lambda cube, _: cube.assign_attrs(inputs=[]), "names no input files"),
        (lambda cube, _: cube.assign_attrs(merged_from=[{"path": "a.zarr"}]), "was made of other cubes"),
        (lambda cube, _: cube.assign_attrs(partial_run="every 2nd event"), "is of part of the run"),
        (lambda cube, _: cube.assign_attrs(
            inputs=[{"path": "/nowhere/run.h5", "size": 1, "mtime_ns": 1}]), "run.h5 is not there"),
        (lambda cube, _: cube.assign(n_events=cube["n_events"] + 1), "are not those of the cube"),
        (lambda cube, _: cube.assign(delay_bnds=cube["delay_bnds"] + 1e-3), "are not those of the cube"),
        (lambda cube, _: cube.isel(delay=[2, 1, 0]), "are not those of the cube"),
        (lambda cube, _: cube.sel(selection=["off", "on", "all"]), "are not those of the cube"),
    ],
)  # fmt: skip
def test_a_run_that_is_not_the_cubes_any_more_is_not_asked(changed: Any, reason: str, made: Path) -> None:
    path = made / "xpptest01_Run0007.h5"
    before = path.stat()
    try:
        cube = changed(ce.open_cube(made / "one.zarr"), made)
        with pytest.raises(ce.SpecError, match=reason):
            drawable(cube, "own/diode", over="own/i0", ratio=RatioOfRun())
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, tuple[str, Callable[[ce.Run], ce.Run]]] = {
    "marks of the signal": ("own__whole", lambda run: run.with_missing({"own/whole": 5})),
    "marks of the intensity": ("own__i0", lambda run: run.with_missing({"own/i0": -7})),
    "values": ("own__whole", lambda run: with_values(run, run["own/whole"].read().to_numpy() * 1.0001)),
}


def with_values(run: ce.Run, values: np.ndarray) -> ce.Run:
    return run.with_values({"own/whole": Column(values)}, {"own/whole": "other"})


@pytest.mark.parametrize("change", CHANGES)
def test_the_files_are_not_taken_for_a_run_that_was_changed_in_python(tmp_path: Path, change: str) -> None:
    rng = np.random.default_rng(4)
    i0, whole = rng.gamma(9.0, 1.0, 60), rng.gamma(9.0, 2.0, 60)
    i0[::7], whole[::5] = -7, 5
    write_lcls1(tmp_path / "xpptest01_Run0009.h5", n_events=60, frame=(2, 2))
    with h5py.File(tmp_path / "xpptest01_Run0009.h5", "r+") as file:
        file["own/i0"], file["own/whole"] = i0, whole
    run = ce.open_run(tmp_path / "xpptest01_Run0009.h5")
    spec = ce.CubeSpec(cube="a", signals=["own/i0", "own/whole"])
    blamed, changed = CHANGES[change]

    same = drawable(ce.plan(run, spec).compute(), "own/whole", over="own/i0", ratio=RatioOfRun())
    assert float(same.error.squeeze()) == pytest.approx(ratio(whole, i0)[1], rel=1e-9)
    cube = ce.plan(changed(run), spec).compute()
    reason = f"the run gives other numbers of {blamed} than the cube"
    if change == "values":  # all events are there, so the cube's sums are of the same ones
        found = drawable(cube, "own/whole", over="own/i0", ratio=RatioOfRun())
        assert reason in found.notes[0]
        assert float(found.value.squeeze()) == pytest.approx(1.0001 * whole.sum() / i0.sum(), rel=1e-12)
        assert np.isnan(found.error).all()
    else:
        with pytest.raises(ce.SpecError, match=reason):
            drawable(cube, "own/whole", over="own/i0", ratio=RatioOfRun())


def test_some_channels_of_a_signal_are_not_taken_for_all(made: Path) -> None:
    cube = ce.open_cube(made / "one.zarr").isel(own__channels_dim0=[1])
    with pytest.raises(ce.SpecError, match="the elements of own__channels in the cube are not those"):
        drawable(cube, "own/channels", over="own/i0", ratio=RatioOfRun())


def test_the_run_is_binned_once_for_all_ratios(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cubeengine.look import cubes

    binned = []
    monkeypatch.setattr(cubes, "bind", lambda *given, bind=cubes.bind: binned.append(1) or bind(*given))
    cube, from_run = ce.open_cube(made / "one.zarr"), RatioOfRun()
    for signal in ("own/diode", "own/whole"):
        drawable(cube, signal, over="own/i0", ratio=from_run)
    assert binned == [1]


def test_the_command_shows_and_says_where_the_ratio_is_from(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    shown = ("show", made / "one.zarr", "--plot", tmp_path / "a.png", "--signal", "own/diode")
    assert run_command([*map(str, shown), "--over", "own/i0", "--difference", "on,off"]) == 0
    said = " ".join(capfd.readouterr().out.split())

    assert "from the run (xpptest01_Run0007.h5), over the events that have both: on" in said
    assert "errors of the ratio include how" in said


def test_a_difference_of_such_ratios_has_the_errors_of_both(made: Path, truth: Mapping[str, Any]) -> None:
    cube = ce.open_cube(made / "one.zarr")
    found = drawable(cube, "own/diode", over="own/i0", difference="on,off", ratio=RatioOfRun())

    there = [truth["step"] == 1, *masks(truth).values()]
    on, off = (ratio(truth["diode"][there[0] & kept], truth["i0"][there[0] & kept]) for kept in there[1:3])
    assert float(found.value[1]) == pytest.approx(on[0] - off[0], rel=1e-9)
    assert float(found.error[1]) == pytest.approx(np.hypot(on[1], off[1]), rel=1e-9)
