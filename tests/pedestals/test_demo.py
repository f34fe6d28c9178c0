"""The dark run of the demonstration: what was put in comes out, and goes into calibrated frames."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import cubeengine as ce
from cubeengine.demo import write_dark_run, write_run
from cubeengine.demo.dark import EVENTS_PER_MODE, DarkShots
from cubeengine.detectors.constants import open_constants
from cubeengine.pedestals import NotDark, Pedestal, pedestal
from tests.pedestals.makers import pulls

SEED = 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_run(folder, n_events=500, seed=SEED)
    write_dark_run(folder / "dark", seed=SEED)
    return folder


@pytest.fixture(scope="module")
def shots() -> DarkShots:
    return DarkShots(SEED)


@pytest.fixture(scope="module")
def found(home: Path) -> Pedestal:
    return pedestal(ce.open_run(home / "dark"), "jungfrau", merge=home / "constants" / "jungfrau.h5")


@pytest.fixture(scope="module")
def made(home: Path, found: Pedestal) -> Path:
    return found.save(home / "constants" / "dark.h5")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_known_pedestal_and_noise_are_recovered_within_their_standard_errors(
    found: Pedestal, shots: DarkShots, number: int
) -> None:
    good = ~shots.camera.bad
    used, noise = found.used[number].clip(2), np.sqrt(shots.noise[number] ** 2 + 1 / 12)
    mean_pulls = pulls(found.pedestals[number], shots.camera.pedestals[number], noise / np.sqrt(used), good)
    noise_pulls = pulls(found.noise[number], noise, noise / np.sqrt(2 * (used - 1)), good)

    for deviations in (mean_pulls, noise_pulls):
        assert abs(deviations.mean()) < 5 / np.sqrt(deviations.size)  # no bias that 3,063 pixels could show
        assert 0.93 < deviations.std() < 1.07
        assert np.abs(deviations).max() < 6


def test_every_value_is_used_or_rejected(found: Pedestal, shots: DarkShots) -> None:
    good = ~shots.camera.bad
    both = found.used + found.rejected

    assert (both[:, good] == EVENTS_PER_MODE).all()
    assert found.rejected[0, good].sum() > 0  # cosmic rays
    assert (found.rejected[1:, good] == 0).all()


def test_bad_pixels_are_marked_and_no_others(found: Pedestal, shots: DarkShots) -> None:
    np.testing.assert_array_equal(found.bad, shots.camera.bad | shots.noisy)
    for number in range(3):
        assert (found.status[number][shots.noisy] == 1).all()  # noise above its limit, in every range
    assert (found.status[0][shots.camera.bad] == 2 + 16).all()  # no noise, at the converter's end
    assert (found.status[1:][:, shots.camera.bad] == 64).all()  # in g0 whatever the mode
    assert np.isnan(found.pedestals[1:][:, shots.camera.bad]).all()


def test_light_run_is_refused_for_its_xrays(home: Path) -> None:
    with pytest.raises(NotDark, match=r"X-rays .*137.*wanted none\n.*--select \"not \(eventcode"):
        pedestal(ce.open_run(home / "xtc"), "jungfrau")


def test_light_run_is_refused_for_its_frames_too(home: Path) -> None:
    with pytest.raises(NotDark) as caught:
        pedestal(ce.open_run(home / "xtc"), "jungfrau", accept=["xray"])

    assert {finding.check for finding in caught.value.findings} >= {"noise", "skew", "sums"}
    assert "--accept noise" in str(caught.value)


def test_made_file_calibrates_frames_close_to_the_truth(home: Path, made: Path, shots: DarkShots) -> None:
    run = ce.open_run(home / "xtc")
    cubes = {}
    for name in ("jungfrau.h5", "dark.h5"):
        stages = [{"calibrate": f"constants/{name}"}]
        signal = ce.Signal("jungfrau/raw/raw", name="frame", stages=stages)
        spec = ce.CubeSpec(cube="c", signals=[signal])
        cubes[name] = ce.plan(run, located(spec, home)).compute()["frame_mean"].values[0]
    truth, ours = cubes.values()
    good = np.isfinite(truth) & ~shots.noisy.reshape(truth.shape)

    assert np.isfinite(ours[good]).all()
    assert np.isnan(ours[shots.noisy.reshape(truth.shape)]).all()
    # an error of the pedestal of 0.42 ADU, over 41 ADU per keV; in g1 0.18 over 1.44
    assert np.abs(ours - truth)[good].max() < 6 * 0.18 / 1.3
    assert np.median(np.abs(ours - truth)[good]) < 0.02


def located(spec: ce.CubeSpec, home: Path) -> ce.CubeSpec:
    """Return the spec as if it were read from a file in a folder."""
    path = home / "c.yaml"
    path.write_text(spec.to_yaml())
    return ce.CubeSpec.load(path)


def test_file_says_how_it_was_made(made: Path, home: Path) -> None:
    constants = open_constants(made)
    with h5py.File(made) as file:
        told = json.loads(file["provenance"][()])
        rejected = file["values_rejected"][:]
    gains = open_constants(home / "constants" / "jungfrau.h5")

    assert constants.kind == "jungfrau"
    assert constants.unique_id == gains.unique_id
    assert constants.segments == (0, 1)
    assert constants.valid_from_run == 13
    np.testing.assert_array_equal(constants.read("pixel_gain"), gains.read("pixel_gain"))
    assert told["events"] == {"run": 600, "selected": 600, "missing": 0, "damaged": 0, "used": 600}
    assert told["values"]["rejected"] == rejected.sum()
    assert {Path(file["path"]).parent.name for file in told["inputs"]} >= {"dark"}
    assert told["limits"]["g0"]["pedestal"] == [100.0, 16300.0]
    assert told["accepted"] == []
    assert told["ranges"] == dict.fromkeys(("g0", "g1", "g2"), "these data")
    assert "cubeengine" in told["versions"]


def test_result_tells_itself(found: Pedestal) -> None:
    told = repr(found)

    assert "15 of 3,072 pixels are bad" in told
    assert "g2" in told
    assert "<pre>" in found._repr_html_()


def test_ranges_come_together_from_several_selections(home: Path, found: Pedestal, tmp_path: Path) -> None:
    run = ce.open_run(home / "dark")
    latest = None
    for mode in range(3):
        part = pedestal(run, "jungfrau", select=f"`scan/gain_mode` == {mode}", merge=latest)
        latest = part.save(tmp_path / f"{mode}.h5")
    with h5py.File(latest) as file:
        # windows are those of other samples: a value near a border may fall on the other side
        assert np.nanmax(np.abs(file["pedestals"][:] - found.pedestals) / found.noise.clip(0.1)) < 0.03
        np.testing.assert_allclose(file["pixel_rms"][:], found.noise, rtol=0.1)
        np.testing.assert_array_equal(file["pixel_status"][:], found.status)
        told = json.loads(file["provenance"][()])

    assert told["ranges"] == {"g0": "1.h5", "g1": "1.h5", "g2": "these data"}


def test_range_not_in_the_data_has_no_constants_and_is_said(home: Path) -> None:
    part = pedestal(ce.open_run(home / "dark"), "jungfrau", select="`scan/gain_mode` == 0")

    assert part.origins == {"g0": "these data", "g1": "", "g2": ""}
    assert np.isnan(part.pedestals[1:]).all()
    assert np.isnan(part.noise[1:]).all()
    assert "no constants for g1, g2" in part.notes[0]
    assert "--merge" in part.summary()
