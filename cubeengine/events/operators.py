"""Arithmetic, bits and comparisons of an expression; `events.values` states their rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.values import INT64, Value, align, all_known, floats, known_where, number, plain
from cubeengine.types import BoolArray, IntArray

MAX_POWER = 64
"""Largest whole exponent: `x ** 64` already leaves float32 for x = 4."""

_UFUNCS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "//": np.floor_divide,
    "%": np.remainder,
    "**": np.power,
}
_EXACT: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_BITS: Mapping[str, Callable[[Any, Any], Any]] = {"&": np.bitwise_and, "|": np.bitwise_or}


def arithmetic(op: str, left: Value, right: Value) -> Value:
    """Compute `left op right` for one of + - * / // % **."""
    if left.is_constant and right.is_constant:
        return _of_constants(op, left.data, right.data)
    a, b = number(left), number(right)
    whole_power = op != "**" or (b.is_constant and b.data >= 0)
    if a.kind == b.kind == "i" and op != "/" and whole_power:
        return _of_whole_numbers(op, a, b)
    return _of_floats(op, a, b)


def negative(value: Value) -> Value:
    """Compute `-value`."""
    if (value.is_constant and value.kind != "f") or number(value).kind == "i":
        return arithmetic("-", Value(0), value)
    return plain(np.negative(floats(value).data))


def absolute(value: Value) -> Value:
    """Compute `abs(value)`; the lowest int64 has no positive counterpart, and makes floats."""
    result = number(value)
    if result.kind == "f" or result.is_constant:
        return plain(np.abs(result.data))
    if (result.data == INT64.min).any():
        return Value(np.abs(floats(result).data))
    return Value(np.abs(result.data), result.valid)


def _of_floats(op: str, left: Value, right: Value) -> Value:
    a, b = align(floats(left), floats(right))
    result = _UFUNCS[op](a, b)
    if op == "**":  # numpy has 1 for x ** 0 and 1 ** x, also where x is NaN, and a root of -inf
        unknown = np.isnan(a) | np.isnan(b) | ((a < 0) & (b != np.floor(b)))
        result = np.where(unknown, np.nan, result)
    return Value(result)


def _of_whole_numbers(op: str, left: Value, right: Value) -> Value:
    """Compute in int64, and as floats where that does not hold the result: then all are floats."""
    a, b = (np.asarray(data, np.int64) for data in align(left, right))
    valid = all_known(left, right)
    result = _UFUNCS[op](a, b)
    beyond = _beyond(op, a, b, result) & (True if valid is None else valid)
    if beyond.any():
        inexact = _UFUNCS[op](a.astype(np.float64), b.astype(np.float64))
        result = np.where(beyond, inexact, result)
    return known_where(result, valid)


def _beyond(op: str, a: IntArray, b: IntArray, result: IntArray) -> BoolArray | np.bool_:
    """Return where int64 does not hold the exact result; `result` is what is left of it."""
    if op in {"+", "-", "*"} and _surely_fits(op, a, b):
        return np.False_
    found: BoolArray
    match op:
        case "+":
            found = ((a ^ result) & (b ^ result)) < 0
        case "-":
            found = ((a ^ b) & (a ^ result)) < 0
        case "*":
            found = ((b != 0) & (result // b != a)) | ((b == -1) & (a == INT64.min))
        case "**":
            low, high = _bases(int(b))
            found = (a < low) | (a > high)
        case _:
            found = (b == 0) | ((op == "//") & (b == -1) & (a == INT64.min))
    return found


def _surely_fits(op: str, a: IntArray, b: IntArray) -> bool:
    """Return whether int64 holds the results for the least and greatest numbers, and so all others."""
    if not (a.size and b.size):
        return True
    corners = [_EXACT[op](x, y) for x in (int(a.min()), int(a.max())) for y in (int(b.min()), int(b.max()))]
    return bool(INT64.min <= min(corners) and max(corners) <= INT64.max)


def _bases(exponent: int) -> tuple[int, int]:
    """Return the least and the greatest whole number whose power int64 holds."""
    if exponent < 2:
        return INT64.min, INT64.max
    high = int(2.0 ** (63 / exponent)) + 1
    while high**exponent > INT64.max:
        high -= 1
    odd_and_lower = exponent % 2 == 1 and -((high + 1) ** exponent) >= INT64.min
    return -high - odd_and_lower, high


def _of_constants(op: str, left: float, right: float) -> Value:
    """Compute with numbers as written: whole ones exactly."""
    if isinstance(left, int) and isinstance(right, int) and _stays_whole(op, left, right):
        exact = _EXACT[op](left, right)
        return Value(exact if INT64.min <= exact < 2**64 else float(exact))
    return plain(_UFUNCS[op](float(left), float(right)))


def _stays_whole(op: str, left: int, right: int) -> bool:
    if op in {"//", "%"}:
        return right != 0
    # A whole number has less than 65 bits, and so a product less than 130.
    return op != "/" and (op != "**" or (right >= 0 and abs(left) ** min(right, MAX_POWER) < 2**64))


def bits(op: str, left: Value, right: Value) -> Value:
    """Compute `&` or `|` of whole numbers: in uint64 where one of them has that type, else in int64."""
    dtype = np.uint64 if _is_unsigned(left) or _is_unsigned(right) else np.int64
    a, b = (np.asarray(data).astype(dtype) for data in align(left, right))
    result = _BITS[op](a, b)
    return plain(result) if not np.ndim(result) else known_where(result, all_known(left, right))


def inverted(value: Value) -> Value:
    """Compute `~` of whole numbers.

    Raises
    ------
    SpecError
        For floats.
    """
    if value.kind == "f":
        raise SpecError("'~' negates a condition or the bits of integers, not floats")
    dtype = np.uint64 if _is_unsigned(value) else np.int64
    result = ~np.asarray(value.data).astype(dtype)
    return plain(result) if value.is_constant else known_where(result, value.valid)


def _is_unsigned(value: Value) -> bool:
    return bool(value.data > INT64.max if value.is_constant else value.data.dtype == np.uint64)


def compare(op: str, left: Value, right: Value) -> Value:
    """Compare; unknown where either side is NaN or missing."""
    compared = _COMPARISONS[op]
    if left.is_constant and right.is_constant:
        return Value(bool(compared(left.data, right.data)))
    a, b = align(_beside(left, right), _beside(right, left))
    return known_where(compared(a, b), all_known(left, right))


def _beside(value: Value, other: Value) -> Value:
    """Return a value as it is compared: a condition as 0 or 1, a constant as fits the type of the other."""
    data = value.data
    if not value.is_constant:
        too_large = other.is_constant and data.dtype.kind == "f" and not _in_range(data.dtype, other.data)
        return Value(data.view(np.uint8) if value.kind == "b" else floats(value).data if too_large else data)
    # The 64 bits of a whole number are more than those of a float.
    whole = value.kind == "b" or (value.kind == "f" and data.is_integer() and other.kind != "f")
    return Value(int(data) if whole else data)


def _in_range(dtype: np.dtype[Any], constant: float) -> bool:
    return abs(constant) <= float(np.finfo(dtype).max)
