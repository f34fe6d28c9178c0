"""Variables that look at other events: running statistics, neighbours, shifted values.

Each is computed for any window of events. What lies beyond the window is read as well, as far as it is
needed, so that the values are the same to the last bit however the run is cut into windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from cubeengine.events import states
from cubeengine.events import window as windows
from cubeengine.events.derived import NearCounts
from cubeengine.events.neighbours import (
    ANY_TIME,
    Chosen,
    chosen,
    flat_values,
    neighbour_means,
    shifted,
    together,
)
from cubeengine.events.run import Run
from cubeengine.events.running import (
    At,
    Spans,
    Statistic,
    check_times,
    event_spans,
    event_times,
    running,
    time_spans,
)
from cubeengine.events.selections import Node, content_key
from cubeengine.events.values import blame, of_kind
from cubeengine.events.window import Computed, Window
from cubeengine.planning.percentiles import with_numbers
from cubeengine.types import BoolArray, Column, FloatArray, IntArray

LOOK_EVENTS = 2**16
"""Events that are looked at together to find neighbours beyond a window: some percent of a window, if the
first of them has enough."""

NOTE_NBYTES = 64 * 2**10
"""What was found in a block is kept up to this size: blocks without any such event are looked at by many
windows, those with many by two."""


@dataclass(frozen=True, slots=True)
class RunningValue:
    """A running median or mean.

    Attributes
    ----------
    field : str
        Of which variable.
    statistic, at : str
        As for `events.running`.
    n_window : int
        Length of the windows: events, or nanoseconds.
    in_time : bool
        Whether that is a time.
    """

    field: str
    statistic: Statistic
    at: At
    n_window: int
    in_time: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """One number per event."""
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float64."""
        return np.dtype(np.float64)

    def compute(self, window: Window) -> Computed:
        """Compute the statistic for the events of a window, and count how many it rests on."""
        first, stop = self._spans(window)
        low, high = int(first.min(initial=window.events.start)), int(stop.max(initial=window.events.stop))
        around = window.column_of(self.field, slice(low, high))
        values, found = running(around, (first - low, stop - low), statistic=self.statistic, start=low)
        column = _blamed(values, window.column(self.field))
        return Computed(column, NearCounts.of(found, stop - first if self.in_time else self.n_window))

    def _spans(self, window: Window) -> Spans:
        if not self.in_time:
            return event_spans(window.events, window.run.n_events, window=self.n_window, at=self.at)
        stamps = window.run.timestamps
        return time_spans(stamps, window.events, nanoseconds=self.n_window, at=self.at)


