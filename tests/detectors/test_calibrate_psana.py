"""Calibrated frames against those of psana: its own code, given the same frames and constants.

CUBEENGINE_PSANA_PYTHON names a Python that has psana; without it these are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Frame
from cubeengine.detectors.constants import write_constants
from cubeengine.types import DetectorInfo
from tests.suites.stages import built, shaped

Array = NDArray[Any]
PSANA = os.environ.get("CUBEENGINE_PSANA_PYTHON", "")
PANELS = {"jungfrau": (3, 2, 512, 1024), "epix10ka": (7, 4, 352, 384), "epix100": (1, 1, 704, 768)}
GROUPS = {0: [], 1: ["rows"], 2: ["columns"], 4: ["banks"], 7: ["banks", "rows", "columns"]}
CASES = [(kind, mode) for kind in PANELS for mode in GROUPS]
LIMIT, LEAST = 100.0, 10


def made_constants(kind: str) -> dict[str, Array]:
    rng, shape = np.random.default_rng(3), PANELS[kind]
    shape = shape if shape[0] > 1 else shape[1:]
    constants = {
        "pedestals": rng.normal(2000, 50, shape).astype("f4"),
        "pixel_gain": rng.normal(40, 4, shape).astype("f4"),
        "pixel_status": np.where(rng.random(shape) < 0.01, rng.integers(1, 2**16, shape), 0).astype("u8"),
    }
    if kind == "jungfrau":
        constants["pixel_offset"] = rng.normal(0, 3, shape).astype("f4")
        constants["pixel_gain"][1:] *= -0.03
    return constants


def made_raw(kind: str) -> Array:
    """Frames near the pedestals, with a shift per row; some pixels have other values, with any gain bits."""
    rng, shape = np.random.default_rng(4), PANELS[kind][1:]
    raw = rng.normal(2000, 60, (2, *shape)) + rng.normal(0, 40, (2, *shape[:2], 1))
    words = raw.round().astype("u2")
    other = rng.integers(0, 2**16, raw.shape).astype("u2")
    return np.where(rng.random(raw.shape) < 0.2, other if kind != "epix100" else other & 0x3FFF, words)


def made_settings(kind: str) -> dict[str, Array]:
    if kind != "epix10ka":
        return {}
    words = np.random.default_rng(5).choice([12, 8, 0], (4, 4, 176, 192), p=[0.3, 0.1, 0.6]).astype("u1")
    return {"asicPixelConfig": words, "trbit": np.array([[1] * 4, [0] * 4, [1, 0, 1, 0], [0, 1, 1, 1]], "u1")}


@pytest.fixture(scope="module")
def of_psana(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PSANA:
        pytest.skip("CUBEENGINE_PSANA_PYTHON names no Python that has psana")
    folder = tmp_path_factory.mktemp("psana")
    for kind, mode in CASES:
        options: dict[str, Any] = {"cmpars": [7, mode, LIMIT, LEAST]} if mode else {}
        if kind == "jungfrau" and mode:
            options["cversion"] = 0  # only this version of psana's has a common mode
        members = {f"c.{key}": values for key, values in made_constants(kind).items()}
        members |= {f"s.{key}": values for key, values in made_settings(kind).items()}
        raw = made_raw(kind)
        np.savez(folder / f"{kind}.{mode}.npz", raw=raw, kind=kind, options=json.dumps(options), **members)
    script = Path(__file__).with_name("psana_calibrate.py")
    subprocess.run([PSANA, str(script), str(folder)], check=True, capture_output=True, text=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_values_are_those_of_psana(of_psana: Path, tmp_path: Path, kind: str, mode: int) -> None:
    raw, theirs = made_raw(kind), np.load(of_psana / f"{kind}.{mode}.npy")
    write_constants(tmp_path / "c.h5", made_constants(kind), kind=kind)
    settings = {f"config/{key}": tuple(values) for key, values in made_settings(kind).items()}
    info = DetectorInfo("area", kind, "", tuple(range(raw.shape[1])), settings)
    limits = {"groups": GROUPS[mode], "max_correction": LIMIT, "min_pixels": LEAST}
    options = {"constants": "c.h5", **({"common_mode": limits} if mode else {})}

    stage = built("calibrate", options, Frame(raw.shape[1:], raw.dtype), Context("raw", tmp_path, info))
    ours = shaped(stage, raw.reshape(2, -1))

    missing = np.isnan(ours)
    assert 0 < missing.mean() < 0.2
    np.testing.assert_array_equal(theirs[missing], 0)  # psana gives 0 where nothing is known
    difference = np.abs(ours[~missing].astype("f8") - theirs[~missing])
    print(f"{kind} {mode}: largest difference {difference.max()}")  # noqa: T201 - shown on request
    np.testing.assert_array_equal(ours[~missing], theirs[~missing].astype("f4"))
