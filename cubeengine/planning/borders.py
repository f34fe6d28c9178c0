"""Events that a cut decides by rounding: settings a few units in the last place beside the number of the cut.

A motor at 0.7 may be written as 0.7000000000000001; `max: 0.7` then loses the whole step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cubeengine.events import grammar
from cubeengine.events.conditions import Bound, Condition, Interval, OneOf, equal_to
from cubeengine.events.expressions import Expression
from cubeengine.events.selections import Node, leaves
from cubeengine.events.window import Window
from cubeengine.types import BoolArray, Column

ROUNDING = 64
"""Units in the last place, of the number or the mean of the field, that count as rounding."""

_ABOVE, _BELOW = frozenset({"<=", ">", "==", "!="}), frozenset({">=", "<", "==", "!="})


@dataclass(frozen=True, slots=True)
class Border:
    """A number that a cut compares a field with."""

    field: str  # the field
    op: str  # `field op value` is what the cut asks
    value: Bound  # in the declared unit of the field
    ulps: int = 0  # units in the last place that the cut allows for equal values

    @property
    def keeps_equal(self) -> bool:
        """Whether the cut keeps events that have just this number."""
        return self.op in {"<=", ">=", "=="}


@dataclass(frozen=True, slots=True)
class Beside:
    """Events beside a border that are decided otherwise than those on it.

    Attributes
    ----------
    n_events, n_values : int
        How many there are, and how many events have a value.
    low, high : float
        Their least and greatest value; infinite where there are none.
    """

    n_events: int
    n_values: int
    low: float = np.inf
    high: float = -np.inf

    def __add__(self, other: Beside) -> Beside:
        return Beside(
            self.n_events + other.n_events,
            self.n_values + other.n_values,
            min(self.low, other.low),
            max(self.high, other.high),
        )


def borders(condition: Condition) -> Iterator[Border]:
    """Yield the numbers that a condition compares single fields with."""
    match condition:
        case Interval(field, low, high):
            yield from (Border(field, op, b) for op, b in ((">=", low), ("<=", high)) if b is not None)
        case OneOf(field, values, ulps=ulps):
            yield from (Border(field, "==", value, ulps) for value in values)
        case Expression(tree=tree):
            yield from _compared(tree)


def _compared(tree: grammar.Node) -> Iterator[Border]:
    if isinstance(tree, grammar.Compare):
        left = tree.first
        for op, right in tree.rest:
            yield from _border(left, op, right)
            left = right
    for part in grammar.children(tree):
        yield from _compared(part)


def _border(left: grammar.Node, op: str, right: grammar.Node) -> Iterator[Border]:
    number = grammar.constant(right)
    if isinstance(left, grammar.FieldName) and number is not None:
        yield Border(left.name, op, number)
    elif isinstance(right, grammar.FieldName) and (number := grammar.constant(left)) is not None:
        yield Border(right.name, op.translate(_MIRRORED), number)


_MIRRORED = str.maketrans("<>", "><")


def events_beside(nodes: Iterable[Node], window: Window, considered: BoolArray) -> Mapping[Border, Beside]:
    """Count the events of a window beside every border of some selections, of those that are considered.

    Fields of whole numbers, and arrays, have none.
    """
    found = {border for node in nodes for cut in leaves(node) for border in borders(cut.condition)}
    counted = ((border, window.column(border.field)) for border in found)
    return {
        border: _count(border, column, considered)
        for border, column in counted
        if column.data.ndim == 1 and column.data.dtype.kind == "f"
    }


def _count(border: Border, column: Column, considered: BoolArray) -> Beside:
    there = considered & np.isfinite(column.data)
    data = column.data[there]
    with np.errstate(over="ignore"):
        own = data.dtype.type(border.value)  # cuts compare in the type of the field
    if not (len(data) and np.isfinite(own)):
        return Beside(0, len(data))
    scale = max(abs(float(own)), float(np.abs(data).mean(dtype=np.float64)))
    off = data - own
    beside = np.abs(off) <= ROUNDING * np.finfo(data.dtype).eps * scale
    beside &= ((off > 0) & (border.op in _ABOVE)) | ((off < 0) & (border.op in _BELOW))
    beside &= ~equal_to(data, (border.value,), border.ulps)
    chosen = data[beside]
    low, high = float(chosen.min(initial=np.inf)), float(chosen.max(initial=-np.inf))
    return Beside(len(chosen), len(data), low, high)
