"""Marks of missing values: the writers' own, in every type, and those that are declared."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.marks import writers_mark
from cubeengine.sources.base import doubtful_marks_in
from cubeengine.sources.columns import LOOK_ELEMENTS, rows_of_only
from cubeengine.sources.memory import MemorySource
from cubeengine.sources.pieces import MarkedReader
from cubeengine.sources.registry import open_source
from tests.makers.marked import INTEGERS, MARK, wrapped, write_fields
from tests.suites.sources import read_blocks

N = 40
SHAPES = {"scalar": (), "few": (3,), "most that are few": (15,), "enough": (16,), "frame": (4, 5)}
WIDE = ("i4", "u4", "i8", "u8")
LACKING = np.arange(N) % 7 == 3


@pytest.mark.parametrize("code", INTEGERS)
def test_the_mark_wraps_as_twos_complement_does(code: str) -> None:
    assert writers_mark(np.dtype(code)) == wrapped(code)


def values_of(code: str, shape: tuple[int, ...], order: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 90, (N, *shape)).astype(order + code)
    values[LACKING] = wrapped(code)
    values[20] = 5
    values.reshape(N, -1)[20, :1] = wrapped(code)  # the mark in one element of several
    return values


@pytest.mark.parametrize("lcls2", [True, False], ids=["LCLS-II", "LCLS-I"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_values_that_are_the_mark_are_missing_where_they_cannot_be_data(
    tmp_path: Path, order: str, lcls2: bool
) -> None:
    fields = {
        f"{code}/{kind}": values_of(code, shape, order) for code in INTEGERS for kind, shape in SHAPES.items()
    }
    source = open_source(write_fields(tmp_path / "a.h5", fields, lcls2=lcls2))
    for name, values in fields.items():
        code, kind = name.split("/")
        certain = code in WIDE or kind in ("enough", "frame")
        marked = (values.reshape(N, -1) == wrapped(code)).all(axis=1)
        column = source.read(name)
        valid = np.ones(N, bool) if column.valid is None else column.valid
        np.testing.assert_array_equal(valid, ~marked if certain else np.ones(N, bool), err_msg=name)
        np.testing.assert_array_equal(column.data[valid], values[valid], err_msg=name)
        assert list(doubtful_marks_in(source, name)) == ([] if certain else [wrapped(code)])


def test_parts_of_a_frame_say_no_more_than_the_whole(tmp_path: Path) -> None:
    frames = np.full((6, 5, 7), 3, "u2")
    frames[1] = wrapped("u2")
    frames[2, :2] = wrapped("u2")  # the first elements
    frames[3, 3:] = wrapped("u2")  # the last
    frames[4].flat[:-1] = wrapped("u2")
    source = open_source(write_fields(tmp_path / "a.h5", {"f": frames}))
    for elements in (slice(None), slice(0, 7), slice(7, 14), slice(28, 35), slice(34, 35), slice(3, 30)):
        data, valid = read_blocks(source.reader("f"), np.arange(6), elements, 60)
        assert valid.tolist() == [True, False, True, True, True, True], elements
        np.testing.assert_array_equal(data[valid], frames.reshape(6, -1)[valid, elements])


@given(data=st.data())
def test_rows_of_only_marks_are_found_wherever_other_elements_are(data: st.DataObject) -> None:
    n, width = data.draw(st.integers(0, 5)), data.draw(st.sampled_from([0, 1, 7, 8, 9, 40, 3000]))
    values = np.ones((n, width), np.int8)
    for row in range(n):
        if width and data.draw(st.booleans()):
            values[row, data.draw(st.integers(0, width - 1))] = 0
    found = rows_of_only(values, lambda part: part == 1)
    np.testing.assert_array_equal(found, (values == 1).all(axis=1))


def test_rows_are_looked_at_some_elements_at_a_time() -> None:
    seen = []

    def test(part: np.ndarray) -> np.ndarray:
        seen.append(part.size)
        return part == 1

    values = np.ones((70, 3000), np.int8)
    assert rows_of_only(values, test).all()
    assert max(seen) <= LOOK_ELEMENTS
    seen.clear()
    values[:, 0] = 0
    assert not rows_of_only(values, test).any()
    assert sum(seen) <= 70 * 8


def test_arrays_in_memory_have_no_marks_of_their_own() -> None:
    source = MemorySource({"n": np.array([1, MARK, 3])})
    assert source.read("n").valid is None
    assert doubtful_marks_in(source, "n") == {}


DECLARED = {
    "u1": (np.array([97, 5, 97, 0], "u1"), 97, [0, 1, 0, 1]),
    "several": (np.array([97, 5, 97, 0], "u1"), (97, 0), [0, 1, 0, 0]),
    "zeros first": (np.array([0, 0, 5, 0], "i2"), "leading_zeros", [0, 0, 1, 1]),
    "zeros and a mark": (np.array([0, 31073, 5, 0], "i2"), ("leading_zeros", 31073), [0, 0, 1, 1]),
    "beside the known one": (np.array([MARK, 0, 5, 0], "i8"), 0, [0, 0, 1, 0]),
    "not a marks": (np.array([MARK, 0, 5, 0], "i8"), (), [1, 1, 1, 1]),
    "u8": (np.array([2**64 - 1, 0, 5, 0], "u8"), 2**64 - 1, [0, 1, 1, 1]),
    "bool": (np.array([True, False, True, True]), 1, [0, 1, 0, 0]),
    "array": (np.array([[7, 7], [7, 8], [0, 7], [0, 0]], "i2"), (7, 0), [0, 1, 0, 0]),
    "f8": (np.array([-1.5, 2, -1.5, np.nan]), -1.5, [0, 1, 0, 0]),
    "f4": (np.array([0.1, 2, 0.2, 3], "f4"), (0.1, 3), [0, 1, 1, 0]),
    "zeros of floats": (np.array([0.0, 2, 0, 3]), ("leading_zeros", 3), [0, 1, 1, 0]),
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_is_missing(tmp_path: Path, name: str) -> None:
    values, marks, there = DECLARED[name]
    before = values.copy()
    file = open_source(write_fields(tmp_path / "a.h5", {"x": values}))
    source = file.with_missing({"x": marks})
    of_memory = MemorySource({"x": values}).with_missing({"x": marks})
    read = [source.read("x")] + ([of_memory.read("x")] if name != "beside the known one" else [])
    for column in read:
        if values.dtype.kind == "f":
            valid = ~np.isnan(column.data)
        else:
            valid = np.ones(4, bool) if column.valid is None else column.valid
        assert valid.tolist() == list(map(bool, there))
        np.testing.assert_array_equal(column.data[valid], values[valid])
    np.testing.assert_array_equal(values, before)  # what is given stays as it is


def test_elements_of_floats_are_missing_one_by_one(tmp_path: Path) -> None:
    frames = np.arange(24.0).reshape(4, 2, 3).astype("f4")
    frames[1, 0, 2] = frames[2] = -9999
    source = open_source(write_fields(tmp_path / "a.h5", {"f": frames})).with_missing({"f": -9999})
    expected = np.where(frames == -9999, np.nan, frames)
    np.testing.assert_array_equal(source.read("f").data, expected)
    data, _ = read_blocks(source.reader("f"), np.arange(4), slice(2, 5), 20)
    np.testing.assert_array_equal(data, expected.reshape(4, -1)[:, 2:5])


@pytest.mark.parametrize(
    ("field", "mark", "message"),
    [
        ("u1", MARK, r"uint8, whole numbers from 0 to 255, which cannot hold -99999; .* becomes 97"),
        ("u4", MARK, r"there it is 4294867297, which counts as missing without a declaration"),
        ("u1", 0.5, "cannot hold 0.5"),
        ("i8", 2**63, "cannot hold 9223372036854775808"),
        ("f4", 1e39, "cannot hold 1e.39"),
        ("flag", 2, "bool, 0 or 1, which cannot hold 2"),
        ("u1", "zeros", "'zeros' is not a mark"),
    ],
)
def test_marks_that_a_type_cannot_hold_are_refused(field: str, mark: object, message: str) -> None:
    arrays = {"u1": "u1", "u4": "u4", "i8": "i8", "f4": "f4", "flag": "?"}
    source = MemorySource({name: np.zeros(3, code) for name, code in arrays.items()})
    with pytest.raises(SpecError, match=message):
        source.with_missing({field: mark})  # type: ignore[dict-item]


def test_marks_of_what_is_not_there_are_refused() -> None:
    source = MemorySource({"a": np.zeros(3)}, run_level={"UserDataCfg/b": np.zeros(2)})
    with pytest.raises(FieldNotFound):
        source.with_missing({"b": 0})
    with pytest.raises(SpecError, match="not one value per event"):
        source.with_missing({"UserDataCfg/b": 0})


def test_times_of_an_align_group_are_padded_in_any_type(tmp_path: Path) -> None:
    path = write_fields(tmp_path / "a.h5", {"x": np.arange(4.0)})
    times = open_source(path).timestamps
    padded = np.append(times[:2], np.uint64(2**64 + MARK))
    write_fields(tmp_path / "b.h5", {"x": np.arange(4.0), "intg/timestamp": padded, "intg/v": np.arange(3)})
    group = open_source(tmp_path / "b.h5").aligned("intg")
    assert group.timestamps.tolist() == times[:2].tolist()
    assert group.read("intg/v").data.tolist() == [0, 1]


def test_readers_without_marks_stay_as_they_are(tmp_path: Path) -> None:
    fields = {"small": np.zeros(3, "u2"), "float": np.zeros((3, 4)), "frame": np.zeros((3, 4, 4), "u2")}
    source = open_source(write_fields(tmp_path / "a.h5", fields))
    marked = [name for name in fields if isinstance(source.reader(name), MarkedReader)]
    assert marked == ["frame"]


def test_rows_of_the_run_that_no_part_has_are_no_zeros(tmp_path: Path) -> None:
    path = write_fields(tmp_path / "a.h5", {"x": np.arange(4.0)})
    with h5py.File(tmp_path / "part.h5", "w") as part:
        part["once"] = np.array([5, 6, 7])
    layout = h5py.VirtualLayout((6,), "i8")
    layout[1:4] = h5py.VirtualSource("part.h5", "once", (3,))
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("UserDataCfg/once", layout, fillvalue=0)
    found = open_source(path).read("UserDataCfg/once").data
    np.testing.assert_array_equal(found, [np.nan, 5, 6, 7, np.nan, np.nan])


def test_marks_of_parts_are_known_before_their_numbers_become_those_of_the_whole(tmp_path: Path) -> None:
    codes, shape = ("u4", "u2", "f8"), (4, 5)
    values = np.random.default_rng(1).integers(0, 60, (3, 6, *shape)).astype(float)
    for number, code in enumerate(codes):
        part = values[number].copy()
        part[2] = np.nan if code == "f8" else wrapped(code)
        path = write_fields(tmp_path / f"a_part{number}.h5", {"x": np.arange(6.0), "f": part.astype(code)})
        with h5py.File(path, "r+") as file:
            file["timestamp"][:] += number << 36
    times, frames = h5py.VirtualLayout((18,), "i8"), h5py.VirtualLayout((18, *shape), "f8")
    for number in range(3):
        rows, name = slice(6 * number, 6 * number + 6), f"a_part{number}.h5"
        times[rows] = h5py.VirtualSource(name, "timestamp", (6,))
        frames[rows] = h5py.VirtualSource(name, "f", (6, *shape))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("timestamp", times)
        file.create_virtual_dataset("f", frames)
    values[:, 2] = np.nan
    np.testing.assert_array_equal(open_source(tmp_path / "a.h5").read("f").data, values.reshape(18, *shape))
    undeclared = open_source(tmp_path / "a.h5").with_missing({"f": ()}).read("f").data
    assert (undeclared[[2, 8], 0, 0] == [wrapped("u4"), wrapped("u2")]).all()
