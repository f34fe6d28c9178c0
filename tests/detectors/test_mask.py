"""Masks: bad pixels become missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.constants import write_constants
from cubeengine.detectors.mask import StageOptions
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.types import DetectorInfo
from tests.quick import first_quick
from tests.suites.stages import StageSuite, built, context, shaped, some_frames

SHAPE = (3, 6, 8)
GOOD = np.random.default_rng(0).random(SHAPE) > 0.3


def frame(dtype: str = "u2", shape: tuple[int, ...] = SHAPE) -> Frame:
    return Frame(shape, np.dtype(dtype))


def save(path: Path, good: Any, name: str = "mask") -> None:
    if path.suffix == ".npy":
        np.save(path, good)
    elif path.suffix == ".npz":
        np.savez(path, **{name: good})
    else:
        with h5py.File(path, "w") as file:
            file[name] = good


def check_masked(stage: Stage, good: Any) -> None:
    frames = some_frames(stage.input, 3)
    expected = np.where(good, frames.reshape(3, *stage.input.shape), np.nan)
    assert_array_equal(shaped(stage, frames), expected)
    assert stage.facts()["bad_pixels"] == (~np.broadcast_to(good, stage.input.shape)).sum()


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.h5"])
@pytest.mark.parametrize("dtype", ["bool", "u1", "f8"])
def test_mask_of_any_file(tmp_path: Path, name: str, dtype: str) -> None:
    save(tmp_path / name, GOOD.astype(dtype))

    check_masked(built("mask", name, frame(), context(None, tmp_path)), GOOD)


def test_mask_can_be_of_bad_pixels(tmp_path: Path) -> None:
    save(tmp_path / "m.npy", ~GOOD)

    check_masked(built("mask", {"file": "m.npy", "invert": True}, frame(), context(None, tmp_path)), GOOD)


@pytest.mark.parametrize("invert", [False, True])
def test_pixels_of_which_the_mask_says_nothing_are_bad(tmp_path: Path, invert: bool) -> None:
    mask = GOOD.astype("f4")
    mask[0, 0, :3] = np.nan, np.inf, -0.0
    save(tmp_path / "m.npy", mask)
    good = invert != GOOD
    good[0, 0, :3] = False, False, invert

    check_masked(built("mask", {"file": "m.npy", "invert": invert}, frame(), context(None, tmp_path)), good)


def test_mask_is_found_by_the_name_of_its_dataset(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/mask"], file["b"] = GOOD, 3

    stage = built("mask", {"file": "m.h5", "dataset": "a/mask"}, frame(), context(None, tmp_path))

    check_masked(stage, GOOD)
    for options, words in [("m.h5", "holds 2 arrays"), ({"file": "m.h5", "dataset": "a/mesk"}, "'a/mask'")]:
        with pytest.raises(SpecError, match=words):
            built("mask", options, frame(), context(None, tmp_path))


def test_mask_of_the_whole_detector_for_some_of_its_segments(tmp_path: Path) -> None:
    save(tmp_path / "m.npy", GOOD)
    two, one = DetectorInfo("d", "jungfrau", "", (0, 2)), DetectorInfo("d", "jungfrau", "", (1,))

    check_masked(built("mask", "m.npy", frame("u2", (2, 6, 8)), context(two, tmp_path)), GOOD[[0, 2]])
    check_masked(built("mask", "m.npy", frame("u2", (6, 8)), context(one, tmp_path)), GOOD[1])
    with pytest.raises(
        SpecError, match=r"frames have shape \(2, 6, 8\), but the mask in m.npy has \(3, 6, 8\)"
    ):
        built("mask", "m.npy", frame("u2", (2, 6, 8)), context(None, tmp_path))


def test_edges_of_panels(tmp_path: Path) -> None:
    good = np.zeros(SHAPE, bool)
    good[:, 2:-2, 2:-2] = True

    check_masked(built("mask", {"edges": 2}, frame(), context(None, tmp_path)), good)
    with pytest.raises(SpecError, match="no good pixel"):
        built("mask", {"edges": 3}, frame(), context(None, tmp_path))


def test_mask_of_constants(tmp_path: Path) -> None:
    status = np.zeros((3, *SHAPE), "u4")
    status[1, 0, 0, 0], status[0, 1, 1, 1] = 4, 1
    write_constants(tmp_path / "c.h5", {"pixel_status": status, "pixel_mask": GOOD}, kind="jungfrau")

    stage = built("mask", {"constants": "c.h5"}, frame(), context(None, tmp_path))

    check_masked(stage, GOOD & (status == 0).all(axis=0))


def test_pixels_of_which_the_mask_of_constants_says_nothing_are_bad(tmp_path: Path) -> None:
    mask, good = GOOD.astype("f8"), GOOD.copy()
    mask[1, 2, 3:5], good[1, 2, 3:5] = np.nan, False
    write_constants(tmp_path / "c.h5", {"pixel_mask": mask, "pedestals": np.ones(SHAPE)}, kind="single")

    check_masked(built("mask", {"constants": "c.h5"}, frame(), context(None, tmp_path)), good)
    calibrated = built("calibrate", "c.h5", frame(), context(None, tmp_path))
    frames = some_frames(frame(), 2)
    assert_array_equal(np.isnan(shaped(calibrated, frames)), np.broadcast_to(~good, (2, *SHAPE)))


def test_masks_add_up(tmp_path: Path) -> None:
    save(tmp_path / "m.npy", GOOD)
    inside = np.zeros(SHAPE, bool)
    inside[:, 1:-1, 1:-1] = True

    check_masked(
        built("mask", {"file": "m.npy", "edges": 1}, frame(), context(None, tmp_path)), GOOD & inside
    )


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [("u1", "f4"), ("i2", "f4"), ("bool", "f4"), ("u4", "f8"), ("i8", "f8"), ("f4", "f4"), ("f8", "f8")],
)
def test_types_that_can_be_missing(tmp_path: Path, dtype: str, becomes: str) -> None:
    stage = built("mask", {"edges": 1}, frame(dtype), context(None, tmp_path))

    assert stage.output == Frame(SHAPE, np.dtype(becomes))


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, "needs 'file'"), ({"invert": True, "edges": 1}, "need 'file'"), ({"edges": -1}, "edges")],
)
def test_options_that_are_wrong(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        StageOptions(**options)


def test_files_that_are_none(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    save(tmp_path / "texts.npy", np.array(["a"]))
    (tmp_path / "short.npy").write_bytes((tmp_path / "texts.npy").read_bytes()[:50])

    for name in ("objects.npy", "texts.npy", "short.npy"):
        with pytest.raises(SourceFormatError, match=name):
            built("mask", name, frame(), context(None, tmp_path))


class TestMaskStage(StageSuite):
    @pytest.fixture(params=first_quick(["u1", "u2", "i4", "u8", "f4", "f8", "bool"], 2))
    def stage(self, request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
        save(tmp_path / "m.npy", GOOD)
        return built("mask", "m.npy", frame(request.param), context(None, tmp_path))
