"""Conditions: what one cut asks of an event, and the answer for all events at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.expressions import Columns, Expression
from cubeengine.events.operators import compare
from cubeengine.events.states import States
from cubeengine.events.values import Value, from_column
from cubeengine.schema.texts import Percentile
from cubeengine.types import BoolArray, Column

if TYPE_CHECKING:
    from cubeengine.events.selections import Node

Bound: TypeAlias = int | float

FEW_VALUES = 16
"""Up to so many values are compared one by one; sorting the column costs as much as 20 comparisons."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A field between two bounds, both included; None leaves a side open."""

    field: str
    low: Bound | None = None
    high: Bound | None = None

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if not bounds:
            raise SpecError(f"cut on {self.field!r}: needs a lower or an upper bound")
        if any(math.isnan(bound) for bound in bounds):
            raise SpecError(f"cut on {self.field!r}: a bound is NaN")
        if bounds[0] > bounds[-1]:
            raise SpecError(
                f"cut on {self.field!r}: the lower bound {self.low} is above the upper, {self.high}"
            )


@dataclass(frozen=True, slots=True)
class Ranked:
    """A field between two bounds of which one, or both, is a percentile of its values; both are included.

    It has no answer before the numbers are found; see `planning.percentiles`.

    Attributes
    ----------
    field : str
        The field.
    low, high : number, Percentile or None
        The bounds; None leaves a side open.
    scope : Node
        The percentiles are those of the finite values of the events that this keeps.
    """

    field: str
    low: Bound | Percentile | None
    high: Bound | Percentile | None
    scope: Node


@dataclass(frozen=True, slots=True)
class OneOf:
    """A field that equals one of some values."""

    field: str
    values: tuple[Bound, ...]  # values wanted
    known: tuple[Bound, ...] = ()
    """Where given, all values that mean something: any other stands for unknown, such as -1 in the state of
    the laser.
    """
    ulps: int = 0
    """How many units in the last place a float may be off: a few where `values` were converted from another
    unit, as 0.3 ps is 3e-13 s but for rounding.
    """

    def __post_init__(self) -> None:
        if not self.values:
            raise SpecError(f"cut on {self.field!r}: needs at least one value")
        if any(math.isnan(value) for value in self.values):
            raise SpecError(f"cut on {self.field!r}: no value equals NaN; use isnan() in an expression")


@dataclass(frozen=True, slots=True)
class Given:
    """Events that are given one by one, as by a mask of a user's."""

    key: str  # hash of the states: equal for equal ones
    states: States = field(compare=False, repr=False)  # (n_events,) int8: The state of every event of the run

    @classmethod
    def of(cls, column: Column) -> Given:
        """Return booleans of all events as a condition; what is missing is unknown."""
        unknown = None if column.valid is None else ~column.valid
        found = states.from_truth(column.data, unknown, states.MISSING)
        found.setflags(write=False)
        return cls(hashlib.sha256(found.tobytes()).hexdigest(), found)


Condition: TypeAlias = Interval | Ranked | OneOf | Expression | Given


def condition_fields(condition: Condition) -> frozenset[str]:
    """Return the names of the fields that a condition needs."""
    match condition:
        case Expression():
            return condition.fields
        case Given():
            return frozenset()
    return frozenset({condition.field})


def condition_text(condition: Condition) -> str:
    """Say what a condition asks for, as it would be written in a formula."""
    match condition:
        case Expression():
            return condition.text
        case Given():
            return "mask"
        case Ranked(name, low, high, _):
            return f"{low} <= {name} <= {high}"
        case Interval(name, None, high):
            return f"{name} <= {high}"
        case Interval(name, low, None):
            return f"{name} >= {low}"
        case Interval(name, low, high):
            return f"{low} <= {name} <= {high}"
        case OneOf(name, (value,)):
            return f"{name} == {value}"
        case OneOf(name, values):
            return f"{name} in [{', '.join(map(str, values))}]"


def condition_states(condition: Condition, columns: Columns, n_events: int) -> States:
    """Return the state of every event under one condition."""
    if isinstance(condition, Expression):
        return _expression_states(condition, columns, n_events)
    if isinstance(condition, Given):
        return given_states(condition, slice(0, n_events))
    if isinstance(condition, Ranked):
        raise SpecError(f"cut on {condition.field!r}: its percentiles have not been computed yet")
    column = columns(condition.field)
    _check_scalar(condition.field, column)
    with np.errstate(all="ignore"):
        truth = (
            _within(column, condition)
            if isinstance(condition, Interval)
            else equal_to(column.data, condition.values, condition.ulps)
        )
    result = states.from_truth(truth)
    if isinstance(condition, OneOf) and condition.known:
        result[~equal_to(column.data, condition.known)] = states.MISSING
    if column.data.dtype.kind == "f":
        result[np.isnan(column.data)] = states.NAN
    return _mark_missing(result, column)


