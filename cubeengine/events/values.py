"""Three-valued arithmetic on arrays of events: what is NaN or missing stays unknown.

The rules, which the guide states for users and the tests apply to every operator and function:

- A number that is NaN or missing is unknown, and so is all that is computed with it: also `x ** 0`, `1 ** x`,
  `0 * x` and the greater of two. Exceptions: `and`, `or`, `any` and `all`, where what is known may decide;
  `where`, which asks for the condition and the chosen number alone; `isnan` and `isfinite`, which always
  answer. Infinity is a number like any other.
- Numbers are computed in 64 bits, whatever the type of their field. Whole numbers are exact: a result that
  int64 cannot hold becomes a float (as do whole numbers of 2**63 and more, where they are computed with), as
  does a quotient by `/`. Bits (`&`, `|`, `~`) are those of int64, or of uint64 where a side is a field of
  that type or a number of 2**63 and more.
- Comparisons of whole numbers are exact, beside a condition too, which counts as 0 or 1. A number as written
  is compared with a float field in the field's own type, so that `x == 0.1` finds 0.1 in a float32 field.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.types import BoolArray, Column, widened

INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Value:
    """An intermediate result."""

    data: Any
    """(n_events, ...) array, or a Python number: Conditions (booleans), whole numbers or floats. A Python
    number is the same for all events; a whole one is at least -2**63 and less than 2**64.
    """
    valid: BoolArray | None = None
    """False where a whole number or condition is unknown, which then is 0 or False in `data`; None where all
    are known, and for floats.
    """

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
        """One of "b" (condition), "i" (whole numbers), "f" (floats)."""
        if self.is_constant:
            return "b" if isinstance(self.data, bool) else "i" if isinstance(self.data, int) else "f"
        return "i" if self.data.dtype.kind == "u" else str(self.data.dtype.kind)


def from_column(name: str, column: Column) -> Value:
    """Take a column into a computation.

    Raises
    ------
    SpecError
        If the field holds something other than real numbers or booleans.
    """
    if column.data.dtype.kind not in "biuf":
        raise SpecError(f"field {name!r} holds {column.data.dtype}, but expressions need numbers")
    data, valid = column.data.astype(column.data.dtype.newbyteorder("="), copy=False), column.valid
    return known_where(data, None if valid is None else valid.reshape(-1, *(1,) * (data.ndim - 1)))


def to_column(value: Value, n_events: int) -> Column:
    """Return a result as a column; an event is invalid where any of its elements is unknown."""
    if value.is_constant:
        return Column(np.full(n_events, value.data))
    if value.valid is None:
        return Column(widened(value.data))
    valid: BoolArray = np.logical_and.reduce(value.valid.reshape(n_events, math.prod(value.shape)), axis=1)
    if value.kind == "i" and value.shape and not np.array_equal(_all_elements(valid, value), value.valid):
        return Column(floats(value).data)  # single elements are unknown: only NaN can say so
    return Column(value.data, valid)


def _all_elements(valid: BoolArray, value: Value) -> BoolArray:
    return np.broadcast_to(valid.reshape(-1, *(1,) * len(value.shape)), value.data.shape)


def of_kind(column: Column, dtype: np.dtype[Any]) -> Column:
    """Return a variable as its type tells how to mark what is unknown, whatever its values came out as.

    Whole numbers become floats in a window where int64 does not hold one of them; what an event lacks must
    not follow from that.

    Parameters
    ----------
    column : Column
        Values of a window.
    dtype : numpy.dtype
        Type of the variable in all windows: floats are NaN where they are unknown, whole numbers and
        conditions are missing.
    """
    if dtype.kind == "f" and column.data.dtype.kind != "f":
        valid = None if column.valid is None else column.valid.reshape(-1, *(1,) * (column.data.ndim - 1))
        data = column.data.astype(np.float64)
        return replace(column, data=data if valid is None else np.where(valid, data, np.nan), valid=None)
    if dtype.kind == "f" or column.data.dtype.kind != "f":
        return column
    lacks = np.isnan(column.data).all(axis=tuple(range(1, column.data.ndim)))
    if column.valid is not None:
        lacks |= ~column.valid
    return replace(column, valid=~lacks) if lacks.any() else column


def blame(result: Column, damaged: Sequence[BoolArray]) -> BoolArray | None:
    """Return where a result is unknown and one of its inputs is damaged; None where that is nowhere."""
    if result.data.dtype.kind == "f":
        unknown = np.isnan(result.data).any(axis=tuple(range(1, result.data.ndim)))
    elif result.valid is not None:
        unknown = ~result.valid
    else:
        return None
    found: BoolArray = unknown & np.logical_or.reduce(damaged)
    return found if found.any() else None


def known_where(data: NDArray[Any], valid: Any) -> Value:
    """Return a result that is unknown where `valid` is False; `valid` may be None, or broadcast to it."""
    if valid is None or np.all(valid):
        return Value(data)
    spread_valid = np.broadcast_to(valid, data.shape)
    if data.dtype.kind == "f":
        return Value(np.where(spread_valid, data, np.nan))
    return Value(np.where(spread_valid, data, data.dtype.type(0)), spread_valid)


def known(value: Value) -> Any:
    """Return where a value is known; None where all of it is."""
    if value.kind != "f" or value.is_constant:
        return value.valid
    return ~np.isnan(value.data)


def all_known(*values: Value) -> Any:
    """Return where all values are known, element axes aligned; None where that is everywhere."""
    n_axes = max(len(value.shape) for value in values)
    found = [spread(valid, n_axes) for value in values if (valid := known(value)) is not None]
    return reduce(np.logical_and, found) if found else None


def number(value: Value) -> Value:
    """Return a value as it enters arithmetic: int64, or float64 also for whole numbers of 2**63 and more."""
    data = value.data
    if value.is_constant:
        return Value(float(data)) if value.kind == "f" or data > INT64.max else Value(int(data))
    if value.kind == "f" or (data.dtype == np.uint64 and data.max(initial=0) > INT64.max):
        return floats(value)
    return Value(data.astype(np.int64, copy=False), value.valid)


def floats(value: Value) -> Value:
    """Return a value as float64, NaN where it is unknown."""
    if value.is_constant:
        return Value(float(value.data))
    return known_where(value.data.astype(np.float64, copy=False), value.valid)


def align(*values: Value) -> list[Any]:
    """Return the data of values with their event axes matched and element axes broadcast as in numpy.

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
        raise SpecError(f"element axes {shapes} do not match; take one element with [i]") from None


