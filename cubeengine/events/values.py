"""Three-valued arithmetic on arrays of events: what is NaN or missing stays unknown.

Numbers follow numpy's rules with three exceptions that guard against silent wrong answers: integers
are computed in 64 bits, integer results that 64 bits cannot hold become floats, and so do integers of
which some are missing (NaN there) as soon as they are computed with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.types import BoolArray, Column

_INT64_BOUND = 2**63
MAX_POWER = 64
"""Largest whole exponent: `x ** 64` already leaves float32 for x = 4."""


@dataclass(frozen=True, slots=True)
class Value:
    """An intermediate result.

    Attributes
    ----------
    data : (n_events, ...) array, or a Python number
        Booleans, int64 or other integers, or floats; a Python number is the same for all events.
    valid : bool array of the shape of `data`, or None
        False where an integer or boolean is unknown; None where all are known, and for floats.
    """

    data: Any
    valid: BoolArray | None = None

    @property
    def is_constant(self) -> bool:
        """Whether it is one number for all events."""
        return not isinstance(self.data, np.ndarray)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's value."""
        return () if self.is_constant else self.data.shape[1:]

    @property
    def kind(self) -> str:
        """One of "b" (condition), "i" (integers), "f" (floats)."""
        kind = np.asarray(self.data).dtype.kind
        return "i" if kind == "u" else kind


def from_column(name: str, column: Column) -> Value:
    """Take a column into a computation.

    Raises
    ------
    SpecError
        If the field holds something other than real numbers or booleans.
    """
    if column.data.dtype.kind not in "biuf":
        raise SpecError(f"field {name!r} holds {column.data.dtype}, expressions need numbers")
    if column.valid is None or column.valid.all() or column.data.dtype.kind == "f":
        return Value(column.data)
    spread = column.valid.reshape(-1, *(1,) * (column.data.ndim - 1))
    return Value(column.data, np.broadcast_to(spread, column.data.shape))


def to_column(value: Value, n_events: int) -> Column:
    """Give a result as a column; an event is invalid where any of its elements is unknown."""
    if value.is_constant:
        return Column(np.full(n_events, value.data))
    if value.valid is None:
        return Column(value.data)
    valid: BoolArray = np.logical_and.reduce(value.valid.reshape(n_events, math.prod(value.shape)), axis=1)
    if value.kind == "i" and value.shape and not np.array_equal(_all_elements(valid, value), value.valid):
        return Column(floats(value).data)  # single elements are unknown: only NaN can say so
    return Column(value.data, valid)


def _all_elements(valid: BoolArray, value: Value) -> BoolArray:
    return np.broadcast_to(valid.reshape(-1, *(1,) * len(value.shape)), value.data.shape)


def blame(result: Column, damaged: Sequence[BoolArray]) -> BoolArray | None:
    """Give where a result is unknown and one of its inputs is damaged; None where that is nowhere."""
    if result.data.dtype.kind == "f":
        unknown = np.isnan(result.data).any(axis=tuple(range(1, result.data.ndim)))
    elif result.valid is not None:
        unknown = ~result.valid
    else:
        return None
    found: BoolArray = unknown & np.logical_or.reduce(damaged)
    return found if found.any() else None


def number(value: Value) -> Value:
    """Give a value as it enters arithmetic: int64, or floats with NaN where it is unknown."""
    data = value.data
    if value.valid is not None:
        return floats(value)
    if value.is_constant:
        return Value(float(data) if isinstance(data, int) and abs(data) >= _INT64_BOUND else data + 0)
    if data.dtype.kind == "u" and data.dtype.itemsize == 8 and _magnitude(data) >= _INT64_BOUND:
        return floats(value)
    if data.dtype.kind in "biu":
        return Value(data.astype(np.int64, copy=False))
    return value


def floats(value: Value) -> Value:
    """Give a value as floats, NaN where it is unknown."""
    if value.kind == "f":
        return value
    if value.is_constant:
        return Value(float(value.data))
    data = value.data.astype(np.float64)
    return Value(data if value.valid is None else np.where(value.valid, data, np.nan))


def align(*values: Value) -> list[Any]:
    """Give the data of values with their event axes matched and element axes broadcast as in numpy.

    Raises
    ------
    SpecError
        If the element axes do not fit.
    """
    _check_shapes(values)
    n_axes = max(len(value.shape) for value in values)
    return [spread(value.data, n_axes) for value in values]


def _check_shapes(values: tuple[Value, ...]) -> None:
    try:
        np.broadcast_shapes(*(value.shape for value in values))
    except ValueError:
        shapes = " and ".join(str(value.shape) for value in values if value.shape)
        raise SpecError(f"element axes {shapes} do not fit each other; take one element with [i]") from None


