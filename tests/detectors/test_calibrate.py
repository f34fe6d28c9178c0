"""Calibrated frames against formulae written separately, for every gain range there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Frame, Stage
from cubeengine.detectors.constants import write_constants
from cubeengine.types import DetectorInfo
from tests.detectors import formulae
from tests.quick import first_quick
from tests.suites.stages import StageSuite, applied, built, shaped

Array = NDArray[Any]
N, ROWS, COLS = 3, 8, 32
U2 = np.dtype(np.uint16)
RAW = Frame((N, ROWS, COLS), U2)


def made_constants(ranges: int, n: int = N, rows: int = ROWS, cols: int = COLS) -> dict[str, Array]:
    rng = np.random.default_rng(ranges)
    shape = (ranges, n, rows, cols)
    gain = rng.normal(40, 4, shape).astype("f4")
    gain[1::2] *= -0.03  # gains of further ranges are smaller, and some have a sign
    gain.reshape(-1)[::67] = 0
    return {
        "pedestals": rng.normal(2000, 300, shape).astype("f4"),
        "pixel_gain": gain,
        "pixel_status": np.where(rng.random(shape) < 0.02, rng.integers(1, 2**20, shape), 0).astype("u8"),
        "status_extra": np.where(rng.random(shape[1:]) < 0.02, 1, 0).astype("u8"),
        "pixel_mask": (rng.random(shape[1:]) > 0.02).astype("u1"),
    }


def bad_pixels(constants: dict[str, Array], ranges: tuple[int, ...]) -> Array:
    status = np.take(constants["pixel_status"], ranges, axis=0)
    return (status != 0).any(axis=0) | (constants["status_extra"] != 0) | (constants["pixel_mask"] == 0)


def jungfrau_constants() -> dict[str, Array]:
    offset = np.random.default_rng(5).normal(0, 3, (3, N, ROWS, COLS)).astype("f4")
    return {**made_constants(3), "pixel_offset": offset}


def jungfrau_raw(n_events: int = 3) -> Array:
    """Frames with every combination of bits 14 and 15."""
    return np.random.default_rng(1).integers(0, 2**16, (n_events, N, ROWS, COLS)).astype("u2")


def detector(
    kind: str, segments: tuple[int, ...] = (0, 1, 2), unique_id: str = "", **settings: Any
) -> DetectorInfo:
    config = {f"config/{key}": tuple(value) for key, value in settings.items()}
    return DetectorInfo("area", kind, unique_id, segments, config)


def context(folder: Path, info: DetectorInfo | None = None) -> Context:
    return Context("area/raw/raw", folder, info)


def stage_of(folder: Path, options: object, info: DetectorInfo | None, frame: Frame = RAW) -> Stage:
    return built("calibrate", options, frame, context(folder, info))


def epix_settings(seed: int = 3, rows: int = ROWS, cols: int = COLS) -> dict[str, Array]:
    """Make configurations: in each panel every combination of gain bits, and each ramp bit set and not."""
    rng = np.random.default_rng(seed)
    return {
        "asicPixelConfig": rng.choice([12, 8, 0, 4, 15, 3], (N, 4, rows // 2 + 2, cols // 2)).astype("u1"),
        "trbit": np.array([[1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]], "u1"),
    }


def epix_truth(raw: Array, constants: dict[str, Array], settings: dict[str, Array], bit: int) -> Array:
    pairs = zip(settings["asicPixelConfig"], settings["trbit"], strict=True)
    maps = [formulae.epix_words(asics, ramps, ROWS, COLS) for asics, ramps in pairs]
    words, ramps = (np.stack(part) for part in zip(*maps, strict=True))
    bad = bad_pixels(constants, (0, 1, 2, 3, 4))
    return np.stack([formulae.epix(frame, constants, words, ramps, bad, bit) for frame in raw])


@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_jungfrau_in_all_ranges(tmp_path: Path, suffix: str) -> None:
    constants, raw = jungfrau_constants(), jungfrau_raw()
    write_constants(tmp_path / f"c.{suffix}", constants, kind="jungfrau")

    stage = stage_of(tmp_path, f"c.{suffix}", detector("jungfrau"))

    assert (stage.output.dtype, stage.output.unit, stage.local) == (np.float32, "keV", True)
    bad = bad_pixels(constants, (0, 1, 2))
    truth = np.stack([formulae.jungfrau(frame, constants, bad) for frame in raw])
    assert_array_equal(shaped(stage, raw.reshape(3, -1)), truth)
    assert 0.1 < np.isfinite(truth).mean() < 0.75  # a quarter of the codes is invalid
    assert stage.facts()["bad_pixels"] == bad.sum()


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_jungfrau_strips_of_one_range(tmp_path: Path, code: int) -> None:
    constants = jungfrau_constants()
    raw = (jungfrau_raw() & 0x3FFF) | np.uint16(code << 14)
    write_constants(tmp_path / "c.h5", constants)

    stage = stage_of(tmp_path, {"constants": "c.h5", "kind": "jungfrau"}, None)

    bad = bad_pixels(constants, (0, 1, 2))
    truth = np.stack([formulae.jungfrau(frame, constants, bad) for frame in raw])
    assert_array_equal(shaped(stage, raw.reshape(3, -1)), truth)


def test_jungfrau_larger_than_a_strip(tmp_path: Path) -> None:
    constants = {key: value for key, value in made_constants(3, 1, 96, 96).items() if key == "pedestals"}
    raw = np.random.default_rng(2).integers(0, 2**14, (2, 96, 96)).astype("u2")
    raw[1, 90, 5] |= 0x4000
    write_constants(tmp_path / "c.h5", constants, kind="jungfrau")

    stage = stage_of(tmp_path, "c.h5", detector("jungfrau", (0,)), Frame((96, 96), U2))

    assert stage.output.unit == "ADU"
    good = np.zeros((1, 96, 96), bool)
    truth = np.stack([formulae.jungfrau(frame[None], constants, good)[0] for frame in raw])
    assert_array_equal(shaped(stage, raw.reshape(2, -1)), truth)


def test_gain_can_be_left_out(tmp_path: Path) -> None:
    constants, raw = jungfrau_constants(), jungfrau_raw()
    write_constants(tmp_path / "c.h5", constants, kind="jungfrau")

    stage = stage_of(tmp_path, {"constants": "c.h5", "gain": False}, detector("jungfrau"))

    without = {key: value for key, value in constants.items() if key != "pixel_gain"}
    truth = np.stack([formulae.jungfrau(frame, without, bad_pixels(constants, (0, 1, 2))) for frame in raw])
    assert stage.output.unit == "ADU"
    assert_array_equal(shaped(stage, raw.reshape(3, -1)), truth)


@pytest.mark.parametrize(("bits", "n_bad"), [(2**64 - 1, 3), (1, 1), (0b110, 2), (0, 0)])
def test_status_bits_choose_what_is_bad(tmp_path: Path, bits: int, n_bad: int) -> None:
    status = np.zeros((3, 1, 4, 16), "u8")
    status[0, 0, 0, 0], status[1, 0, 1, 1], status[2, 0, 2, 2] = 1, 2, 2**63 | 4
    write_constants(tmp_path / "c.h5", {"pedestals": np.zeros((3, 1, 4, 16), "f4"), "pixel_status": status})
    options = {"constants": "c.h5", "kind": "jungfrau", "status": bits}

    stage = stage_of(tmp_path, options, None, Frame((4, 16), U2))

    assert np.isnan(applied(stage, np.zeros((1, 64), "u2"))).sum() == n_bad
    assert stage.facts()["bad_pixels"] == n_bad


def test_epix10ka_in_all_ranges(tmp_path: Path) -> None:
    constants, settings, raw = made_constants(7), epix_settings(), jungfrau_raw()
    write_constants(tmp_path / "c.h5", constants, kind="epix10ka")

    stage = stage_of(tmp_path, "c.h5", detector("epix10ka", **settings))

    assert_array_equal(shaped(stage, raw.reshape(3, -1)), epix_truth(raw, constants, settings, 14))


@pytest.mark.parametrize("asic", range(4))
@pytest.mark.parametrize("ramp", [0, 1])
@pytest.mark.parametrize("gain", [12, 8, 0])
@pytest.mark.parametrize("flag", [0, 1])
def test_epix10ka_one_asic_in_one_range(tmp_path: Path, asic: int, ramp: int, gain: int, flag: int) -> None:
    pedestals = np.arange(7, dtype="f4")[:, None, None, None] * np.ones((7, 1, 4, 8), "f4")
    write_constants(tmp_path / "c.h5", {"pedestals": pedestals})
    words = np.full((4, 4, 4), 4, "u1")  # 4 is no gain, so NaN
    words[asic] = gain
    ramps = np.zeros(4, "u1")
    ramps[asic] = ramp
    info = detector("epix10ka", (0,), asicPixelConfig=[words], trbit=[ramps])

    stage = stage_of(tmp_path, "c.h5", info, Frame((4, 8), U2))

    raw = np.full((1, 32), 100 | (flag << 14), "u2")
    top, left = {2: (0, 0), 1: (0, 4), 3: (2, 0), 0: (2, 4)}[asic]
    truth = np.full((1, 4, 8), np.nan, "f4")
    truth[0, top : top + 2, left : left + 4] = 100 - np.float32(formulae.epix_range(gain, ramp, flag))
    assert_array_equal(shaped(stage, raw), truth)


def test_epix10ka_with_a_finished_panel_of_bits(tmp_path: Path) -> None:
    constants, settings, raw = made_constants(7), epix_settings(), jungfrau_raw()
    write_constants(tmp_path / "c.h5", constants)
    pairs = zip(settings["asicPixelConfig"], settings["trbit"], strict=True)
    maps = [formulae.epix_words(asics, ramps, ROWS, COLS) for asics, ramps in pairs]
    panels = [(words & 15 | ramps << 4).astype("u1") for words, ramps in maps]

    stage = stage_of(tmp_path, "c.h5", detector("epix10ka", cbitsConfig=panels))

    assert_array_equal(shaped(stage, raw.reshape(3, -1)), epix_truth(raw, constants, settings, 14))


def test_epixhr_has_its_flag_in_bit_15_and_panels_row_after_row(tmp_path: Path) -> None:
    constants, raw = made_constants(7), jungfrau_raw()
    write_constants(tmp_path / "c.h5", constants)
    words = np.random.default_rng(8).choice([12, 8, 0], (N, ROWS, COLS)).astype("u1")
    ramps = np.array([[0, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 0]], "u1")
    info = detector("epixhr2x2", asicPixelConfig=words.reshape(N, -1), trbit=ramps)

    stage = stage_of(tmp_path, "c.h5", info)

    on_panel = np.zeros((N, ROWS, COLS), int)
    for n in range(N):
        on_panel[n, :4, :16], on_panel[n, :4, 16:] = ramps[n, 1], ramps[n, 3]
        on_panel[n, 4:, :16], on_panel[n, 4:, 16:] = ramps[n, 0], ramps[n, 2]
    bad = bad_pixels(constants, (0, 1, 2, 3, 4))
    truth = [formulae.epix(frame, constants, words, on_panel, bad, 15) for frame in raw]
    assert_array_equal(shaped(stage, raw.reshape(3, -1)), np.stack(truth))


@pytest.mark.parametrize("dtype", first_quick(["u1", "u2", "i2", "u4", "i4", "f4", "f8"], 3))
def test_camera_of_one_gain(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(4)
    pedestals = rng.normal(20, 3, (6, 9)).astype("f4")
    gain = rng.normal(16, 1, (6, 9)).astype("f4")
    gain[3, 3] = 0
    write_constants(tmp_path / "c.npz", {"pedestals": pedestals, "pixel_gain": gain})
    raw = rng.integers(0, 120, (4, 6, 9)).astype(dtype)

    stage = stage_of(tmp_path, "c.npz", detector("opal", (0,)), Frame((6, 9), np.dtype(dtype)))

    factor = np.where(gain == 0, np.float32(np.nan), 1 / np.where(gain == 0, 1, gain))
    truth = (raw.astype("f4") - pedestals) * factor
    assert_array_equal(shaped(stage, raw.reshape(4, -1)), truth.astype("f4"))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("of_pedestals", "of_offset", "of_gain"),
    [("u2", "u2", "u1"), ("u1", "i1", "i2"), ("i4", "i4", "f2"), ("f2", "f2", "f8"), ("u8", "f4", "f4")],
)
def test_constants_of_narrow_types_are_not_computed_in_them(
    tmp_path: Path, order: str, of_pedestals: str, of_offset: str, of_gain: str
) -> None:
    largest = {"u1": 250, "i1": 120, "f2": 60_000, "i4": 2**31 - 64}
    high, offset = (largest.get(name, 60_000) for name in (of_pedestals, of_offset))
    arrays = {
        "pedestals": np.full((4, 8), high).astype(order + of_pedestals),
        "pixel_offset": np.full((4, 8), offset).astype(order + of_offset),
        "pixel_gain": np.arange(1, 33).reshape(4, 8).astype(order + of_gain),
    }
    write_constants(tmp_path / "c.h5", arrays, kind="single")
    frame, raw = Frame((4, 8), np.dtype("i8")), np.arange(32) + 2**33

    stage = stage_of(tmp_path, "c.h5", None, frame)

    subtracted = np.float32(float(arrays["pedestals"][0, 0]) + float(arrays["pixel_offset"][0, 0]))
    wanted = (raw - subtracted.astype("f8")).astype("f4") / np.arange(1, 33)
    np.testing.assert_allclose(applied(stage, raw.reshape(1, -1))[0], wanted, rtol=2e-7)


def test_segments_are_picked_by_number(tmp_path: Path) -> None:
    constants, raw = jungfrau_constants(), jungfrau_raw()
    write_constants(tmp_path / "c.h5", constants, segments=[1, 4, 6])

    stage = stage_of(tmp_path, "c.h5", detector("jungfrau", (1, 6)), Frame((2, ROWS, COLS), U2))

    bad = bad_pixels(constants, (0, 1, 2))
    truth = np.stack([formulae.jungfrau(frame, constants, bad) for frame in raw])[:, [0, 2]]
    assert_array_equal(shaped(stage, raw[:, [0, 2]].reshape(3, -1)), truth)


def refused(folder: Path, options: object, info: DetectorInfo | None, frame: Frame = RAW) -> str:
    with pytest.raises((ValueError, OSError)) as caught:  # those of pydantic and of ours
        stage_of(folder, options, info, frame)
    return str(caught.value)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    constants = jungfrau_constants()
    write_constants(tmp_path / "c.h5", constants, kind="jungfrau", unique_id="jf_1_2", segments=[0, 1, 4])
    gains = {"pixel_gain": constants["pixel_gain"]}
    write_constants(tmp_path / "gains.h5", gains, kind="jungfrau")
    write_constants(tmp_path / "nothing.h5", made_constants(7))
    (tmp_path / "text.h5").write_text("pedestals: 3")

    for options, info, frame, words in [
        ("c.h5", detector("jungfrau"), RAW, ("holds segments 0, 1, 4", "not 2")),
        ("c.h5", detector("jungfrau", (0, 1, 4), "jf_1_3"), RAW, ("'jf_1_2'", "'jf_1_3'")),
        ("c.h5", detector("epix10ka", (0, 1, 4)), RAW, ("'jungfrau'", "'epix10ka'")),
        ("c.h5", None, Frame((2, ROWS, COLS), U2), ("3 segments", "2")),
        ("c.h5", detector("jungfrau", (0, 1)), RAW, ("2 segments: 0, 1", "(3, 8, 32)")),
        ("c.h5", None, Frame((N, ROWS, 16), U2), ("'pixel_status'", "(3, 3, 8, 32)", "8, 16")),
        ("c.h5", None, Frame((N, ROWS, COLS), np.dtype("f4")), ("float32", "uint16")),
        ("c.h5", None, Frame((40,), U2), ("(40,)", "rows, columns")),
        (
            {"constants": "c.h5", "kind": "single"},
            None,
            Frame(RAW.shape, np.dtype("f4"), "keV"),
            ("calibrated",),
        ),
        ("gains.h5", None, RAW, ("no 'pedestals'", "pixel_gain")),
        ("nothing.h5", None, RAW, ("nothing", "add 'kind: '")),
        ("nothing.h5", detector("epix10ka"), RAW, ("asicPixelConfig", "kind: single")),
        ("absent.h5", None, RAW, ("no such file", "absent.h5")),
        ("text.h5", None, RAW, ("text.h5", "HDF5")),
        ({"constants": "c.h5", "kind": "jungfrou"}, None, RAW, ("'jungfrou'", "'jungfrau'")),
        ({"constants": "c.h5", "gains": True}, None, RAW, ("'gains'", "'gain'")),
    ]:
        message = refused(tmp_path, options, info, frame)
        assert all(word in message for word in words), message


class TestCalibrateStage(StageSuite):
    @pytest.fixture(
        params=first_quick(
            ["jungfrau rows", "epix10ka", "single", "jungfrau", "epix10ka all", "single banks"]
        ),
    )
    def stage(self, request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
        kind, _, groups = request.param.partition(" ")
        ranges = {"jungfrau": 3, "epix10ka": 7, "single": 1}[kind]
        constants = made_constants(ranges)
        if ranges == 1:
            constants = {key: value.reshape(N, ROWS, COLS) for key, value in constants.items()}
        write_constants(tmp_path / "c.h5", constants, kind=kind)
        modes = ["banks", "rows", "columns"] if groups == "all" else groups
        limits = {"groups": modes, "max_correction": "2000 ADU", "min_pixels": 1}
        options = {"constants": "c.h5", **({"common_mode": limits} if modes else {})}
        return stage_of(tmp_path, options, detector(kind, **epix_settings()))
