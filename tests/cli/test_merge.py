from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.store.read import cube_facts
from tests.cli.conftest import Call
from tests.makers.smalldata import write_lcls1


@pytest.fixture
def cubes(call: Call, folder: Path) -> tuple[str, str]:
    """Cubes of two runs, made by the command line."""
    write_lcls1(folder / "xpptest01_Run0008.h5", n_events=300)
    for run in (7, 8):
        assert call("run", "delay.yaml", "-r", run, "-o", f"r{run}.zarr").code == 0
    return "r7.zarr", "r8.zarr"


def test_merged_runs_hold_the_events_of_both(call: Call, cubes: tuple[str, str]) -> None:
    outcome = call("merge", *cubes, "-o", "both.zarr")

    assert outcome.code == 0, outcome.err
    assert "wrote both.zarr" in outcome.out
    first, second, both = (ce.open_cube(name) for name in (*cubes, "both.zarr"))
    np.testing.assert_array_equal(both["n_events"], first["n_events"] + second["n_events"])
    assert both.attrs["n_events_total"] == 720
    assert both.attrs["run"] == "xpptest01:7, xpptest01:8"
    sums = [cube["roi_mean"].fillna(0) * cube["roi_count"] for cube in (first, second, both)]
    np.testing.assert_allclose(sums[2], sums[0] + sums[1], rtol=1e-12)


@pytest.mark.slow
def test_merged_cube_is_shown_and_merged_again(call: Call, cubes: tuple[str, str], folder: Path) -> None:
    write_lcls1(folder / "xpptest01_Run0009.h5", n_events=200)
    assert call("run", "delay.yaml", "-r", 9, "-o", "r9.zarr").code == 0
    assert call("merge", *cubes, "-o", "both.zarr").code == 0
    assert call("merge", "both.zarr", "r9.zarr", "-o", "all.zarr").code == 0
    shown = call("show", "all.zarr")
    drawn = call("show", "all.zarr", "--plot", "all.png", "--signal", "roi", "--difference", "on,off")

    assert (shown.code, drawn.code) == (0, 0), shown.err + drawn.err
    assert "920" in shown.out
    assert len(cube_facts(ce.open_cube("all.zarr"))["merged_from"]) == 3


def test_stacked_runs_are_shown(call: Call, cubes: tuple[str, str]) -> None:
    assert call("merge", *cubes, "-o", "runs.zarr", "--along", "run").code == 0
    shown = call("show", "runs.zarr")

    assert shown.code == 0, shown.err
    assert ce.open_cube("runs.zarr")["run"].values.tolist() == [7, 8]


def test_signal_that_a_run_lacks_is_told(call: Call, cubes: tuple[str, str]) -> None:
    assert call("run", "delay.yaml", "--set", "signals=[ipm2/sum]", "-o", "few.zarr").code == 0
    outcome = call("merge", "few.zarr", cubes[1], "-o", "both.zarr")

    assert outcome.code == 0
    assert "signal 'roi' is not in few.zarr" in outcome.err
    assert call("merge", "few.zarr", cubes[1], "-o", "c.zarr", "--require-all").code == 2
    assert call("merge", "few.zarr", cubes[1], "-o", "c.zarr", "--skip", "roi", "--require-all").code == 0


def test_other_edges_are_refused_with_what_to_do(call: Call, cubes: tuple[str, str]) -> None:
    assert call("run", "delay.yaml", "--set", "axes.0.centers.step=0.25", "-o", "fine.zarr").code == 0
    outcome = call("merge", "fine.zarr", cubes[1], "-o", "both.zarr")

    assert outcome.code == 2
    assert "axis 'delay': has 21 bins, but 41 in fine.zarr" in outcome.err
    assert "cubeengine rebin" in outcome.err
    assert not Path("both.zarr").exists()


def test_same_run_and_quick_tries_need_to_be_allowed(call: Call, cubes: tuple[str, str]) -> None:
    assert call("merge", cubes[0], cubes[0], "-o", "twice.zarr").code == 2
    assert call("run", "delay.yaml", "-r", 8, "--events", 50, "-o", "try.zarr").code == 0
    refused = call("merge", cubes[0], "try.zarr", "-o", "both.zarr")

    assert refused.code == 2
    assert "--allow partial" in refused.err
    assert call("merge", cubes[0], "try.zarr", "-o", "both.zarr", "--allow", "partial").code == 0
    assert "part of the run only" in call("show", "both.zarr").out


@pytest.mark.parametrize(
    "arguments",
    [["-o", "c.zarr"], ["r7.zarr", "r8.zarr"], ["no.zarr", "-o", "c.zarr"], ["r7.zarr", "--runs", "x"]],
)
def test_wrong_arguments_end_with_2(call: Call, cubes: tuple[str, str], arguments: list[str]) -> None:
    assert call("merge", *arguments).code == 2
    assert call("merge", *cubes, "-o", "c.zarr", "--runs", "7;8", "--along", "run").code == 2


def test_output_is_replaced_only_with_overwrite(call: Call, cubes: tuple[str, str]) -> None:
    assert call("merge", *cubes, "-o", "both.zarr").code == 0
    assert call("merge", *cubes, "-o", "both.zarr").code == 2
    assert call("merge", *cubes, "-o", "both.zarr", "--overwrite").code == 0
