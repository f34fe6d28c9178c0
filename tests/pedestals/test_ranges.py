"""Gain ranges of every kind of detector, what is missing, and what another file gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cubeengine as ce
from cubeengine.detectors.constants import open_constants, write_constants
from cubeengine.pedestals import Pedestal, pedestal
from cubeengine.pedestals.limits import TOO_FEW
from tests.pedestals.makers import FIELD, Truth, pulls, run_of
from tests.quick import first_quick

ROWS, COLUMNS = 8, 24
SHAPE = (2, ROWS, COLUMNS)


def is_close(found: Pedestal, number: int, truth: Truth, where: NDArray[np.bool_] | None = None) -> bool:
    """Return whether means and noises of a range are within six standard errors of the truth."""
    good = np.ones(truth.mean.shape, bool) if where is None else where
    used, noise = found.used[number].clip(2), truth.rounded_noise
    means = pulls(found.pedestals[number], truth.mean, noise / np.sqrt(used), good)
    noises = pulls(found.noise[number], noise, noise / np.sqrt(2 * used), good)
    return bool(np.abs(means).max() < 6 and np.abs(noises).max() < 6)


@pytest.mark.slow
def test_single_gain_camera_keeps_its_shape(tmp_path: Path) -> None:
    truth = Truth.of((ROWS, COLUMNS), mean=40_000)
    found = pedestal(run_of(truth.frames(300), "opal"), "cam")
    file = open_constants(found.save(tmp_path / "cam.npz"))

    assert found.pedestals.shape == (1, 1, ROWS, COLUMNS)
    assert is_close(found, 0, Truth(truth.mean[None], truth.noise[None]))
    assert file.shapes["pedestals"] == (ROWS, COLUMNS)
    assert file.kind == "single"
    np.testing.assert_array_equal(file.read("pixel_rms"), found.noise[0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", first_quick(["u1", "i2", "u4"]))
def test_whole_numbers_of_any_type_do(dtype: str) -> None:
    truth = Truth.of((ROWS, COLUMNS), mean=0, noise=4)
    level = Truth(truth.mean * 0.1 + 100, truth.noise)
    found = pedestal(run_of(level.frames(200).astype(dtype), "opal"), "cam")

    assert is_close(found, 0, Truth(level.mean[None], level.noise[None]))


@pytest.mark.parametrize("kind", ["opal", "jungfrau"])
def test_calibrated_frames_are_refused(kind: str) -> None:
    with pytest.raises(ce.SpecError, match=r"values of float32; kind .* needs raw frames"):
        pedestal(run_of(np.zeros((60, *SHAPE), "f4"), kind), "cam")


def test_unknown_kind_asks_for_one() -> None:
    run = run_of(Truth.of((ROWS, COLUMNS)).frames(100), "newcam")
    with pytest.raises(ce.SpecError, match=r"the data name 'newcam'; add --kind"):
        pedestal(run, "cam")
    assert pedestal(run, "cam", kind="single").kind.name == "single"


def mixed_jungfrau(n_events: int = 360) -> tuple[NDArray[np.uint16], list[Truth]]:
    """Return frames in three modes, one after another, and the truth of each."""
    truths = [Truth.of(SHAPE, mean=mean, noise=6, seed=i) for i, mean in enumerate((2900, 15_000, 15_500))]
    parts = [
        truth.frames(n_events // 3, seed=9 + i) | np.uint16(code << 14)
        for i, (truth, code) in enumerate(zip(truths, (0, 1, 3), strict=True))
    ]
    return np.concatenate(parts), truths


def test_jungfrau_has_three_ranges() -> None:
    frames, truths = mixed_jungfrau()
    found = pedestal(run_of(frames, "jungfrau"), "cam")

    for number, truth in enumerate(truths):
        assert is_close(found, number, truth)
        assert (found.used[number] + found.rejected[number] == 120).all()
    assert list(found.limits) == ["g0", "g1", "g2"]


def test_invalid_code_counts_nowhere() -> None:
    frames, _ = mixed_jungfrau()
    frames[::4] = frames[::4] & 0x3FFF | 0x8000
    found = pedestal(run_of(frames, "jungfrau"), "cam", fewest=50)

    assert (found.used + found.rejected == 90).all()


def test_pixel_with_too_few_values_in_a_range_is_nan_and_flagged() -> None:
    frames, _ = mixed_jungfrau()
    frames[:100, 0, 0, 0] |= 0x4000  # one pixel is in g1 in nearly all events of g0
    found = pedestal(run_of(frames, "jungfrau"), "cam")

    assert np.isnan(found.pedestals[0, 0, 0, 0])
    assert np.isnan(found.noise[0, 0, 0, 0])
    assert found.status[0, 0, 0, 0] == TOO_FEW
    assert np.isfinite(found.pedestals[0]).sum() == found.bad.size - 1


def test_few_pixels_that_switch_do_not_make_a_range() -> None:
    truth = Truth.of(SHAPE)
    frames = truth.frames(200)
    frames[:, 0, 0, :3] |= 0x4000
    found = pedestal(run_of(frames, "jungfrau"), "cam")

    assert found.origins == {"g0": "these data", "g1": "", "g2": ""}
    assert np.isnan(found.pedestals[1]).all()
    assert (found.status[1:] == 0).all()
    assert found.bad.sum() == 3


def test_too_few_events_for_any_range_is_an_error() -> None:
    with pytest.raises(ce.SpecError, match=r"20 of 20 events .* needs 50 values; .*--min-events"):
        pedestal(run_of(Truth.of(SHAPE).frames(20), "jungfrau"), "cam")
    frames, _ = mixed_jungfrau(120)
    with pytest.raises(ce.SpecError, match=r"the 120 events .* have too few values.*--min-events"):
        pedestal(run_of(frames, "jungfrau"), "cam")
    assert pedestal(run_of(Truth.of(SHAPE).frames(20), "jungfrau"), "cam", fewest=20).limits


def epix_settings(gains: NDArray[np.uint8]) -> dict[str, Any]:
    return {"config/cbitsConfig": tuple(gains)}


@pytest.mark.parametrize(
    ("bits", "flag", "number"),
    [(28, 0, 0), (12, 0, 1), (8, 0, 2), (8, 1, 2), (16, 0, 3), (0, 0, 4), (16, 1, 5), (0, 1, 6)],
)
def test_epix10ka_has_the_range_of_its_configuration(bits: int, flag: int, number: int) -> None:
    truth = Truth.of(SHAPE)
    frames = truth.frames(120) | np.uint16(flag << 14)
    run = run_of(frames, "epix10ka", settings=epix_settings(np.full(SHAPE, bits, np.uint8)))
    found = pedestal(run, "cam")

    name = found.range_names[number]
    assert {key for key, origin in found.origins.items() if origin} == {name}
    assert is_close(found, number, truth)
    assert np.isnan(np.delete(found.pedestals, number, axis=0)).all()


def test_epix10ka_panels_of_several_modes_and_flags() -> None:
    bits = np.full(SHAPE, 16, np.uint8)  # AHL, of which the flag says which
    bits[1] = 12  # FM, whatever the flag
    low, high = Truth.of(SHAPE, mean=3000, seed=1), Truth.of(SHAPE, mean=2000, seed=2)
    frames = np.concatenate([high.frames(100), low.frames(100) | np.uint16(1 << 14)])
    frames[100:, 1] = high.frames(100, seed=3)[:, 1] | np.uint16(1 << 14)
    found = pedestal(run_of(frames, "epix10ka", settings=epix_settings(bits)), "cam")
    first = np.zeros(SHAPE, bool)
    first[0] = True

    assert {key for key, origin in found.origins.items() if origin} == {"FM", "AHL-high", "AHL-low"}
    assert is_close(found, 3, high, first)
    assert is_close(found, 5, low, first)
    assert is_close(found, 1, high, ~first)
    assert (found.used[1, 1] + found.rejected[1, 1] == 200).all()
    assert (found.status == 0).all()  # a range that a pixel cannot be in says nothing of it


def test_epix10ka_without_configuration_is_refused() -> None:
    with pytest.raises(ce.SpecError, match="neither asicPixelConfig"):
        pedestal(run_of(Truth.of(SHAPE).frames(60), "epix10ka"), "cam")


def test_missing_frames_are_left_out_and_counted() -> None:
    frames, valid = Truth.of(SHAPE).frames(200), np.ones(200, bool)
    valid[::5], frames[::5] = False, 0
    found = pedestal(run_of(frames, "jungfrau", valid=valid), "cam")

    assert (found.used[0] + found.rejected[0] == 160).all()
    assert found.facts["events"] == {"run": 200, "selected": 200, "missing": 40, "damaged": 0, "used": 160}
    np.testing.assert_allclose(found.pedestals[0], frames[valid].mean(axis=0), atol=1)


def test_only_selected_events_are_taken() -> None:
    dark = np.arange(300) % 3 > 0
    frames = Truth.of(SHAPE).frames(300)
    frames[~dark] += 700
    run = run_of(frames, "jungfrau", ipm__sum=np.where(dark, 0.0, 1.0))
    for select in ("`ipm/sum` < 0.5", {"field": "ipm/sum", "max": 0.5}, ce.Cut(field="ipm/sum", equal=0)):
        found = pedestal(run, "cam", select=select)
        assert found.facts["events"]["selected"] == 200
        np.testing.assert_allclose(found.pedestals[0], frames[dark].mean(axis=0), atol=1)


def test_field_may_be_named_instead_of_the_detector() -> None:
    run = run_of(Truth.of(SHAPE).frames(60), "jungfrau")
    np.testing.assert_array_equal(pedestal(run, FIELD).pedestals, pedestal(run, "cam").pedestals)


def other_file(path: Path, unique_id: str = "") -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(8)
    arrays = {
        "pedestals": rng.normal(9000, 50, (3, *SHAPE)).astype("f4"),
        "pixel_rms": rng.uniform(3, 4, (3, *SHAPE)).astype("f4"),
        "pixel_status": np.where(rng.random((3, *SHAPE)) < 0.05, 2**40, 0).astype("u8"),
        "pixel_gain": rng.normal(40, 2, (3, *SHAPE)).astype("f4"),
        "pixel_mask": (rng.random(SHAPE) > 0.1).astype("u1"),
        "common_mode": np.array([7.0, 1.0, 30.0]),
    }
    write_constants(path, arrays, kind="jungfrau", unique_id=unique_id, geometry="IP 0 CAM 0")
    return arrays


def test_other_file_gives_what_is_not_in_the_data(tmp_path: Path) -> None:
    truth, given = Truth.of(SHAPE), other_file(tmp_path / "other.h5")
    found = pedestal(run_of(truth.frames(100), "jungfrau"), "cam", merge=tmp_path / "other.h5")
    file = open_constants(found.save(tmp_path / "new.h5"))

    assert found.origins == {"g0": "these data", "g1": "other.h5", "g2": "other.h5"}
    assert is_close(found, 0, truth)
    for key in ("pedestals", "pixel_rms"):
        np.testing.assert_array_equal(file.read(key)[1:], given[key][1:])
    np.testing.assert_array_equal(file.read("pixel_status")[1:] != 0, given["pixel_status"][1:] != 0)
    for key in ("pixel_gain", "pixel_mask", "common_mode"):
        np.testing.assert_array_equal(file.read(key), given[key])
    assert file.geometry() == "IP 0 CAM 0"
    assert (found.used[1:] == 0).all()


def test_pixels_of_the_other_file_without_a_pedestal_are_bad(tmp_path: Path) -> None:
    arrays = other_file(tmp_path / "other.h5")
    arrays["pedestals"][1].reshape(-1)[:3] = np.nan, np.inf, -np.inf
    arrays["pixel_status"][:] = 0
    write_constants(tmp_path / "other.h5", arrays, kind="jungfrau")

    found = pedestal(run_of(Truth.of(SHAPE).frames(60), "jungfrau"), "cam", merge=tmp_path / "other.h5")

    assert (np.flatnonzero(found.status[1]) == np.arange(3)).all()


def test_status_of_the_other_file_must_be_whole_numbers(tmp_path: Path) -> None:
    arrays = other_file(tmp_path / "other.h5")
    arrays["pixel_status"] = np.full((3, *SHAPE), np.nan)
    write_constants(tmp_path / "other.h5", arrays, kind="jungfrau")
    run = run_of(Truth.of(SHAPE).frames(60), "jungfrau")

    with pytest.raises(ce.SpecError, match="'pixel_status' must be whole numbers, but is float64"):
        pedestal(run, "cam", merge=tmp_path / "other.h5")


def test_file_of_another_detector_is_refused(tmp_path: Path) -> None:
    other_file(tmp_path / "other.h5", unique_id="jungfrau_a_b")
    run = run_of(Truth.of(SHAPE).frames(100), "jungfrau", unique_id="jungfrau_a_c")
    with pytest.raises(ce.SpecError, match="is for another detector"):
        pedestal(run, "cam", merge=tmp_path / "other.h5")


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pedestal(run_of(Truth.of(SHAPE).frames(60), "jungfrau"), "cam")
    target = found.save(tmp_path / "c.h5")
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "rename", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"os.{name}", full)
            if name != "fsync":
                patch.setattr("pathlib.Path.replace", full)
            with pytest.raises(OSError, match="No space left"):
                found.save(target, overwrite=True)
        assert target.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["c.h5"]


def test_file_that_is_there_is_kept(tmp_path: Path) -> None:
    found = pedestal(run_of(Truth.of(SHAPE).frames(60), "jungfrau"), "cam")
    (tmp_path / "c.h5").write_text("mine")
    with pytest.raises(ce.StoreMismatch, match="already exists"):
        found.save(tmp_path / "c.h5")
    assert (tmp_path / "c.h5").read_text() == "mine"


def test_calibration_records_the_ranges_that_have_no_constants(tmp_path: Path) -> None:
    from cubeengine.detectors.base import Context, Frame
    from tests.suites.stages import built

    frames = Truth.of(SHAPE).frames(60)
    run = run_of(frames, "jungfrau")
    pedestal(run, "cam").save(tmp_path / "c.h5")
    context = Context(FIELD, tmp_path, run.detector(FIELD))
    stage = built("calibrate", "c.h5", Frame(SHAPE, frames.dtype), context)

    assert stage.facts()["ranges_without_constants"] == ["g1", "g2"]


def test_what_has_a_run_will_do() -> None:
    run = run_of(Truth.of(SHAPE).frames(60), "jungfrau")
    found = pedestal(SimpleNamespace(run=run), "cam")
    np.testing.assert_array_equal(found.pedestals, pedestal(run, "cam").pedestals)


@pytest.mark.slow
def test_real_configuration_of_an_epix10ka_quad_is_understood(shared_data: Path) -> None:
    run = ce.open_run(shared_data / "xtc2" / "single" / "test_epix_calib.xtc2")
    real = run.detector("epixquad/raw/raw")
    assert real is not None
    frame = run["epixquad/raw/raw"].read().values[0]
    values, flags = (frame & 0x3FFF).astype(np.int64), frame & 0xC000
    noise = np.rint(np.random.default_rng(0).normal(0, 6, (60, *frame.shape))).astype(np.int64)
    frames = np.clip(values + noise, 0, 0x3FFF).astype(np.uint16) | flags
    found = pedestal(run_of(frames, "epix10ka", settings=dict(real.settings)), "cam")

    assert {name for name, origin in found.origins.items() if origin} == {"FL"}  # as psana reads this file
    np.testing.assert_allclose(found.pedestals[2], (frames & 0x3FFF).mean(axis=0), atol=5)
    with pytest.raises(ce.SpecError, match="2 of 2 events are selected"):
        pedestal(run, "epixquad")
