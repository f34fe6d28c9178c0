"""How far a run is: as a line of text, and as a bar on a terminal or in a notebook."""

from __future__ import annotations

import contextvars
import html
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, TypeAlias

from cubeengine.budget import format_size
from cubeengine.terminal import console_on, takes_escapes

PATIENCE_SECONDS = 0.5
"""What is over sooner needs no bar."""

MOMENT_SECONDS = 1.0
"""What is over sooner needs no spinner; and so often a line in a notebook is written anew."""

REDRAW_SECONDS = 0.2
"""Least time between two states of a bar in a notebook."""

PLANNING = "planning: reading times and scalars of all events"


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
        self._bar: _TerminalBar | _NotebookBar | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.end()

    @property
    def is_drawn(self) -> bool:
        """Whether there is anything to be seen yet."""
        return self._bar is not None

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._bar is None:
            if progress.seconds < self._patience:
                return
            self._bar = _NotebookBar() if _in_notebook() else _TerminalBar(progress)
        self._bar.show(progress)


class _TerminalBar:
    """A bar of rich on standard error."""

    def __init__(self, progress: Progress) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = BarColumn(bar_width=None), TextColumn("{task.description}", markup=False)
        self._bar = Bar(*columns, console=console_on(sys.stderr), expand=True)
        self._task = self._bar.add_task("", total=max(progress.total, 1))
        self._bar.start()

    def show(self, progress: Progress) -> None:
        self._bar.update(self._task, completed=progress.done, description=progress_line(progress))

    def end(self) -> None:
        self._bar.stop()


class _NotebookBar:
    """A bar in the output of a notebook's cell, by nothing but IPython: rich needs ipywidgets there."""

    def __init__(self) -> None:
        self._output = _NotebookOutput()
        self._last: Progress | None = None
        self._drawn_seconds = -REDRAW_SECONDS

    def show(self, progress: Progress) -> None:
        self._last = progress
        if progress.seconds - self._drawn_seconds >= REDRAW_SECONDS:
            self._draw(progress)

    def end(self) -> None:
        if self._last is not None:
            self._draw(self._last)

    def _draw(self, progress: Progress) -> None:
        self._drawn_seconds = progress.seconds
        line = progress_line(progress)
        bar = f'<progress value="{progress.done}" max="{max(progress.total, 1)}"></progress>'
        self._output.show(line, f"<div>{bar} {html.escape(line)}</div>")


class _NotebookOutput:
    """One output of a notebook's cell, which is written over."""

    def __init__(self) -> None:
        from IPython.display import DisplayHandle

        self._handle: Any = DisplayHandle()  # type: ignore[no-untyped-call]
        self._is_there = False

    def show(self, text: str, markup: str = "") -> None:
        """Show text, and in the place of it markup where that is understood."""
        bundle = {"text/plain": text} | ({"text/html": markup} if markup else {})
        write = self._handle.update if self._is_there else self._handle.display
        self._is_there = True
        write(bundle, raw=True)

    def clear(self) -> None:
        """Leave nothing to be seen."""
        if self._is_there:
            self.show("")


@contextmanager
def shown(on_progress: OnProgress) -> Iterator[OnProgress]:
    """Yield who hears of the progress: whoever is named; else, in IPython that somebody watches, a bar."""
    if on_progress is not None or not _is_watched():
        yield on_progress
        return
    with ProgressBar() as bar:
        yield bar


Teller: TypeAlias = Callable[[str, threading.Event], None]
"""Says what is done, again and again, until an event is set."""


@contextmanager
def working(words: str, tell: Teller | None = None) -> Iterator[None]:
    """Say what is done while a block runs.

    Parameters
    ----------
    words : str
        What is done.
    tell : callable, optional
        Says so, in a thread of its own. Default: in IPython that somebody watches a spinner, else nothing.
    """
    if tell is None and _is_watched():
        tell = _write_in_notebook if _in_notebook() else spin
    if tell is None:
        yield
        return
    ended = threading.Event()
    # A notebook finds the cell that output belongs to in the context.
    context = contextvars.copy_context()
    teller = threading.Thread(target=context.run, args=(tell, words, ended), daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def spin(words: str, ended: threading.Event) -> None:
    """Draw a spinner on the terminal of standard error, after a moment; it is gone in the end."""
    if ended.wait(MOMENT_SECONDS):
        return
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Bar(*columns, console=console_on(sys.stderr), transient=True) as bar:
        bar.add_task(words, total=None)
        ended.wait()


def _write_in_notebook(words: str, ended: threading.Event) -> None:
    output, begin = _NotebookOutput(), time.perf_counter()
    while not ended.wait(MOMENT_SECONDS):
        output.show(f"{words}, {time.perf_counter() - begin:.0f} s so far")
    output.clear()


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
    """Return whether somebody sits at an IPython shell or a notebook: not if IPython writes into a pipe."""
    return _ipython() is not None and (_in_notebook() or takes_escapes(sys.stderr))


def _in_notebook() -> bool:
    return getattr(_ipython(), "kernel", None) is not None


def _ipython() -> object:
    """Return IPython's shell; None where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