@dataclass(frozen=True, slots=True)
class NeighbourValue:
    """The mean over the nearest events of a selection, or the difference from it."""

    field: str  # of which variable
    among: Node  # the selection
    n: int  # how many neighbours
    within: int  # None is farther
    difference: bool  # whether the mean is taken off the event's own value
    shape: tuple[int, ...]  # of one event's value

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float64."""
        return np.dtype(np.float64)

    def compute(self, window: Window) -> Computed:
        """Find the neighbours of the events of a window, beyond it as well, and count them."""
        among = together([*self._before(window), _chosen(self, window), *self._after(window)])
        check_times(among.times)
        events, times = _numbers_and_times(window)
        means, found = neighbour_means(events, times, among, n=self.n, within=self.within)
        if not self.difference:
            return Computed(Column(self._shaped(means)), NearCounts.of(found, self.n))
        own = window.column(self.field)
        values = flat_values(own)
        missing = np.logical_and.reduce(np.isnan(values), axis=1)
        return Computed(_blamed(self._shaped(values - means), own), NearCounts.of(found, self.n, missing))

    def _shaped(self, flat: FloatArray) -> FloatArray:
        return flat.reshape(len(flat), *self.shape)

    def _before(self, window: Window) -> list[Chosen]:
        """Return the last n that may be neighbours before a window, block after block outward."""
        first, found = window.events.start, list[Chosen]()
        for part in _blocks_before(first, self._step):
            lacking = self.n - sum(map(len, found))
            if lacking <= 0 or _apart(window.run, part.stop - 1, first) > self.within:
                break
            found.insert(0, self._look(window.run, part).part(slice(-lacking, None)))
        return found

    def _after(self, window: Window) -> list[Chosen]:
        """Return the first n that may be neighbours after a window."""
        stop, found = window.events.stop, list[Chosen]()
        for part in _blocks_after(stop, window.run.n_events, self._step):
            lacking = self.n - sum(map(len, found))
            if lacking <= 0 or _apart(window.run, stop - 1, part.start) > self.within:
                break
            found.append(self._look(window.run, part).part(slice(0, lacking)))
        return found

    @property
    def _step(self) -> int:
        return max(min(LOOK_EVENTS, windows.WINDOW_NBYTES // max(8 * prod(self.shape), 1)), 1)

    def _look(self, run: Run, part: slice) -> Chosen:
        """Return the first and last n of a block that may be neighbours; kept where they are small."""
        key = self.field, content_key(self.among), self.n, part.start, part.stop
        kept: Chosen | None = run.notes.get(key)
        if kept is not None:
            return kept
        found = _chosen(self, Window(run, part))
        if len(found) > 2 * self.n:
            found = together([found.part(slice(0, self.n)), found.part(slice(-self.n, None))])
        if found.nbytes <= NOTE_NBYTES:
            run.notes[key] = found
        return found


@dataclass(frozen=True, slots=True)
class ShiftedValue:
    """The value of the event so many events later, or earlier.

    Attributes
    ----------
    field : str
        Of which variable.
    n_events : int
        How many events later; negative for earlier.
    within : int, in ns
        The other event is not farther.
    shape, dtype
        Of one event's value, and of one element.
    """

    field: str
    n_events: int
    within: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def compute(self, window: Window) -> Computed:
        """Return the values of the other events, and count where there are none."""
        wanted = np.arange(window.events.start, window.events.stop) + self.n_events
        low, high = (
            min(max(edge + self.n_events, 0), window.run.n_events)
            for edge in (window.events.start, window.events.stop)
        )
        there = (wanted >= low) & (wanted < high)
        if self.within < ANY_TIME:
            there[there] = self._near(window, np.flatnonzero(there), wanted[there])
        others = window.column_of(self.field, slice(low, high))
        column, missing = shifted(of_kind(others, self.dtype), wanted - low, there)
        return Computed(of_kind(column, self.dtype), NearCounts.of(there.astype(np.int64), 1, missing))

    def _near(self, window: Window, places: IntArray, others: IntArray) -> BoolArray:
        apart = event_times(window.run.timestamps, others) - _numbers_and_times(window)[1][places]
        near: BoolArray = np.abs(apart) <= self.within
        return near


def _numbers_and_times(window: Window) -> tuple[IntArray, IntArray]:
    events = window.events
    return np.arange(events.start, events.stop), event_times(window.run.timestamps, events)


def _chosen(value: NeighbourValue, window: Window) -> Chosen:
    """Return the events of a window that may be neighbours."""
    kept = window.states(with_numbers(window.run, value.among)) == states.TRUE
    return chosen(window.column(value.field), kept, *_numbers_and_times(window))


def _apart(run: Run, first: int, second: int) -> int:
    """Return the time between two events, in ns."""
    times = event_times(run.timestamps, np.array([first, second]))
    return int(times[1] - times[0])


def _blocks_before(stop: int, step: int) -> Iterator[slice]:
    """Yield blocks of events before one, outward; they lie alike whatever event that is."""
    while stop > 0:
        start = (stop - 1) // step * step
        yield slice(start, stop)
        stop = start


def _blocks_after(start: int, n_events: int, step: int) -> Iterator[slice]:
    while start < n_events:
        stop = min((start // step + 1) * step, n_events)
        yield slice(start, stop)
        start = stop


def _blamed(values: FloatArray, own: Column) -> Column:
    """Return values as a column; where one is missing and the event's own is damaged, for that reason."""
    column = Column(values)
    return column if own.damaged is None else Column(values, damaged=blame(column, [own.damaged]))
