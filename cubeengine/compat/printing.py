"""What the original's `print...` methods print: the one place outside the command line that does."""

from __future__ import annotations

from collections.abc import Iterable


def show(lines: Iterable[str]) -> None:
    """Print lines, as the user asked for by the name of the method."""
    for line in lines:
        print(line)
