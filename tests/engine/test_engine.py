"""Running a plan: the same bits on every launcher, and nothing left after a failure."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest

import cubeengine.engine as engine
from cubeengine.budget import Budget
from cubeengine.errors import BudgetExceeded, LaunchError, SpecError, StoreMismatch
from cubeengine.launch import launch
from cubeengine.store.read import cube_hash, open_cube
from tests.makers.frames import STRATEGIES, forced_plan, frame_arrays, write_frames

MATRIX = [
    ("threads", 1),
    ("threads", 2),
    ("threads", 4),
    ("processes", 2),
    ("local", 1),
    ("local", 2),
    ("local", 4),
]


@pytest.fixture(scope="module")
def frames_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "frames.h5"
    write_frames(path, frame_arrays(600), chunk_events=10)
    return path


@pytest.fixture(scope="module")
def plans(frames_file):
    from cubeengine import api

    return {strategy: forced_plan(api.open_run(frames_file), strategy) for strategy in STRATEGIES}


@pytest.fixture(scope="module")
def hashes(plans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    return {
        strategy: cube_hash(plan.to_zarr(folder / f"{strategy}.zarr", workers=1).path)
        for strategy, plan in plans.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "workers"), MATRIX)
def test_one_plan_has_one_answer_on_every_launcher(plans, hashes, launcher, workers, tmp_path):
    executor = launch(launcher, workers=workers, budget=Budget())
    try:
        for strategy, plan in plans.items():
            result = plan.to_zarr(tmp_path / f"{strategy}.zarr", launcher=executor)
            assert cube_hash(result.path) == hashes[strategy], strategy
    finally:
        executor.close()


def test_the_address_of_a_running_scheduler_is_a_launcher(plans, hashes, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        host="127.0.0.1",
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        result = plans["stream"].to_zarr(tmp_path / "cube.zarr", launcher=cluster.scheduler_address)
    assert cube_hash(result.path) == hashes["stream"]


def test_lazy_cube_equals_the_stored_one(plans, tmp_path):
    stored = open_cube(plans["by_tile"].to_zarr(tmp_path / "cube.zarr").path)
    lazy = plans["by_tile"].lazy()
    assert set(lazy.variables) == set(stored.variables)
    for name in stored.variables:
        np.testing.assert_array_equal(lazy[name].values, stored[name].values)
        assert lazy[name].dims == stored[name].dims
        assert lazy[name].attrs == stored[name].attrs


def test_progress_ends_with_all_bytes_done(plans, tmp_path):
    seen = []
    plans["stream"].to_zarr(tmp_path / "cube.zarr", on_progress=seen.append)
    assert seen[0].done == 0
    assert seen[-1].done == seen[-1].total > 0
    assert all(a.done <= b.done for a, b in pairwise(seen))


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_a_failed_run_leaves_nothing_behind(frames_file, tmp_path, launcher):
    from cubeengine import api

    copy = tmp_path / "in" / "frames.h5"
    copy.parent.mkdir()
    copy.write_bytes(frames_file.read_bytes())
    plan = forced_plan(api.open_run(copy), "stream")
    os.truncate(copy, copy.stat().st_size // 2)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OSError, match=r"frames\.h5"):
        plan.to_zarr(out / "cube.zarr", launcher=launcher, workers=2)
    assert list(out.iterdir()) == []


def test_an_interrupted_run_keeps_the_old_cube(plans, tmp_path, monkeypatch):
    target = tmp_path / "cube.zarr"
    plans["stream"].to_zarr(target)
    before = cube_hash(target)

    def interrupt(_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plans["by_bin"].to_zarr(target, overwrite=True, on_progress=interrupt)
    assert cube_hash(target) == before
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_not_a_cube_is_never_replaced(plans, tmp_path):
    target = tmp_path / "precious"
    target.mkdir()
    (target / "data.txt").write_text("mine")
    with pytest.raises(StoreMismatch, match="not a cube"):
        plans["stream"].to_zarr(target, overwrite=True)
    assert (target / "data.txt").read_text() == "mine"


def test_threads_are_fewer_where_their_memory_does_not_fit(plans):
    executor = launch("threads", workers=8, budget=Budget())
    work = plans["stream"].work
    budget = Budget(work.projected_memory(threads=3))
    assert engine.fitting_threads(work, executor, budget) == 3


def test_scalars_that_leave_no_room_for_a_task_are_an_error(plans):
    executor = launch("threads", workers=1, budget=Budget())
    work = plans["stream"].work
    with pytest.raises(BudgetExceeded, match="the scalars of 600 events hold"):
        engine.fitting_threads(work, executor, Budget(work.worker_memory(1)))


def test_workers_of_others_that_do_not_fit_are_refused(plans):
    executor = launch("threads", workers=8, budget=Budget())
    executor.separate = True
    budget = Budget(plans["stream"].work.worker_memory(3))
    with pytest.raises(BudgetExceeded, match="3 thread"):
        engine.fitting_threads(plans["stream"].work, executor, budget)


@pytest.mark.parametrize(
    ("name", "workers", "text"), [("thread", None, "'threads'"), ("threads", 0, "at least 1")]
)
def test_an_unknown_launcher_is_an_error_of_the_user(name, workers, text):
    with pytest.raises(SpecError, match=text):
        launch(name, workers=workers, budget=Budget())


@pytest.mark.slow
def test_no_scheduler_at_an_address_is_said():
    with pytest.raises(LaunchError, match="no scheduler answers"):
        launch("tcp://127.0.0.1:9", workers=None, budget=Budget())


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_disk(plans, tmp_path):
    def fail(_progress: object) -> None:
        raise FileNotFoundError("a file of the caller")

    with pytest.raises(FileNotFoundError, match=r"^a file of the caller$"):
        plans["stream"].to_zarr(tmp_path / "cube.zarr", on_progress=fail)
    assert list(tmp_path.iterdir()) == []
