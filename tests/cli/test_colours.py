"""Escape sequences are for terminals that obey them, colours for users who have not switched them off."""

from __future__ import annotations

import os
import pkgutil
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pexpect
import pytest

import cubeengine.progress
from cubeengine.cli.app import COMMANDS, run_command
from cubeengine.demo import write_dark_run
from tests.cli.conftest import SPEC
from tests.makers.smalldata import write_lcls1
from tests.waiting import PATIENCE, wait_until

RUN, CUBE = "xpptest01_Run0007.h5", "a.zarr"
STYLE = re.compile(r"\x1b\[[0-9;]*m")
"""What turns colours, bold or underlining on and off."""

CALLS: dict[str, Sequence[Sequence[str]]] = {
    "demo": [("demo", "shots", "--events", "500"), ("demo", RUN)],
    "fields": [("fields", RUN), ("fields", RUN, "--stats"), ("fields", "nowhere.h5")],
    "shell": [("shell", RUN, "-c", words) for words in ("print(run)", "1 / 0", "run['ipm3/sun']")],
    "new": [("new", RUN), ("new", "nowhere.h5")],
    "check": [("check", "delay.yaml"), ("check", "wrong.yaml")],
    "plan": [("plan", "delay.yaml"), ("plan", "delay.yaml", "--memory", "1 B")],
    "run": [("run", "delay.yaml", "-o", "b.zarr", "--overwrite"), ("run", "delay.yaml", "-o", CUBE)],
    "pick": [("pick", "pick.yaml", "--overwrite"), ("pick", "delay.yaml")],
    "show": [("show", CUBE), ("show", CUBE, "--plot", "a.png"), ("show", "nowhere.zarr")],
    "report": [("report", CUBE, "a.html"), ("report", "nowhere.zarr", "b.html")],
    "merge": [("merge", CUBE, CUBE, "-o", "c.zarr", "--allow", "same-run", "--overwrite"),
              ("merge", CUBE, CUBE, "-o", "c.zarr")],
    "rebin": [("rebin", CUBE, "-o", "d.zarr", "--by", "delay=3", "--overwrite"), ("rebin", CUBE, "-o", CUBE)],
    "pedestal": [("pedestal", "dark", "--detector", "jungfrau", "-o", "dark.h5", "--overwrite"),
                 ("pedestal", RUN, "--detector", "epix")],
    "submit": [("submit", "delay.yaml", "--runs", "7", "--interactive", "-o", "e.zarr", "--overwrite"),
               ("submit", "delay.yaml", "--runs", "9", "--interactive", "-o", "e.zarr"),
               ("submit", "delay.yaml", "--runs", "7", "--dry-run")],
    "jobs": [("jobs",), ("jobs", "--json")],
}  # fmt: skip
"""Of each command calls: the first ends well, others do not."""

LONG = {"demo", "pedestal", "pick", "merge", "report"}
"""Commands whose calls take seconds."""


@dataclass
class Terminal:
    """A pseudo-terminal that standard output and error go to, and what was written to it."""

    stream: TextIO
    reader: int
    written: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        return self.written.decode(errors="replace")

    def read(self) -> None:
        while True:
            try:
                found = os.read(self.reader, 65536)
            except OSError:  # nobody writes any more
                return
            self.written += found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with what the commands need."""
    folder = tmp_path_factory.mktemp("made")
    write_lcls1(folder / RUN, n_events=420)
    write_dark_run(folder / "dark")
    spec = SPEC.replace("smalldata: xpp", f"smalldata: {folder}/xpp")
    (folder / "delay.yaml").write_text(spec)
    (folder / "wrong.yaml").write_text(spec.replace("ipm2/sum\n", "ipm9/sum\n"))
    (folder / "pick.yaml").write_text(f"{spec}pick: {{field: ipm2/sum, which: largest}}\n")
    assert run_command(["run", str(folder / "delay.yaml"), "-o", str(folder / CUBE)]) == 0
    return folder


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; state of a user's own, spinners without delay, and no bell or colour forced."""
    state = made / "state"
    for name in ("HOME", "IPYTHONDIR", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(state))
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(cubeengine.progress, "MOMENT_SECONDS", 0.0)
    monkeypatch.chdir(made)
    yield made
    shutil.rmtree(made / "shots", ignore_errors=True)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal that is read all the time."""
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as stream:
        made = Terminal(stream, reader)
        watching = threading.Thread(target=made.read)
        watching.start()
        yield made
    watching.join()
    os.close(reader)


@pytest.fixture
def seen(folder: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Call the command line on the terminal in this process, and return what it shows."""
    del folder

    def called(*arguments: str) -> str:
        end = f"[end of call {len(terminal.written)}]"
        terminal.written.clear()
        with monkeypatch.context() as patched:
            for name in ("stdout", "stderr"):
                patched.setattr(sys, name, terminal.stream)
            run_command(arguments)
        print(end, file=terminal.stream, flush=True)
        wait_until(lambda: end in terminal.text, "the terminal has shown all")
        return terminal.text.replace(end, "").strip()

    return called


