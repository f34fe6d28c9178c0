from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from cubeengine.errors import StoreMismatch
from cubeengine.store import write
from cubeengine.store.chunks import Missing, missing_chunks
from cubeengine.store.files import MOST_PENDING
from cubeengine.store.layout import ArrayLayout, CubeLayout, Region, regions
from cubeengine.store.read import cube_facts, open_cube
from tests.store.handmade import delay_cube, save

SHAPE, CHUNKS = (2, 10, 8), (1, 4, 8)
LAYOUT = CubeLayout(
    (
        ArrayLayout("m", ("selection", "x", "e"), SHAPE, CHUNKS, "float64", {"units": "V"}),
        ArrayLayout("n", ("selection", "x"), SHAPE[:2], (1, 4), "int64"),
    ),
    {"spec": {"cube": "c"}},
)
ALL = (slice(None),)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write.create(tmp_path / "c.zarr", LAYOUT, {})


def fill(store: Path) -> None:
    write.write_region(store, "m", ALL * 3, np.ones(SHAPE))
    write.write_region(store, "n", ALL * 2, np.ones(SHAPE[:2], dtype=np.int64))


def test_stored_cube_opens_in_xarray_without_a_warning_and_is_equal(tmp_path: Path) -> None:
    cube = delay_cube(second_axis=True)
    path = save(cube, tmp_path / "delay.zarr")
    with xr.open_zarr(path) as found:
        xr.testing.assert_equal(found, cube)
        assert set(found.coords) == set(cube.coords)
        assert list(found.data_vars) == list(cube.data_vars)
        assert found["delay"].attrs == cube["delay"].attrs


def test_selection_names_are_zarr_strings_of_any_script(tmp_path: Path) -> None:
    names = np.array(["laser on", "µ-Fokus", "励起"], dtype=object)
    layout = CubeLayout((ArrayLayout("selection", ("selection",), (3,), (3,), "string"),))
    target = tmp_path / "c.zarr"
    write.publish(write.create(target, layout, {"selection": names}), target)
    assert json.loads((target / "selection" / "zarr.json").read_text())["data_type"] == "string"
    with xr.open_zarr(target) as found:
        assert found.selection.values.tolist() == names.tolist()
        assert found.sel(selection="励起").selection == "励起"


def test_arrays_are_zarr_3_with_blosc_zstd_bitshuffle_and_names_of_dimensions(store: Path) -> None:
    meta = json.loads((store / "m" / "zarr.json").read_text())
    codec = meta["codecs"][-1]
    assert meta["zarr_format"] == 3
    assert (codec["name"], codec["configuration"]["cname"], codec["configuration"]["shuffle"]) == (
        "blosc", "zstd", "bitshuffle",
    )  # fmt: skip
    assert meta["dimension_names"] == ["selection", "x", "e"]
    assert meta["fill_value"] == "NaN"


