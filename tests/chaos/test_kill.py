from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.kill import COLUMNS, run_trials, table
from tests.chaos.trial import Outcome, draw

N_TRIALS = 4


@pytest.mark.slow
def test_killed_runs_leave_the_old_cube_or_none_and_are_gone_on_with_to_the_same_bits(tmp_path: Path) -> None:
    outcomes = run_trials(tmp_path / "trials", range(N_TRIALS), ["threads", "processes"], seed=4, jobs=2)

    assert [outcome.faults for outcome in outcomes] == [()] * N_TRIALS
    assert any(outcome.killed for outcome in outcomes)


def test_the_same_seed_draws_the_same_trials() -> None:
    launchers = ["threads", "mpi"]
    plans = [draw(number, 3, launchers) for number in range(40)]

    assert plans == [draw(number, 3, launchers) for number in range(40)]
    assert plans != [draw(number, 4, launchers) for number in range(40)]
    assert {(plan.launcher, plan.victim) for plan in plans} == {
        ("threads", "client"),
        ("mpi", "client"),
        ("mpi", "worker"),
        ("mpi", "rank"),
    }


def test_table_counts_what_was_killed_and_names_faults() -> None:
    plan = replace(draw(0, 0, ["threads"]), victim="client")
    outcomes = [
        Outcome(plan, "old", -9, killed=True, done=0.5),
        Outcome(plan, "new", 0, killed=False),
        Outcome(plan, "none", -9, killed=True, faults=("left",)),
    ]

    lines = table(outcomes).splitlines()

    assert lines[0].count("|") == len(COLUMNS) + 1
    assert lines[2] == "| threads | client | 2 | 0 | 1 | 1 | 0 | 1 | 1 | 1 |"
    assert lines[-1] == "not counted: 1 runs that were over before (0 with faults)"
