"""Many bins in little memory; runs that fail, are resumed, or may leave out what cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.picking import tasks
from cubeengine.planning.cost import Tuning
from cubeengine.store.read import cube_facts
from tests.engine.test_memory import write_sparse_run
from tests.makers.frames import frame_arrays, write_frames
from tests.waiting import PATIENCE

SMALL = Tuning(chunk_nbytes=3000, write_nbytes=6000, max_leaves=1000)

SCRIPT = """
import json, sys
import cubeengine as ce

path, bins, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
run = ce.open_run(path)
spec = ce.PickSpec.from_dict({
    "cube": "grid", "units": {"x": ""}, "signals": ["det/counts"], "pick": {"which": "first"},
    "axes": [{"field": "x", "edges": {"start": 0, "stop": 50, "bins": bins}}],
})
plan = ce.pick(run, spec)
result = plan.to_zarr(out, workers=2)
work = plan.work
print(json.dumps([result.measured_memory, result.projected_memory, work.output_nbytes, work.n_tasks,
                  int(plan.picked.n_picked.sum())]))
"""


def measured(path: Path, bins: int, out: Path) -> dict[str, int]:
    command = [sys.executable, "-c", SCRIPT, str(path), str(bins), str(out)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=PATIENCE)
    names = ("measured", "projected", "output", "tasks", "picked")
    return dict(zip(names, json.loads(done.stdout), strict=True))


@pytest.mark.slow
def test_ten_thousand_bins_take_the_memory_of_a_thousand(tmp_path):
    write_sparse_run(tmp_path / "run.h5", 20_000)
    few = measured(tmp_path / "run.h5", 1_000, tmp_path / "few.zarr")
    many = measured(tmp_path / "run.h5", 10_000, tmp_path / "many.zarr")

    assert many["picked"] > 8_000
    assert many["output"] > 2e9 > 4 * many["measured"]
    assert many["measured"] - few["measured"] < many["output"] / 20
    assert many["measured"] <= many["projected"]
    assert many["tasks"] < 100


def test_number_of_tasks_is_bounded_however_many_bins():
    n_events = 50_000
    arrays = {"x": np.arange(n_events) + 0.5, "frame": np.broadcast_to(np.uint16(0), (n_events, 1024, 1024))}
    run = ce.Run(ce.MemorySource(arrays))
    spec = ce.PickSpec.from_dict(
        {
            "cube": "grid",
            "units": {"x": ""},
            "axes": [{"field": "x", "edges": {"start": 0, "stop": n_events, "step": 1}}],
            "signals": ["frame"],
            "pick": {"which": "first"},
        }
    )
    work = ce.pick(run, spec).work

    assert work.output_nbytes > 100e9
    assert 500 < work.n_tasks < 2_100
    assert work.projected_memory(threads=2) < 1e9


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    arrays = frame_arrays(480)
    path = tmp_path_factory.mktemp("run") / "frames.h5"
    write_frames(path, arrays)
    return path, arrays


def plan_of(path: Path, **more: object) -> ce.PickPlan:
    spec = {
        "cube": "picked",
        "units": {"x": ""},
        "axes": [{"field": "x", "edges": {"start": 0, "stop": 10, "bins": 16}}],
        "signals": ["det/counts", "det/volts"],
        "pick": {"field": "i0", "which": "largest", "events": 2},
    }
    return ce.pick(ce.open_run(path), ce.PickSpec.from_dict({**spec, **more}), tuning=SMALL)


@pytest.mark.parametrize("chunk_events", [None, 7])
@pytest.mark.parametrize("launcher", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_frames_of_any_storage_are_those_that_were_written(tmp_path, frames, chunk_events, launcher):
    _, arrays = frames
    path = tmp_path / "run.h5"
    write_frames(path, arrays, chunk_events=chunk_events, **({"compression": "gzip"} if chunk_events else {}))
    plan_of(path).to_zarr(tmp_path / "p.zarr", launcher=launcher, workers=2)

    picked = ce.open_cube(tmp_path / "p.zarr").isel(selection=0)
    events = picked["event"].values
    assert (events >= 0).all()
    np.testing.assert_array_equal(picked["det__counts"], arrays["det/counts"][events])
    np.testing.assert_array_equal(picked["det__volts"], arrays["det/volts"][events])


class Ended(Exception):
    """What ends a run in these tests."""


def end_after(monkeypatch, n_tasks: int) -> list[str]:
    """Let a run fail at its n-th task; gives the tasks that were begun."""
    begun: list[str] = []
    plain = tasks.write_frames

    def counted(job, *rest):
        if len(begun) == n_tasks:
            raise Ended
        begun.append(job.label)
        return plain(job, *rest)

    monkeypatch.setattr("cubeengine.picking.compile.write_frames", counted)
    return begun


def test_failed_run_leaves_nothing_and_the_old_store(tmp_path, frames, monkeypatch):
    path, _ = frames
    target = tmp_path / "p.zarr"
    plan_of(path).to_zarr(target, workers=1)
    before = ce.cube_hash(target)
    end_after(monkeypatch, 5)

    with pytest.raises(Ended):
        plan_of(path, pick={"which": "first"}).to_zarr(target, workers=1, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.zarr"]
    assert ce.cube_hash(target) == before


def test_resumed_run_does_only_the_rest_and_gives_the_same_bits(tmp_path, frames, monkeypatch):
    path, _ = frames
    plan = plan_of(path)
    whole = plan.to_zarr(tmp_path / "whole.zarr", workers=1)
    with monkeypatch.context() as patch:
        end_after(patch, 7)
        with pytest.raises(Ended):
            plan.to_zarr(tmp_path / "p.zarr", workers=1, resume=True)
    with monkeypatch.context() as patch:
        rest = end_after(patch, -1)
        seen = []
        plan.to_zarr(tmp_path / "p.zarr", workers=1, resume=True, on_progress=seen.append)

    assert len(rest) == plan.work.n_tasks - 7
    assert seen[0].done > 0
    assert seen[-1].done == seen[-1].total
    assert ce.cube_hash(tmp_path / "p.zarr") == ce.cube_hash(whole.path)


def test_frames_that_cannot_be_read_end_the_run_or_are_counted(tmp_path, frames):
    _, arrays = frames
    path = tmp_path / "cut.h5"
    write_frames(path, arrays)
    plan, skipping = plan_of(path), plan_of(path, on_error="skip")
    lost = break_reads(plan, skipping)

    with pytest.raises(ce.SourceFormatError, match=r"signal 'det__counts' .* cannot be read"):
        plan.to_zarr(tmp_path / "p.zarr", workers=1)
    assert not (tmp_path / "p.zarr").exists()
    picked = skipping.compute(workers=1).isel(selection=0)
    events = picked["event"].values
    gone = np.isin(events, lost)
    assert 0 < gone.sum() < gone.size
    np.testing.assert_array_equal(picked["det__counts_valid"], ~gone)
    np.testing.assert_array_equal(picked["det__counts"].values[~gone], arrays["det/counts"][events[~gone]])
    assert (picked["det__counts"].values[gone] == 65_535).all()
    assert cube_facts(picked)["left_out"]["det__counts"]["all"]["failed"] == gone.sum()


class Broken:
    """A reader that cannot read some rows."""

    def __init__(self, reader, rows) -> None:
        self.reader, self.rows = reader, rows
        self.dtype, self.shape = reader.dtype, reader.shape

    def blocks(self, rows, *, elements, block_nbytes):
        if np.isin(rows, self.rows).any():
            raise OSError("no such sector")
        return self.reader.blocks(rows, elements=elements, block_nbytes=block_nbytes)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        return self.reader.memory_nbytes(n_elements, block_nbytes)


def break_reads(*plans: ce.PickPlan) -> list[int]:
    """Let every third picked event's counts be unreadable."""
    lost = sorted(set(plans[0].picked.events.ravel().tolist()))[::3]
    for plan in plans:
        name = next(name for name in plan._readers if name == "det__counts")
        plan._readers[name] = Broken(plan._readers[name], lost)
    return lost


def test_frames_too_large_for_the_memory_are_refused_before_anything_is_read():
    arrays = {"frame": np.broadcast_to(np.float64(0), (4, 8192, 8192))}
    spec = ce.PickSpec(cube="big", signals=["frame"], pick=ce.Pick(which="first"))

    with pytest.raises(ce.BudgetExceeded, match=r"frames of 512 MiB.*raise resources\.memory"):
        ce.pick(ce.Run(ce.MemorySource(arrays)), spec, memory="1 GiB")


def test_more_events_than_can_be_kept_in_mind_are_refused():
    run = ce.Run(ce.MemorySource({"x": np.arange(10.0)}))
    spec = ce.PickSpec.from_dict(
        {
            "cube": "many",
            "axes": [{"field": "x", "unit": "", "edges": {"start": 0, "stop": 100_000, "step": 1}}],
            "pick": {"which": "first", "events": 1_000_000},
        }
    )

    with pytest.raises(ce.BudgetExceeded, match="1,000,000 events in each of 100,000 bins"):
        ce.pick(run, spec)
