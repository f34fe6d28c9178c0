from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.limit import limit_seconds
from benchmarks.problems import DELAY, FRAMES, LAYOUTS, Cube, Problem
from benchmarks.processes import measure
from benchmarks.worker import peer, tiny
from tests.quick import first_quick

# float32 frames: the peers on dask sum in float32, where we and the loop use float64.
TOLERANCES = {"uint16": 1e-9, "float32": 1e-5}


def small(layout: str = "contiguous", dtype: str = "uint16") -> Problem:
    return Problem(n_events=330, frame_shape=(3, 5), dtype=dtype, layout=layout, n_bins=7)


def assert_same(cube: Cube, truth: Cube, dtype: str) -> None:
    tolerance = TOLERANCES[dtype]
    np.testing.assert_array_equal(cube.count, truth.count)
    np.testing.assert_allclose(cube.mean, truth.mean, rtol=tolerance)
    np.testing.assert_allclose(cube.std, truth.std, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_storage_layout_is_the_one_asked_for(tmp_path: Path, layout: str) -> None:
    pytest.importorskip("hdf5plugin")
    with h5py.File(small(layout).write(tmp_path / "run.h5")) as file:
        frames = file[FRAMES]
        assert frames.chunks == (None if layout == "contiguous" else (10, 3, 5))
        assert {"gzip": {"shuffle", "gzip"}, "bitshuffle": {"32008"}}.get(layout, set()) == set(
            frames._filters
        )


def test_values_do_not_depend_on_the_storage_layout(tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    files = [small(layout).write(tmp_path / f"{layout}.h5") for layout in LAYOUTS]
    values = []
    for path in files:
        with h5py.File(path) as file:
            values.append((file[DELAY][...], file[FRAMES][...]))
    for delay, frames in values[1:]:
        np.testing.assert_array_equal(delay, values[0][0])
        np.testing.assert_array_equal(frames, values[0][1])


def test_bins_are_visited_in_random_order_and_all_are_filled() -> None:
    problem = Problem(n_events=5000, frame_shape=(2,))
    index = problem.bin_index(problem.columns())
    assert set(index) == set(range(-1, problem.n_bins))
    assert np.mean(np.diff(index) == 0) < 0.1


def test_problem_survives_json() -> None:
    assert Problem.from_json(small().to_json()) == small()


def test_tiny_problem_fills_every_bin() -> None:
    problem = tiny(small())
    assert np.all(np.bincount(problem.bin_index(problem.columns()) + 1)[1:] > 0)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("layout", ["contiguous", "gzip"])
@pytest.mark.parametrize("name", ["handloop", "flox", "xarray"])
def test_peer_agrees_with_plain_numpy(tmp_path: Path, name: str, layout: str, dtype: str) -> None:
    if name == "flox":
        pytest.importorskip("flox")
    problem = small(layout, dtype)
    path = problem.write(tmp_path / "run.h5")
    assert_same(peer(name)(path, problem), problem.truth(path), dtype)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_escape_agrees_with_plain_numpy(tmp_path: Path, dtype: str) -> None:
    python = os.environ.get("CUBEENGINE_BENCH_ESCAPE_PYTHON")
    if python is None:
        pytest.skip("set CUBEENGINE_BENCH_ESCAPE_PYTHON to the interpreter of escape-fel's environment")
    problem = small(dtype=dtype)
    path = problem.write(tmp_path / "run.h5")
    cube = measure("escape", path, problem, python=python).cube
    assert cube is not None
    assert_same(cube, problem.truth(path), dtype)


@pytest.mark.parametrize("layout", first_quick(LAYOUTS))
def test_limit_reads_every_layout(tmp_path: Path, layout: str) -> None:
    pytest.importorskip("hdf5plugin")
    problem = small(layout)
    assert limit_seconds(problem.write(tmp_path / "run.h5"), problem, n_processes=2) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "dtype"), [("contiguous", "uint16"), ("bitshuffle", "float32")])
def test_cubeengine_agrees_with_plain_numpy(tmp_path: Path, layout: str, dtype: str) -> None:
    pytest.importorskip("hdf5plugin")
    problem = small(layout, dtype)
    path = problem.write(tmp_path / "run.h5")
    run = measure("ours", path, problem)
    assert run.cube is not None
    assert_same(run.cube, problem.truth(path), dtype)
    assert run.details["first_task_seconds"] < run.seconds
    assert run.peak_nbytes > 0
