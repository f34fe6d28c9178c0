"""Progress of a run: a bar on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from cubeengine.engine import Progress
    from cubeengine.submit.counters import Counters
    from cubeengine.submit.progress import ProgressFile, Seen

LINE_SECONDS = 10.0
"""Least time between two plain lines, which end up in log files."""


class ProgressDisplay:
    """Shows the progress it is called with, while a `with` block runs.

    In a batch job it is also written to a file, and posted to a log book, where the environment names them.
    """

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
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
        if self._bar is not None:
            self._bar.stop()
        ended = "made" if kind is None else "failed" if issubclass(kind, Exception) else "stopped"
        if self._file is not None:
            self._file.close(ended)
        if self._counters is not None:
            self._counters.close(self._counted | {"cube": ended})

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if sys.stderr.isatty():
            self._draw(progress)
        else:
            self._print(progress)
        if self._file is not None:
            self._file.update(progress.done, progress.total, progress.seconds)
        if self._counters is not None:
            self._counted = {"cube": "in the making", "progress": " ".join(progress_line(progress).split())}
            self._counters.update(self._counted)

    def _draw(self, progress: Progress) -> None:
        if self._bar is None or self._task is None:
            click.echo(progress.message, err=True)
            self._bar = _make_bar()
            self._task = self._bar.add_task("", total=max(progress.total, 1))
            self._bar.start()
        self._bar.update(self._task, completed=progress.done, description=progress_line(progress))

    def _print(self, progress: Progress) -> None:
        first, last = self._last_line is None, progress.done >= progress.total
        early = not (first or last) and progress.seconds - (self._last_line or 0.0) < LINE_SECONDS
        if early or progress.done == self._last_done:
            return
        self._last_line, self._last_done = progress.seconds, progress.done
        click.echo(progress.message if first else progress_line(progress), err=True)


def progress_line(progress: Progress | Seen) -> str:
    """Write progress as a line: part, bytes, rate and time left.

    Examples
    --------
    >>> from cubeengine.engine import Progress
    >>> progress_line(Progress(done=2**30, total=2**31, seconds=4.0, message=""))
    ' 50 %  1 GiB of 2 GiB  256 MiB/s  4 s left'
    """
    from cubeengine.budget import format_size

    part = progress.done / progress.total if progress.total else 1.0
    left = (progress.total - progress.done) / progress.rate if progress.rate else 0.0
    return (
        f"{part:4.0%}".replace("%", " %") + f"  {format_size(progress.done)} of {format_size(progress.total)}"
        f"  {format_size(progress.rate)}/s  {left:.0f} s left"
    )


def _progress_file() -> ProgressFile | None:
    """Give the file that a batch job names for its progress."""
    from cubeengine.submit.progress import VARIABLE, ProgressFile

    named = os.environ.get(VARIABLE, "")
    return ProgressFile(Path(named)) if named else None


def _counters() -> Counters | None:
    """Give what posts to the log book that the environment names."""
    from cubeengine.submit.counters import VARIABLE, Counters

    named = os.environ.get(VARIABLE, "")
    return Counters(named) if named else None


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(BarColumn(bar_width=None), text, console=Console(stderr=True), expand=True)
