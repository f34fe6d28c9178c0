from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.report.page import report_html
from cubeengine.store.read import cube_facts
from tests.planning.runs import memory_run
from tests.store.handmade import delay_cube, save

NESTED = {"on": {"cut": 3, "kept": [1.5, None]}, "off": {}}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(delay_cube(), tmp_path_factory.mktemp("cubes") / "delay.zarr")


def made(folder: Path) -> Path:
    """A cube as cubeengine makes it, of a run in memory."""
    run = memory_run({"x": np.repeat([0.0, 1.0], 10), "y": np.arange(20.0), "frame": np.ones((20, 2, 3))})
    spec = ce.CubeSpec(cube="c", axes=[ce.Axis(field="x", edges=[-0.5, 0.5, 1.5])], signals=["y", "frame"])
    ce.plan(run, spec).to_zarr(folder / "made.zarr")
    return folder / "made.zarr"


def with_nested_attributes(cube: Path) -> Path:
    """Write the group attributes of a cube as they were before: nested, with null."""
    file = cube / "zarr.json"
    root = json.loads(file.read_text())
    root["attributes"] = {**cube_facts(ce.open_cube(cube)), "join": None, "partial_run": None}
    file.write_text(json.dumps(root))
    return cube


def all_attributes(cube: Path) -> list[Any]:
    files = cube.rglob("zarr.json")
    return [value for file in files for value in json.loads(file.read_text())["attributes"].values()]


def test_attributes_on_disk_are_text_numbers_and_arrays_of_numbers(tmp_path: Path) -> None:
    numbers = (int, float)
    for value in all_attributes(made(tmp_path)):
        flat = isinstance(value, list) and value and all(isinstance(item, numbers) for item in value)
        assert isinstance(value, str | int | float) or flat, value


@pytest.mark.parametrize("opened", [xr.open_zarr, ce.open_cube])
def test_a_cube_becomes_netcdf_and_back_with_all_it_says(tmp_path: Path, opened: Any) -> None:
    cube, file = made(tmp_path), tmp_path / "cube.nc"
    opened(cube).to_netcdf(file, engine="h5netcdf")

    with xr.open_dataset(file, engine="h5netcdf") as back:
        assert cube_facts(back) == cube_facts(ce.open_cube(cube))
        assert cube_facts(back)["spec"]["cube"] == "c"
        assert cube_facts(back)["fates"]["all"]["binned"] == 20
        np.testing.assert_array_equal(back["frame_mean"], np.ones((1, 2, 2, 3)))


def test_what_is_computed_lazily_says_the_same_in_text() -> None:
    run = memory_run({"x": np.arange(4.0)})
    lazy = ce.plan(run, ce.CubeSpec(cube="c", signals=["x"])).lazy()

    assert isinstance(lazy.attrs["spec"], str)
    assert cube_facts(lazy)["spec"]["cube"] == "c"


def test_summary_pictures_and_report_are_the_same_of_a_cube_from_netcdf(stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "cube.nc"
    cube = ce.open_cube(stored)
    cube.to_netcdf(file, engine="h5netcdf")

    with xr.open_dataset(file, engine="h5netcdf") as back:
        assert ce.describe_cube(back).splitlines()[1:] == ce.describe_cube(cube).splitlines()[1:]
        assert ce.plot_cube(back, "diode2").get_suptitle() == "xpptut15 run 252: diode2"
        assert "ipm2/sum in [0.3, 2.0]" in report_html(back, "cube.nc")


def test_picked_events_become_netcdf(tmp_path: Path) -> None:
    run = memory_run({"x": np.arange(6.0), "frame": np.arange(24).reshape(6, 2, 2)})
    spec = ce.PickSpec(cube="p", pick={"events": 2, "which": "largest", "field": "x"}, signals=["frame"])
    ce.pick(run, spec).to_zarr(tmp_path / "p.zarr")
    xr.open_zarr(tmp_path / "p.zarr").to_netcdf(tmp_path / "p.nc", engine="h5netcdf")

    with xr.open_dataset(tmp_path / "p.nc", engine="h5netcdf") as back:
        assert "picked: " in ce.describe_cube(back)
        np.testing.assert_array_equal(back["frame"].values[0], [[[20, 21], [22, 23]], [[16, 17], [18, 19]]])


def test_cubes_with_nested_attributes_open_and_merge_with_new_ones(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = with_nested_attributes(made(tmp_path / "old")), made(tmp_path / "new")
    ce.merge_cubes([old, new], tmp_path / "both.zarr")

    facts = cube_facts(ce.open_cube(tmp_path / "both.zarr"))
    assert "cube 'c'" in ce.describe_cube(ce.open_cube(old))
    assert facts["fates"]["all"]["binned"] == 40
    assert [part["spec"]["cube"] for part in facts["merged_from"]] == ["c", "c"]


def test_structures_come_back_as_they_were(tmp_path: Path) -> None:
    attrs = {"nested": NESTED, "rows": [["a", 1]], "numbers": (1, 2.5), "empty": [], "no": None, "yes": True}
    found = ce.open_cube(save(xr.Dataset({"v": ("t", [1.0])}, attrs=attrs), tmp_path / "c.zarr"))

    kept = {key: value for key, value in cube_facts(found).items() if key in attrs}
    assert kept == {"nested": NESTED, "rows": [["a", 1]], "numbers": [1, 2.5], "empty": [], "yes": 1}


def test_text_that_begins_as_a_structure_stays_text(tmp_path: Path) -> None:
    attrs = {"title": "{not JSON", "note": "[see log book]"}
    found = ce.open_cube(save(xr.Dataset({"v": ("t", [1.0])}, attrs=attrs), tmp_path / "c.zarr"))

    assert cube_facts(found)["title"] == "{not JSON"
    assert cube_facts(found)["note"] == "[see log book]"
