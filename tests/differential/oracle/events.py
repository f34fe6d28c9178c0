"""The events as the files have them: in the order of time, and what is missing apart from what is there.

A column is an array of objects, events first: booleans, integers and floats of Python's, `Single` where the
file has 16 or 32 bits of a float; None where the event lacks the value, but NaN where floats do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.object_]
MARK = -99999


class Single(float):
    """A float of 32 bits: what it is compared with is rounded to them."""


class Unsigned(int):
    """An integer of uint64, which sums of whole numbers cannot hold."""


def read(run: Any, declared: Mapping[str, Any]) -> tuple[list[int], dict[str, Column]]:
    """Return the real times of the events in ns, and every field, in the order of time.

    `declared` says of some fields what stands for a missing value there: numbers, "leading_zeros", or a list.
    """
    packed = np.concatenate([part["time"] for part in run.parts]).tolist()
    order = sorted(range(len(packed)), key=packed.__getitem__)  # events of one time stay as they stand
    times = [(packed[row] >> 32) * 10**9 + (packed[row] & 0xFFFFFFFF) for row in order]
    names = dict.fromkeys(name for part in run.parts for name in part if name != "time")
    return times, {name: _column(run.parts, name, declared.get(name))[order] for name in names}


def _column(parts: Sequence[Mapping[str, NDArray[Any]]], name: str, declared: Any) -> Column:
    like = next(part[name] for part in parts if name in part)
    nothing = np.nan if like.dtype.kind == "f" else None
    marks = declared if isinstance(declared, list) else [] if declared is None else [declared]
    values = {mark for mark in marks if mark != "leading_zeros"}
    if declared != []:
        values |= _certain_marks(like.dtype, math.prod(like.shape[1:]))
    pieces = []
    for part in parts:
        if name not in part:  # the writer of this part never saw it
            pieces.append(np.full((len(part["time"]), *like.shape[1:]), nothing, object))
            continue
        piece = elements(part[name])
        if like.dtype.kind == "f":
            for mark in values:
                piece[piece == float(like.dtype.type(mark))] = nothing
        else:
            piece[[all(v in values for v in row) for row in by_event(piece)]] = nothing
        if "leading_zeros" in marks:
            other = np.flatnonzero((by_event(part[name]) != 0).any(axis=1))
            piece[: other[0] if len(other) else len(piece)] = nothing
        pieces.append(piece)
    return np.concatenate(pieces)


def _certain_marks(dtype: np.dtype[Any], n_elements: int) -> set[int]:
    """Return what the writers put for a missing integer, as the type holds it, where it cannot be data."""
    certain = dtype.itemsize >= 4 or n_elements >= 16
    if dtype.kind not in "iu" or not certain:
        return set()
    bits = 8 * dtype.itemsize
    wrapped = MARK % 2**bits
    return {wrapped - 2**bits if dtype.kind == "i" and wrapped >= 2 ** (bits - 1) else wrapped}


def elements(values: NDArray[Any]) -> Column:
    """Return the elements of an array as objects."""
    single = values.dtype.kind == "f" and values.dtype.itemsize < 8
    unsigned = values.dtype.kind == "u" and values.dtype.itemsize == 8
    made = Single if single else Unsigned if unsigned else {"b": bool, "f": float}.get(values.dtype.kind, int)
    column = np.empty(values.shape, object)
    column.reshape(-1)[:] = [made(value) for value in values.reshape(-1).tolist()]
    return column


def by_event(values: NDArray[Any]) -> NDArray[Any]:
    """Return an array with the elements of an event in one row."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def unknown(value: Any) -> bool:
    """Whether a value is missing or NaN."""
    return value is None or bool(value != value)


def finite(value: Any) -> bool:
    """Whether a value counts: it is there, and neither NaN nor infinite."""
    return not unknown(value) and math.isfinite(value)


def missing(column: Column) -> NDArray[np.bool_]:
    """Return where an event lacks a value."""
    return np.array([any(value is None for value in row.flat) for row in by_event(column)], bool)
