"""Chunks are packed without the library: they have to be what it would have written."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from cubeengine.errors import StoreMismatch
from cubeengine.store import write
from cubeengine.store.encode import StoredArray, open_stored
from cubeengine.store.layout import STRING, ArrayLayout, CubeLayout

TYPES = ["float64", "float32", "float16", "int64", "int32", "uint16", "uint8", "bool"]
SHAPES = [((), ()), ((7,), (7,)), ((2, 10, 9), (1, 4, 9)), ((5, 6), (2, 4)), ((3, 40000), (2, 40000))]


def values_of(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng(3).normal(100, 30, shape)
    return np.asarray(values > 100 if dtype == "bool" else values).astype(dtype)


def with_both(folder: Path, layout: ArrayLayout, values: np.ndarray) -> tuple[Path, Path]:
    """Write the same array by ourselves and by zarr."""
    both = CubeLayout((layout,))
    ours = write.create(folder / "ours.zarr", both, {layout.name: values})
    theirs = write.create(folder / "theirs.zarr", both, {})
    array = zarr.open_array(str(theirs / layout.name), mode="r+").with_config({"write_empty_chunks": True})
    array[...] = values.astype(layout.numpy_dtype)
    return ours, theirs


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "chunks"), SHAPES)
def test_files_are_those_that_zarr_writes(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    values = values_of(dtype, shape)
    layout = ArrayLayout("m", tuple("xyz"[: len(shape)]), shape, chunks, dtype)
    ours, theirs = with_both(tmp_path, layout, values)
    assert files_of(ours / "m") == files_of(theirs / "m")
    np.testing.assert_array_equal(zarr.open_array(ours / "m", mode="r")[...], values)
    with xr.open_zarr(ours) as found:
        np.testing.assert_array_equal(found["m"].values, values)


def test_strings_are_those_that_zarr_writes(tmp_path: Path) -> None:
    names = np.array(["laser on", "µ-Fokus", "", "励起", "off"], dtype=object)
    ours, theirs = with_both(tmp_path, ArrayLayout("s", ("x",), (5,), (2,), STRING), names)
    assert zarr.open_array(ours / "s", mode="r")[...].tolist() == names.tolist()
    assert files_of(ours / "s") == files_of(theirs / "s")


@pytest.mark.parametrize("fill", [None, 7.0, float("inf"), float("-inf")])
def test_short_chunks_are_filled_up_with_the_fill_value(tmp_path: Path, fill: float | None) -> None:
    layout = ArrayLayout("m", ("x",), (5,), (4,), "float64", fill_value=fill)
    ours, theirs = with_both(tmp_path, layout, np.arange(5.0))
    assert files_of(ours / "m") == files_of(theirs / "m")


def test_values_that_lie_scattered_or_have_a_smaller_type_are_written(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int32).reshape(5, 12)
    layout = ArrayLayout("m", ("x", "y"), (6, 5), (6, 5), "float64")
    store = write.create(tmp_path / "c.zarr", CubeLayout((layout,)), {"m": values.T[::2]})
    np.testing.assert_array_equal(zarr.open_array(store / "m", mode="r")[...], values.T[::2])


def test_whole_chunks_are_packed_without_a_copy_by_many_threads_alike(tmp_path: Path) -> None:
    layout = ArrayLayout("m", ("x", "y"), (8, 300), (2, 300), "float64")
    store = write.create(tmp_path / "c.zarr", CubeLayout((layout,)), {})
    array, values = open_stored(store / "m"), values_of("float64", (2, 300))
    assert np.shares_memory(array._whole(values), values)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: array.encode(values), range(16)))) == 1


def test_array_packed_in_another_way_is_refused(tmp_path: Path) -> None:
    layout = CubeLayout((ArrayLayout("m", ("x",), (4,), (4,), "float64"),))
    store = write.create(tmp_path / "c.zarr", layout, {})
    path = store / "m" / "zarr.json"
    metadata = json.loads(path.read_text())
    for damage in ({"codecs": [{"name": "bytes"}, {"name": "gzip"}]}, {"codecs": []}, {"data_type": {}}):
        path.write_text(json.dumps({**metadata, **damage}))
        with pytest.raises(StoreMismatch, match="is not an array that this version of cubeengine can read"):
            write.write_region(store, "m", (slice(None),), np.zeros(4))
    path.write_text("{")
    with pytest.raises(StoreMismatch, match="is not an array"):
        write.write_region(store, "m", (slice(None),), np.zeros(4))


def test_a_stored_array_knows_the_byte_order_of_the_file(tmp_path: Path) -> None:
    layout = ArrayLayout("m", ("x",), (4,), (4,), "float64")
    store = write.create(tmp_path / "c.zarr", CubeLayout((layout,)), {})
    assert isinstance(found := open_stored(store / "m"), StoredArray)
    assert found.dtype == np.dtype("<f8")
