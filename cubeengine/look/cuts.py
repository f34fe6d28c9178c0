"""What cuts do: how many events each leaves, and where it lies in the values of its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events import grammar, states
from cubeengine.events.conditions import Interval, OneOf
from cubeengine.events.expressions import Expression
from cubeengine.events.selections import Cut as ResolvedCut
from cubeengine.events.selections import CutRow, Node, rows
from cubeengine.kernels.bins import bin_index
from cubeengine.look.bins import bin_coords, even_edges, find_limits
from cubeengine.look.events import Events, dim_of, has_value, look_at
from cubeengine.look.selecting import RunLike, Select, looks, node_of, origin, run_of, words
from cubeengine.types import BoolArray, FloatArray, IntArray

CUT_BINS = 80
PERCENTILES = (0.5, 99.5)
MOST_LINES = 10
"""Values of a cut that are still shown as lines."""


@looks
def cut_flow(run: RunLike, select: Select) -> xr.Dataset:
    """Count the events that each cut of a selection keeps.

    Parameters
    ----------
    run : Run, or session
        The run.
    select : Select
        The selection.

    Returns
    -------
    xarray.Dataset
        Over `cut`, in the order of the cuts: `after` it and all before it, `alone` by this cut alone, and
        `rejected`, the fraction of the events before it that it drops. `n_total` in the attributes are the
        events of the run. A selection keeps what is certainly true: events that lack a field are rejected by
        the cut on it.

    Raises
    ------
    SpecError
        If there is no cut.

    Examples
    --------
    >>> flow = look.cut_flow(run, ["`ipm2/sum` > 0.4", "`tt/AMPL` > 0.02"])
    >>> flow["cut"].values.tolist()
    ['ipm2/sum > 0.4', 'tt/AMPL > 0.02']
    """
    node, at = _selection(run, select), run_of(run)
    flow: tuple[CutRow, ...] | None = None
    for window in at.windows():
        found = window.cut_flow(node)
        flow = found if flow is None else tuple(map(_added, flow, found))
    kept = np.array([row.after for row in flow or ()])
    before = np.append(at.n_events, kept[:-1])
    rejected = np.where(before > 0, 1 - kept / np.maximum(before, 1), np.nan)
    return xr.Dataset(
        {
            "after": ("cut", kept, {"long_name": "events kept"}),
            "alone": (
                "cut",
                [row.alone for row in flow or ()],
                {"long_name": "events kept by this cut alone"},
            ),
            "rejected": ("cut", rejected, {"long_name": "fraction rejected"}),
        },
        coords={"cut": [words(part) for part in rows(node)]},
        attrs={"n_total": at.n_events, **origin(at, node)},
    )


def _selection(run: RunLike, select: Select) -> Node:
    node = node_of(run, select)
    if node is None or not list(rows(node)):
        raise SpecError("the selection has no cuts: all events are kept")
    return node


def _added(first: CutRow, second: CutRow) -> CutRow:
    return CutRow(first.label, first.alone + second.alone, first.after + second.after)


@dataclass(frozen=True, slots=True)
class CutLines:
    """A cut on one quantity."""

    quantity: str  # field or expression
    values: tuple[float, ...]  # where the cut lies: bounds, or values wanted


def cut_lines(part: Node) -> CutLines | None:
    """Say on what quantity a cut is, and where it lies; None for a condition on several or none.

    Examples
    --------
    >>> cut_lines(ResolvedCut("", Expression.parse("0.02 < tt__AMPL < 0.2")))
    CutLines(quantity='`tt/AMPL`', values=(0.02, 0.2))
    """
    if not isinstance(part, ResolvedCut):
        return None
    match part.condition:
        case Interval(field, low, high):
            return CutLines(field, tuple(float(value) for value in (low, high) if value is not None))
        case OneOf(field, values):
            return CutLines(field, tuple(map(float, values)) if len(values) <= MOST_LINES else ())
        case Expression(tree=grammar.Compare() as tree):
            return _compared(tree)
    return None


def _compared(tree: grammar.Compare) -> CutLines | None:
    parts = [tree.first, *(part for _, part in tree.rest)]
    numbers = list(map(grammar.constant, parts))
    others = [part for part, number in zip(parts, numbers, strict=True) if number is None]
    if len(others) != 1 or not list(grammar.field_names(others[0])):
        return None
    return CutLines(
        grammar.canonical(others[0]), tuple(float(number) for number in numbers if number is not None)
    )


@looks
def cut_histograms(run: RunLike, select: Select, *, bins: int = CUT_BINS) -> Mapping[str, xr.DataArray]:
    """Count events in bins of the quantity of each cut: of all events, and of those that all other cuts keep.

    Parameters
    ----------
    run, select
        As for `cut_flow`.
    bins : int
        Bins at most; they reach from percentile 0.5 to 99.5 of all events, and to the cut if that
        is not far.

    Returns
    -------
    mapping of cut to xarray.DataArray
        int64 counts over `events` ("all", "other cuts") and the quantity. The attribute `lines` has where the
        cut lies; `rejected` the fraction that it drops of the events with a value that the other cuts keep.
        Cuts on no single quantity are left out.

    Examples
    --------
    >>> found = look.cut_histograms(run, ["`ipm2/sum` > 0.4", "`tt/AMPL` > 0.02"])
    >>> found["tt/AMPL > 0.02"].attrs["lines"]
    [0.02]
    """
    node = _selection(run, select)
    parts = list(rows(node))
    lines = {number: found for number, part in enumerate(parts) if (found := cut_lines(part)) is not None}
    events = look_at(run, [found.quantity for found in lines.values()])
    edges = _edges(events, list(lines.values()), bins)
    counts = [np.zeros((2, len(bounds) - 1), np.int64) for bounds in edges]
    tallies = np.zeros((len(edges), 2), np.int64)  # kept by the others, and of these by the cut
    for part in events.parts():
        kept = np.stack([part.window.states(cut) == states.TRUE for cut in parts])
        n_failed = (~kept).sum(axis=0)
        for place, number in enumerate(lines):
            others = (n_failed == 0) | ((n_failed == 1) & ~kept[number])
            there = has_value(part.columns[place])
            for row, chosen in enumerate((there, there & others)):
                counts[place][row] += _count(part.columns[place].data[chosen], edges[place])
            tallies[place] += _sizes(there & others, kept[number])
    return {
        words(parts[number]): _histogram(
            events, place, edges[place], counts[place],
            {"lines": list(found.values), "rejected": _rejected(*tallies[place]), **origin(events.run, node)},
        )
        for place, (number, found) in enumerate(lines.items())
    }  # fmt: skip


def _edges(events: Events, lines: list[CutLines], bins: int) -> list[FloatArray]:
    edges = []
    for name, limits, found in zip(events.names, find_limits(events, PERCENTILES), lines, strict=True):
        low, high = limits or (0.0, 1.0)
        reach = high - low  # a bound further off than that would squeeze the values to a line
        near = [value for value in found.values if low - reach <= value <= high + reach]
        dtype = events.run.fields[name].dtype
        edges.append(even_edges(min([low, *near]), max([high, *near]), bins, dtype))
    return edges


def _count(values: NDArray[np.generic], edges: FloatArray) -> IntArray:
    index = bin_index(values, edges)
    return np.bincount(index[index >= 0], minlength=len(edges) - 1).astype(np.int64)


def _sizes(others: BoolArray, kept: BoolArray) -> tuple[int, int]:
    return int(np.count_nonzero(others)), int(np.count_nonzero(others & kept))


def _rejected(before: int, after: int) -> float:
    return 1 - after / before if before else float("nan")


def _histogram(
    events: Events, place: int, edges: FloatArray, counts: IntArray, attrs: dict[str, object]
) -> xr.DataArray:
    name = events.names[place]
    coords = {"events": ["all", "other cuts"], **bin_coords(events, name, edges)}
    return xr.DataArray(
        counts,
        coords=coords,
        dims=("events", dim_of(name)),
        name="counts",
        attrs={"long_name": "events", **attrs},
    )