def calls_of(command: str) -> list[Sequence[str]]:
    return [*CALLS[command], (command, "--help"), (command, "--no-such-option")]


@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in COMMANDS],
)
def test_no_escape_reaches_a_pipe(
    command: str, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del folder
    # With this rich takes any pipe for a terminal.
    monkeypatch.setenv("FORCE_COLOR", "1")
    for arguments in calls_of(command):
        capfd.readouterr()
        code = run_command(arguments)
        shown = "".join(capfd.readouterr())
        assert shown, arguments
        assert code == 0 or arguments != CALLS[command][0], shown
        assert "\x1b" not in shown, arguments


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_escape_reaches_a_dumb_terminal(
    command: str, seen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    for arguments in calls_of(command):
        shown = seen(*arguments)
        assert shown, arguments
        assert "\x1b" not in shown, arguments


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_color_leaves_neither_colours_nor_bold(
    command: str, seen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for arguments in calls_of(command):
        shown = seen(*arguments)
        assert shown, arguments
        assert not STYLE.search(shown), arguments


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("shw",), ("--no-such-option",)], ids=lambda words: words[0]
)
def test_the_command_without_a_command_is_as_plain(
    arguments: Sequence[str], seen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in seen(*arguments)


def test_elsewhere_there_are_colours_and_a_bar(
    seen: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (("run", "delay.yaml", "-o", CUBE), ("fields", RUN)):
        assert STYLE.search(seen(*arguments)), arguments
    monkeypatch.setenv("NO_COLOR", "")  # which means nothing
    assert "\x1b[31merror" in seen("show", "nowhere.zarr")
    monkeypatch.setenv("NO_COLOR", "1")
    bar = seen("run", "delay.yaml", "-o", "b.zarr", "--overwrite")
    assert "━" in bar
    assert "\x1b[2K" in bar  # it is drawn over, only without colours


@pytest.mark.slow
@pytest.mark.parametrize(("value", "coloured"), [("", True), ("1", False)])
def test_errors_of_a_process_of_its_own_are_coloured_unless_no_color_is_set(
    value: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("TERM", "xterm")
    arguments = ["-m", "cubeengine.cli", "show", "nowhere.zarr"]
    shown, _ = pexpect.run(
        " ".join([sys.executable, *arguments]), timeout=PATIENCE, withexitstatus=True, encoding="utf-8"
    )

    assert "nowhere.zarr" in shown
    assert bool(STYLE.search(shown)) == coloured


@pytest.mark.parametrize(
    ("arguments", "bound_by"),
    [
        (CALLS["run"][0], "cubeengine.api.bind"),
        (CALLS["plan"][0], "cubeengine.api.bind"),
        (CALLS["pick"][0], "cubeengine.picking.api.bind"),
        (CALLS["submit"][0], "cubeengine.api.bind"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_planning_shows_itself_while_it_lasts(
    arguments: Sequence[str],
    bound_by: str,
    seen: Callable[..., str],
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bind_when_seen(*given: object, **named: object) -> object:
        wait_until(lambda: "planning: reading times and scalars" in terminal.text, "a spinner is to be seen")
        before.append(terminal.text)
        return bind(*given, **named)

    bind, before = pkgutil.resolve_name(bound_by), []
    monkeypatch.setattr(bound_by, bind_when_seen)
    shown = seen(*arguments)

    assert before  # it was to be seen before anything was read
    assert "\x1b[2K" in shown[len(before[0]) :]  # and is wiped out
