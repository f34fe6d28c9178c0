"""Logic of conditions inside an expression: true, false and unknown after Kleene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.operators import bits
from cubeengine.events.values import Value, align, known_where, spread
from cubeengine.types import BoolArray


def conjunction(parts: Sequence[Value], word: str = "and") -> Value:
    """Return where all parts are true: false if any is false, else unknown if any is unknown."""
    return negation(disjunction([negation(part, word) for part in parts], word), word)


def disjunction(parts: Sequence[Value], word: str = "or") -> Value:
    """Return where any part is true: true if any is true, else unknown if any is unknown."""
    result = _checked(parts[0], word)
    for part in parts[1:]:
        result = _either(result, _checked(part, word))
    return result


def negation(value: Value, word: str = "not") -> Value:
    """Turn true into false and back; unknown stays."""
    value = _checked(value, word)
    if value.is_constant:
        return Value(not value.data)
    return known_where(~value.data, value.valid)


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
    return bits(op, left, right)


def any_element(value: Value) -> Value:
    """Return whether any element of an event is true; unknown if none is and some are unknown."""
    certain = _any_of_event(value, value.data)
    return known_where(certain, certain | ~_any_of_event(value, ~_false(value)))


def _any_of_event(value: Value, truth: BoolArray) -> BoolArray:
    by_event = truth.reshape(len(truth), math.prod(value.shape))
    result: BoolArray = np.logical_or.reduce(by_event, axis=1)
    return result


def _either(left: Value, right: Value) -> Value:
    if left.is_constant and right.is_constant:
        return Value(left.data or right.data)
    true = np.logical_or(*align(left, right))
    if left.valid is None and right.valid is None:
        return Value(true)
    n_axes = max(len(left.shape), len(right.shape))
    false_left, false_right = (spread(_false(value), n_axes) for value in (left, right))
    return known_where(true, true | np.logical_and(false_left, false_right))


def _false(value: Value) -> Any:
    """Return where a condition is known to be false."""
    false = np.logical_not(value.data)
    return false if value.valid is None else false & value.valid


def _checked(value: Value, word: str) -> Value:
    if value.kind == "b":
        return value
    raise SpecError(f"{word!r} joins conditions, not numbers; compare first, e.g. with != 0")
