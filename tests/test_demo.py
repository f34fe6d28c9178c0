from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from cubeengine import CubeSpec, SpecError, open_run, plan
from cubeengine.cli.app import run_command
from cubeengine.demo import Comparison, compare, write_run, write_spec
from cubeengine.demo.physics import DECAY_PS, RESOLUTION_PS, response

DATA = "xppdemo20_Run0012.h5"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_run(folder / DATA, n_events=4000)
    write_spec(folder)
    return folder


@pytest.fixture(scope="module")
def cube(home: Path) -> xr.Dataset:
    return plan(open_run(home / DATA), CubeSpec.load(home / "delay.yaml")).compute()


def test_response_is_the_blurred_decay() -> None:
    steps = np.linspace(-8, 8, 16_001) * RESOLUTION_PS
    kernel = np.exp(-0.5 * (steps / RESOLUTION_PS) ** 2)
    for delay in (-1.0, -0.2, 0.0, 0.3, 2.0):
        before = delay - steps
        decay = np.where(before >= 0, np.exp(-np.abs(before) / DECAY_PS), 0.0)
        wanted = (decay * kernel).sum() / kernel.sum()
        assert response(np.array([delay]))[0] == pytest.approx(wanted, abs=1e-3)


def test_response_is_finite_far_from_time_zero() -> None:
    assert np.isfinite(response(np.array([-50.0, 50.0]))).all()


def test_same_seed_writes_the_same_run(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_run(tmp_path / name, n_events=600, seed=3)

    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        for name in ("ipm2/sum", "tt/ttCorr", "diode2/channels", "jungfrau/ROI_0_area"):
            np.testing.assert_array_equal(a[name][:], b[name][:])


def test_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("cubeengine.demo.writer._write_frames", full)
    with pytest.raises(OSError, match="no space left"):
        write_run(tmp_path / DATA, n_events=600)
    assert list(tmp_path.iterdir()) == []


def test_cube_comes_within_chance_of_the_truth(home: Path, cube: xr.Dataset) -> None:
    found = compare(cube, home / DATA)

    assert found.good
    assert [curve.same_counts for curve in found.curves] == [True, True]
    assert found.frame_difference < 1e-14
    assert abs(found.amplitude - 0.15) < 4 * found.amplitude_error < 0.02


def test_wrong_cube_is_seen(home: Path, cube: xr.Dataset) -> None:
    shifted = cube.assign(diode_ratio_mean=cube["diode_ratio_mean"].roll(delay=1))
    lost = cube.assign(n_events=cube["n_events"] - 1)

    assert not compare(shifted, home / DATA).good
    assert not compare(lost, home / DATA).good


def test_comparison_without_deviation_is_good() -> None:
    same = Comparison(
        curves=(), amplitude=0.15, amplitude_error=0.001, true_amplitude=0.15, frame_difference=0
    )

    assert same.good
    assert not replace(same, amplitude=0.2).good
    assert not replace(same, frame_difference=math.nan).good


def test_demo_ends_with_a_cube_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run_command(["demo", "--events", "3000"]) == 0

    home = tmp_path / "cubeengine-demo"
    names = {path.name for path in home.iterdir()}
    assert names == {DATA, "delay.yaml", "xppdemo20_r0012_delay.zarr", "delay.png"}
    assert (home / "delay.png").read_bytes().startswith(b"\x89PNG")
    out = capfd.readouterr().out
    for part in (
        "no errors",
        "because",
        "measured peak memory",
        "as plain numpy counts them",
        "put in 0.1500",
    ):
        assert part in out
    assert run_command(["demo", "--events", "3000"]) == 0


def test_commands_that_the_demo_names_work(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["demo", "small", "--events", "1500"]) == 0
    _, _, named = capfd.readouterr().out.partition("try next:\n")

    lines = [line.split() for line in named.splitlines() if line.strip()]
    assert len(lines) == 5
    for program, *arguments in lines:
        assert program == "cubeengine"
        assert run_command(arguments) == 0


def test_spec_that_was_edited_is_not_overwritten(tmp_path: Path) -> None:
    path = write_spec(tmp_path)
    path.write_text(path.read_text() + "# mine\n")

    with pytest.raises(SpecError, match="differs from the demo's"):
        write_spec(tmp_path)
    assert path.read_text().endswith("# mine\n")
