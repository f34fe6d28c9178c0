"""docs/session.md: its transcripts are what a new user sees, and its examples run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import cubeengine as ce
from cubeengine.cli.app import run_command
from tests.transcripts import Transcript, read_transcript, run_transcript

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "session.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a new user has run `cubeengine demo`."""
    folder = tmp_path_factory.mktemp("home")
    assert run_command(["demo", str(folder / "cubeengine-demo")]) == 0
    return folder


@pytest.fixture(scope="module")
def environment(home: Path) -> Mapping[str, str]:
    """The environment of a shell that finds `cubeengine`, and in which nobody has worked before."""
    programs = home / "bin"
    programs.mkdir()
    program = programs / "cubeengine"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cubeengine.cli "$@"\n')
    program.chmod(0o755)
    own = {"IPYTHONDIR": str(home / ".ipython"), "XDG_DATA_HOME": str(home / ".local")}
    shell = {"PATH": f"{programs}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return {**own, **shell, "MPLBACKEND": "agg", "TERM": "dumb", "DISPLAY": "", "CUBEENGINE_SESSIONS": ""}


@pytest.fixture(scope="module")
def typed_again(home: Path, environment: Mapping[str, str]) -> list[tuple[Transcript, Transcript]]:
    """What the documentation shows, and what came when it was typed again, the command between included."""
    first, second = map(read_transcript, blocks("console"))
    between = next(block for block in blocks("sh") if "cubeengine run" in block)
    found = []
    for shown in (first, second):
        typed = [line for line, _ in shown.lines]
        found.append((shown, run_transcript(shown.command, typed, home, environment)))
        if shown is first:
            run_transcript(between.strip(), [], home, environment)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_transcripts_are_what_is_seen(typed_again: list[tuple[Transcript, Transcript]], number: int) -> None:
    shown, seen = typed_again[number]

    assert seen.greeting == shown.greeting
    for (typed, answer), (_, expected) in zip(seen.lines, shown.lines, strict=True):
        assert answer == expected, typed


@pytest.mark.slow
def test_everything_of_the_transcript_is_there_afterwards(
    typed_again: list[tuple[Transcript, Transcript]], home: Path
) -> None:
    run = ce.explore(home / "cubeengine-demo")
    again = run.cube(
        "delay",
        centers={"start": -2, "stop": 8, "step": 0.5},
        unit="ps",
        select=["on", "off"],
        signals="ratio",
    )
    again.to_zarr(home / "again.zarr")

    assert {"delay", "ratio", "slow", "mine/jump"} <= set(run.fields)
    assert set(run.spec.select) == {"good", "on", "off"}
    assert (home / "scan.png").stat().st_size > 10_000
    assert ce.cube_hash(home / "again.zarr") == ce.cube_hash(home / "delay.zarr")


@pytest.fixture
def _closed_figures() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.slow
@pytest.mark.usefixtures("_closed_figures")
def test_python_examples_run(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("CUBEENGINE_SESSIONS", str(tmp_path))
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "session.md", "exec"), names)

    assert names["cube"]["n_events"].sum() > 0
    assert len(names["both"].bound.axes) == 2
    assert "pick: {" in (home / "pick.yaml").read_text()
