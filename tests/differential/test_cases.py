"""Cubes of random cases equal what the oracle says; see `tests.differential`."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from cubeengine.events import states
from cubeengine.planning import axes
from tests.differential.making import make
from tests.differential.shrink import shrink
from tests.differential.trial import trial
from tests.quick import first_quick

CASES, CHUNK = 300, 10
QUICK = 10
"""Cases of the quick tests; the others are marked slow."""

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    "first",
    [
        *range(0, QUICK, CHUNK),
        *(pytest.param(first, marks=pytest.mark.slow) for first in range(QUICK, CASES, CHUNK)),
    ],
)
def test_cubes_are_what_the_oracle_says(first):
    wrong = {seed: found for seed in range(first, first + CHUNK) if (found := trial(make(seed)).differences)}
    assert not wrong, f"see  python -m tests.differential --seed {next(iter(wrong))}"


def test_a_seed_gives_the_same_case_again():
    assert str(make(5)) == str(make(5))
    assert str(make(5)) != str(make(6))


def test_the_oracle_knows_nothing_of_cubeengine():
    for path in (FOLDER / "oracle").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in [*names, *module]:
                assert not name.startswith("cubeengine"), path
                assert not name.startswith("tests") or name.startswith("tests.differential.oracle"), path


# --- it finds faults --------------------------------------------------------------------------------------


def first_differing(most=40):
    return next((seed for seed in range(most) if trial(make(seed)).differences), None)


def any_of_the_unknown_is_true(monkeypatch):
    plain = states.kleene_or
    monkeypatch.setattr(states, "kleene_or", lambda a, b: np.minimum(plain(a, b), states.TRUE))


def not_of_unknown_is_true(monkeypatch):
    monkeypatch.setattr(states, "kleene_not", lambda a: np.where(a == states.TRUE, states.FALSE, states.TRUE))


def last_bin_is_open(monkeypatch):
    plain = axes.bin_index
    monkeypatch.setattr(
        axes, "bin_index", lambda values, edges: np.where(values == edges[-1], -1, plain(values, edges))
    )


@pytest.mark.parametrize(
    "fault", first_quick([last_bin_is_open, any_of_the_unknown_is_true, not_of_unknown_is_true])
)
def test_a_fault_is_found(fault, monkeypatch):
    fault(monkeypatch)
    assert first_differing() is not None


@pytest.mark.slow
def test_a_differing_case_is_cut_down_to_what_differs(monkeypatch):
    last_bin_is_open(monkeypatch)
    case = shrink(make(first_differing()))
    assert trial(case).differences
    assert case.runs[0].n_events <= 2
    assert len(case.spec["axes"]) == 1