def given_states(given: Given, events: slice) -> States:
    """Return the states of a range of the run's events under a given condition.

    Raises
    ------
    SpecError
        If it was given for a run of fewer events.
    """
    if len(given.states) < events.stop:
        raise SpecError(f"the mask has {len(given.states):,} events, fewer than the run")
    return given.states[events]


def _mark_missing(result: States, column: Column) -> States:
    if column.valid is not None:
        result[~column.valid] = states.MISSING
    if column.damaged is not None:
        result[column.damaged] = states.DAMAGED
    return result


def _check_scalar(field: str, column: Column) -> None:
    if column.data.ndim != 1:
        shape = column.data.shape[1:]
        raise SpecError(
            f"cut on {field!r}: it has shape {shape} per event, but a cut needs one value; write an "
            f"expression with sum(`{field}`) or `{field}`[{', '.join('i' * len(shape))}]"
        )
    if column.data.dtype.kind not in "biuf":
        raise SpecError(f"cut on {field!r}: it holds {column.data.dtype}, but cuts need numbers")


def _within(column: Column, interval: Interval) -> BoolArray:
    data, kept = from_column(interval.field, Column(column.data)), np.ones(len(column), bool)
    for op, bound in ((">=", interval.low), ("<=", interval.high)):
        if bound is not None:
            kept &= compare(op, data, Value(bound)).data
    return kept


def equal_to(data: NDArray[Any], values: Sequence[Bound], ulps: int = 0) -> BoolArray:
    """Return where numbers are one of some values, which count as numbers of their type.

    Parameters
    ----------
    data : (n,) array
        Numbers or booleans.
    values : sequence of numbers
        Values wanted; those that the type does not hold equal nothing.
    ulps : int
        Units in the last place that floats may be off.
    """
    wanted = np.array([value for value in values if _holds(data.dtype, value)], data.dtype)
    if ulps and data.dtype.kind == "f" and len(wanted):
        return _close(data, np.sort(wanted), ulps)
    if len(wanted) > FEW_VALUES:
        return np.isin(data, wanted)
    found = np.zeros(len(data), bool)
    for value in wanted:
        found |= data == value
    return found


def _close(data: NDArray[Any], wanted: NDArray[Any], ulps: int) -> BoolArray:
    above = np.minimum(np.searchsorted(wanted, data), len(wanted) - 1)
    found = np.zeros(len(data), bool)
    for nearest in (wanted[above], wanted[np.maximum(above - 1, 0)]):
        found |= np.abs(data - nearest) <= ulps * np.abs(np.spacing(nearest))
    return found


def _holds(dtype: np.dtype[Any], value: Bound) -> bool:
    if dtype.kind == "b":
        return value in {0, 1}
    if dtype.kind == "f":
        return math.isfinite(value) and bool(np.isfinite(dtype.type(value)))
    limits = np.iinfo(dtype)
    return math.isfinite(value) and int(value) == value and limits.min <= value <= limits.max


def _expression_states(expression: Expression, columns: Columns, n_events: int) -> States:
    used: dict[str, Column] = {}

    def remember(name: str) -> Column:
        return used.setdefault(name, columns(name)) if name not in used else used[name]

    result = expression.evaluate(remember, n_events)
    _check_answer(expression, result)
    unknown = None if result.valid is None else ~result.valid
    found = states.from_truth(result.data, unknown)
    if unknown is not None:
        found[unknown & _any_missing(used.values(), n_events)] = states.MISSING
    if result.damaged is not None:
        found[result.damaged] = states.DAMAGED
    return found


def _check_answer(expression: Expression, result: Column) -> None:
    if result.data.ndim != 1:
        shape = result.data.shape[1:]
        raise SpecError(
            f"cut {expression.text}: gives shape {shape} per event, but a cut needs one answer; use any(), "
            f"all(), sum() or [{', '.join('i' * len(shape))}]"
        )
    if result.data.dtype.kind != "b":
        raise SpecError(
            f"cut {expression.text}: gives numbers, not true or false; compare them, e.g. with != 0"
        )


def _any_missing(columns: Iterable[Column], n_events: int) -> BoolArray:
    missing = np.zeros(n_events, bool)
    for column in columns:
        if column.valid is not None:
            missing |= ~column.valid
    return missing
