"""Progress of a run: a bar on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from cubeengine.engine import Progress

LINE_SECONDS = 10.0
"""Least time between two plain lines, which end up in log files."""


class ProgressDisplay:
    """Shows the progress it is called with, while a `with` block runs."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._last_line: float | None = None
        self._last_done = -1

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if sys.stderr.isatty():
            self._draw(progress)
        else:
            self._print(progress)

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


def progress_line(progress: Progress) -> str:
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


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(BarColumn(bar_width=None), text, console=Console(stderr=True), expand=True)
