"""Event numbers and marks that callers hand over, checked once for every source."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.types import FieldInfo, FieldKind, IntArray


def rows_of(events: IntArray | slice | None, rows: IntArray | None, n_events: int) -> IntArray:
    """Turn event numbers, in time order, into rows of storage.

    Raises
    ------
    IndexError
        If an event is not in the run.
    """
    wanted = slice(None) if events is None else events
    if isinstance(wanted, slice):
        return np.arange(n_events)[wanted] if rows is None else rows[wanted]
    numbers = np.asarray(wanted, np.int64)
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < n_events:
        raise IndexError(f"event numbers must be in [0, {n_events}), got {numbers.min()} to {numbers.max()}")
    return numbers if rows is None else rows[numbers]


def check_marks(marks: Mapping[str, str], fields: Mapping[str, FieldInfo], where: str) -> None:
    """Raise FieldNotFound or SpecError if `marks` is not {event field: "leading_zeros"}."""
    for name, mark in marks.items():
        if name not in fields:
            raise FieldNotFound(name, where, list(fields))
        if mark != "leading_zeros":
            raise SpecError(f"missing: {name!r}: {mark!r} is no mark; the one there is: 'leading_zeros'")
        if fields[name].kind is not FieldKind.EVENT:
            raise SpecError(f"missing: {name!r} is not one value per event")
