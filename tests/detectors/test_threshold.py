"""Thresholds: what is below becomes 0 or missing, in the frames' unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.constants import write_constants
from cubeengine.detectors.threshold import StageOptions
from cubeengine.errors import SpecError
from cubeengine.types import DetectorInfo
from tests.quick import first_quick
from tests.suites.stages import StageSuite, applied, built, context


def frame(dtype: str = "f4", unit: str = "", shape: tuple[int, ...] = (2, 3)) -> Frame:
    return Frame(shape, np.dtype(dtype), unit)


def made(options: Any, of: Frame) -> Stage:
    return built("threshold", options, of)


def result(options: Any, values: Any, of: Frame) -> Any:
    stage = made(options, of)
    return applied(stage, np.array([values], of.dtype))[0]


def test_below_is_zero_and_equal_stays() -> None:
    values = [1, 2.999, 3, 4, -5, np.nan]

    assert_array_equal(result("3 keV", values, frame(unit="keV")), [0, 0, 3, 4, 0, np.nan])


def test_below_can_be_missing() -> None:
    options = {"min": 3, "below": "missing"}

    assert_array_equal(result(options, [1, 2, 3, 4, -5, 6], frame()), [np.nan, np.nan, 3, 4, np.nan, 6])


def test_above_too() -> None:
    options = {"min": 3, "max": 5, "above": "missing"}

    assert_array_equal(result(options, [1, 3, 5, 6, -5, np.nan], frame()), [0, 3, 5, np.nan, 0, np.nan])


@pytest.mark.parametrize("fate", ["zero", "missing"])
def test_infinite_elements_are_missing_and_stay_so(fate: str) -> None:
    options = {"min": 3, "max": 5, "above": fate, "below": fate}

    found = result(options, [np.inf, -np.inf, np.nan, 4], frame(shape=(4,)))

    assert_array_equal(np.isfinite(found), [False, False, False, True])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("limit", [0.7, 0.1, 1e-3, 12.3, 1e300])
def test_element_that_is_equal_as_its_type_can_say_it_stays(dtype: str, limit: float) -> None:
    with np.errstate(over="ignore"):
        equal = np.dtype(dtype).type(limit)
    values = np.array([equal, np.nextafter(equal, -1), 0.5 * equal], dtype)

    low, high = (result({side: limit, fate: "missing"}, values, frame(dtype, shape=(3,)))
                 for side, fate in (("min", "below"), ("max", "above")))  # fmt: skip

    there = np.isfinite(values)
    assert_array_equal(np.isfinite(low), there & (values >= equal))
    assert_array_equal(np.isfinite(high), there)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_integers_stay_integers_unless_some_are_missing(dtype: str) -> None:
    values = [1, 2, 3, 4, 100, 6]

    stage = made(2.5, frame(dtype))
    found = result(2.5, values, frame(dtype))
    missing = result({"max": 5, "above": "missing"}, values, frame(dtype))

    assert stage.output.dtype == dtype
    assert_array_equal(found, [0, 0, 3, 4, 100, 6])
    assert missing.dtype == ("f4" if np.dtype(dtype).itemsize < 4 else "f8")
    assert_array_equal(missing, [1, 2, 3, 4, np.nan, np.nan])


@pytest.mark.parametrize(
    ("unit", "limit", "value"),
    [
        ("keV", "3 keV", 3.0),
        ("keV", "3000 eV", 3.0),
        ("ADU", "20 ADU", 20.0),
        ("", "20 ADU", 20.0),
        ("keV", 2, 2.0),
    ],
)
def test_limits_come_into_the_unit_of_the_frames(unit: str, limit: Any, value: float) -> None:
    stage: Any = made(limit, frame(unit=unit))

    assert stage.low == value
    assert stage.output == frame(unit=unit)


@pytest.mark.parametrize(
    ("unit", "limit", "words"),
    [
        ("ADU", "3 keV", "min is in 'keV', but frames are 'ADU'"),
        ("keV", "3 ADU", "min is in 'ADU', but frames are 'keV'"),
        ("", "3 keV", "min is in 'keV', but frames are raw, in 'ADU'"),
        ("", {"min": "3 sigma", "constants": "c.h5"}, "no such file"),
        ("", {"min": 3, "max": 2}, "min 3 is above max 2"),
    ],
)
def test_units_that_do_not_fit(unit: str, limit: Any, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        made(limit, frame(unit=unit))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs 'min', or 'max'"),
        ({"max": 3, "below": "missing"}, "'below' needs 'min'"),
        ({"min": "3 sigma"}, "needs 'constants'"),
        ({"min": "3 sigma", "max": 3, "constants": "c.h5"}, "both be in sigma"),
        ({"min": 3, "constants": "c.h5"}, "'constants' is only for limits in sigma"),
        ({"min": 3, "below": "none"}, "below"),
        ({"min": "3 kev"}, "keV"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        StageOptions(**options)


def constants_file(folder: Path, ranges: int, kind: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    rms = rng.uniform(2, 6, (ranges, 1, 4, 8)).astype("f4")
    gain = rng.uniform(-40, 40, (ranges, 1, 4, 8)).astype("f4")
    write_constants(folder / "c.h5", {"pixel_rms": rms, "pixel_gain": gain}, kind=kind)
    return rms, gain


@pytest.mark.parametrize("unit", ["ADU", "keV"])
@pytest.mark.parametrize(
    ("kind", "ranges", "start"), [("jungfrau", 3, 0), ("epix10ka", 7, 4), ("single", 1, 0)]
)
def test_limits_in_sigma(tmp_path: Path, unit: str, kind: str, ranges: int, start: int) -> None:
    rms, gain = constants_file(tmp_path, ranges, kind)
    settings: Any = {
        "config/asicPixelConfig": (np.zeros((4, 2, 4), "u1"),),
        "config/trbit": (np.zeros(4, "u1"),),
    }
    of = frame("f4", unit, (4, 8))
    info = DetectorInfo("area", kind, "", (0,), settings)

    stage = built("threshold", {"min": "3 sigma", "constants": "c.h5"}, of, context(info, tmp_path))

    sigma = rms[start, 0] if unit == "ADU" else np.abs(rms[start, 0] / gain[start, 0])
    values = np.random.default_rng(1).normal(0, 4 * np.median(sigma), (5, 4, 8)).astype("f4")
    kept = np.where(values < 3 * sigma.astype("f8"), 0, values)
    assert_array_equal(applied(stage, values.reshape(5, -1)).reshape(5, 4, 8), kept)
    assert stage.facts()["constants"]["kind"] == kind  # type: ignore[index]


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2"])
@pytest.mark.parametrize("unit", ["ADU", "keV"])
def test_pixels_whose_noise_is_not_known_are_missing(tmp_path: Path, dtype: str, unit: str) -> None:
    rms, gain = np.full((4, 8), 2.0), np.full((4, 8), 2.0)
    rms[0, :4] = np.nan, np.inf, -1, 0
    gain[1, :3] = np.nan, 0, np.inf
    write_constants(tmp_path / "c.npz", {"pixel_rms": rms, "pixel_gain": gain}, kind="single")
    options = {"min": "3 sigma", "constants": "c.npz"}

    stage = built("threshold", options, frame(dtype, unit, (4, 8)), context(None, tmp_path))

    known = np.isfinite(rms) & (rms >= 0)
    known &= np.isfinite(gain) & (gain != 0) if unit == "keV" else True
    limits = 3 * rms / (np.where(gain == 0, np.nan, gain) if unit == "keV" else 1)
    values = np.arange(32).reshape(4, 8).astype(dtype)
    wanted = np.where(known, np.where(values < limits, 0, values), np.nan)
    assert_array_equal(applied(stage, values.reshape(1, -1)).reshape(4, 8), wanted)
    assert stage.facts()["noise_unknown"] == (~known).sum()


def test_integers_stay_integers_where_all_noise_is_known(tmp_path: Path) -> None:
    write_constants(tmp_path / "c.h5", {"pixel_rms": np.ones((4, 8))}, kind="single")
    options = {"min": "3 sigma", "constants": "c.h5"}

    stage = built("threshold", options, frame("u2", "ADU", (4, 8)), context(None, tmp_path))

    assert stage.output.dtype == np.uint16


def test_sigma_needs_calibrated_frames(tmp_path: Path) -> None:
    constants_file(tmp_path, 1, "single")
    options = {"min": "3 sigma", "constants": "c.h5"}

    with pytest.raises(SpecError, match="put `calibrate` before"):
        built("threshold", options, frame("u2", "", (4, 8)), context(None, tmp_path))


class TestThresholdStage(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                ("f4", 20),
                ("f8", {"min": 20, "below": "missing"}),
                ("u2", 1000),
                ("i4", {"min": 0, "max": 10**6, "above": "missing"}),
                ("u8", {"max": 2**30}),
                ("bool", 0.5),
            ],
            2,
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        dtype, options = request.param
        return made(options, frame(dtype, "", (3, 5, 7)))


class TestThresholdInSigma(StageSuite):
    @pytest.fixture
    def stage(self, tmp_path: Path) -> Stage:
        constants_file(tmp_path, 1, "single")
        options = {"min": "3 sigma", "constants": "c.h5"}
        return built("threshold", options, frame("f4", "keV", (4, 8)), context(None, tmp_path))
