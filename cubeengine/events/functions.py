"""The functions an expression may call: one table, nothing else can be called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events.eventcodes import eventcode
from cubeengine.events.logic import any_element, negation
from cubeengine.events.operators import absolute
from cubeengine.events.values import (
    Value,
    align,
    all_known,
    floats,
    known,
    known_where,
    number,
    plain,
    spread,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of an expression."""

    arguments: tuple[str, ...]
    """What the arguments are called in messages; their number is how many there must be."""
    compute: Callable[..., Value]  # values to value


def _of_floats(ufunc: Callable[..., Any]) -> Function:
    return Function(("x",), lambda x: plain(ufunc(floats(x).data)))


def _of_numbers(ufunc: Callable[..., Any]) -> Function:
    """Return a function that has whole numbers of whole numbers."""

    def compute(x: Value) -> Value:
        value = number(x)
        result = ufunc(value.data)
        return plain(result) if value.is_constant else known_where(result, value.valid)

    return Function(("x",), compute)


def _rounded(ufunc: Callable[..., Any]) -> Function:
    def compute(x: Value) -> Value:
        value = number(x)
        return value if value.kind == "i" else plain(ufunc(value.data))

    return Function(("x",), compute)


def _of_pairs(ufunc: Callable[..., Any]) -> Function:
    return Function(("a", "b"), lambda a, b: _chosen(ufunc, a, b))


def _chosen(ufunc: Callable[..., Any], left: Value, right: Value) -> Value:
    """Return one of two numbers; unknown where either is, as numpy has it for NaN."""
    result = ufunc(*align(number(left), number(right)))
    if left.is_constant and right.is_constant:
        return plain(result)
    return known_where(result, all_known(left, right))


def _clip(x: Value, low: Value, high: Value) -> Value:
    return _chosen(np.minimum, _chosen(np.maximum, x, low), high)


def _isnan(x: Value) -> Value:
    return negation(_is_known(x))


def _isfinite(x: Value) -> Value:
    if x.kind == "f" and not x.is_constant:
        return Value(np.isfinite(x.data))
    return _is_known(x)


def _is_known(x: Value) -> Value:
    if x.is_constant:
        return Value(True)
    valid = known(x)
    return Value(np.ones(x.data.shape, bool) if valid is None else np.asarray(valid))


def _where(test: Value, yes: Value, no: Value) -> Value:
    if test.kind != "b":
        raise SpecError("where() needs a condition as its first argument, not numbers; compare first")
    if yes.kind == no.kind == "b":
        return (yes if test.data else no) if test.is_constant else _chosen_by(test, yes, no)
    chosen, other = number(yes), number(no)
    if "f" in (chosen.kind, other.kind):
        chosen, other = floats(chosen), floats(other)
    if test.is_constant:
        return chosen if test.data else other
    return _chosen_by(test, chosen, other)


def _chosen_by(test: Value, yes: Value, no: Value) -> Value:
    """Return what a condition chooses; unknown where the condition or what it chooses is."""
    take, a, b = align(test, yes, no)
    n_axes = max(len(value.shape) for value in (test, yes, no))
    of_test, of_yes, of_no = (
        True if known(value) is None else spread(known(value), n_axes) for value in (test, yes, no)
    )
    return known_where(np.where(take, a, b), np.logical_and(of_test, np.where(take, of_yes, of_no)))


def _over_elements(name: str, reduce: Callable[[NDArray[Any]], NDArray[Any]], *, empty: bool) -> Function:
    """Return a function over the element axes; `empty` tells whether it has a value of no elements."""

    def compute(x: Value) -> Value:
        data = _elements(name, x)
        if not (data.shape[1] or empty):
            raise SpecError(f"{name}() needs elements, but its argument has shape {x.shape} per event")
        result = reduce(data.view(np.uint8) if x.kind == "b" else data)
        valid = None if x.valid is None else x.valid.reshape(data.shape).all(axis=1)
        return number(known_where(result, valid))

    return Function(("x",), compute)


def _elements(name: str, value: Value) -> NDArray[Any]:
    if value.is_constant or not value.shape:
        raise SpecError(
            f"{name}() works over the elements of an event, but its argument has one value per event"
        )
    flat: NDArray[Any] = value.data.reshape(len(value.data), math.prod(value.shape))
    return flat


def _sum(data: NDArray[Any]) -> NDArray[Any]:
    """Add elements up: exactly for whole numbers, as floats where int64 does not hold a sum."""
    total: NDArray[Any]
    if data.dtype.kind == "f" or data.dtype.itemsize < 8:  # 2**31 elements of 32 bits do not overflow
        total = data.sum(axis=1, dtype=np.float64 if data.dtype.kind == "f" else np.int64)
        return total
    low = (data & np.asarray(2**32 - 1, data.dtype)).sum(axis=1, dtype=np.int64)
    high = (data >> np.asarray(32, data.dtype)).sum(axis=1, dtype=np.int64) + (low >> 32)
    low &= 2**32 - 1
    fits = ((high >= -(2**31)) & (high < 2**31)).all()
    total = (high << 32) + low if fits else high * 2.0**32 + low
    return total


def _any(x: Value) -> Value:
    _elements("any", _condition_of("any", x))
    return any_element(x)


def _all(x: Value) -> Value:
    _elements("all", _condition_of("all", x))
    return negation(any_element(negation(x)))


def _condition_of(name: str, value: Value) -> Value:
    if value.kind != "b":
        raise SpecError(f"{name}() needs a condition, not numbers; compare first, e.g. x > 0")
    return value


FUNCTIONS: Mapping[str, Function] = MappingProxyType({
    "abs": Function(("x",), absolute),
    "sqrt": _of_floats(np.sqrt),
    "log": _of_floats(np.log),
    "log10": _of_floats(np.log10),
    "exp": _of_floats(np.exp),
    "sin": _of_floats(np.sin),
    "cos": _of_floats(np.cos),
    "tan": _of_floats(np.tan),
    "floor": _rounded(np.floor),
    "ceil": _rounded(np.ceil),
    "round": _rounded(np.round),
    "sign": _of_numbers(np.sign),
    "minimum": _of_pairs(np.minimum),
    "maximum": _of_pairs(np.maximum),
    "isfinite": Function(("x",), _isfinite),
    "isnan": Function(("x",), _isnan),
    "where": Function(("condition", "yes", "no"), _where),
    "clip": Function(("x", "low", "high"), _clip),
    "sum": _over_elements("sum", _sum, empty=True),
    "mean": _over_elements("mean", lambda data: _sum(data) / data.shape[1], empty=False),
    "max": _over_elements("max", lambda data: data.max(axis=1), empty=False),
    "min": _over_elements("min", lambda data: data.min(axis=1), empty=False),
    "any": Function(("x",), _any),
    "all": Function(("x",), _all),
    "eventcode": Function(("field", "n"), eventcode),
})  # fmt: skip
"""Every function by name."""
