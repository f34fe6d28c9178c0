"""The trial of long runs in small form: what a kill costs, and what lies beside, keep to the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.large import Case, kill_often, write_run

NOTES_NBYTES = 400_000
"""Marks, and small files that take a block of the disk each."""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["stream", "by_tile"])
def test_a_kill_costs_no_more_leaves_nor_bytes_than_the_plan_says(tmp_path: Path, strategy: str) -> None:
    write_run(tmp_path / "run.h5", 2000, (64, 64))
    case = Case(tmp_path / "run.h5", strategy, 0.1, tmp_path / "notes.txt", 2**21)
    found = kill_often(case, "threads", 2, 2, tmp_path)
    assert found.faults == ()
    assert found.kills == 2
    assert found.leaves >= 8
    assert 0 <= found.again <= found.bound < 2 * found.leaves
    assert 0 < found.state_nbytes <= found.planned_nbytes + NOTES_NBYTES
