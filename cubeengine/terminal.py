"""What a stream may show: the escape sequences of a terminal, and colours."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_NO_CURSOR = ("dumb", "unknown")
"""Values of TERM whose terminals print escape sequences instead of obeying them."""


def takes_escapes(stream: IO[str]) -> bool:
    """Return whether a stream is a terminal that obeys escape sequences: no pipe, and none called dumb."""
    return stream.isatty() and os.environ.get("TERM", "").strip().lower() not in _NO_CURSOR


def takes_colours(stream: IO[str]) -> bool:
    """Return whether a stream may be written to in colours, or bold: NO_COLOR is not set to anything."""
    return takes_escapes(stream) and not os.environ.get("NO_COLOR")


def console_on(stream: IO[str], *, width: int | None = None) -> Console:
    """Make a console of rich that writes what a stream may show, whatever else the environment says.

    Parameters
    ----------
    stream : text stream
        Where it writes.
    width : int, optional
        Columns; those of the terminal where left out.
    """
    from rich.console import Console

    coloured = takes_colours(stream)
    return Console(
        file=stream,
        force_terminal=takes_escapes(stream),
        force_jupyter=False,
        color_system="auto" if coloured else None,
        no_color=not coloured,  # bars then differ by their shape
        highlight=False,
        width=width,
    )
