"""Colours are for terminals, and there for users who have not switched them off."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pexpect
import pytest

from tests.cli.conftest import Call
from tests.waiting import PATIENCE

RUN = "xpptest01_Run0007.h5"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")


def test_no_codes_reach_a_pipe(folder: Path, call: Call) -> None:
    del folder
    calls = (
        ("--help",), ("shw",), ("show", "nowhere.zarr"), ("check", "nowhere.yaml"),
        ("fields", RUN), ("fields", RUN, "nothing"), ("new", RUN), ("check", "delay.yaml"),
        ("plan", "delay.yaml"),
        ("run", "delay.yaml", "-o", "a.zarr"), ("run", "delay.yaml", "-o", "a.zarr"), ("show", "a.zarr"),
        ("show", "a.zarr", "--plot", "a.png", "--signal", "nothing"),
        ("merge", "a.zarr", "a.zarr", "-o", "b.zarr"),
    )  # fmt: skip
    for arguments in calls:
        outcome = call(*arguments)
        assert outcome.out or outcome.err, arguments
        assert "\x1b" not in outcome.out + outcome.err, arguments


def test_tracebacks_of_the_shell_are_plain_in_a_pipe(
    folder: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del folder
    for name in ("IPYTHONDIR", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    outcome = call("shell", RUN, "-c", "1 / 0")

    assert "ZeroDivisionError" in outcome.out + outcome.err
    assert "\x1b" not in outcome.out + outcome.err


@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_errors_on_a_terminal_are_coloured_unless_no_color_is_set(
    value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    arguments = ["-m", "cubeengine.cli", "show", "nowhere.zarr"]
    seen, _ = pexpect.run(
        " ".join([sys.executable, *arguments]), timeout=PATIENCE, withexitstatus=True, encoding="utf-8"
    )

    assert "nowhere.zarr" in seen
    assert bool(COLOUR.search(seen)) == coloured
