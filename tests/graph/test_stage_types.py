"""Every stage of fields of every type and byte order, from the file to the cube, against plain numpy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine import api
from cubeengine.detectors.constants import write_constants
from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.spec.model import CubeSpec, Signal
from tests.makers.geometry import camera

KINDS = ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
TYPES = [order + kind for kind in KINDS for order in ("<" if kind in ("?", "i1", "u1") else "<>")]
N_EVENTS, SHAPE = 6, (4, 6)
GOOD = np.arange(24).reshape(SHAPE) % 5 != 2
PEDESTALS, GAIN = np.linspace(90, 110, 24).reshape(SHAPE), np.linspace(2, 3, 24).reshape(SHAPE)
Work = Callable[[np.ndarray], np.ndarray]


def frames_of(dtype: str) -> np.ndarray:
    """Make frames whose sums leave the type's range; of floats, some pixels are missing or infinite."""
    rng, kind = np.random.default_rng(5), np.dtype(dtype)
    if kind.kind == "b":
        return rng.random((N_EVENTS, *SHAPE)) < 0.6
    if kind.kind == "f":
        high = 60_000 if kind.itemsize == 2 else 1e6
        frames = rng.uniform(-high / 2, high, (N_EVENTS, *SHAPE)).astype(kind)
        frames[1, :2, 1], frames[2, 3, 3], frames[3, 0, 0] = np.nan, np.inf, -np.inf
        return frames
    limits = np.iinfo(kind)
    return rng.integers(
        max(limits.min, -(2**50)), min(limits.max, 2**50), (N_EVENTS, *SHAPE), endpoint=True
    ).astype(kind)


def nansum(values: np.ndarray, axis: Any) -> np.ndarray:
    empty = np.isnan(values).all(axis=axis)
    return np.where(empty, np.nan, np.nansum(values, axis=axis))


def below(values: np.ndarray) -> np.ndarray:
    return np.where(values < 50.5, 0, values)


def rectangles(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 2, 2, 2, 3)


def rings(values: np.ndarray) -> np.ndarray:
    down, right = np.mgrid[:4, :6]
    radius = np.hypot(down - 1.6, right - 2.4)
    inside = [values[:, (radius >= low) & (radius < low + 1)] for low in range(3)]
    return np.stack([np.nanmean(ring, axis=1) for ring in inside], axis=1)


RINGS = {"distance": "1 m", "pixel_size": "1 mm", "center": [1.6, 2.4], "bins": 3, "unit": "r_mm"}
RINGS |= {"range": [0, 3], "split": "none", "solid_angle": False}
STAGES: dict[str, tuple[list[Any], Work]] = {
    "calibrate": ([{"calibrate": "constants.h5"}], lambda v: (v - PEDESTALS) / GAIN),
    "calibrate, sum": (
        [{"calibrate": "constants.h5"}, "sum"],
        lambda v: nansum((v - PEDESTALS) / GAIN, (1, 2)),
    ),
    "mask": ([{"mask": "mask.npy"}], lambda v: np.where(GOOD, v, np.nan)),
    "threshold": ([{"threshold": 50.5}], below),
    "missing below": (
        [{"threshold": {"min": 50.5, "below": "missing"}}],
        lambda v: np.where(v < 50.5, np.nan, v),
    ),
    "roi": ([{"roi": [[1, 3], [2, 6]]}], lambda v: v[:, 1:3, 2:6]),
    "rebin": ([{"rebin": [2, 3]}], lambda v: rectangles(v).sum(axis=(2, 4))),
    "rebin mean": (
        [{"rebin": {"factor": [2, 3], "how": "mean"}}],
        lambda v: np.nanmean(rectangles(v), axis=(2, 4)),
    ),
    "project": ([{"project": "rows"}], lambda v: nansum(v, 2)),
    "project mean": ([{"project": {"onto": "columns", "how": "mean"}}], lambda v: np.nanmean(v, axis=1)),
    "sum": (["sum"], lambda v: nansum(v, (1, 2))),
    "mask, sum": ([{"mask": "mask.npy"}, "sum"], lambda v: nansum(np.where(GOOD, v, np.nan), (1, 2))),
    "assemble": ([{"assemble": "geometry.data"}], lambda v: v[:, ::-1, ::-1]),
    "azav": ([{"azav": RINGS}], rings),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("types")
    np.save(folder / "mask.npy", GOOD)
    (folder / "geometry.data").write_text(camera("MTRX:4:6:1000:1000", [(0, 0, 0, 180)]))
    write_constants(folder / "constants.h5", {"pedestals": PEDESTALS, "pixel_gain": GAIN}, kind="single")
    with h5py.File(folder / "types.h5", "w") as file:
        file["event_time"] = (np.arange(N_EVENTS) + 1_425_000_000) << 32
        for dtype in TYPES:
            file[field_of(dtype)] = frames_of(dtype)
    return api.open_run(folder / "types.h5")


def field_of(dtype: str) -> str:
    return f"d/{np.dtype(dtype).str[1:]}_{'big' if dtype[0] == '>' else 'little'}"


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_stage_of_every_type_is_that_of_numpy(run: Run, name: str) -> None:
    stages, work = STAGES[name]
    if name == "azav":
        pytest.importorskip("pyFAI", reason="pyFAI (extra azav) is not installed")
    types = [dtype for dtype in TYPES if dtype != "<?" or "calibrate" not in name]
    signals = [Signal(field_of(dtype), name=field_of(dtype)[2:], stages=stages) for dtype in types]
    spec = CubeSpec(cube="types", signals=signals).at(run.source.files[0].path.parent)

    cube = api.plan(run, spec).compute(workers=1)

    for dtype in types:
        values = frames_of(dtype).astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        with warnings.catch_warnings(action="ignore"):  # means of nothing
            wanted = work(values)
            mean, size = np.nanmean(wanted, axis=0), np.nanmean(np.abs(wanted), axis=0)
        count = np.isfinite(wanted).sum(axis=0)
        found = cube.isel(selection=0)[[f"{field_of(dtype)[2:]}_{what}" for what in ("mean", "count")]]
        found_mean, found_count = (np.asarray(array) for array in found.values())
        assert_array_equal(np.broadcast_to(found_count, count.shape), count, err_msg=dtype)
        close = 1e-6 if "calibrate" in name or name == "azav" else 1e-14
        assert_array_equal(np.isnan(found_mean), np.isnan(mean), err_msg=dtype)
        assert (np.abs(found_mean - mean) <= close * size)[count > 0].all(), (dtype, found_mean, mean)


def test_truth_values_cannot_be_calibrated(run: Run) -> None:
    spec = CubeSpec(cube="types", signals=[Signal("d/b1_little", stages=[{"calibrate": "constants.h5"}])])
    with pytest.raises(SpecError, match=r"has values of bool; kind 'single' needs raw numbers"):
        api.plan(run, spec.at(run.source.files[0].path.parent))