def spread(data: Any, n_axes: int) -> Any:
    """Put axes of length 1 between the event axis and the element axes until there are `n_axes`."""
    if not isinstance(data, np.ndarray) or data.ndim - 1 >= n_axes:
        return data
    return data.reshape(len(data), *(1,) * (n_axes - data.ndim + 1), *data.shape[1:])


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
    if not math.isfinite(constant):
        raise SpecError(f"a constant part of it evaluates to {constant}")
    return Value(constant)


def element(value: Value, index: tuple[int | slice, ...]) -> Value:
    """Take elements of every event's value.

    Raises
    ------
    SpecError
        If there are fewer element axes than subscripts, or a subscript is out of range or takes nothing.
    """
    if len(index) > len(value.shape):
        found = f"values of shape {value.shape}" if value.shape else "one value"
        subscripts = "1 subscript" if len(index) == 1 else f"{len(index)} subscripts"
        fewer = ", ".join(str(part) if isinstance(part, int) else ":" for part in index[1:])
        write = f": write [{fewer}]" if len(index) == len(value.shape) + 1 > 1 else ""
        raise SpecError(f"{subscripts} on {found} per event; leave out the event axis{write}")
    for size, part in zip(value.shape, index, strict=False):
        _check_subscript(part, size)
    place = (slice(None), *index)
    return Value(value.data[place], None if value.valid is None else value.valid[place])


def _check_subscript(part: int | slice, size: int) -> None:
    if isinstance(part, slice):
        if not range(*part.indices(size)):
            raise SpecError(f"slice {part.start}:{part.stop} selects nothing from an axis of {size}")
    elif not -size <= part < size:
        raise SpecError(f"element {part} is outside an axis of {size}; valid elements are 0 to {size - 1}")
