"""The picked events of a bound spec: candidates window by window, and of each group the best.

A group is a bin of a selection: group = selection * n_bins + bin. An event that several selections keep is
a candidate in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.budget import Budget, format_size
from cubeengine.errors import BudgetExceeded
from cubeengine.events.window import Window
from cubeengine.picking.choose import (
    TABLE_NBYTES,
    Best,
    Keys,
    distance_keys,
    falling_keys,
    random_keys,
    rising_keys,
)
from cubeengine.picking.percentile import percentiles
from cubeengine.picking.spec import Pick, PickSpec, nearest_value
from cubeengine.planning.bind import Bound
from cubeengine.planning.grouping import PIECE_PAIRS, Grouping
from cubeengine.types import BoolArray, Column, FloatArray, IntArray

EVENT_NBYTES = 6 * 8
"""Bytes per picked event in the leading process beside `Best`: its row and times, as table and as written."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Some events that can be picked."""

    groups: IntArray  # (n,) int64: Group of each
    values: NDArray[np.generic]
    """(n,) numbers: Their values of the field that they are judged by; none are NaN or missing."""
    events: IntArray  # (n,) int64: Their numbers in time order


@dataclass(frozen=True)
class Picked:
    """The events that were picked."""

    events: IntArray
    """(n_selections, n_bins, most) int64: Numbers in time order, the best first; -1 where a bin has fewer."""
    n_candidates: IntArray
    """(n_selections, n_bins) int64: Selected events of each bin that have a value to be judged by."""

    @property
    def n_picked(self) -> IntArray:
        """(n_selections, n_bins) events that were picked."""
        counts: IntArray = np.count_nonzero(self.events >= 0, axis=-1).astype(np.int64)
        return counts

    @property
    def nbytes(self) -> int:
        """Bytes that the leading process needs for them."""
        return self.events.size * (TABLE_NBYTES + EVENT_NBYTES)


def pick_events(bound: Bound, spec: PickSpec, budget: Budget) -> Picked:
    """Pick the events of every bin of every selection; reads scalars only, window by window.

    Raises
    ------
    BudgetExceeded
        If so many events cannot be kept in mind.
    """
    grouping = bound.grouping
    n_groups, most = grouping.n_selections * grouping.n_bins, spec.pick.events
    _check_room(n_groups, most, budget)
    judge = _Judge(bound, spec, n_groups)
    best, counts = Best(n_groups, most), np.zeros(n_groups, np.int64)
    for some in candidates(bound, spec.pick.field):
        counts += np.bincount(some.groups, minlength=n_groups)
        best.add(some.groups, judge.keys(some), some.events)
    shape = (grouping.n_selections, grouping.n_bins)
    return Picked(best.events.reshape(*shape, most), counts.reshape(shape))


def _check_room(n_groups: int, most: int, budget: Budget) -> None:
    needed = n_groups * most * (TABLE_NBYTES + EVENT_NBYTES)
    if needed > budget.usable:
        raise BudgetExceeded(
            f"{most:,} events in each of {n_groups:,} bins (over all selections) take {format_size(needed)} "
            f"of memory, but {format_size(budget.per_worker)} is allowed; choose fewer events or bins, or "
            "raise resources.memory"
        )


class _Judge:
    """Turns values into keys, by the rule of a spec.

    For a percentile the values are looked at once before, so that those of every bin are known.
    """

    def __init__(self, bound: Bound, spec: PickSpec, n_groups: int) -> None:
        self._pick: Pick = spec.pick
        self._timestamps = bound.run.timestamps
        self._target = nearest_value(spec)
        which = spec.pick.which
        asked = None if isinstance(which, str) else which.percentile
        self._percentiles = None if asked is None else _percentiles(bound, spec.pick, asked, n_groups)

    def keys(self, some: Candidates) -> Keys:
        """Return the keys of some candidates: the lowest is best."""
        which = self._pick.which
        if which == "first":
            return np.zeros(len(some.events), np.uint64)
        if isinstance(which, str):
            return (falling_keys if which == "largest" else rising_keys)(some.values)
        if which.random is not None:
            return random_keys(self._timestamps[some.events], which.random)
        target = self._target if self._percentiles is None else self._percentiles[some.groups]
        return distance_keys(some.values, target)


def _percentiles(bound: Bound, pick: Pick, percent: float, n_groups: int) -> FloatArray:
    counts = np.zeros(n_groups, np.int64)
    for some in candidates(bound, pick.field):
        counts += np.bincount(some.groups, minlength=n_groups)
    pieces = ((some.groups, some.values.astype(np.float64)) for some in candidates(bound, pick.field))
    return percentiles(pieces, counts, percent)


def candidates(bound: Bound, field: str | None) -> Iterator[Candidates]:
    """Yield the selected events in the bins that have a finite value, some at a time, in time order."""
    grouping = bound.grouping
    members = np.zeros((grouping.n_selections, grouping.width), bool)
    for selection, own in enumerate(grouping.members):
        members[selection, list(own)] = True
    for window in bound.run.windows():
        column = None if field is None else window.column(field)
        for start, stop in _pieces(grouping, window):
            events = np.asarray(grouping.events[start:stop])
            bins, member = np.divmod(grouping.groups[start:stop].astype(np.int64), grouping.width)
            values, has_value = _values(column, events - window.events.start)
            for selection, belongs in enumerate(members):
                chosen = belongs[member] & has_value
                groups = bins[chosen] + selection * grouping.n_bins
                yield Candidates(groups, values[chosen], events[chosen])


def _pieces(grouping: Grouping, window: Window) -> Iterator[tuple[int, int]]:
    """Yield ranges of the pairs whose events lie in a window."""
    first, last = np.searchsorted(grouping.events, [window.events.start, window.events.stop]).tolist()
    for start in range(first, last, PIECE_PAIRS):
        yield start, min(start + PIECE_PAIRS, last)


def _values(column: Column | None, places: IntArray) -> tuple[NDArray[np.generic], BoolArray]:
    """Return the values at some places, and which of them are there and finite."""
    if column is None:
        return np.zeros(len(places), np.uint8), np.ones(len(places), bool)
    values = column.data[places]
    there: BoolArray = np.isfinite(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
    for mark, good in ((column.valid, True), (column.damaged, False)):
        if mark is not None:
            there &= mark[places] == good
    return values, there
