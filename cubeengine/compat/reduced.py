"""Variables as the original names them (a field, or a field with a region) as expressions.

A field with several values per event counts as their sum wherever one number is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cubeengine.errors import SpecError
from cubeengine.types import FieldInfo

VariableName: TypeAlias = "str | Sequence[str | int | Sequence[int]]"
"""A field, or [field, region]: an element, or [first, last + 1] of one or two axes."""


@dataclass(frozen=True, slots=True)
class Region:
    """A field, and the part of its elements that is meant.

    Attributes
    ----------
    field : str
        Name of the field.
    slices : tuple of int or slice
        Of the first element axes; empty for all elements.
    """

    field: str
    slices: tuple[int | slice, ...] = ()

    @property
    def text(self) -> str:
        """The region as an expression."""
        subscripts = ", ".join(
            str(part) if isinstance(part, int) else f"{part.start}:{part.stop}" for part in self.slices
        )
        return f"`{self.field}`[{subscripts}]" if self.slices else f"`{self.field}`"


def read_region(variable: VariableName) -> Region:
    """Read a field or [field, region] as the original takes them.

    Raises
    ------
    SpecError
        If it is neither.

    Examples
    --------
    >>> read_region(["epix/ROI_0_area", [2, 8, 0, 5]]).text
    '`epix/ROI_0_area`[2:8, 0:5]'
    """
    if isinstance(variable, str):
        return Region(variable.removeprefix("/"))
    if len(variable) == 1 and isinstance(variable[0], str):
        return Region(variable[0].removeprefix("/"))
    if len(variable) != 2 or not isinstance(variable[0], str):
        raise SpecError(f"{variable!r} is not a variable; give a field, or [field, region]")
    return Region(variable[0].removeprefix("/"), _slices(variable[1]))


def _slices(region: str | int | Sequence[int]) -> tuple[int | slice, ...]:
    if isinstance(region, str):
        raise SpecError(f"{region!r} is not a region; give an element, [first, last + 1], or two such pairs")
    numbers = (region,) if isinstance(region, int) else tuple(int(number) for number in region)
    if len(numbers) == 1:
        return (numbers[0],)
    if len(numbers) not in (2, 4):
        raise SpecError(f"region {list(numbers)} has {len(numbers)} numbers: give 1, 2 or 4")
    return tuple(slice(*numbers[i : i + 2]) for i in range(0, len(numbers), 2))


def one_number(region: Region, info: FieldInfo, threshold: float | None = None) -> str:
    """Return the expression that makes one number per event of a region.

    Elements are added; NaN ones are left out, and an event without a finite element has none.

    Parameters
    ----------
    region : Region
        What is meant.
    info : FieldInfo
        Of its field.
    threshold : float, optional
        Elements below become 0.
    """
    elements = region.text
    rank = len(info.shape) - sum(isinstance(part, int) for part in region.slices)
    if threshold is not None:
        elements = f"where({elements} < {number(threshold)}, 0, {elements})"
    if rank <= 0:
        return elements
    if info.dtype.kind != "f":
        return f"sum({elements})"
    finite = f"isfinite({region.text})"
    return f"where(any({finite}), sum(where({finite}, {elements}, 0)), sum({region.text}))"


def open_interval(text: str, low: float, high: float) -> str:
    """Return the expression of a cut as the original makes it: low < x < high, open at both ends.

    Raises
    ------
    SpecError
        If a limit is NaN, both are infinite, or the lower one is above the other.

    Examples
    --------
    >>> open_interval("`ipm2/sum`", 0.3, float("inf"))
    '`ipm2/sum` > 0.3'
    """
    if math.isnan(low) or math.isnan(high):
        raise SpecError(f"cut on {text}: a limit is NaN")
    if low > high:
        raise SpecError(f"cut on {text}: no number is above {low:g} and below {high:g}; swap the limits")
    if math.isinf(low) and math.isinf(high):
        raise SpecError(f"cut on {text}: every number is between {low} and {high}; leave the cut out")
    if math.isinf(low):
        return f"{text} < {number(high)}"
    return f"{text} > {number(low)}" if math.isinf(high) else f"{number(low)} < {text} < {number(high)}"


def number(value: float) -> str:
    """Write a number so that it reads back the same."""
    return repr(float(value)).removesuffix(".0")
