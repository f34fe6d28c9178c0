"""Values of small integer fields that are probably the writers' mark of missing ones.

In 8 and 16 bits the wrapped mark is a number like any other, so single values are taken as data unless they
are declared. A mark betrays itself as it stands alone: events have it, and hardly any have a number near it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cubeengine.events.run import Run
from cubeengine.marks import MISSING_INTEGER
from cubeengine.sources.base import doubtful_marks_in
from cubeengine.types import Column, IntArray

NEIGHBOURS = 10
"""Numbers on either side of the mark that are looked at: counts and readings have some of these as well."""

FEWEST = 3
"""Events that have to hold the mark: one or two may be outliers."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A number that probably stands for missing values.

    Attributes
    ----------
    field : str
        The field.
    mark : int
        The number.
    n_marked, n_events : int
        Events whose value is the number in all elements, and events looked at.
    dtype : str
        Type that makes the writers' mark this number: of the field, or of parts of a joined file.
    """

    field: str
    mark: int
    n_marked: int
    n_events: int
    dtype: str

    def __str__(self) -> str:
        return (
            f"{self.mark} in {self.n_marked:,} of {self.n_events:,} events, and hardly a number near it: "
            f"the writers' mark of a missing value, {MISSING_INTEGER}, becomes this number in {self.dtype}"
        )


def suspected_mark(run: Run, name: str) -> Suspicion | None:
    """Return the writers' mark in a field if it stands there conspicuously often, else None.

    Conspicuous are at least `FEWEST` events whose value is the mark, in all elements, if these are more than
    all events together whose value is one of the `NEIGHBOURS` numbers below or above it; and not all events
    there are.

    Parameters
    ----------
    run : Run
        The run; the field is read, window by window, only if its type leaves a doubt.
    name : str
        A field of the run's files, with one value per event.
    """
    for mark, dtype in doubtful_marks_in(run.source, name).items():
        counts = np.zeros(2 * NEIGHBOURS + 1, np.int64)
        for window in run.windows():
            counts += _near(window.column(name), mark)
        n_marked = int(counts[NEIGHBOURS])
        if FEWEST <= n_marked < run.n_events and 2 * n_marked > counts.sum():
            return Suspicion(name, mark, n_marked, run.n_events, str(dtype))
    return None


def _near(column: Column, mark: int) -> IntArray:
    """Count the events whose elements are all the same number, for each number near a mark."""
    # Small integers that became floats, or other integers, in a joined file; all near the mark are exact.
    flat = column.data.reshape(len(column), -1).astype(np.float64)
    same = (flat == flat[:, :1]).all(axis=1) & (np.abs(flat[:, 0] - mark) <= NEIGHBOURS)
    if column.valid is not None:
        same &= column.valid
    off = flat[same, 0] - mark
    steps = (np.sign(off) * np.ceil(np.abs(off))).astype(np.int64)  # fractions are not the mark
    return np.bincount(steps + NEIGHBOURS, minlength=2 * NEIGHBOURS + 1)
