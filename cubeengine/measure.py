"""Measured memory: the peak of anonymous resident memory over this process and all its children."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

import psutil

INTERVAL_SECONDS = 0.01  # short peaks count too
TREE_SECONDS = 0.3  # looking for new children takes milliseconds, so it is done less often


class PeakMemory:
    """Samples anonymous memory while a `with` block runs.

    Attributes
    ----------
    total : int
        Peak over the whole process tree, bytes.
    worst : int
        Peak of the largest single process, bytes.
    """

    def __init__(self) -> None:
        self.total = self.worst = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        process, tree, looked = psutil.Process(), [], float("-inf")
        while True:
            if time.monotonic() - looked > TREE_SECONDS:
                tree, looked = _tree(process), time.monotonic()
            sizes = [anonymous_memory(pid) for pid in tree]
            self.total, self.worst = max(self.total, sum(sizes)), max(self.worst, *sizes)
            if self._stop.wait(INTERVAL_SECONDS):
                return


def _tree(process: psutil.Process) -> list[int]:
    return [process.pid, *(child.pid for child in process.children(recursive=True))]


def anonymous_memory(pid: int) -> int:
    """Return the anonymous resident memory of a process in bytes; 0 if it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
