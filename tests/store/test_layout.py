from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import StoreMismatch
from cubeengine.store.layout import CHUNK_LIMIT, WHOLE_LIMIT, ArrayLayout, CubeLayout, choose_chunks, regions

SHAPES = st.lists(st.integers(1, 700), min_size=1, max_size=5)


@given(SHAPES, st.sampled_from([1, 2, 4, 8]))
def test_chunks_are_regular_and_not_larger_than_the_limit(shape: list[int], itemsize: int) -> None:
    chunks = choose_chunks(shape, itemsize)
    assert all(1 <= chunk <= size for chunk, size in zip(chunks, shape, strict=True))
    assert math.prod(chunks) * itemsize <= CHUNK_LIMIT


@given(st.tuples(st.integers(1, 4), st.integers(1, 300), st.integers(1, 2000), st.integers(1, 2000)))
def test_chunks_of_large_arrays_are_not_small(shape: tuple[int, ...]) -> None:
    chunks = choose_chunks(shape, 8)
    if math.prod(shape[1:]) * 8 > WHOLE_LIMIT:
        assert math.prod(chunks) * 8 >= WHOLE_LIMIT / 2


@given(st.data(), SHAPES)
def test_chunks_divide_the_blocks_of_the_tasks(data: st.DataObject, shape: list[int]) -> None:
    block = [data.draw(st.none() | st.integers(1, size)) for size in shape]
    chunks = choose_chunks(shape, 8, block=block)
    for chunk, part, size in zip(chunks, block, shape, strict=True):
        assert part is None or part >= size or part % chunk == 0
    assert math.prod(chunks) * 8 <= CHUNK_LIMIT


def test_small_array_is_one_chunk() -> None:
    assert choose_chunks((3, 100, 100), 8) == (3, 100, 100)


def test_selection_is_split_first_then_axes_then_elements() -> None:
    assert choose_chunks((2, 10, 512, 512), 8) == (1, 5, 512, 512)
    assert choose_chunks((2, 10, 2048, 2048), 8) == (1, 1, 1024, 2048)


def test_chunks_of_arrays_without_dimensions() -> None:
    assert choose_chunks((), 8) == ()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.data())
def test_regions_cover_each_element_once(shape: list[int], data: st.DataObject) -> None:
    block = [data.draw(st.integers(1, size)) for size in shape]
    cells = [
        index
        for region in regions(shape, block)
        for index in regions([part.stop - part.start for part in region], [1] * len(shape))
    ]
    assert len(cells) == math.prod(shape)


def array(name: str = "a", **changes: object) -> ArrayLayout:
    values: dict[str, object] = {"dims": ("x",), "shape": (4,), "chunks": (2,), "dtype": "float64"}
    return ArrayLayout(name, **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../a", "two words", "a\\b", "zarr.json", "a\0"])
def test_name_that_is_no_folder_name_is_refused(name: str) -> None:
    with pytest.raises(StoreMismatch, match="array"):
        array(name)


@pytest.mark.parametrize("changes", [{"chunks": (5,)}, {"chunks": (0,)}, {"chunks": (2, 2)}, {"dims": ()}])
def test_inconsistent_array_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(StoreMismatch, match="'a'"):
        array(**changes)


def test_two_arrays_of_one_name_are_refused() -> None:
    with pytest.raises(StoreMismatch, match="two arrays of the cube are named 'a'"):
        CubeLayout((array(), array()))


def test_dimension_of_two_lengths_is_refused() -> None:
    with pytest.raises(StoreMismatch, match="dimension 'x' has length 5, but 4"):
        CubeLayout((array(), array("b", shape=(5,))))


def test_fill_values_follow_the_type() -> None:
    assert math.isnan(array().fill)  # type: ignore[arg-type]
    assert array(dtype="int64").fill == 0
    assert array(dtype="string").fill == ""
    assert array(dtype="bool").fill is False
    assert array(fill_value=7.0).fill == 7.0


def test_sizes_are_before_compression() -> None:
    assert CubeLayout((array(), array("b", dtype="int32"))).nbytes == 4 * 8 + 4 * 4
