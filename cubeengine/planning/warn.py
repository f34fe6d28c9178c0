"""Warnings: what is allowed, but probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.events.selections import CutRow, fields
from cubeengine.planning.axes import BinnedAxis
from cubeengine.planning.bind import Bound
from cubeengine.planning.fates import Fates
from cubeengine.spec.problems import Problem, SpecPath
from cubeengine.spec.resolve import declared_unit, resolve_selection
from cubeengine.types import BoolArray, FloatArray

LOST = 0.9  # of the events, to one cut
NEAR_EDGE = 0.01  # of the selected events
EDGE_DISTANCE = 1e-6  # in bin widths
CHANCE = 1e-3  # below it, zeros in a row are taken for more than chance
LOPSIDED = 0.99  # of the selected events, outside or in one bin


def plan_warnings(bound: Bound) -> Iterator[Problem]:
    """Give the warnings that need the run's scalars."""
    for name in bound.selections:
        yield from _lost_to_one_cut(bound, name)
        yield from _lopsided(bound, name)
    for number, axis in enumerate(bound.axes):
        yield from _near_edges(bound, axis, number)
        if not axis.axis.unit and declared_unit(bound.spec, axis.axis.field) is None:
            yield _warning(
                ("axes", number),
                f"the unit of {axis.axis.field!r} is declared nowhere; add it under units "
                "('' says that it has none)",
            )
    yield from _leading_zeros(bound)


def _warning(path: SpecPath, message: str) -> Problem:
    return Problem(path, message, severity="warning")


def _lost_to_one_cut(bound: Bound, name: str) -> Iterator[Problem]:
    before = bound.run.n_events
    for row in bound.cut_flows[name]:
        if before and row.after < (1 - LOST) * before:
            yield _warning(
                ("select", name),
                f"{row.label} leaves {row.after:,} of {before:,} events{_without_hint(bound, name, row)}",
            )
        before = row.after


def _without_hint(bound: Bound, name: str, row: CutRow) -> str:
    """Propose `without` where a laser-off selection asks for a time tool, which then sees nothing."""
    group = row.label.split("/")[0].split(" ")[-1].strip("`(")
    if group.startswith(("tt", "TT")) and "off" in _laser_words(bound, name):
        return f"; the time tool means nothing with the laser off: add  without: [{group}/*]  to {name!r}"
    return ""


def _laser_words(bound: Bound, name: str) -> str:
    selection = bound.spec.select.get(name)
    return str(selection.laser) if selection is not None else ""


def _lopsided(bound: Bound, name: str) -> Iterator[Problem]:
    fates: Fates = bound.fates[name]
    kept = fates.binned + fates.outside
    if kept and fates.outside > LOPSIDED * kept:
        yield _warning(
            ("axes",), f"selection {name!r}: {fates.outside:,} of {kept:,} events lie outside the bins"
        )
    counts = bound.n_events[list(bound.selections).index(name)]
    if len(counts) > 1 and fates.binned and counts.max() > LOPSIDED * fates.binned:
        yield _warning(
            ("axes",), f"selection {name!r}: {counts.max():,} of {fates.binned:,} events are in one bin"
        )


def _near_edges(bound: Bound, axis: BinnedAxis, number: int) -> Iterator[Problem]:
    if bound.spec.axes[number].form == "steps":
        return
    values = numbers(axis.values)
    for name, mask in bound.selections.items():
        kept = values[(mask == states.TRUE) & np.isfinite(values)]
        near = int(np.count_nonzero(_close_to(np.asarray(axis.axis.edges), kept)))
        if near > NEAR_EDGE * max(len(kept), 1):
            yield _warning(
                ("axes", number),
                f"selection {name!r}: {near:,} of {len(kept):,} events lie on an edge of {axis.axis.field!r} "
                "within rounding, so chance decides their bin; for set values use centers, or steps: auto",
            )
            return


def _close_to(edges: FloatArray, values: FloatArray) -> BoolArray:
    nearest = np.clip(np.searchsorted((edges[:-1] + edges[1:]) / 2, values), 0, len(edges) - 1)
    widths = np.array([high - low for low, high in pairwise(edges)])
    width = widths[np.clip(nearest, 0, len(widths) - 1)]
    close: BoolArray = np.abs(values - edges[nearest]) < EDGE_DISTANCE * width
    return close


def _leading_zeros(bound: Bound) -> Iterator[Problem]:
    marked = set(bound.spec.missing)
    for name in sorted(_used_fields(bound) - marked):
        if name not in bound.run.source.fields:
            continue
        zeros = bound.run.source.leading_zero_rows(name)
        if zeros and not _zeros_are_usual(bound, name, zeros):
            yield _warning(
                ("missing",),
                f"{name!r} is 0 in the first {zeros:,} events and not after: they may stand for missing "
                f"values; if so, add  missing: {{{name}: leading_zeros}}",
            )


def _zeros_are_usual(bound: Bound, name: str, zeros: int) -> bool:
    """Tell whether that many zeros in a row could be chance, as in a flag such as laser on or off."""
    if bound.run.fields[name].shape:
        return False
    rest = bound.run.column(name).data[zeros:]
    share = np.count_nonzero(rest == 0) / max(len(rest), 1)
    return bool(share**zeros > CHANCE)


def _used_fields(bound: Bound) -> set[str]:
    used = {signal.source for signal in bound.signals} | {axis.axis.field for axis in bound.axes}
    for name in bound.selections:
        used |= fields(resolve_selection(bound.spec, name))
    return {name for name in used if name in bound.run.fields}
