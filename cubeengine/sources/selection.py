"""Event numbers that callers hand over, checked once for every source."""

from __future__ import annotations

import numpy as np

from cubeengine.types import IntArray


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
