"""Neighbours: of each event, those of some chosen events that are nearest in time; and shifted events."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from cubeengine.kernels.nearest import nearest_runs, run_means
from cubeengine.types import BoolArray, Column, FloatArray, IntArray

ANY_TIME = 2**62
"""Nanoseconds that no two events are apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Events that may be neighbours: those of a selection that have a value."""

    events: IntArray  # (n,) int64: Their numbers in the run, rising
    times: IntArray  # (n,) int64: Their real times in ns, never falling
    values: FloatArray  # (n, n_elements) float64: Their values; single elements may be NaN

    def __len__(self) -> int:
        return len(self.events)

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return self.events.nbytes + self.times.nbytes + self.values.nbytes

    def part(self, which: slice) -> Chosen:
        """Return some of them, copied."""
        return Chosen(self.events[which].copy(), self.times[which].copy(), self.values[which].copy())


def chosen(column: Column, keep: BoolArray, events: IntArray, times: IntArray) -> Chosen:
    """Choose the events that are kept and have a value: at least one finite element.

    Parameters
    ----------
    column : Column of n_events
        The variable.
    keep : (n_events,) bool
        Which events may be neighbours.
    events, times : (n_events,) int64
        Their numbers in the run, and their real times in ns.
    """
    kept = np.flatnonzero(keep)
    values = flat_values(Column(column.data[kept], None if column.valid is None else column.valid[kept]))
    there = np.isfinite(values).any(axis=1)
    kept = kept[there]
    return Chosen(events[kept], times[kept], values[there])


def together(parts: list[Chosen]) -> Chosen:
    """Put chosen events of consecutive ranges together."""
    return Chosen(
        np.concatenate([part.events for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def neighbour_means(
    events: IntArray, times: IntArray, among: Chosen, *, n: int, within: int = ANY_TIME
) -> tuple[FloatArray, IntArray]:
    """Average the n chosen events that are nearest in time to each event, the event itself left out.

    Of two that are equally far the earlier one is nearer.

    Parameters
    ----------
    events, times : (n_events,) int64
        Numbers of events in the run, rising, and their real times in ns.
    among : Chosen
        The events to choose from.
    n : int
        How many neighbours.
    within : int, in ns
        No neighbour is farther.

    Returns
    -------
    (n_events, n_elements) float64
        Mean of the finite elements; NaN where there are none.
    (n_events,) int64
        How many neighbours each event has: fewer than n where there are no more.

    Examples
    --------
    >>> off = Chosen(np.array([0, 3]), np.array([0, 30]), np.array([[1.0], [5.0]]))
    >>> neighbour_means(np.array([0, 1, 2]), np.array([0, 10, 20]), off, n=1)[0].ravel()
    array([5., 1., 5.])
    """
    first, stop, count = nearest_runs(events, times, among.events, among.times, n, within)
    return run_means(among.values, among.events, events, first, stop), count


def shifted(column: Column, places: IntArray, there: BoolArray) -> tuple[Column, BoolArray]:
    """Return events the values of other events.

    Parameters
    ----------
    column : Column of n_values
        Values to take.
    places : (n_events,) int64
        Where in it the value of each event is.
    there : (n_events,) bool
        Where there is another event at all.

    Returns
    -------
    Column of n_events
        Of the same type; missing where there is no other event, or its value is missing.
    (n_events,) bool
        Where there is another event, but no value of it.
    """
    place = np.where(there, places, 0)
    data = (
        column.data[place]
        if len(column)
        else np.zeros((len(places), *column.data.shape[1:]), column.data.dtype)
    )
    has = there if column.valid is None or not len(column) else there & column.valid[place]
    hurt = None if column.damaged is None or not len(column) else there & column.damaged[place]
    if data.dtype.kind != "f":
        data[~has] = 0  # what stands there means nothing, and is the same for any part of a run
        return Column(data, None if has.all() else has, hurt), there & ~has
    data[~has] = np.nan  # a float may have a mark as well, where others of its variable are whole numbers
    missing = there & ~np.isfinite(data.reshape(len(data), prod(data.shape[1:]))).any(axis=1)
    return Column(data, damaged=hurt), missing


def flat_values(column: Column) -> FloatArray:
    """Return a column as (n_events, n_elements) float64; what is missing or infinite is NaN."""
    values = column.data.reshape(len(column), prod(column.data.shape[1:])).astype(np.float64)
    if column.valid is not None:
        values[~column.valid] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values
