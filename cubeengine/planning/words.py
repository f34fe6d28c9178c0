"""Numbers in words."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "leaf", "leaves"), counted(1200, "task")
    ('1 leaf', '1,200 tasks')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
