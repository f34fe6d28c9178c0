"""The (storage row, group) pairs of a signal, in the order in which its leaves add them."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from cubeengine.planning.grouping import PIECE_PAIRS, Grouping
from cubeengine.planning.plan import SignalPlan
from cubeengine.types import IntArray

SORTING_NBYTES = 32
"""Bytes per pair while it is sorted: rows, groups, the order and its keys."""


def order_key(plan: SignalPlan) -> str:
    """Name the order of a signal's pairs: signals of one cube with the same name have the same."""
    parts = [part.bins for part in plan.parts] if plan.strategy == "by_bin" else []
    facts = f"{parts} {_leaves(plan) if plan.order == 'group' else []}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def order_pairs(
    plan: SignalPlan,
    grouping: Grouping,
    event_rows: IntArray | None,
    out: tuple[IntArray, NDArray[np.int32]],
) -> None:
    """Sort the pairs so that every leaf of the plan is one range of them.

    Parameters
    ----------
    plan : SignalPlan
        Its parts hold the ranges.
    grouping : Grouping
        Which events go where.
    event_rows : (n_events,) int64, or None
        Storage row of each event; None where row = event.
    out : ((n_pairs,) int64, (n_pairs,) int32)
        Takes storage rows, and groups over all bins.

    Notes
    -----
    Memory: `SORTING_NBYTES` per pair of a piece or of a leaf that is sorted by groups; of all pairs where
    rows are not in the order of events.
    """
    rows, groups = out
    if event_rows is not None:
        _sort(plan, grouping, event_rows, rows, groups)
    elif plan.strategy == "by_bin" and len(plan.parts) > 1:
        _distribute(plan, grouping, rows, groups)
    else:
        rows[:], groups[:] = grouping.events, grouping.groups
    if plan.order == "group":
        for start, stop in _leaves(plan):
            order = np.lexsort((rows[start:stop], groups[start:stop]))
            rows[start:stop], groups[start:stop] = rows[start:stop][order], groups[start:stop][order]


def _leaves(plan: SignalPlan) -> list[tuple[int, int]]:
    return sorted({leaf for part in plan.parts for leaf in part.leaves})


def _sort(
    plan: SignalPlan,
    grouping: Grouping,
    event_rows: IntArray,
    rows: IntArray,
    groups: NDArray[np.int32],
) -> None:
    """Sort by part, row and group, in memory."""
    stored = event_rows[grouping.events]
    parts = (_part_of(plan, grouping, grouping.groups),) if plan.strategy == "by_bin" else ()
    order = np.lexsort((grouping.groups, stored, *parts))
    rows[:], groups[:] = stored[order], grouping.groups[order]


def _distribute(plan: SignalPlan, grouping: Grouping, rows: IntArray, groups: NDArray[np.int32]) -> None:
    """Sort by part: the pairs are in the order of row and group, which each part keeps."""
    sizes = [grouping.bin_pairs[start:stop].sum() for start, stop in (part.bins for part in plan.parts)]
    place = np.cumsum([0, *sizes])[:-1]
    for start in range(0, len(grouping.events), PIECE_PAIRS):
        piece = slice(start, start + PIECE_PAIRS)
        part = _part_of(plan, grouping, grouping.groups[piece])
        order = np.argsort(part, kind="stable")
        counts = np.bincount(part, minlength=len(place))
        first = np.cumsum(counts) - counts
        target = (place - first)[part[order]] + np.arange(len(order))
        rows[target], groups[target] = grouping.events[piece][order], grouping.groups[piece][order]
        place += counts


def _part_of(plan: SignalPlan, grouping: Grouping, groups: NDArray[np.int32]) -> IntArray:
    starts = np.array([part.bins[0] for part in plan.parts])
    return np.searchsorted(starts, groups // grouping.width, side="right") - 1
