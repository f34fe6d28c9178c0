"""The whole way: events of one run split over several, a cube of each, against the cube of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.combine.merge import merge_cubes
from cubeengine.combine.rebin import rebin_cube
from tests.combine.cubes import UNIT, assert_within
from tests.planning.runs import memory_run, plan_of

SPEC = """
select:
  bright: [{field: i0, min: 0.3}]
  lit: {all: [bright], laser: on}
axes:
  - {field: x, edges: {start: -1, stop: 1, bins: 8}}
  - {field: i0, edges: [0.3, 0.8, 1.4]}
cubes: [bright, lit]
signals: [det/counts, diode, {field: det/counts, name: small, dtype: float32}]
"""
COARSE = SPEC.replace("bins: 8", "bins: 2").replace("  - {field: i0, edges: [0.3, 0.8, 1.4]}\n", "")


def arrays(n_events: int = 900) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    diode = rng.normal([1e4, -2], [0.1, 3], (n_events, 2))
    diode[rng.random((n_events, 2)) < 0.05] = np.nan
    return {
        "x": np.where(rng.random(n_events) < 0.03, np.nan, rng.normal(0, 0.6, n_events)),
        "i0": rng.gamma(6, 1 / 6, n_events),
        "lightStatus/laser": rng.integers(-1, 2, n_events),
        "diode": diode,
        "det/counts": rng.poisson(900, (n_events, 3, 4)).astype(np.uint16),
    }


def made(data: dict[str, Any], damaged: np.ndarray, spec: str, target: Path) -> Path:
    run = memory_run(data, valid={"det/counts": ~damaged})
    return plan_of(run, spec).to_zarr(target).path


@pytest.fixture
def cubes(tmp_path: Path) -> list[Path]:
    """The cube of all events, then those of three parts."""
    data = arrays()
    rng = np.random.default_rng(2)
    lost, owner = rng.random(len(data["x"])) < 0.1, rng.integers(0, 3, len(data["x"]))
    parts = [np.full(len(owner), True), *(owner == part for part in range(3))]
    return [
        made({name: values[part] for name, values in data.items()}, lost[part], SPEC, tmp_path / f"{n}.zarr")
        for n, part in enumerate(parts)
    ]


def test_merged_cubes_of_parts_are_the_cube_of_all(cubes: list[Path], tmp_path: Path) -> None:
    whole, *parts = cubes
    merge_cubes(parts, tmp_path / "merged.zarr")
    found, wanted = ce.open_cube(tmp_path / "merged.zarr"), ce.open_cube(whole)

    assert list(found.variables) == list(wanted.variables)
    for key in ("fates", "cut_flow", "n_events_total", "left_out", "title"):
        assert found.attrs[key] == wanted.attrs[key], key
    for name in ("x", "i0", "det__counts", "diode", "small"):
        compare(found, wanted, name)


def compare(found: Any, wanted: Any, name: str) -> None:
    """Counts are equal, mean and std within the bounds of docs/combining.md for three cubes."""
    unit = 2.0**-24 if name == "small" else UNIT
    mean, std = wanted[f"{name}_mean"], wanted[f"{name}_std"]
    np.testing.assert_array_equal(found[f"{name}_count"], wanted[f"{name}_count"])
    assert found[f"{name}_mean"].dtype == mean.dtype
    largest = (
        np.abs(mean.values) + 8 * std.values
    )  # of the means of the cubes, which scatter by less than this
    # Once for each side, as the cube of all has been rounded too.
    assert_within(found[f"{name}_mean"].values, mean.values, 2 * unit * (2 * largest + 12 * 16 * std.values))
    assert_within(
        found[f"{name}_std"].values,
        std.values,
        2 * unit * (2 * largest + 16 * std.values) + 1e-11 * std.values,
    )


def test_rebinned_cube_is_the_cube_of_the_coarse_spec(cubes: list[Path], tmp_path: Path) -> None:
    merge_cubes(cubes[1:], tmp_path / "merged.zarr")
    rebin_cube(tmp_path / "merged.zarr", tmp_path / "coarse.zarr", by={"x": 4}, drop=["i0"])
    data = arrays()
    inside = (data["i0"] >= 0.3) & (data["i0"] <= 1.4)
    kept = {name: values[inside] for name, values in data.items()}
    wanted = ce.open_cube(made(kept, np.zeros(inside.sum(), bool), COARSE, tmp_path / "wanted.zarr"))
    found = ce.open_cube(tmp_path / "coarse.zarr")

    np.testing.assert_array_equal(found["n_events"], wanted["n_events"])
    np.testing.assert_array_equal(found["x_bnds"], wanted["x_bnds"])
    for name in ("x", "diode"):
        compare(found, wanted, name)
