"""How far the work is, and how it ended."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cubeengine.progress import OnProgress, Progress
from cubeengine.schema.texts import counted


@dataclass(frozen=True, slots=True)
class Combined:
    """A cube that was made of cubes."""

    path: Path  # the store
    notes: tuple[str, ...]  # what should be known: signals that some cubes lack, specs that differ
    seconds: float  # for everything
    read_nbytes: int  # bytes of the signals that were read, before compression

    def __repr__(self) -> str:
        notes = f", {counted(len(self.notes), 'note')}" if self.notes else ""
        return f"<Combined cube {str(self.path)!r}: {self.seconds:.3g} s{notes}>"


class Report:
    """Adds up, over threads, what is done, and passes it on."""

    def __init__(self, on_progress: OnProgress, total: int, message: str) -> None:
        self._on_progress, self._total, self._message = on_progress, total, message
        self._start, self._done, self._lock = time.perf_counter(), 0, threading.Lock()
        self.add(0)

    def add(self, nbytes: int) -> None:
        """Count bytes as read."""
        with self._lock:
            # Counts that elements share are read once per block, so the sum may come out a little larger.
            self._done = min(self._done + nbytes, self._total)
            if self._on_progress is not None:
                self._on_progress(Progress(self._done, self._total, self.seconds, self._message))

    def end(self) -> None:
        """Say that all is read."""
        self.add(self._total)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start
