from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from cubeengine import CubeSpec, SpecError, open_run, plan
from cubeengine.cli.app import run_command
from cubeengine.demo import DATA_NAME, RAW_FOLDER, Comparison, compare, write_run, write_spec
from cubeengine.demo.camera import Camera
from cubeengine.demo.physics import DECAY_PS, FRAME, RESOLUTION_PS, response
from cubeengine.demo.shots import Shots
from cubeengine.events.run import Run

N_EVENTS = 3000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_run(folder, n_events=N_EVENTS)
    write_spec(folder)
    return folder


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    return open_run(home / DATA_NAME, xtc=home / RAW_FOLDER)


@pytest.fixture(scope="module")
def cube(home: Path, run: Run) -> xr.Dataset:
    return plan(run, CubeSpec.load(home / "delay.yaml")).compute()


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


@pytest.mark.slow
def test_same_seed_writes_the_same_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_run(tmp_path / name, n_events=600, seed=3)

    raw = sorted((tmp_path / "a").rglob("*.xtc2"))
    assert len(raw) == 9  # four streams, one of them in two chunks, and their small data
    for path in raw:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    with h5py.File(tmp_path / "a" / DATA_NAME) as a, h5py.File(tmp_path / "b" / DATA_NAME) as b:
        for name in ("ipm2/sum", "tt/ttCorr", "diode2/channels", "jungfrau/ROI_0_area"):
            np.testing.assert_array_equal(a[name][:], b[name][:])


def test_failed_write_leaves_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("cubeengine.demo.writer._write_settings", full)
    with pytest.raises(OSError, match="no space left"):
        write_run(tmp_path, n_events=600)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"jungfrau.h5", "epix.h5"}  # constants


def test_camera_gives_back_the_energy_that_it_saw() -> None:
    camera = Camera(5)
    photons = np.linspace(-2, 120, FRAME[0] * FRAME[1], dtype=np.float32).reshape(1, *FRAME)

    raw = camera.digitize(photons)
    energy = camera.calibrate(raw)[0].reshape(FRAME)

    assert set(np.unique(raw >> 14)) == {0, 1}
    bad = camera.bad.reshape(FRAME)
    assert np.isnan(energy[bad]).all()
    step = np.where((raw >> 14)[0].reshape(FRAME) == 1, 1 / 1.2, 1 / 30)  # keV per ADU, at most
    assert (np.abs(energy - photons[0] * 9.5) <= step)[~bad].all()


def test_raw_data_and_smalldata_tell_of_the_same_shots(run: Run) -> None:
    raw = run.column("timing/raw/sequenceValues").data
    for code in (90, 91, 137, 162):
        bits = raw[:, code // 16] >> (code % 16) & 1
        np.testing.assert_array_equal(bits, run.column(f"evr/code_{code}").data)
    for name, other in (("xtc:scan/lxt", "scan/lxt"), ("ipm2/raw/sum", "ipm2/sum")):
        np.testing.assert_array_equal(run.column(name).data, run.column(other).data)


def test_frames_that_did_not_arrive_are_known(run: Run) -> None:
    shots = Shots(N_EVENTS, 20)
    frames = run.column("jungfrau/raw/raw")
    there, damaged = shots.panels

    assert frames.valid is not None
    assert frames.damaged is not None
    np.testing.assert_array_equal(frames.valid, shots.whole)
    np.testing.assert_array_equal(frames.damaged, damaged.any(axis=1) & there.all(axis=1))
    block = next(block for step, block in shots.blocks() if step == 12)
    wanted = shots.camera.digitize(shots.photons(block))
    whole = shots.whole[block]
    np.testing.assert_array_equal(frames.data[block][whole], wanted[whole])


def test_cube_comes_within_chance_of_the_truth(home: Path, cube: xr.Dataset) -> None:
    found = compare(cube, home / DATA_NAME)

    assert found.good
    assert [curve.same_counts for curve in found.curves] == [True, True]
    assert found.frame_difference < 1e-6
    assert abs(found.frame_chi2 - 1) < 0.1
    assert abs(found.amplitude - 0.15) < 4 * found.amplitude_error < 0.025


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cube: cube.assign(diode_ratio_mean=cube["diode_ratio_mean"].roll(delay=1)),
        lambda cube: cube.assign(n_events=cube["n_events"] - 1),
        lambda cube: cube.assign(frame_count=cube["frame_count"] + 1),
        lambda cube: cube.assign(line_count=cube["line_count"] * 0),
        lambda cube: cube.assign(frame_mean=cube["frame_mean"].roll(delay=1)),
        lambda cube: cube.assign(frame_mean=cube["frame_mean"].fillna(0.0)),
    ],
    ids=["ratio", "events", "frames", "lines", "frame", "bad-pixels"],
)
def test_wrong_cube_is_seen(home: Path, cube: xr.Dataset, spoil: Callable[[xr.Dataset], xr.Dataset]) -> None:
    assert not compare(spoil(cube), home / DATA_NAME).good


def test_comparison_without_deviation_is_good() -> None:
    same = Comparison(
        curves=(),
        amplitude=0.15,
        amplitude_error=0.001,
        true_amplitude=0.15,
        frame_difference=0,
        frame_chi2=1.0,
    )

    assert same.good
    assert not replace(same, amplitude=0.2).good
    assert not replace(same, frame_difference=math.nan).good
    assert not replace(same, frame_chi2=math.nan).good


@pytest.mark.slow
def test_demo_ends_with_a_cube_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run_command(["demo", "--events", "3000"]) == 0

    home = tmp_path / "cubeengine-demo"
    names = {path.name for path in home.iterdir()}
    made = {DATA_NAME, RAW_FOLDER, "constants", "dark", "delay.yaml", "delay.png"}
    made |= {"xppdemo20_r0012_delay.zarr"}
    assert names == made
    assert (home / "delay.png").read_bytes().startswith(b"\x89PNG")
    out = capfd.readouterr().out
    for part in (
        "4 streams in 5 files",
        "three gain modes, 3 streams in 3 files",
        "no errors",
        "because",
        "measured peak memory",
        "the same as counted with plain numpy",
        "put in 0.1500",
        "against the photons put in: chi2",
    ):
        assert part in out
    assert run_command(["demo", "--events", "3000"]) == 0


@pytest.mark.slow
def test_commands_that_the_demo_names_work(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["demo", "small", "--events", "1500"]) == 0
    _, _, named = capfd.readouterr().out.partition("try next:\n")

    lines = [line.split() for line in named.splitlines() if line.strip()]
    assert len(lines) == 6
    for program, *arguments in lines:
        assert program == "cubeengine"
        assert run_command(arguments) == 0


@pytest.mark.parametrize("name", ["constants/jungfrau.h5", "xppdemo20_Run0012.h5", "delay.png"])
def test_files_of_somebody_else_are_not_overwritten(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(b"theirs")

    assert run_command(["demo", str(tmp_path)]) == 2
    assert theirs.read_bytes() == b"theirs"
    assert not (tmp_path / "delay.yaml").exists()


def test_spec_that_was_edited_is_not_overwritten(tmp_path: Path) -> None:
    path = write_spec(tmp_path)
    path.write_text(path.read_text() + "# mine\n")

    with pytest.raises(SpecError, match="differs from the demo's"):
        write_spec(tmp_path)
    assert path.read_text().endswith("# mine\n")
