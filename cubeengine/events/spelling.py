"""Names of fields as expressions want them: `ipm2/sum` in a formula is a quotient, `ipm2__sum` the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Container

_CHAINS = re.compile(r"`[^`]*`|(?<![\w.`])[A-Za-z_]\w*(?:/[A-Za-z_]\w*)+\b(?!\s*\()")
"""What stands in backticks, and words that slashes join without a space."""


def spelled(text: str, is_field: Callable[[str], bool]) -> str:
    """Say how an expression is written whose field names have slashes; "" where it has none.

    Parameters
    ----------
    text : str
        The expression as written.
    is_field : callable
        Tells whether words joined by slashes are the name of a field.

    Examples
    --------
    >>> spelled("diode2/channels[3] / i0", {"diode2/channels"}.__contains__)
    'a field name with / needs backticks, or __ for /; write  diode2__channels[3] / i0'
    """
    written = respelled(text, is_field)
    if written == text:
        return ""
    return f"a field name with / needs backticks, or __ for /; write  {' '.join(written.split())}"


def respelled(text: str, is_field: Callable[[str], bool]) -> str:
    """Return an expression with `__` in its fields' names where slashes stand; see `spelled`."""
    return _CHAINS.sub(lambda chain: _respelled(chain[0], is_field), text)


def _respelled(chain: str, is_field: Callable[[str], bool]) -> str:
    """Write the fields in a chain of words with `__`, the longest names first; other slashes divide."""
    if chain.startswith("`"):
        return chain
    words, found = chain.split("/"), []
    while words:
        name = next((n for n in range(len(words), 1, -1) if is_field("/".join(words[:n]))), 1)
        found.append("__".join(words[:name]))
        words = words[name:]
    return "/".join(found)


def probable_field(functions: Container[str]) -> Callable[[str], bool]:
    """Take two words for a field where no run is known, and three of which the last is a function."""

    def is_field(name: str) -> bool:
        *others, last = name.split("/")
        return len(others) == 1 or (len(others) == 2 and last in functions)

    return is_field
