"""What a field is follows from what it holds: types of joined parts, and names that writers use as well."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.sources.pieces import converted
from cubeengine.sources.registry import open_source
from cubeengine.types import FieldKind
from tests.makers.smalldata import write_joined, write_lcls1, write_lcls2
from tests.quick import first_quick

N, MARK = 12, -99_999
TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")


def times(n: int) -> NDArray[np.int64]:
    nanoseconds = np.arange(n) * 8_333_333
    return ((869_000_000 + nanoseconds // 10**9) << 32) | (nanoseconds % 10**9)


Arrays = list[NDArray[np.generic]]


def joined(folder: Path, parts: Arrays, dtype: str, timestamp: Arrays | None = None) -> Path:
    """Join parts that may differ in type into a field `v` of one type."""
    n_rows = [len(part) for part in parts]
    starts = np.cumsum([0, *n_rows])
    stamps = timestamp or np.split(times(starts[-1]), starts[1:-1])
    for number, values in enumerate(parts):
        with h5py.File(folder / f"j_part{number}.h5", "w") as file:
            file["timestamp"], file["epics/v"] = stamps[number], values
    with h5py.File(folder / "j.h5", "w") as file:
        for name, kind in (("timestamp", "i8"), ("epics/v", dtype)):
            shape = parts[0].shape[1:] if name == "epics/v" else ()
            layout = h5py.VirtualLayout((starts[-1], *shape), kind)
            for number, n in enumerate(n_rows):
                source = h5py.VirtualSource(f"j_part{number}.h5", name, (n, *shape))
                layout[starts[number] : starts[number] + n] = source
            file.create_virtual_dataset(name, layout)
    return folder / "j.h5"


def by_h5py(path: Path) -> NDArray[np.generic]:
    with h5py.File(path) as file:
        values: NDArray[np.generic] = file["epics/v"][:]
    return values


def edge_values(dtype: str) -> NDArray[np.generic]:
    kind = np.dtype(dtype)
    if kind.kind == "f":  # float16 leaves few
        wide = [0, 1.5, -1.5, 2.5, -0.9, 300.7, -300.2, 1000, 5, 6, 7, 8]
        far = [3e9, -3e9, 1e19, -1e19, np.inf, -np.inf]
        return np.array(wide if dtype == "f2" else [*wide[:6], *far], kind)
    limits = np.iinfo(kind)
    few = [limits.min, limits.max, 0, 1, 100, limits.max // 2, limits.max // 3]
    return np.resize(np.array(few, kind), N)


@pytest.mark.parametrize("whole", first_quick(TYPES, 3))
def test_parts_of_another_type_are_read_as_h5py_reads_the_joined_field(tmp_path: Path, whole: str) -> None:
    for number, part in enumerate(TYPES):
        values = edge_values(part)
        if part == "f2" and whole[0] == "u":
            values = np.abs(values)  # what HDF5 makes of others depends on the processor
        folder = tmp_path / f"{number}"
        folder.mkdir()
        path = joined(folder, [values, edge_values(whole)], whole)
        column = open_source(path).read("epics/v")
        expected = by_h5py(path)
        kept = np.float32 if whole == "f2" else expected.dtype
        assert column.data.dtype == kept, part
        assert column.valid is None or column.valid.all(), part
        np.testing.assert_array_equal(column.data, expected.astype(kept), err_msg=part)


@pytest.mark.parametrize("elements", [slice(None), slice(2, 5)])
def test_arrays_of_another_type_are_read_in_any_range_of_elements(tmp_path: Path, elements: slice) -> None:
    random = np.random.default_rng(2)
    parts = [random.integers(-9, 99, (N, 2, 3)), random.normal(5, 30, (N, 2, 3)), np.ones((3, 2, 3), "u1")]
    path = joined(tmp_path, parts, "f8")
    source = open_source(path)
    expected = by_h5py(path).reshape(-1, 6)
    np.testing.assert_array_equal(source.read("epics/v").data.reshape(-1, 6), expected)
    rows = np.array([0, 3, 11, 12, 20, 26])
    for block in source.reader("epics/v").blocks(rows, elements=elements, block_nbytes=60):
        np.testing.assert_array_equal(
            block.data[block.take], expected[rows[block.start : block.stop], elements]
        )


def test_marks_of_integers_stay_missing_in_a_field_of_floats(tmp_path: Path) -> None:
    whole_numbers = np.arange(N)
    whole_numbers[[2, 7]] = MARK
    path = joined(tmp_path, [whole_numbers, np.linspace(0, 1, N)], "f8")
    data = open_source(path).read("epics/v").data
    assert np.flatnonzero(np.isnan(data)).tolist() == [2, 7]
    known = ~np.isnan(data)
    np.testing.assert_array_equal(data[known], by_h5py(path)[known])


@pytest.mark.parametrize("elements", [slice(None), slice(0, 1), slice(1, 2)])
def test_nan_is_missing_in_a_field_of_integers(tmp_path: Path, elements: slice) -> None:
    floats = np.linspace(0, 40, 2 * N).reshape(N, 2)
    floats[3, 1] = np.nan
    path = joined(tmp_path, [np.arange(2 * N).reshape(N, 2), floats], "i8")
    reader = open_source(path).reader("epics/v")
    valid = np.ones(2 * N, bool)
    for block in reader.blocks(np.arange(2 * N), elements=elements, block_nbytes=2**20):
        if block.valid is not None:
            valid[block.start : block.stop] = block.valid
    assert np.flatnonzero(~valid).tolist() == [N + 3]  # in every range of elements


def test_types_of_the_parts_are_told(tmp_path: Path) -> None:
    path = joined(tmp_path, [np.arange(N), np.linspace(0, 1, N)], "i8")
    note = open_source(path).fields["epics/v"].note
    assert note == (
        "float64 and int64 in the part files, read as int64: fractions are truncated, and rows with NaN are "
        "missing"
    )
    assert "part files" not in open_source(write_joined(tmp_path).path).fields["lightStatus/laser"].note


def test_event_times_of_floats_are_refused(tmp_path: Path) -> None:
    stamps = [times(N), times(2 * N)[N:].astype(np.float64)]
    path = joined(tmp_path, [np.arange(N), np.arange(N)], "i8", timestamp=stamps)
    with pytest.raises(SourceFormatError, match="'timestamp' is float64 and int64 in the part files"):
        open_source(path)


@pytest.mark.parametrize(("part", "whole"), list(itertools.product(["?", "i8", "f4"], ["u1", "i8", "f8"])))
def test_conversion_is_that_of_numpy_where_nothing_is_lost(part: str, whole: str) -> None:
    values = np.array([0, 1, 1, 0]).astype(part)
    np.testing.assert_array_equal(converted(values, np.dtype(whole)), values.astype(whole))


# Fields called `timestamp`


@pytest.mark.parametrize(
    "own",
    [
        np.arange(30) * 8333,
        times(30),
        times(30) + (10**6 << 32),
        np.arange(30) + 1_700_000_000_000_000_000,
        np.zeros(30, np.int64),
        times(40)[:25] + (10**6 << 32),
    ],
    ids=["counter", "the run's", "other clock", "unix", "zeros", "other length"],
)
def test_a_detector_may_have_a_field_called_timestamp(tmp_path: Path, own: NDArray[np.int64]) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["timestamp"], file["jungfrau/timestamp"] = times(30), own
        file["jungfrau/image"] = np.arange(30.0)[:, None] * np.ones(4)
    source = open_source(tmp_path / "t.h5")
    assert source.fields["jungfrau/image"].kind is FieldKind.EVENT
    np.testing.assert_array_equal(source.read("jungfrau/image").data[:, 0], np.arange(30.0))
    whole = len(own) == 30
    assert source.fields["jungfrau/timestamp"].kind is (FieldKind.EVENT if whole else FieldKind.RUN)
    with pytest.raises(SpecError, match="no align group 'jungfrau'; it has none"):
        source.aligned("jungfrau")


@pytest.mark.parametrize(
    "own",
    [
        times(30)[9::10],
        times(30)[::-1],
        times(30) + np.where(np.arange(30) == 29, 1, 0),
        np.where(np.arange(30) < 20, MARK, times(30)),
        times(31)[1:],
    ],
    ids=["some", "another order", "one other", "padded", "shifted"],
)
def test_times_of_other_events_make_an_align_group(tmp_path: Path, own: NDArray[np.int64]) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["timestamp"], file["intg/timestamp"] = times(30), own
        file["intg/image"] = np.zeros((len(own), 4))
    source = open_source(tmp_path / "t.h5")
    assert source.fields["intg/image"].kind is FieldKind.ALIGNED
    assert source.aligned("intg").n_events == np.count_nonzero(own != MARK)


def test_only_as_much_of_a_group_is_read_as_it_takes_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cubeengine.sources import layouts

    monkeypatch.setattr(layouts, "_LOOK_ROWS", 10)
    looked, plain = [], layouts.read_column
    monkeypatch.setattr(layouts, "read_column", lambda *of: looked.append(len(of[1])) or plain(*of))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["timestamp"] = times(100)
        file["counter/timestamp"], file["intg/timestamp"] = np.arange(100), times(100)[::2]
    open_source(tmp_path / "t.h5")
    assert looked == [100, 10, 10]


# Other names that say something


def test_what_varies_has_lengths_and_a_name_alone_is_none(tmp_path: Path) -> None:
    truth = write_lcls2(tmp_path / "a.h5", n_events=30)
    with h5py.File(truth.path, "r+") as file:
        file["epix/var_image"] = np.arange(60.0).reshape(30, 2)  # the variance, say
        file["epix/var_odd"] = np.zeros(29)
        file["epix/ragged_row"] = np.zeros((30, 5))
    fields = open_source(truth.path).fields
    assert fields["epix/var_image"].kind is FieldKind.EVENT
    assert fields["epix/var_odd"].kind is FieldKind.RAGGED
    assert fields["epix/ragged_row"].kind is FieldKind.RAGGED
    assert fields["fim/var_peaks/height"].kind is FieldKind.RAGGED


def test_a_field_called_timestamp_does_not_make_a_file_of_lcls2(tmp_path: Path) -> None:
    truth = write_lcls1(tmp_path / "a.h5", n_events=30)
    with h5py.File(truth.path, "r+") as file:
        file["timestamp"] = np.arange(30)
    source = open_source(truth.path)
    np.testing.assert_array_equal(source.timestamps, truth.timestamps)
    assert str(source.time[0]).startswith("2015-02-27")
