"""The model of many workers, and the graph that it rests on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling import SIGNAL, TASKS_PER_LEAF, Model, Scheduled, model_of, plan_run, schedule
from cubeengine.budget import Budget
from cubeengine.launch import launch


def row(frames: str, workers: int, **figures: float) -> Scheduled:
    partial = {"small": 1000, "large": 1_001_000}[frames]
    return Scheduled("processes", workers, frames, partial, 100, 300, 0.0, **figures)


@pytest.mark.slow
def test_model_takes_the_scheduler_of_the_most_workers() -> None:
    rows = [row("small", 8, leader=0.6), row("large", 8, leader=9.0), row("small", 2, leader=6.0)]
    model = model_of(rows, 1e9)

    assert model.per_task == pytest.approx(0.002)
    assert model.per_nbyte > 0


def test_workers_share_the_reading_and_nothing_else() -> None:
    model = Model(per_task=0.001, per_nbyte=1e-9, rate=1e9)

    few, many = (model.parts(workers, 2e12, 1e8, 2000) for workers in (10, 1000))

    assert few == {"reading": 200.0, "folding": pytest.approx(200.0), "scheduling": 6.0}
    assert many == {**few, "reading": 2.0}


@pytest.mark.slow
def test_tables_are_of_graphs_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "SLEEP_SECONDS", 0.005)
    quick, slow = schedule(launch("threads", workers=2, budget=Budget()), "threads", 2, "small", tmp_path)
    planned = plan_run(tmp_path, 20_000)

    assert SIGNAL == "det__frames"
    assert quick.n_tasks == pytest.approx(TASKS_PER_LEAF * quick.n_leaves, rel=0.6)
    assert slow.seconds > slow.ideal > 0
    assert 0 < planned.n_tasks < 10_000
