"""Texts and numbers of a spec, read once: names, fields, units, amounts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from cubeengine.errors import SpecError
from cubeengine.marks import LEADING_ZEROS, Mark, Marks
from cubeengine.units import Quantity, convert_written, parse_quantity, parse_unit


@dataclass(frozen=True, slots=True)
class Percentile:
    """A percentile of the values of events, as the bound of a cut."""

    share: int | float  # 0 to 100

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 100:
            raise SpecError(f"a percentile must be between 0 % and 100 %, not {self.share!r} %")

    def __str__(self) -> str:
        return f"{repr(self.share).removesuffix('.0')} %"


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}")
_MAX_FIELD_NAME = 300


def check_name(name: str) -> str:
    """Return the name if it may be the name of a cube, a selection, a signal.

    Raises
    ------
    SpecError
        If it could not be part of a file name everywhere.
    """
    if NAME.fullmatch(name) is None:
        raise SpecError(
            f"{name[:80]!r} is not a name: letters, digits, '_', '.', '-', starting with a letter or digit, "
            "at most 64"
        )
    return name


def check_field_name(name: str) -> str:
    """Return the name if it can be that of a field; backticks around it are taken off."""
    bare = name[1:-1] if len(name) > 2 and name[0] == name[-1] == "`" else name
    if "`" in bare or len(bare) > _MAX_FIELD_NAME:
        raise SpecError(f"{name[:80]!r} is not the name of a field; write an expression under `derive`")
    return bare


def check_unit(text: object) -> str:
    """Return the unit if it is known; "" is dimensionless."""
    if not isinstance(text, str):
        raise SpecError(f"must be a unit such as 'ps', but is {kind_of(text)}")
    parse_unit(text)
    return text.strip()


def plain_number(value: object) -> object:
    """Return a single number of numpy or xarray as one of Python's; anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def read_amount(value: object) -> int | float | Quantity:
    """Read a number that may carry a unit: 3, 0.5, "3 keV".

    Raises
    ------
    SpecError
        If it is none, or not finite.
    """
    value = plain_number(value)
    if isinstance(value, Quantity):
        parse_unit(value.unit)
        return value if value.unit else _finite(value.value)
    if isinstance(value, str):
        if value.strip().endswith("%"):
            raise SpecError(f"{value!r} is a percentile, which stands as 'min' or 'max' of a cut only")
        quantity = parse_quantity(value)
        return quantity if quantity.unit else quantity.value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return _finite(value)
    raise SpecError(f"must be a number, or a number with a unit, but is {kind_of(value)}")


def read_bound(value: object) -> int | float | Quantity | Percentile:
    """Read the bound of a cut: an amount, or a percentile as "10 %".

    Raises
    ------
    SpecError
        If it is neither.
    """
    if isinstance(value, Percentile):
        return value
    if isinstance(value, str) and value.strip().endswith("%"):
        quantity = parse_quantity(value.strip()[:-1])
        if quantity.unit:
            raise SpecError(f"{value!r} has a unit beside the percent sign; write a percentile as '10 %'")
        return Percentile(quantity.value)
    return read_amount(value)


def amount_in(value: float | Quantity, unit: str | None, what: str) -> float:
    """Return an amount as a number in a unit; a number without a unit is in that unit already.

    Raises
    ------
    SpecError
        If the amount carries a unit and none is known for `what`, or the two do not measure the same.
    """
    if not isinstance(value, Quantity):
        return value
    if unit is None:
        raise SpecError(f"{value} has a unit, but {what} has none; declare it under `units`")
    return convert_written(value.value, value.unit, unit)


def variable_name(field: str) -> str:
    """Return the name of a field in the cube: `/` becomes `__`.

    Examples
    --------
    >>> variable_name("ipm2/sum")
    'ipm2__sum'
    """
    return field.replace("/", "__")


def is_variable_name(name: str) -> bool:
    """Return whether a name may be that of an array in a store."""
    return _VARIABLE.fullmatch(name) is not None


def read_marks(value: object) -> Marks:
    """Read what stands for missing values in one field: a number, "leading_zeros", or a list of these.

    Raises
    ------
    SpecError
        If it is none of these.
    """
    if not isinstance(value, list | tuple):
        return _read_mark(value)
    marks = tuple(dict.fromkeys(map(_read_mark, value)))
    return marks[0] if len(marks) == 1 else marks


def _read_mark(value: object) -> Mark:
    if hasattr(value, "item"):  # a number of numpy's
        value = value.item()
    if value == LEADING_ZEROS:
        return LEADING_ZEROS
    if isinstance(value, str) and value.lower().strip("+-.") in ("nan", "inf", "infinity"):
        value = float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecError(f"must be a number, {LEADING_ZEROS!r}, or a list of these, but is {kind_of(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError("NaN and infinities are always missing: leave this out")
    return value


def kind_of(value: object) -> str:
    """Say what a value is, for messages: "a list", "the text 'on'", "12"."""
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "empty"
    if isinstance(value, int | float):
        return str(value)[:60]
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def counted(n: int, one: str, many: str = "") -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "leaf", "leaves"), counted(1200, "task")
    ('1 leaf', '1,200 tasks')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _finite(value: float) -> float:
    try:
        if math.isfinite(float(value)):
            return value
    except OverflowError:
        pass
    raise SpecError("must be a finite number")
