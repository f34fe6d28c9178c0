"""psana reads what our writer writes. Needs a Python that has psana: see `psana_check`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import psana_check
from tests.psana_check import CASES, VARIABLE, differences


@pytest.mark.parametrize("case", CASES)
def test_psana_reads_what_was_written(case: str, tmp_path: Path) -> None:
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no Python that has psana")
    assert CASES[case](tmp_path) == []


def test_differences_are_found_at_every_depth() -> None:
    wanted = {"a": [1, {"b": float("nan")}], "c": "x"}

    assert list(differences({"a": [1, {"b": float("nan")}], "c": "x"}, wanted)) == []
    assert list(differences({"a": [1, {"b": 2.0}], "c": "x"}, wanted)) == [
        "/a[1]/b: psana has 2.0, written was nan"
    ]
    assert len(list(differences({"a": [1], "d": "x"}, wanted))) == 3


def test_without_psana_the_script_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    assert psana_check.main([]) == 2
    assert VARIABLE in capsys.readouterr().err
