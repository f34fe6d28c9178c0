"""Ctrl-C and SIGTERM while a cube is made, on real processes."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import SPEC
from tests.cli.test_app import start
from tests.makers.smalldata import write_lcls1
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

N_SIGNALS = 150
"""The same frames again and again, so that the run lasts seconds."""

PROGRESS = re.compile(r"of this process|worker processes|^ *[0-9]+ %  | s so far$")
"""Lines of a run that goes well."""


@pytest.fixture
def long_run(tmp_path: Path) -> Path:
    """A folder with a run and a spec that keeps the workers busy."""
    packed = {"compression": "gzip", "shuffle": True}
    write_lcls1(tmp_path / "xpptest01_Run0007.h5", n_events=2000, frame=(48, 48), compression=packed)
    signals = "".join(f"  - {{field: epix/ROI_0_area, name: roi{i}}}\n" for i in range(N_SIGNALS))
    (tmp_path / "long.yaml").write_text(SPEC[: SPEC.index("signals:")] + "signals:\n" + signals)
    (tmp_path / "out").mkdir()
    return tmp_path


@dataclass(frozen=True)
class Ended:
    """How a run ended that got a signal, and the lines it wrote after that."""

    code: int
    messages: list[str]


def store_is_there(folder: Path) -> bool:
    return any((folder / "out").iterdir())


def worker_is_there(folder: Path) -> bool:
    """Say whether a process works in the folder beside the leading one."""
    return len(processes_of(folder)) > 1


def frames_are_written(folder: Path) -> bool:
    return any((folder / "out").glob(".*/roi*_mean/c.*"))


def interrupted(
    folder: Path,
    number: signal.Signals,
    *options: str,
    when: Callable[[Path], bool] = frames_are_written,
    times: int = 1,
) -> Ended:
    """Signal a run, and all processes of its group as a terminal does, once it has come so far."""
    process = start("run", "long.yaml", "-o", "out/cube.zarr", *options, cwd=folder, process_group=0)
    try:
        wait_until(lambda: when(folder) or process.poll() is not None, "the run has come so far")
        for _ in range(times):
            os.killpg(process.pid, number)
            time.sleep(0.1)  # as somebody who presses keys
        _, messages = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    lines = messages.decode().splitlines()
    return Ended(process.returncode, [line for line in lines if line and not PROGRESS.search(line)])


def processes_of(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(folder)]


def wait_for_no_process_of(folder: Path) -> None:
    """Fail if a process that works in the folder does not end."""
    wait_until(lambda: not processes_of(folder), "no process works in the folder")


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signal_leaves_nothing_half_published(
    long_run: Path, number: signal.Signals, code: int, word: str
) -> None:
    ended = interrupted(long_run, number)

    assert (ended.code, ended.messages) == (code, [word])
    assert list((long_run / "out").iterdir()) == []


@pytest.mark.parametrize(  # while workers start, and while they work
    ("launcher", "when"),
    [("processes", store_is_there), ("local", worker_is_there), ("processes", frames_are_written)],
)
def test_interrupt_from_a_terminal_ends_the_workers_quietly(
    long_run: Path, launcher: str, when: Callable[[Path], bool]
) -> None:
    ended = interrupted(long_run, signal.SIGINT, "--launcher", launcher, "--workers", "2", when=when)

    assert (ended.code, ended.messages) == (130, ["interrupted"])
    assert list((long_run / "out").iterdir()) == []
    wait_for_no_process_of(long_run)


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_impatient_user_does_not_interrupt_the_clean_up(long_run: Path, launcher: str) -> None:
    options = ("--launcher", launcher, "--workers", "1")
    ended = interrupted(long_run, signal.SIGINT, *options, times=5)

    assert (ended.code, ended.messages) == (130, ["interrupted"])
    assert list((long_run / "out").iterdir()) == []
    wait_for_no_process_of(long_run)


def test_interrupted_overwrite_keeps_the_old_cube(long_run: Path) -> None:
    from cubeengine.cli.app import run_command
    from cubeengine.store.read import cube_hash

    out = long_run / "out" / "cube.zarr"
    quick = ["--set", "signals=[ipm2/sum]", "-o", str(out)]
    assert run_command(["run", str(long_run / "long.yaml"), *quick]) == 0
    before = cube_hash(out)
    process = start("run", "long.yaml", "-o", "out/cube.zarr", "--overwrite", cwd=long_run)
    wait_until(lambda: len(list(out.parent.iterdir())) > 1, "the new cube is being written")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert [path.name for path in out.parent.iterdir()] == ["cube.zarr"]
    assert cube_hash(out) == before
