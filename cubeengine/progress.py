"""How far a run is: as a line of text, and as a bar on a terminal or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cubeengine.budget import format_size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

PATIENCE_SECONDS = 0.5
"""What is over sooner needs no bar."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Bytes of input that are dealt with, and of all.
    seconds : float
        Since the work began.
    message : str
        What computes.
    """

    done: int
    total: int
    seconds: float
    message: str

    @property
    def rate(self) -> float:
        """Bytes per second so far."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


OnProgress: TypeAlias = Callable[[Progress], None] | None
"""Who hears of the progress."""


class Seen(Protocol):
    """What tells how far a run is."""

    @property
    def done(self) -> int:
        """Bytes that are reduced."""

    @property
    def total(self) -> int:
        """Bytes of all."""

    @property
    def rate(self) -> float:
        """Bytes per second so far."""


class ProgressBar:
    """Draws a bar, on standard error or in the notebook, while a `with` block runs.

    Parameters
    ----------
    patience : float, in s
        What is over sooner is not drawn.

    Examples
    --------
    >>> spec, run = ce.open_spec("cubeengine-demo/delay.yaml")
    >>> with ProgressBar() as bar:
    ...     cube = ce.plan(run, spec).compute(on_progress=bar)
    """

    def __init__(self, *, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything to be seen yet."""
        return self._bar is not None

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._bar is None or self._task is None:
            if progress.seconds < self._patience:
                return
            self._bar = _make_bar()
            self._task = self._bar.add_task("", total=max(progress.total, 1))
            self._bar.start()
        self._bar.update(self._task, completed=progress.done, description=progress_line(progress))


@contextmanager
def shown(on_progress: OnProgress) -> Iterator[OnProgress]:
    """Give who hears of the progress: whoever is named; else, in IPython that somebody watches, a bar."""
    if on_progress is not None or not _is_watched():
        yield on_progress
        return
    with ProgressBar() as bar:
        yield bar


def progress_line(progress: Seen) -> str:
    """Write progress as a line: part, bytes, rate and time left.

    Examples
    --------
    >>> progress_line(Progress(done=2**30, total=2**31, seconds=4.0, message=""))
    ' 50 %  1 GiB of 2 GiB  256 MiB/s  4 s left'
    """
    part = progress.done / progress.total if progress.total else 1.0
    left = (progress.total - progress.done) / progress.rate if progress.rate else 0.0
    return (
        f"{part:4.0%}".replace("%", " %") + f"  {format_size(progress.done)} of {format_size(progress.total)}"
        f"  {format_size(progress.rate)}/s  {left:.0f} s left"
    )


def _is_watched() -> bool:
    """Tell whether somebody sits at an IPython shell or a notebook: not where IPython writes into a pipe."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return False
    is_notebook = getattr(shell, "kernel", None) is not None
    return is_notebook or sys.stderr.isatty()


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(BarColumn(bar_width=None), text, console=Console(stderr=True), expand=True)
