"""Arrays in memory and in .npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.sources.memory import ArrayReader, MemorySource, NpyReader
from cubeengine.types import FieldKind
from tests.suites.sources import read_blocks


def test_npy_file_reads_as_the_array(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (40, 3, 5)).astype(">i4")
    valid = np.arange(40) % 3 > 0
    np.save(tmp_path / "x.npy", values)
    np.save(tmp_path / "valid.npy", valid)
    reader = NpyReader.of(tmp_path / "x.npy", tmp_path / "valid.npy")
    rows = np.array([0, 1, 1, 7, 8, 9, 30, 39])
    for elements in (slice(None), slice(4, 9)):
        for other in (reader, ArrayReader(values, valid)):
            found, there = read_blocks(other, rows, elements, 100)
            np.testing.assert_array_equal(found, values.reshape(40, -1)[rows][:, elements])
            np.testing.assert_array_equal(there, valid[rows])


def test_npy_file_of_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(SourceFormatError, match=r"cannot be read as a \.npy file"):
        NpyReader.of(tmp_path / "x.npy")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:20])
    with pytest.raises(SourceFormatError, match=r"cut\.npy"):
        NpyReader.of(tmp_path / "cut.npy")


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(SpecError, match="'b' has 3 rows, but there are 4 events"):
        MemorySource({"a": np.zeros(4), "b": np.zeros(3)})


def test_settings_and_coordinates_are_served() -> None:
    source = MemorySource(
        {"azav": np.zeros((4, 2))},
        run_level={"UserDataCfg/q": np.array([0.5, 1.0])},
        element_coordinates={"azav": {0: ("q", np.array([0.5, 1.0]))}},
    )
    assert source.fields["UserDataCfg/q"].kind is FieldKind.RUN
    assert source.read("UserDataCfg/q").data.tolist() == [0.5, 1.0]
    assert source.coordinates("azav")[0][0] == "q"
    with pytest.raises(SpecError, match="once per run"):
        source.reader("UserDataCfg/q")


def test_leading_zeros_become_missing_when_declared() -> None:
    counts = np.array([0, 0, 3, 0])
    source = MemorySource({"n": counts}, np.array([4, 3, 2, 1], np.uint64))
    assert source.leading_zero_rows("n") == 2
    column = source.with_missing({"n": "leading_zeros"}).read("n")
    assert column.valid is not None
    assert column.valid.tolist() == [True, True, False, False]


def test_events_outside_of_the_run_are_refused() -> None:
    source = MemorySource({"n": np.arange(4)})
    with pytest.raises(IndexError, match=r"\[0, 4\)"):
        source.read("n", np.array([4]))
