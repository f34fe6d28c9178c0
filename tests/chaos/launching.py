"""Runs to kill: how each launcher is started, and which of its processes is which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import psutil

from tests.chaos.forking import Forked
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
MARK = "CUBEENGINE_CHAOS"
"""Variable in the environment of all processes of a trial, by which they are found."""

VICTIMS: Mapping[str, tuple[str, ...]] = {
    "threads": ("client",),
    "processes": ("client", "worker"),
    "local": ("client", "worker"),
    "tcp": ("client", "scheduler", "worker"),
    "mpi": ("client", "worker", "rank"),
    "slurm": ("client", "worker", "job"),
}
"""Launcher -> what there is to kill. The scheduler is part of the client, but for `tcp`, where a scheduler
with workers runs on its own."""


def available(launcher: str) -> str:
    """Say why a launcher cannot be used here; nothing if it can."""
    if launcher == "mpi" and not (find_spec("mpi4py") and mpirun().exists()):
        return "mpi4py and mpich are not installed"
    if launcher == "slurm" and not (shutil.which("squeue") and "SLURM_CONF" in os.environ):
        return "there is no Slurm; see tests/tools/slurm.py"
    if launcher == "slurm" and not find_spec("dask_jobqueue"):
        return "dask-jobqueue is not installed"
    return ""


def mpirun() -> Path:
    return Path(sys.executable).parent / "mpirun"


@dataclass(frozen=True)
class Started:
    """A run that goes on.

    Attributes
    ----------
    process : Popen or Forked
        What was started: the client, or mpirun.
    launcher, mark : str
        Its launcher, and what its processes have in their environment.
    log : Path
        What it says.
    """

    process: subprocess.Popen[bytes] | Forked
    launcher: str
    mark: str
    log: Path

    def find(self, victim: str) -> list[psutil.Process]:
        """Return the processes of a kind that are there now."""
        if isinstance(self.process, Forked):
            return [psutil.Process(self.process.pid)]
        found = processes(self.mark)
        return [process for process, words in found if self._is(victim, process, words)]

    def _is(self, victim: str, process: psutil.Process, words: str) -> bool:
        if victim == "worker":
            return "spawn_main" in words
        if "spawn_main" in words or "resource_tracker" in words:
            return False
        match victim:
            case "scheduler":
                return "dask_scheduler" in words
            case "job":
                return "dask_worker" in words or "distributed.cli" in words
            case "rank":
                return "tests.chaos.victim" in words and rank_of(process) > 0
            case "client":
                return "python" in words and "tests.chaos.victim" in words and rank_of(process) <= 0
        raise ValueError(victim)


def processes(mark: str) -> list[tuple[psutil.Process, str]]:
    """Return the processes of a trial with their command lines."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.environ().get(MARK) != mark:
                continue
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "mpirun" not in words.split()[:1] and "hydra" not in words:
            found.append((process, words))
    return found


def rank_of(process: psutil.Process) -> int:
    """Return the MPI rank of a process; -1 if it has none, or is gone."""
    try:
        return int(process.environ().get("PMI_RANK", "-1"))
    except psutil.Error:
        return -1


@contextmanager
def started(
    launcher: str, workers: int, arguments: Sequence[str], *, mark: str, folder: Path
) -> Iterator[Started]:
    """Start the command line with a launcher; in the end nothing of it lives."""
    log = folder / "log.txt"
    if launcher == "threads":  # nothing but this process
        options = ["--launcher", "threads", "--workers", str(workers)]
        with _ended(Forked([*arguments, *options], folder, log)) as forked:
            yield Started(forked, launcher, mark, log)
        return
    environment = {**os.environ, MARK: mark, "PYTHONPATH": str(ROOT), "CUBEENGINE_SLURM_FOLDER": str(folder)}
    command = [sys.executable, "-m", "tests.chaos.victim", *arguments]
    with log.open("ab") as out, _scheduler(launcher, workers, environment, folder) as address:
        options = ["--launcher", address or launcher]
        if launcher == "mpi":
            command = [str(mpirun()), "-n", str(workers + 1), *command]
        elif launcher != "tcp":
            options += ["--workers", str(workers)]
        process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        with _ended(process):
            yield Started(process, launcher, mark, log)


P = TypeVar("P", "subprocess.Popen[bytes]", Forked)


@contextmanager
def _ended(process: P) -> Iterator[P]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def _scheduler(
    launcher: str, workers: int, environment: Mapping[str, str], folder: Path
) -> Iterator[str | None]:
    """Start a scheduler and its workers, for the launcher that wants one; gives its address."""
    if launcher != "tcp":
        yield None
        return
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    own = ["--scheduler-file", str(file), "--no-dashboard", "--host", "127.0.0.1"]
    modules = {
        "dask_scheduler": ["--port", "0"],
        "dask_worker": ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "2GiB"],
    }
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{name}", *own, *options],
            cwd=folder,
            env={**environment, "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, options in modules.items()
    ]
    try:
        yield _address_of(file, workers)
    finally:
        for process in reversed(begun):
            process.terminate()
        for process in begun:
            _end(process)
        file.unlink(missing_ok=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _address_of(file: Path, workers: int) -> str:
    """Wait for a scheduler and its workers, and give the address."""
    import json

    from distributed import Client

    wait_until(file.exists, "the scheduler is there")
    address = str(json.loads(file.read_text())["address"])
    with Client(address, timeout=PATIENCE, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        client.wait_for_workers(workers, timeout=PATIENCE)
    return address