def test_metadata_are_consolidated_in_the_order_of_the_layout(store: Path) -> None:
    consolidated = json.loads((store / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert list(consolidated) == ["m", "n"]
    assert consolidated["m"] == json.loads((store / "m" / "zarr.json").read_text())


def test_temporary_store_is_hidden_beside_the_target(store: Path, tmp_path: Path) -> None:
    assert store.parent == tmp_path
    assert store.name.startswith(".c.zarr.tmp-")
    assert not (tmp_path / "c.zarr").exists()


def test_two_runs_for_one_target_have_stores_of_their_own(tmp_path: Path) -> None:
    stores = {write.create(tmp_path / "c.zarr", LAYOUT, {}) for _ in range(3)}
    assert len(stores) == 3
    assert set(write.leftovers(tmp_path / "c.zarr")) == stores


def test_regions_of_whole_chunks_are_written(store: Path) -> None:
    values = np.random.default_rng(0).normal(size=SHAPE)
    for region in regions(SHAPE, (1, 8, 8)):
        write.write_region(store, "m", region, values[region])
    np.testing.assert_array_equal(zarr.open_array(store / "m", mode="r")[...], values)


@pytest.mark.parametrize(
    ("region", "shape"),
    [
        ((slice(0, 1), slice(0, 2), slice(0, 8)), (1, 2, 8)),
        ((slice(0, 1), slice(2, 6), slice(0, 8)), (1, 4, 8)),
        ((slice(0, 1), slice(8, 9), slice(0, 8)), (1, 1, 8)),
        ((slice(0, 1), slice(0, 4), slice(0, 8, 2)), (1, 4, 4)),
        ((slice(0, 1), slice(4, 4), slice(0, 8)), (1, 0, 8)),
        ((slice(0, 1), slice(0, 4)), (1, 4, 8)),
    ],
)
def test_region_that_cuts_a_chunk_is_refused(
    store: Path, region: tuple[slice, ...], shape: tuple[int, ...]
) -> None:
    with pytest.raises(StoreMismatch, match="region"):
        write.write_region(store, "m", region, np.zeros(shape))


def test_values_of_another_shape_or_type_are_refused(store: Path) -> None:
    with pytest.raises(StoreMismatch, match="values have shape"):
        write.write_region(store, "n", ALL * 2, np.zeros((1, 10), dtype=np.int64))
    with pytest.raises(StoreMismatch, match="holds int64, cannot take float64"):
        write.write_region(store, "n", ALL * 2, np.zeros((2, 10)))
    with pytest.raises(StoreMismatch, match="no array 'q'"):
        write.write_region(store, "q", ALL, np.zeros(3))


def test_chunks_of_fill_values_are_written_too(store: Path) -> None:
    write.write_region(store, "m", ALL * 3, np.full(SHAPE, np.nan))
    assert missing_chunks(store) == {"n": Missing(6, "c.0.0")}


def test_regions_of_several_arrays_are_written_together_and_none_is_there_before_all_are(store: Path) -> None:
    def pieces() -> Iterator[tuple[str, Region, np.ndarray]]:
        yield "m", ALL * 3, np.ones(SHAPE)
        assert [path.suffix for path in store.glob("m/c*")] == [".partial"] * 6
        yield "n", ALL * 2, np.full(SHAPE[:2], 5)

    write.write_regions(store, pieces())
    assert missing_chunks(store) == {}
    assert not list(store.rglob("*.partial"))
    np.testing.assert_array_equal(zarr.open_array(store / "n", mode="r")[...], 5)


def test_more_regions_than_files_may_be_open_are_written(tmp_path: Path) -> None:
    n = 2 * MOST_PENDING + 3
    store = write.create(
        tmp_path / "c.zarr", CubeLayout((ArrayLayout("m", ("x",), (n,), (1,), "int64"),)), {}
    )
    write.write_regions(store, (("m", (slice(i, i + 1),), np.full(1, i)) for i in range(n)))
    np.testing.assert_array_equal(zarr.open_array(store / "m", mode="r")[...], np.arange(n))


def test_pieces_that_fail_leave_no_half_files(store: Path) -> None:
    pieces = [("m", ALL * 3, np.ones(SHAPE)), ("n", ALL * 2, np.ones((1, 1), np.int64))]
    with pytest.raises(StoreMismatch, match="values have shape"):
        write.write_regions(store, pieces)
    assert missing_chunks(store)["m"].n_chunks == 6
    assert not list(store.rglob("*.partial"))


def _write_every_other(store: Path, first: int) -> None:
    for number, region in enumerate(regions((64, 64), (4, 64))):
        if number % 2 == first:
            write.write_region(store, "m", region, np.arange(64.0 * 64).reshape(64, 64)[region])


@pytest.mark.slow
def test_two_processes_write_neighbouring_chunks_without_loss(tmp_path: Path) -> None:
    layout = CubeLayout((ArrayLayout("m", ("x", "y"), (64, 64), (4, 64), "float64"),))
    store = write.create(tmp_path / "c.zarr", layout, {})
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_every_other, args=(store, first)) for first in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    found = zarr.open_array(store / "m", mode="r")[...]
    np.testing.assert_array_equal(found, np.arange(64.0 * 64).reshape(64, 64))


def test_attributes_known_at_the_end_are_added_and_the_marker_stays(store: Path, tmp_path: Path) -> None:
    fill(store)
    write.update_attrs(store, {"memory": {"measured": np.int64(7)}, "cubeengine": {"format": 99}})
    write.publish(store, tmp_path / "c.zarr")
    attrs = cube_facts(open_cube(tmp_path / "c.zarr"))
    assert attrs["memory"] == {"measured": 7}
    assert attrs["spec"] == {"cube": "c"}
    assert attrs["cubeengine"]["format"] == 1


def test_attribute_that_is_no_json_is_refused_and_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"attribute 'spec'\['x'\]\[0\]: object"):
        write.create(tmp_path / "c.zarr", CubeLayout(LAYOUT.arrays, {"spec": {"x": [object()]}}), {})
    assert list(tmp_path.iterdir()) == []


def test_infinite_attributes_become_text_that_every_reader_knows(tmp_path: Path) -> None:
    attrs = {"limits": (float("-inf"), np.float64("nan")), "path": Path("a/b"), "flags": np.array([True])}
    store = write.create(tmp_path / "c.zarr", CubeLayout(LAYOUT.arrays, attrs), {})
    found = json.loads((store / "zarr.json").read_text())["attributes"]
    assert json.loads(found["limits"]) == ["-Infinity", "NaN"]
    assert found["path"] == "a/b"
    assert json.loads(found["flags"]) == [True]


def test_small_array_of_the_wrong_shape_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreMismatch, match="values have shape"):
        write.create(tmp_path / "c.zarr", LAYOUT, {"n": np.zeros((3, 3), dtype=np.int64)})
    assert list(tmp_path.iterdir()) == []
