"""Stage `rebin`: neighbouring pixels become one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

from cubeengine.detectors.base import Context, Coordinate, Frame, Options
from cubeengine.detectors.dims import dim_names
from cubeengine.detectors.reduce import Blocks, How, Reduction, reduced_dtype
from cubeengine.errors import SpecError
from cubeengine.schema.texts import kind_of


def _read_factors(value: object) -> int | tuple[int, ...]:
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not 1 <= len(numbers) <= 2 or any(type(number) is not int or number < 1 for number in numbers):
        raise SpecError(
            "must be a whole number, or two numbers [rows, columns] to join into one, but is "
            f"{kind_of(value)}"
        )
    return numbers if isinstance(value, Sequence) else numbers[0]


class StageOptions(Options):
    """Join neighbouring pixels."""

    name = "rebin"
    shorthand = "factor"

    factor: Annotated[int | tuple[int, ...], BeforeValidator(_read_factors)]
    """How many rows and columns become one; one number counts for both. Of frames with one dimension: how
    many elements.
    """
    how: How = "sum"
    """A sum is NaN where one of its pixels is missing: it could not be compared with its
    neighbours. A mean is that of the pixels that are there.
    """

    def build(self, frame: Frame, context: Context) -> Rebin:
        """Make the stage; see `Options.build`."""
        factors = self._factors(frame, context)
        shape = tuple(size // factor for size, factor in zip(frame.shape, factors, strict=True))
        height = factors[-2] if len(factors) > 1 else 1
        blocks = Blocks(height, shape[-1], factors[-1])
        output = Frame(shape, reduced_dtype(frame.dtype, self.how), frame.unit)
        return Rebin(frame, output, blocks, self.how, strict=True)

    def _factors(self, frame: Frame, context: Context) -> tuple[int, ...]:
        """Return the factor of every dimension."""
        n_dims = len(frame.shape)
        given = (self.factor,) * min(n_dims, 2) if isinstance(self.factor, int) else self.factor
        if not n_dims or len(given) > n_dims:
            raise SpecError(
                f"field {context.field!r}: cannot be rebinned by {self.factor}: it has {n_dims} dimensions"
            )
        factors = (1,) * (n_dims - len(given)) + given
        for size, factor, name in zip(frame.shape, factors, dim_names(n_dims), strict=True):
            if size % factor:
                raise SpecError(
                    f"field {context.field!r}: {size} {name}s cannot be rebinned by {factor} without a "
                    f"remainder; {_fitting(size, factor)}"
                )
        return factors


@dataclass(frozen=True, slots=True)
class Rebin(Reduction):
    """Sums or means of rectangles."""

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return the pixel number of the middle of each rectangle."""
        names, coordinates = dim_names(len(self.output.shape)), {}
        for dim, (size, before) in enumerate(zip(self.output.shape, self.input.shape, strict=True)):
            factor = before // size
            coordinates[dim] = Coordinate(names[dim], np.arange(size) * factor + (factor - 1) / 2)
        return coordinates


def _fitting(size: int, factor: int) -> str:
    """Say which factors would fit, and which `roi` would make this one fit."""
    divisors = [number for number in range(1, size + 1) if size % number == 0 and number > 1]
    near = sorted(divisors, key=lambda number: abs(math.log(number / factor)))[:3]
    fits = f"{', '.join(map(str, sorted(near)))} would fit"
    return f"{fits}, or a `roi` of {size - size % factor} before it" if size >= factor else fits
