"""Cuts at percentiles: the numbers are found in the events, in one pass over the run for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from cubeengine.errors import PlanError
from cubeengine.events import states
from cubeengine.events.run import Run
from cubeengine.events.selections import Combine, Cut, Interval, Node, Ranked, content_key, describe
from cubeengine.events.window import Window
from cubeengine.planning.distinct import Distinct, quantiles, whole_quantile
from cubeengine.schema.texts import Percentile
from cubeengine.spec.resolve import interval_label
from cubeengine.types import BoolArray

ALL_EVENTS = "all events"


@dataclass(frozen=True, slots=True)
class FoundPercentile:
    """The number that a percentile of a cut stands for."""

    field: str  # the field that is cut
    percentile: float  # 0 to 100
    value: float | int
    """In the unit of the field: as `numpy.percentile` of the values; whole where it is one of whole numbers.
    """
    n_values: int  # events whose finite values it is of
    among: str  # the selection of these, in words


def with_numbers(run: Run, node: Node) -> Node:
    """Return a selection with numbers in place of the percentiles in it.

    Parameters
    ----------
    run : Run
        The run, all of it, with the variables that the selection asks for.
    node : Node
        As `resolve_selection` gives it.

    Raises
    ------
    PlanError
        If no event has a value that a percentile could be of.
    """
    if isinstance(node, Combine):
        parts = tuple(with_numbers(run, part) for part in node.parts)
        return node if parts == node.parts else replace(node, parts=parts)
    if not isinstance(node.condition, Ranked):
        return node
    bounds = [_bound(run, node.condition, bound) for bound in (node.condition.low, node.condition.high)]
    (low, low_text), (high, high_text) = bounds
    label = interval_label(node.condition.field, low_text, high_text)
    return Cut(label, Interval(node.condition.field, low, high))


def found_percentiles(run: Run, nodes: Mapping[str, Node]) -> dict[str, tuple[FoundPercentile, ...]]:
    """Return the numbers of the percentiles in selections, by name; selections without are left out."""
    found = {name: tuple(dict.fromkeys(_found_in(run, node))) for name, node in nodes.items()}
    return {name: numbers for name, numbers in found.items() if numbers}


def _found_in(run: Run, node: Node) -> Iterator[FoundPercentile]:
    if isinstance(node, Combine):
        for part in node.parts:
            yield from _found_in(run, part)
    elif isinstance(node.condition, Ranked):
        for bound in (node.condition.low, node.condition.high):
            if isinstance(bound, Percentile):
                yield _number(run, node.condition, bound)


def _bound(run: Run, cut: Ranked, bound: float | Percentile | None) -> tuple[float | None, str | None]:
    """Return a bound as a number and in words: "10 % (0.413)"."""
    if not isinstance(bound, Percentile):
        return bound, None if bound is None else repr(bound).removesuffix(".0")
    value = _number(run, cut, bound).value
    # A 64-bit number, so that values in 32 bits are not compared with a rounded one.
    return value if isinstance(value, int) else np.float64(value), f"{bound} ({value:.6g})"


def _number(run: Run, cut: Ranked, bound: Percentile) -> FoundPercentile:
    """Find a number; it is noted in the run, which is asked for it more than once."""
    key = "percentile", cut.field, bound.share, content_key(cut.scope)
    noted: FoundPercentile | None = run.notes.get(key)
    if noted is None:
        scope, distinct = with_numbers(run, cut.scope), Distinct()
        for window in run.windows():
            distinct.add(window.column(cut.field).data[_counted(window, cut.field, scope)])
        among = _words(scope)
        if not distinct.n_values:
            raise PlanError(
                f"cut on {cut.field!r}: {bound} of no values: no event it is computed from ({among}) has a "
                "finite value"
            )
        share = float(bound.share) / 100
        whole = whole_quantile(distinct, share)  # float64 does not hold those beyond 2**53
        value = float(quantiles(distinct, np.array([share]))[0]) if whole is None else whole
        noted = FoundPercentile(cut.field, float(bound.share), value, distinct.n_values, among)
        run.notes[key] = noted
    return noted


def _words(scope: Node) -> str:
    parts = scope.parts if isinstance(scope, Combine) and scope.how == "all" else (scope,)
    return " and ".join(map(describe, parts)) or ALL_EVENTS


def _counted(window: Window, field: str, scope: Node) -> BoolArray:
    """Tell which events of a window a percentile is of: in the scope, with a finite value."""
    column = window.column(field)
    counted: BoolArray = (window.states(scope) == states.TRUE) & np.isfinite(column.data)
    for mark in (column.valid, None if column.damaged is None else ~column.damaged):
        if mark is not None:
            counted &= mark
    return counted
