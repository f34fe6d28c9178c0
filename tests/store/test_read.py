from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine.errors import FieldNotFound, StoreMismatch
from cubeengine.store import chunks
from cubeengine.store.layout import STD_COMMENT
from cubeengine.store.read import SEM_COMMENT, cube_facts, cube_hash, is_cube, open_cube, sem, signal_names
from tests.store.handmade import delay_cube, save


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return delay_cube()


@pytest.fixture(scope="module")
def stored(cube: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cube, tmp_path_factory.mktemp("cubes") / "delay.zarr")


def test_opened_cube_equals_what_was_stored(cube: xr.Dataset, stored: Path) -> None:
    found = open_cube(stored)
    xr.testing.assert_equal(found, cube)
    assert cube_facts(found) == {key: value for key, value in cube.attrs.items() if value is not None}


def test_opening_reads_no_values(stored: Path) -> None:
    assert not open_cube(stored)["frame_mean"].variable._in_memory


def test_opened_in_chunks_gives_dask_arrays(stored: Path) -> None:
    assert open_cube(stored, chunks={})["frame_mean"].chunks


@pytest.mark.parametrize("unit", ["s", "ms", "ns", "days"])
def test_times_stay_numbers_with_a_unit(tmp_path: Path, unit: str) -> None:
    found = open_cube(save(xr.Dataset({"t": ("t", [1.0, 2.0], {"units": unit})}), tmp_path / "c.zarr"))
    assert found["t"].dtype == np.float64
    assert found["t"].attrs["units"] == unit


def test_missing_cube_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreMismatch, match="no such file or folder"):
        open_cube(tmp_path / "no.zarr")


def test_what_is_no_cube_is_told_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    xr.Dataset({"a": ("x", [1])}).to_zarr(tmp_path / "foreign.zarr", consolidated=False)
    for name, kind in (("text", "a file"), ("folder", "a folder"), ("foreign.zarr", "a zarr group")):
        assert not is_cube(tmp_path / name)
        with pytest.raises(StoreMismatch, match=f"is {kind} but not a cube"):
            open_cube(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"attributes": 3}', "[" * 100_000, '{"attributes": {"cubeengine": 1}}']
)
def test_damaged_metadata_are_no_cube(tmp_path: Path, text: str) -> None:
    (tmp_path / "zarr.json").write_text(text)
    assert not is_cube(tmp_path)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    path = save(xr.Dataset({"a": ("x", [1.0])}), tmp_path / "c.zarr")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"]["cubeengine"] = json.dumps({"format": 2})
    (path / "zarr.json").write_text(json.dumps(root))
    assert is_cube(path)
    with pytest.raises(StoreMismatch, match="format 2, but this version of cubeengine reads up to 1"):
        open_cube(path)


def test_cube_that_was_not_copied_whole_is_refused(tmp_path: Path) -> None:
    path = save(delay_cube(), tmp_path / "c.zarr")
    (path / "frame_mean" / "c.0.0.0.0").unlink()
    with pytest.raises(
        StoreMismatch, match=r"1 chunk is missing, the first 'c.0.0.0.0' of array 'frame_mean'"
    ):
        open_cube(path)


def test_chunks_of_a_damaged_shape_are_counted_not_listed(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.zarr"
    shutil.copytree(stored, damaged)
    document = json.loads((damaged / "zarr.json").read_text())
    arrays = document["consolidated_metadata"]["metadata"]
    name, array = next((name, array) for name, array in arrays.items() if name.endswith("_mean"))
    files = len(list((damaged / name).glob("c.*")))
    array["shape"][-1] = 10**15
    (damaged / "zarr.json").write_text(json.dumps(document))
    named, plain = [], chunks._name_of
    monkeypatch.setattr(chunks, "_name_of", lambda *of: named.append(of) or plain(*of))
    with pytest.raises(
        StoreMismatch, match=rf"[0-9,]{{15,}} chunks are missing, the first 'c\.[0-9.]+' of .*{name}"
    ):
        open_cube(damaged)
    assert len(named) <= files + 1


@pytest.mark.filterwarnings(
    "ignore:Consolidated metadata:zarr.errors.ZarrUserWarning"
)  # xarray's own writing
def test_cube_saved_again_by_xarray_opens_and_has_the_same_hash(stored: Path, tmp_path: Path) -> None:
    cube = open_cube(stored)
    cube.to_zarr(tmp_path / "copy.zarr")
    assert cube_hash(tmp_path / "copy.zarr") == cube_hash(stored)
    xr.testing.assert_equal(open_cube(tmp_path / "copy.zarr"), cube)


def test_link_to_a_cube_can_be_read(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.zarr").symlink_to(stored)
    assert open_cube(tmp_path / "latest.zarr").sizes["delay"] == 21


def test_signals_are_listed_in_order_with_the_axes(cube: xr.Dataset) -> None:
    assert signal_names(cube) == ("delay", "ipm2__sum", "diode2", "azav", "frame")


def test_sem_is_the_sample_deviation_over_the_root_of_the_count() -> None:
    values = np.array([1.0, 4.0, 9.0, 16.0])
    cube = xr.Dataset(
        {
            "a_count": ("x", [4, 1, 0]),
            "a_mean": ("x", [values.mean(), 3.0, np.nan]),
            "a_std": ("x", [values.std(), 0.0, np.nan], {"units": "V", "comment": STD_COMMENT, "ddof": 0}),
        }
    )
    found = sem(cube, "a")
    np.testing.assert_allclose(found, [values.std(ddof=1) / 2, np.nan, np.nan], rtol=1e-15)
    assert found.attrs == {
        "units": "V", "long_name": "standard error of a", "comment": SEM_COMMENT, "ddof": 1,
    }  # fmt: skip


def test_sem_of_frames_uses_one_count_for_all_pixels(cube: xr.Dataset) -> None:
    error = sem(cube, "frame")
    assert error.dims == cube["frame_std"].dims
    expected = (
        cube["frame_std"].values / np.sqrt(np.maximum(cube["frame_count"].values, 2) - 1)[..., None, None]
    )
    np.testing.assert_allclose(error, expected)


def test_sem_takes_the_name_of_the_field_too(cube: xr.Dataset) -> None:
    xr.testing.assert_identical(sem(cube, "ipm2/sum"), sem(cube, "ipm2__sum"))
    xr.testing.assert_identical(sem(cube, "diode2/channels"), sem(cube, "diode2"))


def test_unknown_signal_is_answered_with_the_nearest(cube: xr.Dataset) -> None:
    with pytest.raises(FieldNotFound, match="'diod2' is not in the cube; nearest: 'diode2'"):
        sem(cube, "diod2")
