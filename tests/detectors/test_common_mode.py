"""Common mode: medians of groups of pixels, against plain numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.calibrate import StageOptions
from cubeengine.detectors.constants import write_constants
from cubeengine.detectors.median import median
from cubeengine.errors import SpecError
from cubeengine.types import DetectorInfo
from tests.detectors import formulae
from tests.suites.stages import applied, built, context, shaped

N, ROWS, COLS = 2, 16, 32
FRAME = Frame((N, ROWS, COLS), np.dtype("u2"))
LIMIT, LEAST = 30.0, 1
MODES = [["rows"], ["columns"], ["banks"], ["rows", "columns"], ["banks", "rows", "columns"]]
BANKS = {"jungfrau": (2, 16), "epix10ka": (2, 8), "epix100": (2, 8), "single": (1, 1)}


def made_raw(n_events: int = 3) -> Any:
    """Frames near a pedestal of 1000, shifted row by row, one pixel of 20 in another gain: bit 14."""
    rng = np.random.default_rng(0)
    raw = rng.normal(1000, 4, (n_events, N, ROWS, COLS)) + rng.normal(0, 20, (n_events, N, ROWS, 1))
    other = rng.random(raw.shape) < 0.05
    return raw.round().astype("u2") | (other * 0x4000).astype("u2")


def made_stage(folder: Path, kind: str, groups: Any, *, least: int = LEAST) -> tuple[Stage, Any, Any]:
    rng = np.random.default_rng(1)
    shape = ({"jungfrau": 3, "epix10ka": 7}.get(kind, 1), N, ROWS, COLS)
    pedestals, gain = rng.normal(1000, 10, shape).astype("f4"), rng.normal(40, 1, shape).astype("f4")
    mask = rng.random(shape[1:]) > 0.1
    arrays = {"pedestals": pedestals, "pixel_gain": gain, "pixel_mask": mask}
    write_constants(folder / "c.h5", arrays, kind=kind)
    settings = {  # all pixels switch between AHL-high, range 3, and AHL-low, range 5
        "config/asicPixelConfig": tuple(np.zeros((N, 4, ROWS // 2, COLS // 2), "u1")),
        "config/trbit": tuple(np.ones((N, 4), "u1")),
    }
    modes = {"groups": groups, "max_correction": LIMIT, "min_pixels": least}
    info = DetectorInfo("area", kind, "", (0, 1), settings)
    options = {"constants": "c.h5", "common_mode": modes}
    return built("calibrate", options, FRAME, context(info, folder)), (pedestals, gain), mask


def truth(kind: str, raw: Any, constants: Any, mask: Any, groups: list[str], least: int = LEAST) -> Any:
    pedestals, gain = constants
    first, second = {"jungfrau": (0, 1), "epix10ka": (3, 5)}.get(kind, (0, 0))
    switching = first != second
    low = (raw & 0x4000 != 0) & switching
    value = (raw & 0x3FFF if switching else raw).astype("f4")
    x = value - np.where(low, pedestals[second], pedestals[first])
    for frame, able in zip(x, ~low & mask, strict=True):
        for n in range(N):
            frame[n] = formulae.common_mode(frame[n], able[n], *BANKS[kind], groups, LIMIT, least)
    out = x * (np.float32(1) / np.where(low, gain[second], gain[first]))
    return np.where(mask, out, np.float32(np.nan))


@pytest.mark.parametrize("kind", BANKS)
@pytest.mark.parametrize("groups", MODES)
def test_medians_of_groups_are_taken_off(tmp_path: Path, kind: str, groups: list[str]) -> None:
    stage, constants, mask = made_stage(tmp_path, kind, groups)
    raw = made_raw()

    assert_array_equal(shaped(stage, raw.reshape(3, -1)), truth(kind, raw, constants, mask, groups))


@pytest.mark.parametrize("least", [1, 2, 100])
def test_groups_of_few_pixels_are_left_as_they_are(tmp_path: Path, least: int) -> None:
    stage, constants, mask = made_stage(tmp_path, "jungfrau", ["rows"], least=least)
    raw = made_raw()

    found = shaped(stage, raw.reshape(3, -1))

    assert_array_equal(found, truth("jungfrau", raw, constants, mask, ["rows"], least))
    plain, _, _ = made_stage(tmp_path, "jungfrau", ["rows"], least=10_000)
    same = np.array_equal(found, shaped(plain, raw.reshape(3, -1)), equal_nan=True)
    assert same == (least >= COLS // 16)


def test_large_medians_are_signal_and_stay(tmp_path: Path) -> None:
    stage, constants, mask = made_stage(tmp_path, "single", ["banks"])
    raw = made_raw(1) & 0x3FFF
    raw[0, 1] += np.uint16(500)

    found = shaped(stage, raw.reshape(1, -1))[0]

    pedestals, gain = constants
    plain = (raw[0].astype("f4") - pedestals[0]) * (np.float32(1) / gain[0])
    assert_array_equal(found[1], np.where(mask[1], plain[1], np.float32(np.nan)))
    assert np.nanmedian(found[0]) != np.nanmedian(plain[0])


@pytest.mark.parametrize("groups", ["rows", "banks"])
def test_infinite_pixels_do_not_take_part(tmp_path: Path, groups: str) -> None:
    pedestals = np.full((4, 16), 100.0)
    write_constants(tmp_path / "c.h5", {"pedestals": pedestals}, kind="single")
    raw = np.random.default_rng(0).normal(105, 3, (4, 16)).astype("f4")
    raw[1, :7], raw[2, :7], raw[3, 0] = np.inf, -np.inf, np.nan
    options = {"constants": "c.h5", "common_mode": {"groups": groups, "min_pixels": 3}}

    stage = built("calibrate", options, Frame((4, 16), np.dtype("f4")), context(None, tmp_path))

    above = raw - np.float32(100)
    wanted = formulae.common_mode(above, np.isfinite(raw), 1, 1, [groups], 100, 3)
    assert_array_equal(shaped(stage, raw.reshape(1, -1))[0], wanted)
    assert np.isfinite(wanted).sum() == 49


def test_large_raw_values_keep_their_digits(tmp_path: Path) -> None:
    pedestals = np.full((4, 16), 2.0**30)
    write_constants(tmp_path / "c.h5", {"pedestals": pedestals}, kind="single")
    raw = 2**30 + np.random.default_rng(0).integers(0, 50, (4, 16))
    options = {"constants": "c.h5", "common_mode": "rows"}

    stage = built("calibrate", options, Frame((4, 16), np.dtype("i8")), context(None, tmp_path))

    above = (raw - 2**30).astype("f4")
    wanted = formulae.common_mode(above, np.ones((4, 16), bool), 1, 1, ["rows"], 100, 10)
    assert_array_equal(shaped(stage, raw.reshape(1, -1))[0], wanted)


def test_whole_panels_are_read_for_a_part_of_them(tmp_path: Path) -> None:
    stage, _, _ = made_stage(tmp_path, "jungfrau", ["rows"])
    size = ROWS * COLS

    assert not stage.local
    assert stage.needs((3, 5)) == (0, size)
    assert stage.needs((size - 1, size + 1)) == (0, 2 * size)
    assert stage.needs((size, size + 1)) == (size, 2 * size)
    frames = made_raw().reshape(3, -1)
    assert_array_equal(applied(stage, frames, (600, 700)), applied(stage, frames)[:, 600:700])


@pytest.mark.parametrize("stored", [(7, 3, 100, 10), (7, 4, 50.0), (7, 0, 100, 10)])
def test_stored_parameters(tmp_path: Path, stored: tuple[float, ...]) -> None:
    arrays = {"pedestals": np.ones((3, 1, 8, 32), "f4"), "common_mode": np.array(stored, float)}
    write_constants(tmp_path / "c.h5", arrays, kind="jungfrau")
    options = {"constants": "c.h5", "common_mode": "stored"}

    stage = built("calibrate", options, Frame((8, 32), np.dtype("u2")), context(None, tmp_path))

    names = {3: ["rows", "columns"], 4: ["banks"], 0: []}[int(stored[1])]
    recorded = stage.facts()["common_mode"]
    assert recorded == {"groups": names, "max_correction": float(stored[2]), "min_pixels": 10}
    assert stage.local == (not names)


def test_panels_that_have_no_such_banks(tmp_path: Path) -> None:
    write_constants(tmp_path / "c.h5", {"pedestals": np.ones((3, 8, 30), "f4")}, kind="jungfrau")

    with pytest.raises(SpecError, match=r"8 x 30 pixels cannot be divided into 2 x 16 banks"):
        built(
            "calibrate",
            {"constants": "c.h5", "common_mode": "rows"},
            Frame((8, 30), np.dtype("u2")),
            context(None, tmp_path),
        )


@pytest.mark.parametrize(
    ("common_mode", "words"),
    [
        ("row", "'rows'"),
        ([], "banks, rows, columns"),
        (["stored", "rows"], "'stored' is not a group"),
        ({"groups": "stored", "min_pixels": 3}, "takes its limits from the constants"),
        ({"groups": "rows", "max_correction": "3 keV"}, "cannot convert 'keV' to 'ADU'"),
        ({"groups": "rows", "max_correction": 0}, "larger than 0"),
        ({"groups": "rows", "min_pixels": 0}, "min_pixels"),
    ],
)
def test_options_that_are_wrong(common_mode: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        StageOptions(constants="c.h5", common_mode=common_mode)


@pytest.mark.parametrize("plain", ["rows", ["banks", "columns"], {"groups": "rows", "min_pixels": 3}])
def test_options_read_back_as_they_were_written(plain: Any) -> None:
    options = {"constants": "c.h5", "common_mode": plain}

    assert StageOptions.model_validate(options).to_plain() == options


@given(
    st.lists(
        st.floats(width=32, allow_nan=False, min_value=-(2.0**99), max_value=2.0**99), min_size=1, max_size=70
    )
)
def test_median_is_that_of_numpy(values: list[float]) -> None:
    array = np.array(values, np.float32)

    assert median(array.copy(), len(array)) == np.median(array)
