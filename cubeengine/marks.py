"""Marks of missing values: the one that the smallData writers put, and those that a user declares.

Integers have no NaN. Where an event lacks one, both writers of the facility (SmallData of psana, for LCLS-I
and for LCLS-II) put -99999 into every element, in the field's own type. NumPy before 2.0 wraps it where the
type cannot hold it: 97 in 8 bits, 31073 in 16, 4294867297 in uint32. In 8 and 16 bits these may be data.

References
----------
lcls2, psana/psana/smalldata.py (`MISSING_INT`, `Server.backfill`); psana of LCLS-I, SmallData (`_missing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.types import FieldInfo, FieldKind

Mark: TypeAlias = int | float | Literal["leading_zeros"]
Marks: TypeAlias = Mark | tuple[Mark, ...]
"""What stands for missing values in a field: a number, zeros before the first other value, or several.

An empty tuple says that nothing does, not even the writers' mark.
"""

MISSING_INTEGER = -99_999
"""What both writers put where an integer is missing."""

LEADING_ZEROS: Literal["leading_zeros"] = "leading_zeros"

CERTAIN_ITEMSIZE = 4
"""From this size of an integer on, the writers' mark is taken for one wherever it stands."""

CERTAIN_ELEMENTS = 16
"""In smaller types, where it fills a value of at least so many elements: no detector reads the same number in
all of its pixels, and no other than this one."""


def marks_of(marks: Marks) -> tuple[Mark, ...]:
    """Return the marks of one field as a tuple, however they were declared."""
    return marks if isinstance(marks, tuple) else (marks,)


def writers_mark(dtype: np.dtype[Any]) -> int | None:
    """Return the writers' mark as a type holds it; None for types that are no integers.

    Examples
    --------
    >>> [writers_mark(np.dtype(code)) for code in ("u1", "i2", "i4", "u4", "f8")]
    [97, 31073, -99999, 4294867297, None]
    """
    return int(np.array(MISSING_INTEGER).astype(dtype)) if dtype.kind in "iu" else None


def is_certain(dtype: np.dtype[Any], n_elements: int) -> bool:
    """Return whether the writers' mark, in all elements of a value, cannot be data in such a field."""
    return dtype.itemsize >= CERTAIN_ITEMSIZE or n_elements >= CERTAIN_ELEMENTS


def certain_marks(dtype: np.dtype[Any], n_elements: int) -> tuple[int, ...]:
    """Return what is missing by itself in a field that one of the writers wrote."""
    mark = writers_mark(dtype)
    return () if mark is None or not n_elements or not is_certain(dtype, n_elements) else (mark,)


def doubtful_mark(dtype: np.dtype[Any], n_elements: int) -> int | None:
    """Return the number that may be the writers' mark in a field, or data; None where there is no doubt."""
    return None if not n_elements or is_certain(dtype, n_elements) else writers_mark(dtype)


def declared_values(marks: Marks) -> tuple[int | float, ...]:
    """Return the numbers among declared marks."""
    return tuple(mark for mark in marks_of(marks) if not isinstance(mark, str))


def check_marks(marks: Mapping[str, Marks], fields: Mapping[str, FieldInfo], where: str) -> None:
    """Check declared marks against the fields of a source.

    Raises
    ------
    FieldNotFound
        If there is no such field.
    SpecError
        If the field is not one value per event, or its type cannot hold a mark.
    """
    for name, declared in marks.items():
        if name not in fields:
            raise FieldNotFound(name, where, list(fields))
        if fields[name].kind is not FieldKind.EVENT:
            raise SpecError(f"missing: {name!r} is not one value per event")
        for mark in marks_of(declared):
            if problem := mark_problem(fields[name], mark):
                raise SpecError(f"missing: {problem}")


def mark_problem(info: FieldInfo, mark: Mark) -> str:
    """Return why a mark cannot stand in a field; "" where it can."""
    if mark == LEADING_ZEROS:
        return ""
    if isinstance(mark, str):
        return f"{info.name!r}: {mark!r} is not a mark; a mark is a number, or {LEADING_ZEROS!r}"
    dtype = info.dtype if info.narrow is None else info.narrow
    if _holds(dtype, mark):
        return ""
    return f"{info.name!r} is {dtype}, {_range(dtype)}, which cannot hold {mark}{_hint(info, mark)}"


def _holds(dtype: np.dtype[Any], mark: int | float) -> bool:
    if dtype.kind == "b":
        return mark in (0, 1)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return mark == int(mark) and int(limits.min) <= int(mark) <= int(limits.max)
    return dtype.kind != "f" or abs(mark) <= float(np.finfo(dtype).max)


def _range(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return "0 or 1"
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return f"whole numbers from {limits.min} to {limits.max}"
    return f"numbers up to {float(np.finfo(dtype).max):.6g}"


def _hint(info: FieldInfo, mark: int | float) -> str:
    wrapped = writers_mark(info.dtype)
    if mark != MISSING_INTEGER or wrapped is None:
        return ""
    if is_certain(info.dtype, info.n_elements):
        return f"; there it is {wrapped}, which counts as missing without a declaration"
    return f"; in this type, the writers' {MISSING_INTEGER} becomes {wrapped}"
