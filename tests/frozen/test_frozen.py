"""Whatever moves inside the package: the same bits, no more tasks, no more memory than today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.frozen.problems import PROBLEMS

FROZEN = json.loads(Path(__file__).with_name("frozen.json").read_text())


def test_every_problem_is_frozen() -> None:
    assert FROZEN.keys() == PROBLEMS.keys()
    assert len({frozen["hash"] for frozen in FROZEN.values()}) == len(FROZEN) - 1  # stream and by_tile agree


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in PROBLEMS])
def test_a_problem_gives_the_frozen_bits_with_no_more_tasks_and_memory(name: str, tmp_path: Path) -> None:
    found, frozen = PROBLEMS[name](tmp_path), FROZEN[name]
    assert found.keys() == frozen.keys()
    assert found["hash"] == frozen["hash"]
    for cost in found.keys() - {"hash"}:
        assert found[cost] <= frozen[cost]
