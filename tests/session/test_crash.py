"""A session that dies, or runs out of disk, while it is saved: the old file or the new one is there."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine import Session
from cubeengine.store.files import StoreWriteError
from tests.session import saver
from tests.session.test_saving import saved_file

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = 1.0, 2.0


@pytest.fixture
def old(data: Path) -> Path:
    """The data, with a session saved before."""
    session = ce.explore(data)
    session.add("mine", np.full((session.n_events, 300), OLD))
    session.select("old", "ipm2__sum > 0")
    session.save()
    return data


def died(data: Path, how: str, at: int) -> bool:
    """Save the new session in a process that is killed on the way; tell whether it was."""
    context = multiprocessing.get_context("forkserver")  # it has imported all there is
    context.set_forkserver_preload(["tests.session.saver", "cubeengine.session.session", "h5netcdf"])
    process = context.Process(target=saver.main, args=(str(data), how, at))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL, -signal.SIGXFSZ)
    return process.exitcode != 0


def state_of(data: Path) -> float:
    """Return which of the two sessions is there; all of it, or this fails."""
    session = ce.explore(data)
    (value,) = np.unique(session["mine"].read())
    selections = {OLD: {"old"}, NEW: {"old", "on"}}[float(value)]
    assert set(session.spec.select) == selections
    return float(value)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fsync", "replace"])
def test_killed_at_any_call_the_old_session_or_the_new_one_is_there(old: Path, how: str) -> None:
    n_kills = 0
    while died(old, how, n_kills):
        n_kills += 1
        state_of(old)
    assert n_kills >= 1
    assert state_of(old) == NEW


@pytest.mark.slow
def test_killed_at_any_byte_the_old_session_is_there(old: Path) -> None:
    content = saved_file(old).read_bytes()
    size = len(content)
    for at in [0, 1, 511, *range(4096, size, size // 12), size - 1]:
        assert died(old, "bytes", at)
        assert saved_file(old).read_bytes() == content
    assert not died(old, "nothing", 0)
    assert state_of(old) == NEW


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fsync", "replace", "link"])
def test_killed_when_another_session_is_kept_aside_both_are_there(old: Path, how: str) -> None:
    other = saved_file(old).read_bytes()
    os.utime(saved_file(old), ns=(0, 0))  # as another session would have saved it meanwhile
    n_kills = 0
    while died(old, how, n_kills):
        n_kills += 1
        assert state_of(old) in (OLD, NEW)
    assert state_of(old) == NEW
    assert n_kills >= (how != "link")
    assert other is not None


def failing(function: Callable[..., object], code: int, at: int) -> Callable[..., object]:
    calls = iter(range(10**6))

    def stand_in(*args: object, **kwargs: object) -> object:
        if next(calls) == at:
            raise OSError(code, os.strerror(code))
        return function(*args, **kwargs)

    return stand_in


def failure_of(session: Session) -> StoreWriteError | None:
    try:
        session.save()
    except StoreWriteError as error:
        return error
    return None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "mkdir"), (Path, "replace")])
def test_failure_at_any_call_is_one_clear_error_and_can_be_tried_again(
    old: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, code: int
) -> None:
    session = ce.explore(old)
    session.add("mine", np.full((session.n_events, 300), NEW))
    session.select("on", laser="on")
    for at in range(20):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing(getattr(owner, name), code, at))
            error = failure_of(session)
        if error is None:
            break
        assert os.strerror(code) in str(error)
        assert str(saved_file(old)) in str(error)
        assert not session.is_saved
        assert state_of(old) in (OLD, NEW)
        assert not list(old.parent.glob("*.partial"))
    assert at >= 1
    assert session.is_saved
    assert state_of(old) == NEW


@pytest.mark.slow
def test_disk_that_is_full_in_the_middle_is_one_clear_error(old: Path) -> None:
    code = (
        "import resource, signal, sys, numpy as np, cubeengine as ce\n"
        f"run = ce.explore({str(old)!r})\n"
        "run.add('mine', np.full((run.n_events, 300), 2.0))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try:\n    run.save()\n"
        "except ce.CubeEngineError as err:\n    print(type(err).__name__, err)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert ended.stdout.startswith("StoreWriteError")
    assert str(saved_file(old)) in ended.stdout
    assert "Traceback" not in ended.stderr
    assert not list(old.parent.glob("*.partial"))
    assert state_of(old) == OLD
