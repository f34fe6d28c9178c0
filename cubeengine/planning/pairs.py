"""The (storage row, group) pairs of a signal, in the order in which its leaves add them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.planning.grouping import Grouping
from cubeengine.planning.plan import SignalPlan
from cubeengine.types import IntArray


def order_pairs(
    plan: SignalPlan, grouping: Grouping, event_rows: IntArray | None
) -> tuple[IntArray, NDArray[np.int32]]:
    """Sort the pairs so that every leaf of the plan is one range of them.

    Parameters
    ----------
    plan : SignalPlan
        Its parts hold the ranges.
    grouping : Grouping
        Which events go where.
    event_rows : (n_events,) int64, or None
        Storage row of each event; None where row = event.

    Returns
    -------
    rows : (n_pairs,) int64
        Storage rows.
    groups : (n_pairs,) int32
        Groups over all bins.
    """
    rows = grouping.events if event_rows is None else event_rows[grouping.events]
    groups = grouping.groups
    if plan.strategy == "by_bin":
        starts = np.array([part.bins[0] for part in plan.parts])
        order = np.lexsort((groups, rows, np.searchsorted(starts, groups // grouping.width, side="right")))
    else:
        order = np.lexsort((groups, rows))
    if plan.order == "group":
        order = order[_group_order(plan, rows[order], groups[order])]
    return rows[order], groups[order]


def _group_order(plan: SignalPlan, rows: IntArray, groups: NDArray[np.int32]) -> IntArray:
    starts = sorted({start for part in plan.parts for start, _ in part.leaves})
    leaf = np.searchsorted(np.array(starts), np.arange(len(rows)), side="right")
    return np.lexsort((rows, groups, leaf))
