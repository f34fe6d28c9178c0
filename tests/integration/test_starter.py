"""The starter spec of every smallData test file, unmodified, through check, plan and run; and the result."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine import api
from cubeengine.cli.app import run_command
from cubeengine.spec.derived import Derived
from cubeengine.spec.model import CubeSpec, Signal
from cubeengine.spec.starter import starter
from cubeengine.store.read import cube_facts, open_cube, sem
from tests.quick import first_quick

pytestmark = pytest.mark.realdata

FILES = (
    "smalldata_lcls1/xpptest01_Run0012.h5",
    "smalldata_lcls1/xpptest01_Run0013.h5",
    "smalldata_lcls2/serial_21.h5",
    "smalldata_lcls2/mpi_22.h5",
    "smalldata_lcls2/real_mixed_rate.h5",
    "smalldata_lcls2/real_intg_det.h5",
)
N_BINS = {  # on every axis
    "xpptest01_Run0012": {"delay": 21},
    "xpptest01_Run0013": {"delay": 21},
    "serial_21": {"scan__motor1": 6},
    "mpi_22": {"scan__motor1": 6},
    "real_mixed_rate": {},
    "real_intg_det": {},
}
RUNS = (12, 13)
_erfc = np.frompyfunc(math.erfc, 1, 1)


@pytest.mark.parametrize("file", first_quick(FILES))
def test_starter_runs_unmodified(shared_data, tmp_path, capfd, file):
    spec, out = tmp_path / "cube.yaml", tmp_path / "cube.zarr"
    assert run_command(["new", str(shared_data / file)]) == 0
    spec.write_text(capfd.readouterr().out)
    assert run_command(["check", str(spec)]) == 0
    assert "error" not in capfd.readouterr().err
    assert run_command(["plan", "--json", str(spec)]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert run_command(["run", str(spec), "-o", str(out), "--workers", "2"]) == 0
    cube = open_cube(out)
    bins = N_BINS[Path(file).stem]
    assert {dim: cube.sizes[dim] for dim in bins} == bins
    assert cube.n_events.dims == ("selection", *bins)
    np.testing.assert_array_equal(cube.n_events.values.reshape(len(cube.selection), -1), plan["n_events"])
    for fates in cube_facts(cube)["fates"].values():
        assert sum(fates.values()) == plan["events"]["run"] == cube.attrs["n_events_total"]
    assert cube_facts(cube)["fates"] == plan["fates"]


@pytest.fixture(scope="module")
def delay_cubes(shared_data: Path) -> dict[int, xr.Dataset]:
    """The starters of both delay scans, with the diode over i0 of every event as one more signal."""
    cubes = {}
    for number in RUNS:
        run = api.open_run(shared_data / "smalldata_lcls1" / f"xpptest01_Run{number:04d}.h5")
        spec = CubeSpec.loads(starter(run))
        ratio = Derived(expression="`diode2/channels`[3] / `ipm2/sum`")
        spec = spec.model_copy(
            update={
                "derive": {**spec.derive, "response": ratio},
                "signals": (*spec.signals, Signal(field="response")),
            }
        )
        cubes[number] = api.plan(run, spec).compute(workers=2)
    return cubes


def response(delay: np.ndarray, truth: dict[str, float]) -> np.ndarray:
    """Convolve a step that decays (tau) with a normal distribution (sigma), in closed form."""
    tau, sigma = truth["tau_ps"], truth["sigma_ps"]
    rise = _erfc((sigma / tau - delay / sigma) / math.sqrt(2)).astype(np.float64)
    return 0.5 * np.exp(sigma**2 / (2 * tau**2) - delay / tau) * rise


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("selection", ["on", "off"])
def test_diode_follows_the_truth(shared_data, delay_cubes, run, selection):
    cube = delay_cubes[run].sel(selection=selection)
    text = (shared_data / "smalldata_lcls1" / f"xpptest01_Run{run:04d}.truth.json").read_text()
    truth = json.loads(text)
    laser = 1.0 if selection == "on" else 0.0
    # Where the events of a bin really are: the response is far from straight at time zero, so it is
    # averaged over a normal distribution of their measured mean and spread.
    spread = np.linspace(-3, 3, 61)
    weight = np.exp(-0.5 * spread**2) / np.exp(-0.5 * spread**2).sum()
    delays = cube.delay_mean.values[:, None] + cube.delay_std.values[:, None] * spread
    expected = 1 + truth["amp"] * laser * (response(delays, truth) @ weight)
    error = sem(delay_cubes[run], "response").sel(selection=selection).values
    assert (np.abs(cube.response_mean.values - expected) < 4 * error).all()
    ratio_of_means = cube.diode2__channels_mean[:, 3] / cube.ipm2__sum_mean
    assert (np.abs(ratio_of_means.values - expected) < 4 * error).all()


@pytest.mark.parametrize("run", RUNS)
def test_pumped_diode_rises_at_time_zero_and_unpumped_does_not(delay_cubes, run):
    cube = delay_cubes[run].sel(delay=slice(-2, 0.6))
    rise = (cube.response_mean.sel(delay=0.5) - cube.response_mean.sel(delay=-1.0)).values
    assert rise[0] > 0.2
    assert abs(rise[1]) < 0.02


def test_off_counts_are_level_over_the_stepped_scan(delay_cubes):
    # Without the laser-off rule the jitter of the time tool would move these events between bins.
    off = delay_cubes[12].n_events.sel(selection="off").values
    assert off.min() >= 7
    assert off.max() <= 9
    np.testing.assert_allclose(
        delay_cubes[12].delay_mean.sel(selection="off"), np.arange(-2, 8.1, 0.5), atol=1e-12
    )
    assert (delay_cubes[12].delay_std.sel(selection="off") < 1e-12).all()


@pytest.mark.parametrize("run", RUNS)
def test_delay_counts_add_up_to_the_events_of_the_run(shared_data, delay_cubes, run):
    text = (shared_data / "smalldata_lcls1" / f"xpptest01_Run{run:04d}.truth.json").read_text()
    truth = json.loads(text)
    counts = dict(cube_facts(delay_cubes[run])["delays"]["delay"])
    assert counts.pop("laser") == "lightStatus/laser"
    assert sum(counts.values()) == truth["n_events"]
    laser = api.open_run(shared_data / "smalldata_lcls1" / truth["file"]).column("lightStatus/laser").data
    assert counts["laser_off"] == np.count_nonzero(laser == 0)  # -1 where the event receiver was damaged
    assert counts["unknown"] == truth["n_evr_damaged"]


def test_starter_of_one_run_makes_the_cube_of_another(shared_data, tmp_path, capfd):
    # The file name in it is a template. Run 12 has the encoder that run 13 is binned in, standing still.
    folder = shared_data / "smalldata_lcls1"
    assert run_command(["new", str(folder / "xpptest01_Run0013.h5")]) == 0
    spec, out = tmp_path / "cube.yaml", tmp_path / "cube.zarr"
    spec.write_text(capfd.readouterr().out)
    assert run_command(["run", str(spec), "-r", "12", "-o", str(out), "--every", "10"]) == 0
    attrs = cube_facts(open_cube(out))
    assert [Path(file["path"]).name for file in attrs["inputs"]] == ["xpptest01_Run0012.h5"]
    assert attrs["n_events_total"] == 105
    assert attrs["partial_run"] == "every 10th event"
