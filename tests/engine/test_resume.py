"""Going on from a run that ended early: the same bits, nothing done twice, nothing of another plan taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest

from cubeengine import api
from cubeengine.errors import LaunchError, SourceFormatError, StoreMismatch, WorkerLost
from cubeengine.graph import tasks
from cubeengine.launch import cluster
from cubeengine.store.read import cube_facts, cube_hash, open_cube
from tests.makers.frames import STRATEGIES, forced_plan, frame_arrays, write_frames
from tests.quick import first_quick

LEAVES = 24


@pytest.fixture(scope="module")
def frames_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "frames.h5"
    write_frames(path, frame_arrays(480), chunk_events=4)
    return path


@pytest.fixture(scope="module")
def plans(frames_file):
    run = api.open_run(frames_file)
    return {strategy: forced_plan(run, strategy, leaves=LEAVES) for strategy in STRATEGIES}


@pytest.fixture(scope="module")
def hashes(plans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {name: cube_hash(plan.to_zarr(folder / f"{name}.zarr").path) for name, plan in plans.items()}


class Ended(Exception):
    """What ends a run in these tests."""


def end_after(monkeypatch, n_leaves):
    """Let a run fail at its n-th leaf; gives the list of leaves that are read from then on."""
    read = []
    plain = tasks.reduce_leaf

    def counted(job, reader, start, stop, gate=None, mark=None):
        if len(read) == n_leaves:
            raise Ended
        read.append((job.label, start))
        return plain(job, reader, start, stop, gate, mark)

    monkeypatch.setattr("cubeengine.graph.compile.reduce_leaf", counted)
    return read


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("n_leaves", first_quick([11, 0, 1, 17]))
def test_resumed_cube_has_the_same_bits_and_reads_only_the_rest(
    plans, hashes, tmp_path, monkeypatch, strategy, n_leaves
):
    plan, target = plans[strategy], tmp_path / "cube.zarr"
    with monkeypatch.context() as patch:
        end_after(patch, n_leaves)
        with pytest.raises(Ended):
            plan.to_zarr(target, workers=2, resume=True)
    assert not target.exists()

    with monkeypatch.context() as patch:
        again = end_after(patch, -1)
        result = plan.to_zarr(target, workers=1, resume=True)

    total = sum(signal.n_leaves for signal in plan.work.signals)
    assert len(again) <= total - max(n_leaves - 2 * 8, 0)  # folds are kept every eight leaves
    assert cube_hash(result.path) == hashes[strategy]
    assert [path.name for path in tmp_path.iterdir()] == ["cube.zarr"]


def test_progress_of_a_resumed_run_begins_where_the_other_ended(plans, tmp_path, monkeypatch):
    plan, target = plans["by_bin"], tmp_path / "cube.zarr"
    with monkeypatch.context() as patch:
        end_after(patch, 15)
        with pytest.raises(Ended):
            plan.to_zarr(target, workers=1, resume=True)
    seen = []
    plan.to_zarr(target, resume=True, on_progress=seen.append)
    assert 0 < seen[0].done < seen[-1].done == seen[-1].total


def test_run_without_resume_begins_anew_and_leaves_nothing(plans, hashes, tmp_path, monkeypatch):
    plan, target = plans["stream"], tmp_path / "cube.zarr"
    with monkeypatch.context() as patch:
        end_after(patch, 12)
        with pytest.raises(Ended):
            plan.to_zarr(target, resume=True)
    left = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert left == [".cube.zarr.state", ".cube.zarr.tmp"]

    assert cube_hash(plan.to_zarr(target).path) == hashes["stream"]
    assert [path.name for path in tmp_path.iterdir()] == ["cube.zarr"]


def left_by(plan, target, monkeypatch):
    with monkeypatch.context() as patch:
        end_after(patch, 12)
        with pytest.raises(Ended):
            plan.to_zarr(target, resume=True)


def test_changed_spec_is_refused_by_name(frames_file, plans, tmp_path, monkeypatch):
    left_by(plans["stream"], tmp_path / "cube.zarr", monkeypatch)
    spec = plans["stream"].bound.spec.model_copy(update={"cube": "other"})
    with pytest.raises(StoreMismatch, match=r"the spec changed: .*frames.* then, .*other.* now"):
        api.plan(api.open_run(frames_file), spec).to_zarr(tmp_path / "cube.zarr", resume=True)


def test_changed_memory_is_refused_by_name(frames_file, plans, tmp_path, monkeypatch):
    left_by(plans["stream"], tmp_path / "cube.zarr", monkeypatch)
    plan = forced_plan(api.open_run(frames_file), "stream", leaves=LEAVES, memory=3 * 2**30)
    with pytest.raises(StoreMismatch, match="the memory per worker changed: '2147483648' then"):
        plan.to_zarr(tmp_path / "cube.zarr", resume=True)


def test_changed_input_is_refused_by_name(frames_file, tmp_path, monkeypatch):
    copy = tmp_path / "frames.h5"
    copy.write_bytes(frames_file.read_bytes())
    left_by(forced_plan(api.open_run(copy), "stream", leaves=LEAVES), tmp_path / "cube.zarr", monkeypatch)
    os.utime(copy, ns=(1, 1))
    plan = forced_plan(api.open_run(copy), "stream", leaves=LEAVES)
    with pytest.raises(StoreMismatch, match="the input changed"):
        plan.to_zarr(tmp_path / "cube.zarr", resume=True)


def test_changed_version_is_refused_by_name(frames_file, plans, tmp_path, monkeypatch):
    left_by(plans["stream"], tmp_path / "cube.zarr", monkeypatch)
    monkeypatch.setattr("cubeengine.__version__", "9.9.9")
    plan = forced_plan(api.open_run(frames_file), "stream", leaves=LEAVES)
    with pytest.raises(StoreMismatch, match="the software changed"):
        plan.to_zarr(tmp_path / "cube.zarr", resume=True)


def test_cube_that_is_made_already_is_not_made_again(plans, tmp_path, monkeypatch):
    target = tmp_path / "cube.zarr"
    first = plans["stream"].to_zarr(target, resume=True)
    again = end_after(monkeypatch, -1)
    second = plans["stream"].to_zarr(target, resume=True)
    assert again == []
    assert (second.path, second.left_out) == (first.path, first.left_out)


def test_two_runs_do_not_make_one_cube_at_a_time(plans, tmp_path):
    target = tmp_path / "cube.zarr"

    def start_another(_progress):
        with pytest.raises(StoreMismatch, match="another run is making this cube now"):
            plans["by_bin"].to_zarr(target)

    plans["stream"].to_zarr(target, on_progress=start_another)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from cubeengine import api
    from cubeengine.graph import tasks
    from tests.makers.frames import forced_plan
    import cubeengine.graph.compile as compile

    path, target, where, number = sys.argv[1:]
    seen = []

    def dying(plain):
        def call(*arguments, **more):
            seen.append(1)
            if len(seen) == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(*arguments, **more)
        return call

    import cubeengine.store.files as files
    if where == "replace":
        files.Replacements.settle = dying(files.Replacements.settle)
    elif where == "rename":
        files.rename_new = dying(files.rename_new)
        files.exchange = dying(files.exchange)
    elif where == "remove":
        import cubeengine.engine as engine
        engine.remove_state = dying(engine.remove_state)
    forced_plan(api.open_run(path), "stream", leaves=24).to_zarr(
        Path(target), workers=2, overwrite=True, resume=True
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize("old_cube", [False, True])
@pytest.mark.parametrize(
    ("where", "number"),
    [*(("replace", n) for n in (1, 2, 5, 12, 20)), ("rename", 1), ("remove", 1)],
)
def test_killed_at_any_moment_a_run_goes_on(frames_file, plans, hashes, tmp_path, where, number, old_cube):
    target = tmp_path / "cube.zarr"
    before = None
    if old_cube:
        before = cube_hash(plans["by_bin"].to_zarr(target).path)
    script = [sys.executable, "-c", textwrap.dedent(KILLED)]
    killed = subprocess.run(
        [*script, frames_file, target, where, str(number)],
        check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists() or cube_hash(target) in (before, hashes["stream"])

    plan = forced_plan(api.open_run(frames_file), "stream", leaves=24)
    result = plan.to_zarr(target, workers=1, overwrite=True, resume=True)
    assert cube_hash(result.path) == hashes["stream"]
    assert [path.name for path in tmp_path.iterdir()] == ["cube.zarr"]


class Flaky:
    """A reader whose file system fails now and then."""

    def __init__(self, reader, failures, error):
        self.reader, self.failures, self.error = reader, failures, error
        self.dtype, self.shape = reader.dtype, reader.shape

    def blocks(self, rows, **how):
        for block in self.reader.blocks(rows, **how):
            if self.failures:
                self.failures.pop()
                raise self.error
            yield block


def with_reader(plan, monkeypatch, failures, error):
    plain = api.Plan._inputs.fget

    def inputs(self):
        found = plain(self)
        item = found["det__counts"]
        return found | {"det__counts": replace(item, reader=Flaky(item.reader, failures, error))}

    monkeypatch.setattr(api.Plan, "_inputs", property(inputs))
    monkeypatch.setattr(tasks, "RETRY_SECONDS", (0.0, 0.0))


def test_flaky_read_is_tried_again(plans, hashes, tmp_path, monkeypatch):
    with_reader(plans["stream"], monkeypatch, [1, 1], OSError(5, "Input/output error"))
    path = plans["stream"].to_zarr(tmp_path / "cube.zarr", workers=1).path
    assert cube_hash(path) == hashes["stream"]
    computation = cube_facts(open_cube(path))["computation"]
    assert computation["n_incidents"] == 1
    assert computation["incidents"][0] == {
        "what": "tried again",
        "signal": "det__counts",
        "events": computation["incidents"][0]["events"],
        "times": 2,
        "reason": "[Errno 5] Input/output error",
    }


def test_read_that_fails_for_good_is_named(plans, tmp_path, monkeypatch):
    with_reader(plans["stream"], monkeypatch, [1] * 99, OSError(5, "Input/output error"))
    with pytest.raises(
        SourceFormatError, match=r"'det__counts' .* cannot be read after 3 tries: .*Input/output"
    ):
        plans["stream"].to_zarr(tmp_path / "cube.zarr")


def test_what_does_not_pass_is_not_tried_again(plans, tmp_path, monkeypatch):
    failures = [1] * 99
    with_reader(plans["stream"], monkeypatch, failures, SourceFormatError("no such data"))
    with pytest.raises(SourceFormatError, match="cannot be read: no such data"):
        plans["stream"].to_zarr(tmp_path / "cube.zarr", workers=1)
    assert len(failures) == 98


def test_events_that_cannot_be_read_are_left_out_and_counted_where_the_spec_says_so(
    frames_file, tmp_path, monkeypatch
):
    run = api.open_run(frames_file)
    plan = forced_plan(run, "stream", leaves=LEAVES)
    skipping = replace(plan.bound, spec=plan.bound.spec.model_copy(update={"on_error": "skip"}))
    plan = api.Plan(skipping, plan.work, plan.budget)
    with_reader(plan, monkeypatch, [1], SourceFormatError("broken"))

    result = plan.to_zarr(tmp_path / "cube.zarr", workers=1)

    whole = binned_events(run)
    failed = result.left_out["det__counts"]["all"]["failed"]
    cube = open_cube(result.path)
    assert failed > 0
    assert int(cube["det__counts_count"].sel(selection="all").sum()) == whole - failed
    assert int(cube["n_events"].sel(selection="all").sum()) == whole
    assert "det__volts" not in result.left_out
    [incident] = cube_facts(cube)["computation"]["incidents"]
    assert (incident["what"], incident["reason"]) == ("left out", "broken")


def binned_events(run):
    x = run.column("x").data
    return int(np.count_nonzero((x >= 0) & (x <= 10)))


class Deadly:
    """A reader that ends its process at one row."""

    def __init__(self, reader, row):
        self.reader, self.row = reader, row
        self.dtype, self.shape = reader.dtype, reader.shape

    def blocks(self, rows, **how):
        if self.row in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        yield from self.reader.blocks(rows, **how)


def deadly_plan(run, monkeypatch, on_error):
    plan = forced_plan(run, "stream", leaves=6)
    bound = replace(plan.bound, spec=plan.bound.spec.model_copy(update={"on_error": on_error}))
    plain = api.Plan._inputs.fget

    def inputs(self):
        found = plain(self)
        item = found["det__counts"]
        return found | {"det__counts": replace(item, reader=Deadly(item.reader, 100))}

    monkeypatch.setattr(api.Plan, "_inputs", property(inputs))
    return api.Plan(bound, plan.work, plan.budget)


@pytest.mark.slow
def test_block_that_ends_its_worker_again_and_again_is_named(frames_file, tmp_path, monkeypatch):
    plan = deadly_plan(api.open_run(frames_file), monkeypatch, "stop")
    with pytest.raises(
        WorkerLost, match=r"signal 'det__counts', events 7\d to 1\d\d .* ended its worker 4 times"
    ):
        plan.to_zarr(tmp_path / "cube.zarr", launcher="processes", workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_block_that_ends_its_worker_is_left_out_where_the_spec_says_so(frames_file, tmp_path, monkeypatch):
    run = api.open_run(frames_file)
    plan = deadly_plan(run, monkeypatch, "skip")
    result = plan.to_zarr(tmp_path / "cube.zarr", launcher="processes", workers=1)
    failed = result.left_out["det__counts"]["all"]["failed"]
    cube = open_cube(result.path)
    assert failed > 0
    assert int(cube["det__counts_count"].sel(selection="all").sum()) == binned_events(run) - failed
    [incident] = cube_facts(cube)["computation"]["incidents"]
    assert incident["what"] == "left out"
    assert incident["reason"].startswith("ended its worker 4 times")


@pytest.mark.slow
def test_a_worker_that_is_slow_to_come_back_is_waited_for(frames_file, tmp_path, monkeypatch):
    run = api.open_run(frames_file)
    plan = deadly_plan(run, monkeypatch, "skip")
    # Sooner than any worker starts: as Dask's 15 s are on a busy machine.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "10 ms"}):
        result = plan.to_zarr(tmp_path / "cube.zarr", launcher="processes", workers=1)
    assert result.left_out["det__counts"]["all"]["failed"] > 0


def test_a_run_without_any_worker_ends_with_an_error(frames_file, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "NO_WORKERS_SECONDS", 0.5)
    monkeypatch.setattr(cluster, "WORKERS_ASKED_SECONDS", 0.1)
    # As if Dask closed the worker for good.
    monkeypatch.setattr(cluster, "WHILE_COMPUTING", {"distributed.deploy.lost-worker-timeout": "10 ms"})
    plan = deadly_plan(api.open_run(frames_file), monkeypatch, "skip")
    with pytest.raises(LaunchError, match=r"no worker has been there .* --resume"):
        plan.to_zarr(tmp_path / "cube.zarr", launcher="processes", workers=1)
