"""Stacked runs are shown by their numbers, and a merged cube keeps the names of its runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.plots import plot_cube
from cubeengine.plots.values import run_words
from cubeengine.report.page import report_html
from tests.combine.cubes import Events, dataset_of, split
from tests.quick import first_quick
from tests.store.handmade import save

pytestmark = pytest.mark.slow

EVENTS = Events.random(300, seed=4)


def stacked(folder: Path, runs: list[int], *, one_bin: bool = False) -> xr.Dataset:
    """A stack of cubes over x, or without any axis."""
    paths = []
    for run, part in zip(runs, split(EVENTS, len(runs)), strict=True):
        cube = dataset_of(part, run=run, y_edges=None)
        cube = cube.isel(x=2, drop=True).drop_vars("x_bnds") if one_bin else cube
        paths.append(save(cube, folder / f"{run}.zarr"))
    ce.merge_cubes(paths, folder / "stack.zarr", along="run")
    return ce.open_cube(folder / "stack.zarr")


def ticks(axis) -> list[str]:
    axis.figure.canvas.draw()
    low, high = axis.get_view_interval()
    return [
        label.get_text()
        for at, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        if min(low, high) <= at <= max(low, high)
    ]


@pytest.mark.parametrize("runs", [[12, 20], [20, 12, 13], [12, 13, 14]])
def test_maps_have_run_numbers_at_their_axis(tmp_path: Path, runs: list[int]) -> None:
    stack = stacked(tmp_path, runs)
    stack["x_mean"][...] = np.arange(len(runs))[:, None]  # the value tells the run
    panel = plot_cube(stack, "x").axes[0]
    assert ticks(panel.xaxis) == [str(run) for run in runs]
    (mesh,) = panel.collections
    np.testing.assert_array_equal(mesh.get_array()[0], np.arange(len(runs)))
    middles = (mesh.get_coordinates()[0, 1:, 0] + mesh.get_coordinates()[0, :-1, 0]) / 2
    np.testing.assert_allclose(middles, [at for at in panel.get_xticks() if at in middles])


@pytest.mark.parametrize("runs", [[12, 13], [12, 20]])
def test_curves_over_runs_have_whole_numbers_at_their_axis(tmp_path: Path, runs: list[int]) -> None:
    panel = plot_cube(stacked(tmp_path, runs, one_bin=True), "x").axes[0]
    assert panel.lines[0].get_xdata().tolist() == runs
    shown = ticks(panel.xaxis)
    assert str(runs[0]) in shown
    assert all(text.isdecimal() for text in shown)


def test_frames_are_titled_by_their_run(tmp_path: Path) -> None:
    figure = plot_cube(stacked(tmp_path, [120045, 120046], one_bin=True), "frame")
    assert [panel.get_title() for panel in figure.axes[:2]] == ["run 120045", "run 120046"]


@pytest.mark.parametrize("along", first_quick(["run", None]))
def test_experiment_and_runs_stay_in_titles_show_and_report(tmp_path: Path, along: str | None) -> None:
    paths = [
        save(dataset_of(part, run=run, y_edges=None), tmp_path / f"{run}.zarr")
        for run, part in zip((12, 20, 21, 22), split(EVENTS, 4), strict=True)
    ]
    ce.merge_cubes(paths, tmp_path / "all.zarr", along=along)
    cube = ce.open_cube(tmp_path / "all.zarr")
    name = "xpptest01 runs 12, 20-22"
    assert run_words(cube) == name
    assert plot_cube(cube, "x").get_suptitle().replace("\n", " ").startswith(f"{name}: ")
    assert ce.describe_cube(cube).startswith(f"cube 'delay' of {name} (4 cubes): ")
    assert f"{name}, 300 events, " in report_html(cube, "all.zarr")
    ce.rebin_cube(tmp_path / "all.zarr", tmp_path / "less.zarr", by={"x": 2})
    assert run_words(ce.open_cube(tmp_path / "less.zarr")) == name


def test_show_and_report_say_from_which_run_to_which(tmp_path: Path) -> None:
    stack = stacked(tmp_path, [12, 20])
    line = next(line for line in ce.describe_cube(stack).splitlines() if line.startswith("  run "))
    assert line.split() == ["run", "2", "12", "20"]
    assert "<td>run</td><td></td>" in report_html(stack, "stack.zarr").replace(' class="number"', "")


def test_runs_that_were_named_by_hand_are_told(tmp_path: Path) -> None:
    paths = []
    for number, part in enumerate(split(EVENTS, 2)):
        cube = dataset_of(part, y_edges=None)
        cube.attrs |= {"run": "", "inputs": [], "spec": {"cube": "delay"}}
        paths.append(save(cube, tmp_path / f"{number}.zarr"))
    ce.merge_cubes(paths, tmp_path / "stack.zarr", along="run", runs=[7, 9])
    assert run_words(ce.open_cube(tmp_path / "stack.zarr")) == "runs 7, 9"


def test_runs_of_several_experiments() -> None:
    cube = xr.Dataset(attrs={"merged_from": [{"run": "xppa1:3"}, {"run": "xppb2:3"}, {"run": "xppa1:4"}]})
    assert run_words(cube) == "xppa1 runs 3, 4, xppb2 run 3"
    assert run_words(xr.Dataset(attrs={"run": "xppa1:3"})) == "xppa1 run 3"
    assert run_words(xr.Dataset(attrs={"spec": {"run": {"experiment": "xppa1", "run": 5}}})) == "xppa1 run 5"
    assert run_words(xr.Dataset()) == ""
