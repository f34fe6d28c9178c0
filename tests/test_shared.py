"""Arrays that tasks share: by value where they are made, by path where they are used."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cubeengine.errors import SourceFormatError
from cubeengine.shared import SharedArray, content_digest, held_nbytes, in_files, mapped_array


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    values: SharedArray


@dataclass(frozen=True, slots=True)
class Tables:
    tables: tuple[Table, ...]
    small: int = 3


def tables(n=1000):
    return Tables(tuple(Table(name, SharedArray(np.arange(n) * 2.0)) for name in "ab"))


def saver(folder):
    def save(name, array):
        np.save(folder / f"{name}.npy", array)
        return folder / f"{name}.npy"

    return save


def test_arrays_at_any_depth_go_into_files_and_come_back(tmp_path):
    moved = in_files(tables(), saver(tmp_path), "job")

    assert len(list(tmp_path.iterdir())) == 2
    for table in moved.tables:
        np.testing.assert_array_equal(table.values.load(), np.arange(1000) * 2.0)
    assert (moved.small, moved.tables[1].name) == (3, "b")


def test_what_tasks_get_is_small_and_holds_no_memory(tmp_path):
    before, moved = tables(100_000), in_files(tables(100_000), saver(tmp_path), "job")

    assert (held_nbytes(before), held_nbytes(moved)) == (1_600_000, 0)
    assert len(pickle.dumps(moved)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(moved)).tables[0].values.load()[:2], [0, 2])


def test_values_without_arrays_stay_as_they_are(tmp_path):
    assert in_files(("a", 3), saver(tmp_path), "job") == ("a", 3)
    assert list(tmp_path.iterdir()) == []


def test_digest_is_that_of_the_values(tmp_path):
    changed = Tables((tables().tables[0], Table("b", SharedArray(np.arange(1000) * 2.0 + 1e-9))))

    assert content_digest(tables()) == content_digest(tables())
    assert content_digest(tables()) == content_digest(in_files(tables(), saver(tmp_path), "job"))
    assert content_digest(tables()) != content_digest(changed)


def test_a_file_that_a_worker_does_not_see_is_told(tmp_path):
    with pytest.raises(SourceFormatError, match=r"gone\.npy: .*check that all workers see its folder"):
        SharedArray(None, tmp_path / "gone.npy").load()


def test_many_threads_map_files_at_a_time(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.npy" for number in range(4)]
    for number, path in enumerate(paths):
        np.save(path, np.full(3, number))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(mapped_array, paths * 500))

    assert [int(array[0]) for array in found] == list(range(4)) * 500
