"""Logic of conditions inside an expression: true, false and unknown after Kleene."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.values import Value, align, both, condition, number, plain, spread
from cubeengine.types import BoolArray

_BITS = {"&": np.bitwise_and, "|": np.bitwise_or}


def conjunction(parts: Sequence[Value], word: str = "and") -> Value:
    """Give where all parts are true: false if any is false, else unknown if any is unknown."""
    return negation(disjunction([negation(part, word) for part in parts], word), word)


def disjunction(parts: Sequence[Value], word: str = "or") -> Value:
    """Give where any part is true: true if any is true, else unknown if any is unknown."""
    result = _checked(parts[0], word)
    for part in parts[1:]:
        result = _either(result, _checked(part, word))
    return result


def negation(value: Value, word: str = "not") -> Value:
    """Turn true into false and back; unknown stays."""
    value = _checked(value, word)
    if value.is_constant:
        return Value(not value.data)
    return condition(~value.data, value.valid)


def bitwise(op: str, left: Value, right: Value) -> Value:
    """Compute `&` or `|`: logic between conditions, bits between integers.

    Raises
    ------
    SpecError
        Between a condition and a number, and for floats: mostly `a > 1 & b > 2` without its parentheses.
    """
    if left.kind == right.kind == "b":
        return conjunction([left, right], op) if op == "&" else disjunction([left, right], op)
    if not left.kind == right.kind == "i":
        raise SpecError(
            f"{op!r} needs two conditions or two integers; it binds more tightly than comparisons, "
            f"so write (a > 1) {op} (b > 2)"
        )
    if left.valid is not None or right.valid is not None:
        return _bitwise_known(op, left, right)
    a, b = align(number(left), number(right))
    return plain(_BITS[op](a, b))


def _bitwise_known(op: str, left: Value, right: Value) -> Value:
    a, b = align(number(Value(left.data)), number(Value(right.data)))
    n_axes = max(len(left.shape), len(right.shape))
    valid = both(*(None if v.valid is None else spread(v.valid, n_axes) for v in (left, right)))
    data = _BITS[op](a, b)
    return Value(data, np.broadcast_to(valid, data.shape))


def any_element(value: Value) -> Value:
    """Give whether any element of an event is true; unknown if none is and some are unknown."""
    certain = _any_of_event(value, certainly_true(value))
    possible = _any_of_event(value, ~certainly_false(value))
    return condition(certain, certain | ~possible)


def certainly_true(value: Value) -> BoolArray:
    """Give where a condition is known and true."""
    truth: BoolArray = value.data if value.valid is None else value.data & value.valid
    return truth


def certainly_false(value: Value) -> BoolArray:
    """Give where a condition is known and false."""
    truth: BoolArray = ~value.data if value.valid is None else ~value.data & value.valid
    return truth


def _any_of_event(value: Value, truth: BoolArray) -> BoolArray:
    by_event = truth.reshape(len(truth), math.prod(value.shape))
    result: BoolArray = np.logical_or.reduce(by_event, axis=1)
    return result


def _either(left: Value, right: Value) -> Value:
    if left.is_constant and right.is_constant:
        return Value(left.data or right.data)
    a, b = align(left, right)
    if left.valid is None and right.valid is None:
        return Value(np.logical_or(a, b))
    n_axes = max(len(left.shape), len(right.shape))
    true = np.logical_or(a, b)  # data is False wherever it is unknown
    false_left, false_right = (spread(_false(value), n_axes) for value in (left, right))
    return condition(true, true | np.logical_and(false_left, false_right))


def _false(value: Value) -> BoolArray | np.bool_:
    return np.bool_(not value.data) if value.is_constant else certainly_false(value)


def _checked(value: Value, word: str) -> Value:
    if value.kind == "b":
        return Value(value.data) if value.valid is None else Value(certainly_true(value), value.valid)
    raise SpecError(f"{word!r} joins conditions, not numbers; compare first, for example with != 0")
