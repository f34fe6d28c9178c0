"""Raw frames of real files, read and calibrated, against formulae in plain numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Frame, Stage
from cubeengine.detectors.constants import write_constants
from cubeengine.errors import SpecError
from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from tests.suites.stages import built, shaped

pytestmark = pytest.mark.realdata

Array = NDArray[Any]


def made_constants(ranges: int, n: int, rows: int, cols: int) -> dict[str, Array]:
    rng = np.random.default_rng(ranges)
    shape = (ranges, n, rows, cols) if ranges > 1 else (n, rows, cols)
    return {
        "pedestals": rng.normal(2000, 50, shape).astype("f4"),
        "pixel_gain": (rng.normal(40, 4, shape) * rng.choice([-1, 1], shape)).astype("f4"),
        "pixel_status": (rng.random(shape) < 0.001).astype("u8"),
    }


def calibrated(source: Xtc2Source, field: str, options: Any, folder: Path) -> tuple[Stage, Array, Array]:
    """Return the stage, raw frames (n, segments, rows, cols) and calibrated ones."""
    column = source.read(field)
    raw = column.data if column.valid is None else column.data[column.valid]
    frame = Frame(raw.shape[1:], raw.dtype)
    stage = built("calibrate", options, frame, Context(field, folder, source.detector(field)))
    return stage, raw, shaped(stage, raw.reshape(len(raw), -1))


def expected(raw: Array, index: Array, constants: dict[str, Array], status: Array) -> Array:
    """Calibrate with the gain range of every pixel of every event."""
    value = (raw & 0x3FFF).astype("f4")
    pick = [np.take_along_axis(constants[key], index, axis=0) for key in ("pedestals", "pixel_gain")]
    out = (value - pick[0]) * (np.float32(1) / pick[1])
    return np.where(status, np.float32(np.nan), out)


def test_epix10ka_in_its_configured_range(shared_data: Path, tmp_path: Path) -> None:
    source = open_xtc2(shared_data / "xtc2" / "single" / "test_epix_calib.xtc2")
    constants = made_constants(7, 4, 352, 384)
    unique_id = source.detector("epixquad/raw/raw")
    assert unique_id is not None
    write_constants(tmp_path / "c.h5", constants, kind="epix10ka", unique_id=unique_id.unique_id)

    stage, raw, found = calibrated(source, "epixquad/raw/raw", "c.h5", tmp_path)

    # all pixels are in the fixed low gain, range 2, and have bit 14 set
    assert raw.shape == (2, 4, 352, 384)
    assert np.all(raw & 0xC000 == 0x4000)
    status = constants["pixel_status"][:5].any(axis=0)
    index = np.full(raw.shape[1:], 2)[np.newaxis]
    truth = np.stack([expected(frame, index, constants, status)[0] for frame in raw])
    assert stage.output.unit == "keV"
    assert_array_equal(found, truth)


def test_one_segment_of_an_epix10ka(shared_data: Path, tmp_path: Path) -> None:
    source = open_xtc2(shared_data / "xtc2" / "single" / "test_epix_calib.xtc2")
    whole = source.detector("epixquad/raw/raw")
    assert whole is not None
    write_constants(
        tmp_path / "c.h5", made_constants(7, 4, 352, 384), kind="epix10ka", unique_id=whole.unique_id
    )

    together = calibrated(source, "epixquad/raw/raw", "c.h5", tmp_path)[2]
    alone = calibrated(source, "epixquad/2/raw/raw", "c.h5", tmp_path)[2]

    assert_array_equal(alone.reshape(2, 352, 384), together[:, 2])


def test_jungfrau_of_the_delay_scan(shared_data: Path, tmp_path: Path) -> None:
    source = open_xtc2(shared_data / "xtc2" / "delayscan")
    constants = made_constants(3, 1, 64, 96)
    write_constants(tmp_path / "c.h5", constants, kind="jungfrau")

    _, raw, found = calibrated(source, "jungfrau/raw/raw", "c.h5", tmp_path)

    code = (raw >> 14).astype(int)
    index = np.select([code == 0, code == 1, code == 3], [0, 1, 2], 0)
    status = constants["pixel_status"].any(axis=0)
    truth = np.stack(
        [
            expected(frame, each[np.newaxis], constants, status)[0]
            for frame, each in zip(raw, index, strict=True)
        ]
    )
    assert len(raw) > 500
    assert_array_equal(found, np.where(code == 2, np.float32(np.nan), truth))


def test_camera_of_a_kind_nobody_knows_needs_to_be_told(shared_data: Path, tmp_path: Path) -> None:
    source = open_xtc2(shared_data / "xtc2" / "delayscan")
    constants = made_constants(1, 2, 32, 48)
    write_constants(tmp_path / "c.h5", constants)

    with pytest.raises(SpecError, match=r"'fakecam'; add 'kind: '"):
        calibrated(source, "epixs/1/raw/array", "c.h5", tmp_path)
    options = {"constants": "c.h5", "kind": "single"}
    _, raw, found = calibrated(source, "epixs/1/raw/array", options, tmp_path)

    truth = (raw.astype("f4") - constants["pedestals"][1]) * (np.float32(1) / constants["pixel_gain"][1])
    bad = constants["pixel_status"][1] != 0
    assert_array_equal(found, np.where(bad, np.float32(np.nan), truth))
