"""``cubeengine shell``: a run in IPython, from the command line, from a pipe and in a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

import cubeengine as ce
from tests.cli.conftest import Call
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
RUN = "xpptest01_Run0007.h5"
PROMPT = r"In \[\d+\]: "


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with an IPython of its own, as a new user has it."""
    for name, value in {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "XDG_DATA_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CUBEENGINE_SESSIONS"):
        monkeypatch.delenv(name, raising=False)
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}


@pytest.fixture
def terminal(environment: dict[str, str], folder: Path) -> Iterator[pexpect.spawn]:
    """The shell in a terminal."""
    arguments = ["-m", "cubeengine.cli", "shell", RUN]
    child = pexpect.spawn(
        sys.executable, arguments, env=environment, cwd=str(folder), encoding="utf-8", timeout=PATIENCE
    )
    child.expect(PROMPT)
    yield child
    child.close(force=True)


def piped(folder: Path, environment: dict[str, str], text: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "cubeengine.cli", "shell", RUN]
    return subprocess.run(
        arguments, input=text, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_code_is_run_and_what_it_adds_is_there_next_time(folder: Path, call: Call) -> None:
    first = call("shell", RUN, "-c", "run.add('twice', '2 * ipm2__sum'); print(len(run))")
    second = call(
        "shell", RUN, "-c", "print('twice' in run, run is session, np.pi, ce.__version__, xr.__name__)"
    )

    assert first.code == second.code == 0
    assert f"saved {folder / 'xpptest01_Run0007.session.nc'}" in first.err
    assert second.out.startswith("True True 3.14159265")
    assert "saved" not in second.err


def test_code_that_fails_ends_with_one_and_what_was_added_before_is_kept(folder: Path, call: Call) -> None:
    ended = call("shell", RUN, "-c", "run.add('twice', '2 * ipm2__sum'); 1 / 0")

    assert ended.code == 1
    assert "ZeroDivisionError" in ended.out + ended.err
    assert "twice" in ce.explore(RUN)


def test_error_of_ours_is_one_message(folder: Path, call: Call) -> None:
    ended = call("shell", RUN, "-c", "run['ipm2/summ']")

    assert ended.code == 1
    assert ended.err.startswith("FieldNotFound: field 'ipm2/summ' is not in run xpptest01:7")
    assert "Traceback" not in ended.out + ended.err


COMPLETE = """
import warnings
warnings.simplefilter("ignore")  # IPython's own completion is soon to be called otherwise
for name in ("on", "pumped", "other"):
    run.select(name, laser="on")
print(get_ipython().complete(None, LINE)[1])
"""


@pytest.mark.parametrize(
    "line", ["run.mask('pu", "ax = run.hist('ipm2/sum', select='pu", "run.cube('x', select=['on', 'pu"]
)
def test_names_of_selections_are_completed(folder: Path, call: Call, line: str) -> None:
    ended = call("shell", RUN, "-c", COMPLETE.replace("LINE", repr(line)))

    assert ended.out.strip() == "['pumped']"


def test_source_that_is_not_there_is_an_error_before_the_shell_opens(call: Call) -> None:
    ended = call("shell", "nothing.h5", "-c", "print('open')")

    assert ended.code == 3
    assert "nothing.h5" in ended.err
    assert "open" not in ended.out


def test_changed_source_is_refused_and_saved_says_what_to_do(folder: Path, call: Call) -> None:
    import h5py

    call("shell", RUN, "-c", "run.add('twice', '2 * ipm2__sum'); run.add('mine', np.zeros(len(run.time)))")
    with h5py.File(folder / RUN, "r+") as file:
        file["ipm2/sum"][...] = file["ipm2/sum"][...] * 2
    status = (folder / RUN).stat()
    os.utime(folder / RUN, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))

    refused = call("shell", RUN, "-c", "print('open')")
    recipes = call("shell", RUN, "--saved", "recipes", "-c", "print('twice' in run, 'mine' in run)")

    assert refused.code == 2
    assert "--saved" in refused.err
    assert "open" not in refused.out
    assert recipes.out.startswith("True False")


def test_extra_is_named_where_ipython_is_missing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)

    ended = call("shell", RUN)

    assert ended.code == 2
    assert "pip install 'cubeengine[shell]'" in ended.err


@pytest.mark.slow
def test_commands_may_come_from_a_pipe(folder: Path, environment: dict[str, str]) -> None:
    ended = piped(folder, environment, "run.select('on', laser='on')\nint(run.mask('on').sum())\n")

    assert ended.returncode == 0, ended.stderr
    assert "try:" in ended.stdout
    assert re.search(r"Out\[2\]: \d+", ended.stdout)
    assert "on" in ce.explore(folder / RUN).spec.select


@pytest.mark.slow
def test_terminal_greets_completes_and_keeps_what_was_added(
    terminal: pexpect.spawn, folder: Path, environment: dict[str, str]
) -> None:
    assert "xpptest01:7" in terminal.before
    assert "laser" in terminal.before
    assert "nothing from last time" in terminal.before
    terminal.sendline("run.add('twice', '2 * ipm2__sum')")
    terminal.expect(PROMPT)
    terminal.sendline("sorted(get_ipython().complete('run[\"tw')[1])")
    terminal.expect("twice")
    terminal.expect(PROMPT)
    terminal.sendline("exit")
    terminal.expect("saved .*session.nc")
    terminal.expect(pexpect.EOF)

    assert "twice" in ce.explore(folder / RUN)


@pytest.mark.slow
def test_interrupt_stops_a_line_again_and_again(terminal: pexpect.spawn) -> None:
    for _ in range(2):
        terminal.sendline("import time; print('as' + 'leep', flush=True); time.sleep(10_000)")
        terminal.expect("asleep")
        terminal.sendintr()
        terminal.expect("KeyboardInterrupt")
        terminal.expect(PROMPT)
    terminal.sendline("1 + 1")
    terminal.expect("2")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_lost_terminal_or_ended_process_loses_nothing(
    terminal: pexpect.spawn, folder: Path, number: signal.Signals
) -> None:
    terminal.sendline("run.add('twice', '2 * ipm2__sum')")
    terminal.expect(PROMPT)
    terminal.kill(number)
    terminal.expect(pexpect.EOF)
    terminal.wait()

    assert "twice" in ce.explore(folder / RUN)