def spread(data: Any, n_axes: int) -> Any:
    """Put axes of length 1 between the event axis and the element axes until there are `n_axes`."""
    if not isinstance(data, np.ndarray) or data.ndim - 1 >= n_axes:
        return data
    return data.reshape(len(data), *(1,) * (n_axes - data.ndim + 1), *data.shape[1:])


def arithmetic(op: str, left: Value, right: Value) -> Value:
    """Compute `left op right` for one of + - * / // % **."""
    if op == "**":
        return _power(left, right)
    first, second = number(left), number(right)
    a, b = align(first, second)
    if first.kind == second.kind == "i" and op != "/" and not _fits_int64(op, a, b):
        a, b = _as_float(a), _as_float(b)
    return plain(_ARITHMETIC[op](a, b))


def plain(data: Any) -> Value:
    """Wrap a result of numpy; a result without an event axis becomes a Python number again.

    Raises
    ------
    SpecError
        If constants alone give no finite number, as 1 / 0 does: no event could ever be right.
    """
    if isinstance(data, np.ndarray) and data.ndim:
        return Value(data)
    constant = np.asarray(data).item()
    if not np.isfinite(constant):
        raise SpecError(f"a constant part of it gives {constant}")
    return Value(constant)


def _fits_int64(op: str, a: Any, b: Any) -> bool:
    high_a, high_b = _magnitude(a), _magnitude(b)
    if op in {"//", "%"}:
        return bool(np.all(np.not_equal(b, 0))) and high_a < _INT64_BOUND
    return (high_a * high_b if op == "*" else high_a + high_b) < _INT64_BOUND


def _power(left: Value, right: Value) -> Value:
    base, exponent = number(left), number(right)
    whole = exponent.is_constant and base.kind == exponent.kind == "i" and exponent.data >= 0
    if whole and _magnitude(base.data) ** min(exponent.data, MAX_POWER) < _INT64_BOUND:
        return plain(np.power(base.data, exponent.data))
    a, b = align(floats(base), exponent)
    return plain(np.power(a, b))


def _magnitude(data: Any) -> int:
    if not isinstance(data, np.ndarray):
        return abs(int(data))
    return max(abs(int(data.min())), abs(int(data.max()))) if data.size else 0


def _as_float(data: Any) -> Any:
    return data.astype(np.float64) if isinstance(data, np.ndarray) else float(data)


_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "//": np.floor_divide,
    "%": np.remainder,
}

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def compare(op: str, left: Value, right: Value) -> Value:
    """Compare; unknown where either side is NaN or missing. Integers compare exactly."""
    a, b = align(_exact_beside(left, right), _exact_beside(right, left))
    n_axes = max(len(left.shape), len(right.shape))
    valid = both(spread(known(left), n_axes), spread(known(right), n_axes))
    result = _COMPARISONS[op](a, b)
    if not (isinstance(result, np.ndarray) and result.ndim):
        return Value(bool(result))
    return condition(result, valid)


def condition(truth: NDArray[np.bool_], valid: Any) -> Value:
    """Build a condition; `valid` may be None or broadcast to it."""
    if valid is None or (isinstance(valid, np.ndarray) and valid.all()):
        return Value(truth)
    spread_valid = np.broadcast_to(valid, truth.shape)
    return Value(truth & spread_valid, spread_valid)


def _exact_beside(value: Value, other: Value) -> Value:
    """Give a whole float constant as an integer beside integers, whose 64 bits a float does not hold."""
    whole = isinstance(value.data, float) and value.data.is_integer() and other.kind == "i"
    return Value(int(value.data)) if whole else value


def known(value: Value) -> Any:
    """Give where a value is known; None where all of it is."""
    if value.kind != "f" or value.is_constant:
        return value.valid
    return ~np.isnan(value.data)


def both(a: Any, b: Any) -> Any:
    """Give where both are known; None means everywhere."""
    if a is None or b is None:
        return b if a is None else a
    return np.logical_and(a, b)


def element(value: Value, index: tuple[int | slice, ...]) -> Value:
    """Take elements of every event's value.

    Raises
    ------
    SpecError
        If there are fewer element axes than subscripts, or a subscript is out of range or takes nothing.
    """
    if len(index) > len(value.shape):
        found = f"values of shape {value.shape}" if value.shape else "one value"
        raise SpecError(f"[{len(index)} subscripts] on {found} per event; the event axis is not written")
    for size, part in zip(value.shape, index, strict=False):
        _check_subscript(part, size)
    place = (slice(None), *index)
    return Value(value.data[place], None if value.valid is None else value.valid[place])


def _check_subscript(part: int | slice, size: int) -> None:
    if isinstance(part, slice):
        if not range(*part.indices(size)):
            raise SpecError(f"slice {part.start}:{part.stop} takes nothing of an axis of {size}")
    elif not -size <= part < size:
        raise SpecError(f"element {part} of an axis of {size}; they are 0 to {size - 1}")
