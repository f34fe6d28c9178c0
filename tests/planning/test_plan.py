"""Projected memory of several signals: those that can be under way together are added up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cubeengine.budget import WORKER_BASELINE
from cubeengine.planning.plan import CubePlan, Part, SignalPlan
from tests.planning.runs import memory_run, plan_of

MIB = 2**20


@pytest.fixture(scope="module")
def one() -> CubePlan:
    plan = plan_of(memory_run({"x": np.arange(9.0)}), "signals: [x]").work
    return replace(plan, leader_nbytes=0)


def signal(one: CubePlan, leaf: int, part: int, merge: int, write: int, leaves: int) -> SignalPlan:
    ranges = tuple((i, i + 1) for i in range(leaves))
    return replace(
        one.signals[0],
        leaf_nbytes=leaf * MIB,
        part_nbytes=part * MIB,
        merge_nbytes=merge * MIB,
        write_nbytes=write * MIB,
        parts=(Part((0, 1), (0, 1), ranges),),
    )


def projected(one: CubePlan, *signals: SignalPlan, threads: int) -> int:
    return (replace(one, signals=signals).projected_memory(threads=threads) - WORKER_BASELINE) // MIB


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_single_signal_is_projected_as_it_says(one, threads):
    single = signal(one, 50, 10, 30, 20, leaves=40)
    assert projected(one, single, threads=threads) == single.memory(threads) // MIB == 50 * threads + 40


def test_a_thread_runs_a_leaf_or_a_write(one):
    single = signal(one, 50, 10, 0, 70, leaves=40)
    assert projected(one, single, threads=2) == 2 * 70 + 10


def test_the_leading_process_holds_the_scalars(one):
    plan = replace(one, leader_nbytes=5 * MIB)
    assert plan.projected_memory() - one.projected_memory() == 5 * MIB
    assert plan.projected_memory(workers=2) == 5 * MIB + WORKER_BASELINE + 2 * plan.worker_memory(1)


def test_with_one_thread_the_hungriest_signal_counts(one):
    large, small = signal(one, 50, 10, 30, 20, leaves=40), signal(one, 7, 1, 3, 2, leaves=9)
    assert projected(one, small, large, small, threads=1) == 50 + 10 + 30


def test_at_the_change_leaves_of_the_next_signal_run_beside_the_last_write(one):
    first, second = signal(one, 20, 10, 30, 18, leaves=40), signal(one, 50, 5, 15, 8, leaves=40)
    held = (10 + 30) + (5 + 15)
    assert projected(one, first, second, threads=2) == 2 * 50 + held
    assert projected(one, second, first, threads=2) == 2 * 50 + held
    assert projected(one, first, second, first, threads=4) == 4 * 50 + held


def test_signals_of_one_leaf_are_under_way_as_many_as_threads(one):
    tiny = signal(one, 5, 2, 0, 3, leaves=1)
    assert projected(one, *[tiny] * 6, threads=4) == 4 * 5 + 4 * 2
    assert projected(one, *[tiny] * 3, threads=4) == 4 * 5 + 3 * 2


def test_every_worker_counts(one):
    plan = replace(one, signals=(signal(one, 50, 10, 30, 20, leaves=40),))
    one_worker, three = plan.projected_memory(workers=1), plan.projected_memory(workers=3)
    assert three - one_worker == 2 * plan.worker_memory(1)
