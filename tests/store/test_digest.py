from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine.store import digest
from cubeengine.store.read import cube_hash, open_cube
from tests.store.handmade import delay_cube, save


@pytest.fixture
def cube() -> xr.Dataset:
    return delay_cube(n_bins=5)


def test_computed_stored_and_lazy_cube_have_one_hash(cube: xr.Dataset, tmp_path: Path) -> None:
    path = save(cube, tmp_path / "c.zarr")
    assert cube_hash(cube) == cube_hash(path) == cube_hash(str(path)) == cube_hash(open_cube(path, chunks={}))


def test_size_of_the_slabs_does_not_matter(cube: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cube_hash(cube)
    for size in (1, 100, 5_000, 20_000):
        monkeypatch.setattr(digest, "SLAB_BYTES", size)
        assert cube_hash(cube) == whole


def test_attributes_order_and_chunks_do_not_matter(cube: xr.Dataset) -> None:
    names = sorted(map(str, cube.data_vars), reverse=True)
    other = xr.Dataset({name: cube[name] for name in names}, cube.coords).drop_attrs().chunk({"delay": 2})
    assert cube_hash(other) == cube_hash(cube)


def test_all_nan_are_one(cube: xr.Dataset) -> None:
    other = cube.copy(deep=True)
    bits = other["diode2_mean"].values.view(np.uint64)
    assert np.isnan(other["diode2_mean"].values).any()
    bits[np.isnan(other["diode2_mean"].values)] ^= np.uint64(1 << 63 | 5)
    assert np.isnan(other["diode2_mean"].values).any()
    assert cube_hash(other) == cube_hash(cube)


def test_strings_of_any_kind_are_one(cube: xr.Dataset) -> None:
    names = cube.selection.values.tolist()
    kinds = (np.array(names), np.array(names, dtype=object))
    assert {cube_hash(cube.assign_coords(selection=kind)) for kind in kinds} == {cube_hash(cube)}


def change_last_bit(cube: xr.Dataset) -> xr.Dataset:
    cube["frame_std"].values.reshape(-1).view(np.uint64)[7] ^= np.uint64(1)
    return cube


@pytest.mark.parametrize(
    "change",
    [
        change_last_bit,
        lambda cube: cube.rename(diode2_mean="diode3_mean"),
        lambda cube: cube.rename(frame_dim0="y"),
        lambda cube: cube.assign(n_events=cube.n_events.astype("i4")),
        lambda cube: cube.assign_coords(selection=["on", "of"]),
        lambda cube: cube.isel(delay=slice(None, -1)),
        lambda cube: cube.drop_vars("n_events"),
        lambda cube: cube.assign(n_events=cube.n_events.transpose()),
    ],
    ids=["bit", "name", "dimension", "type", "selection", "shape", "array", "order"],
)
def test_any_change_of_the_values_changes_the_hash(cube: xr.Dataset, change: object) -> None:
    assert cube_hash(change(cube.copy(deep=True))) != cube_hash(cube)  # type: ignore[operator]
