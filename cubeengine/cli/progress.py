"""Progress of a run: a bar on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from cubeengine.progress import ProgressBar, progress_line, spin
from cubeengine.progress import working as working_with
from cubeengine.terminal import takes_escapes

if TYPE_CHECKING:
    from cubeengine.progress import Progress
    from cubeengine.submit.counters import Counters
    from cubeengine.submit.progress import ProgressFile

LINE_SECONDS = 10.0
"""Least time between two plain lines, which end up in log files."""


def working(words: str) -> AbstractContextManager[None]:
    """Say on standard error what is done while a block runs, once that takes longer than a moment.

    On a terminal that is a spinner, which is gone in the end; elsewhere a plain line now and then.
    """
    return working_with(words, spin if takes_escapes(sys.stderr) else _print_lines)


def _print_lines(words: str, ended: threading.Event) -> None:
    begin, pause = time.perf_counter(), LINE_SECONDS
    while not ended.wait(pause):
        click.echo(f"{words}, {time.perf_counter() - begin:.0f} s so far", err=True)
        pause *= 2  # ever more rarely: logs stay short


class ProgressDisplay:
    """Shows the progress it is called with, while a `with` block runs.

    In a batch job it is also written to a file, and posted to a log book, where the environment names them.
    """

    def __init__(self) -> None:
        self._bar = ProgressBar(patience=0.0)
        self._last_line: float | None = None
        self._last_done = -1
        self._file = _progress_file()
        self._counters = _counters()
        self._counted: dict[str, str] = {}

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
        ended = "made" if kind is None else "failed" if issubclass(kind, Exception) else "stopped"
        if self._file is not None:
            self._file.close(ended)
        if self._counters is not None:
            self._counters.close(self._counted | {"cube": ended})

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if takes_escapes(sys.stderr):
            self._draw(progress)
        else:
            self._print(progress)
        if self._file is not None:
            self._file.update(progress.done, progress.total, progress.seconds)
        if self._counters is not None:
            self._counted = {"cube": "in the making", "progress": " ".join(progress_line(progress).split())}
            self._counters.update(self._counted)

    def _draw(self, progress: Progress) -> None:
        if not self._bar.is_drawn:
            click.echo(progress.message, err=True)
        self._bar(progress)

    def _print(self, progress: Progress) -> None:
        first, last = self._last_line is None, progress.done >= progress.total
        early = not (first or last) and progress.seconds - (self._last_line or 0.0) < LINE_SECONDS
        if early or progress.done == self._last_done:
            return
        self._last_line, self._last_done = progress.seconds, progress.done
        click.echo(progress.message if first else progress_line(progress), err=True)


def _progress_file() -> ProgressFile | None:
    """Return the file that a batch job names for its progress."""
    from cubeengine.submit.progress import VARIABLE, ProgressFile

    named = os.environ.get(VARIABLE, "")
    return ProgressFile(Path(named)) if named else None


def _counters() -> Counters | None:
    """Return what posts to the log book that the environment names."""
    from cubeengine.submit.counters import VARIABLE, Counters

    named = os.environ.get(VARIABLE, "")
    return Counters(named) if named else None
