"""Runs one implementation in a fresh process and watches the memory of its whole process tree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import Cube, Problem

SAMPLE_SECONDS = 0.02
TIMEOUT_SECONDS = 900
_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one implementation gave.

    Attributes
    ----------
    seconds : float
        From opening the file to the finished cube; imports and compilation excluded.
    peak_nbytes : int
        Most anonymous resident memory of the process and its descendants, at any one time.
    cube : Cube or None
        The result; None for the limit, which makes none, and where it was not asked for.
    details : dict
        What the implementation told about itself.
    """

    seconds: float
    peak_nbytes: int
    cube: Cube | None
    details: dict[str, Any] = field(default_factory=dict)


def measure(
    method: str,
    path: Path,
    problem: Problem,
    *,
    python: str = sys.executable,
    options: dict[str, Any] | None = None,
    load: bool = True,
) -> Measurement:
    """Run `method` (see `benchmarks.worker`) once in a process of its own.

    Raises
    ------
    RuntimeError
        If the process fails; the message ends with what it wrote to stderr.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", dir=path.parent) as folder:
        out = Path(folder) / "cube"
        request = {
            "method": method, "path": str(path), "problem": problem.to_json(), "out": str(out),
            "scratch": folder, "options": options or {},
        }  # fmt: skip
        command = [python, "-m", "benchmarks.worker", json.dumps(request)]
        answer, peak = _run(command, folder)
        return Measurement(answer.pop("seconds"), peak, _load(out) if load else None, answer)


def _run(command: list[str], folder: str) -> tuple[dict[str, Any], int]:
    errors = Path(folder) / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=_REPOSITORY
        ) as process,
    ):
        watch = PeakMemory(process.pid)
        watch.start()
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
            watch.stop()
    if process.returncode != 0:
        raise RuntimeError(f"{command[2:4]} failed:\n{errors.read_text()[-3000:]}")
    return json.loads(output.splitlines()[-1]), watch.nbytes


def _load(out: Path) -> Cube:
    """Read the cube: peers leave an npz file, we a zarr store, which is read without our package."""
    if out.with_suffix(".npz").exists():
        with np.load(out.with_suffix(".npz")) as arrays:
            return Cube(arrays["mean"], arrays["std"], arrays["count"])
    import xarray as xr

    with xr.open_zarr(out, chunks=None) as dataset:
        return Cube(*(dataset[f"frames_{name}"].values[0] for name in ("mean", "std", "count")))


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """Yield a folder for large files that is removed in the end, also when the process is told to end."""
    usual = signal.signal(signal.SIGTERM, _exit)
    try:
        with tempfile.TemporaryDirectory(prefix="cube-benchmark-", dir=parent) as folder:
            yield Path(folder)
    finally:
        signal.signal(signal.SIGTERM, usual)


def _exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)


class PeakMemory(threading.Thread):
    """Samples the anonymous resident memory of a process and all its descendants (Linux only).

    Attributes
    ----------
    nbytes : int
        The highest sum seen so far.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.nbytes = 0
        self._pid = pid
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.nbytes = max(self.nbytes, sum(map(_anonymous_nbytes, _tree(self._pid))))

    def stop(self) -> None:
        """End sampling."""
        self._stopped.set()
        self.join()


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants; those that end meanwhile are left out."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return
    for task in tasks:
        for child in _read(task / "children").split():
            yield from _tree(int(child))


def _anonymous_nbytes(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    """Read a file of /proc; "" where the process has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def read_nbytes() -> tuple[int, int]:
    """Bytes this process and its finished children asked the system for so far, and those from disk."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["rchar"]), int(facts["read_bytes"])


def n_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
