"""The functions an expression may call: one table, nothing else can be called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.logic import any_element, certainly_false, certainly_true, negation
from cubeengine.events.values import Value, align, condition, floats, number, plain, spread

WORD_BITS = 16
"""Event codes come in words of 16 bits: code n is bit n % 16 of word n // 16."""
MAX_EVENT_CODE = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Function:
    """A function of an expression.

    Attributes
    ----------
    arguments : tuple of str
        What the arguments are called in messages; their number is how many there must be.
    compute : callable
        Values to value.
    """

    arguments: tuple[str, ...]
    compute: Callable[..., Value]


def _of_floats(ufunc: Callable[..., Any]) -> Function:
    return Function(("x",), lambda x: plain(ufunc(floats(x).data)))


def _of_numbers(ufunc: Callable[..., Any]) -> Function:
    return Function(("x",), lambda x: plain(ufunc(number(x).data)))


def _of_pairs(ufunc: Callable[..., Any]) -> Function:
    return Function(("a", "b"), lambda a, b: plain(ufunc(*align(number(a), number(b)))))


def _round(x: Value) -> Value:
    value = number(x)
    return value if value.kind == "i" else plain(np.round(value.data))


def _rounded(ufunc: Callable[..., Any]) -> Function:
    def compute(x: Value) -> Value:
        value = number(x)
        return value if value.kind == "i" else plain(ufunc(value.data))

    return Function(("x",), compute)


def _absolute(x: Value) -> Value:
    value = number(x)
    return _safe_integers(np.abs, value) if value.kind == "i" else plain(np.abs(value.data))


def _safe_integers(ufunc: Callable[..., Any], value: Value) -> Value:
    # The lowest int64 has no positive counterpart.
    lowest = np.any(np.equal(value.data, np.iinfo(np.int64).min))
    return plain(ufunc(floats(value).data if lowest else value.data))


def _isfinite(x: Value) -> Value:
    data = np.isfinite(floats(x).data)
    return Value(data) if isinstance(data, np.ndarray) else Value(bool(data))


def _isnan(x: Value) -> Value:
    data = np.isnan(floats(x).data)
    return Value(data) if isinstance(data, np.ndarray) else Value(bool(data))


def _clip(x: Value, low: Value, high: Value) -> Value:
    raised = plain(np.maximum(*align(number(x), number(low))))
    return plain(np.minimum(*align(raised, number(high))))


def _where(test: Value, yes: Value, no: Value) -> Value:
    if test.kind != "b":
        raise SpecError("where() needs a condition as its first argument, not numbers; compare first")
    if test.is_constant:
        return yes if test.data else no
    if yes.kind == no.kind == "b":
        return _where_condition(test, yes, no)
    chosen, other = number(yes), number(no)
    if test.valid is not None and "f" not in (chosen.kind, other.kind):
        chosen = floats(chosen)
    take, a, b = align(test, chosen, other)
    result = np.where(take, a, b)
    return plain(result if test.valid is None else np.where(_spread_valid(test, result), result, np.nan))


def _where_condition(test: Value, yes: Value, no: Value) -> Value:
    take, a, b = align(test, _as_array(yes, test), _as_array(no, test))
    result = np.where(take, a, b)
    known = [spread(~_unknown(_as_array(part, test)), result.ndim - 1) for part in (yes, no)]
    valid = np.where(take, *known) & _spread_valid(test, result)
    return condition(result, valid)


def _spread_valid(test: Value, result: Any) -> Any:
    return np.True_ if test.valid is None else spread(test.valid, result.ndim - 1)


def _as_array(value: Value, like: Value) -> Value:
    return Value(np.full(len(like.data), value.data)) if value.is_constant else value


def _unknown(value: Value) -> Any:
    return ~(certainly_true(value) | certainly_false(value))


def _elements(name: str, value: Value) -> Any:
    if value.is_constant or not value.shape:
        raise SpecError(f"{name}() works over the element axes, but its argument has one value per event")
    return value.data.reshape(len(value.data), math.prod(value.shape))


def _over_elements(name: str, reduce: Callable[[Any], Any]) -> Function:
    def compute(x: Value) -> Value:
        return plain(reduce(_elements(name, number(x))))

    return Function(("x",), compute)


def _sum(data: Any) -> Any:
    if data.dtype.kind != "i":
        return data.sum(axis=1, dtype=np.float64)
    largest = max(abs(int(data.min())), abs(int(data.max()))) if data.size else 0
    return data.sum(axis=1, dtype=np.int64 if largest * data.shape[1] < 2**63 else np.float64)


def _any(x: Value) -> Value:
    _elements("any", _condition_of("any", x))
    return any_element(x)


def _all(x: Value) -> Value:
    _elements("all", _condition_of("all", x))
    return negation(any_element(negation(x)))


def _condition_of(name: str, value: Value) -> Value:
    if value.kind != "b":
        raise SpecError(f"{name}() needs a condition, not numbers; compare first, for example x > 0")
    return value


def _eventcode(field: Value, code: Value) -> Value:
    word, bit = divmod(int(code.data), WORD_BITS)
    if field.is_constant or field.kind != "i" or len(field.shape) != 1:
        found = "a number" if field.is_constant else f"{field.data.dtype} of shape {field.shape}"
        raise SpecError(
            "eventcode() needs a field of integer words per event, as `timing/raw/sequenceValues`, but this "
            f"is {found}"
        )
    if word >= field.shape[0]:
        last = field.shape[0] * WORD_BITS - 1
        raise SpecError(f"event code {code.data}: the field holds {field.shape[0]} words, codes 0 to {last}")
    seen = (field.data[:, word] >> bit) & 1
    return condition(seen.astype(bool), None if field.valid is None else field.valid[:, word])


FUNCTIONS: Mapping[str, Function] = MappingProxyType({
    "abs": Function(("x",), _absolute),
    "sqrt": _of_floats(np.sqrt),
    "log": _of_floats(np.log),
    "log10": _of_floats(np.log10),
    "exp": _of_floats(np.exp),
    "sin": _of_floats(np.sin),
    "cos": _of_floats(np.cos),
    "tan": _of_floats(np.tan),
    "floor": _rounded(np.floor),
    "ceil": _rounded(np.ceil),
    "round": Function(("x",), _round),
    "sign": _of_numbers(np.sign),
    "minimum": _of_pairs(np.minimum),
    "maximum": _of_pairs(np.maximum),
    "isfinite": Function(("x",), _isfinite),
    "isnan": Function(("x",), _isnan),
    "where": Function(("condition", "yes", "no"), _where),
    "clip": Function(("x", "low", "high"), _clip),
    "sum": _over_elements("sum", _sum),
    "mean": _over_elements("mean", lambda data: data.mean(axis=1, dtype=np.float64)),
    "max": _over_elements("max", lambda data: data.max(axis=1)),
    "min": _over_elements("min", lambda data: data.min(axis=1)),
    "any": Function(("x",), _any),
    "all": Function(("x",), _all),
    "eventcode": Function(("field", "n"), _eventcode),
})  # fmt: skip
"""Every function by name."""
