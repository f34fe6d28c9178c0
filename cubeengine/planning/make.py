"""From a bound spec to the plan of all its signals."""

from __future__ import annotations

import hashlib

import numpy as np

from cubeengine.budget import Budget
from cubeengine.planning.bind import Bound, BoundSignal
from cubeengine.planning.cost import Tuning
from cubeengine.planning.plan import CubePlan
from cubeengine.planning.planner import plan_signal
from cubeengine.planning.shape import SignalShape
from cubeengine.types import IntArray

SORTING_NBYTES = 32
"""Bytes per event and group while the pairs of a signal are sorted into leaves: rows, groups, the order and
its keys."""


def make_plan(bound: Bound, budget: Budget, tuning: Tuning | None = None) -> CubePlan:
    """Decide all work.

    Parameters
    ----------
    bound : Bound
        The spec on its run.
    budget : Budget
        Memory of one worker.
    tuning : Tuning, optional
        Sizes to aim at.

    Raises
    ------
    BudgetExceeded
        If a signal does not fit the memory in any strategy.
    """
    return CubePlan(
        axes=tuple(axis.axis for axis in bound.axes),
        selections=tuple(bound.selections),
        n_events=bound.considered,
        n_selected=_n_distinct(bound.grouping.events),
        signals=tuple(plan_signal(shape, budget, tuning or Tuning()) for shape in signal_shapes(bound)),
        content=_content(bound, budget),
        leader_nbytes=bound.held_nbytes + SORTING_NBYTES * len(bound.grouping.events),
    )


def signal_shapes(bound: Bound) -> list[SignalShape]:
    """Give all signals as the planner sees them."""
    grouping = bound.grouping
    rows = _sorted_rows(bound)
    pairs = np.bincount(grouping.groups // grouping.width, minlength=grouping.n_bins)
    return [_shape(bound, signal, rows, pairs) for signal in bound.signals]


def _n_distinct(rising: IntArray) -> int:
    # np.unique takes seconds for some million events.
    return int(np.count_nonzero(np.diff(rising))) + 1 if len(rising) else 0


def _sorted_rows(bound: Bound) -> IntArray:
    events, rows = bound.grouping.events, bound.run.rows
    return events if rows is None else np.sort(rows[events])


def _shape(bound: Bound, signal: BoundSignal, rows: IntArray, pairs: IntArray) -> SignalShape:
    return SignalShape(
        name=signal.name,
        field=signal.field,
        unit=signal.unit,
        out_dtype=signal.dtype,
        info=bound.run.fields[signal.source],
        bins_shape=tuple(axis.axis.n_bins for axis in bound.axes),
        width=bound.grouping.width,
        n_selections=bound.grouping.n_selections,
        rows=rows,
        bin_pairs=pairs,
    )


def _content(bound: Bound, budget: Budget) -> str:
    return hashlib.sha256(f"{bound.content}-{budget.per_worker}".encode()).hexdigest()
