"""What is counted of the events of a selection: sums over windows of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.events.selections import CutRow, Node, describe, rows
from cubeengine.events.states import States
from cubeengine.events.window import Window
from cubeengine.planning.axes import Binned, BinnedAxis
from cubeengine.planning.fates import Fates, count_fates
from cubeengine.spec.axes import middles
from cubeengine.types import BoolArray

EDGE_DISTANCE = 1e-6
"""Events closer to an edge than this, in bin widths, are on it."""


@dataclass(frozen=True, slots=True)
class NearEdges:
    """Selected events that have a value on an axis, and those of them on an edge, or between settings."""

    near: int
    finite: int

    def __add__(self, other: NearEdges) -> NearEdges:
        return NearEdges(self.near + other.near, self.finite + other.finite)


@dataclass(frozen=True, slots=True)
class Dark:
    """Laser-off events, and how many of them each cut of a selection keeps."""

    n_events: int
    kept: tuple[int, ...]

    def __add__(self, other: Dark) -> Dark:
        kept = tuple(a + b for a, b in zip(self.kept, other.kept, strict=True))
        return Dark(self.n_events + other.n_events, kept)


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of the events of a selection."""

    cut_flow: tuple[CutRow, ...]  # its cuts
    fates: Fates  # what became of the events
    near_edges: tuple[NearEdges, ...]  # for each axis; none where it has quantiles
    dark: Dark | None  # None where no cut of the selection is that on laser-off events

    def __add__(self, other: Counts) -> Counts:
        flows = zip(self.cut_flow, other.cut_flow, strict=True)
        return Counts(
            tuple(replace(a, alone=a.alone + b.alone, after=a.after + b.after) for a, b in flows),
            self.fates + other.fates,
            tuple(a + b for a, b in zip(self.near_edges, other.near_edges, strict=True)),
            self.dark + other.dark if self.dark and other.dark else None,
        )


def count_window(
    window: Window,
    node: Node,
    *,
    off: Node,
    axes: Sequence[Binned],
    near: Sequence[BoolArray | None],
    considered: BoolArray,
) -> Counts:
    """Count the events of a window.

    Parameters
    ----------
    window : Window
        The events.
    node : Node
        The selection.
    off : Node
        The cut that keeps laser-off events.
    axes : sequence of Binned
        Where the events fall.
    near : sequence of (n_events,) bool, or None
        For each axis, the events that lie on an edge, or between settings; see `near_edges`.
    considered : (n_events,) bool
        Events that are looked at.
    """
    state = window.states(node)
    kept = considered & (state == states.TRUE)
    return Counts(
        _cut_flow(window, node, considered),
        count_fates(state, axes, considered),
        tuple(_count_near(close, binned, kept) for close, binned in zip(near, axes, strict=True)),
        _dark(window, node, off, considered) if off in rows(node) else None,
    )


def _cut_flow(window: Window, node: Node, considered: BoolArray) -> tuple[CutRow, ...]:
    """Count the events that each cut of a selection keeps, of those that are looked at."""
    found, kept = [], considered
    for part in rows(node):
        passed = considered & _holds(window.states(part))
        kept = kept & passed
        found.append(CutRow(describe(part), int(np.count_nonzero(passed)), int(np.count_nonzero(kept))))
    return tuple(found)


def _dark(window: Window, node: Node, off: Node, considered: BoolArray) -> Dark:
    dark = considered & _holds(window.states(off))
    kept = (np.count_nonzero(dark & _holds(window.states(part))) for part in rows(node))
    return Dark(int(np.count_nonzero(dark)), tuple(map(int, kept)))


def _holds(state: States) -> BoolArray:
    holds: BoolArray = state == states.TRUE
    return holds


def near_edges(axis: BinnedAxis, binned: Binned) -> BoolArray | None:
    """Return the events that lie on an edge; with steps, those between the settings; None with quantiles."""
    if axis.steps is not None:
        between: BoolArray = binned.states == states.FALSE
        return between
    if not axis.given:
        return None
    edges, values = np.asarray(axis.axis.edges), numbers(binned.values)
    nearest = np.clip(np.searchsorted(middles(edges), values), 0, len(edges) - 1)
    widths = np.diff(edges)
    width = widths[np.clip(nearest, 0, len(widths) - 1)]
    close: BoolArray = np.abs(values - edges[nearest]) < EDGE_DISTANCE * width
    return close


def _count_near(close: BoolArray | None, binned: Binned, kept: BoolArray) -> NearEdges:
    if close is None:
        return NearEdges(0, 0)
    finite = kept & ((binned.states == states.TRUE) | (binned.states == states.FALSE))
    return NearEdges(int(np.count_nonzero(close & kept)), int(np.count_nonzero(finite)))
