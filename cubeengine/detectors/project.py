"""Stage `project`: sum or mean along one dimension of a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from cubeengine.detectors.base import Context, Coordinate, Frame, Options
from cubeengine.detectors.dims import pixel_numbers
from cubeengine.detectors.reduce import Blocks, How, Reduction, reduced_dtype
from cubeengine.errors import SpecError


class StageOptions(Options):
    """Project frames."""

    name = "project"
    shorthand = "onto"

    onto: Literal["rows", "columns"] | None = None
    """What is left of the two last dimensions: "rows" gives one value per row, "columns"
    one per column.
    """
    axis: Annotated[int, Field(strict=True, ge=-32, lt=32)] | None = None
    """Instead of `onto`: the dimension that is summed over, as numpy counts them."""
    how: How = "sum"  # "sum" or "mean": Of the pixels that are there; NaN where none is

    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        return {"axis": data} if type(data) is int else super()._spelled_out(data)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.onto is None) == (self.axis is None):
            raise SpecError("needs either 'onto', rows or columns, or 'axis', a number")
        return self

    def build(self, frame: Frame, context: Context) -> Projection:
        """Make the stage; see `Options.build`."""
        axis = self._axis(frame, context)
        shape = frame.shape[:axis] + frame.shape[axis + 1 :]
        inner, length = math.prod(frame.shape[axis + 1 :]), frame.shape[axis]
        blocks = Blocks(1, 1, length) if inner == 1 else Blocks(length, inner, 1)
        output = Frame(shape, reduced_dtype(frame.dtype, self.how), frame.unit)
        return Projection(frame, output, blocks, self.how, axis=axis)

    def _axis(self, frame: Frame, context: Context) -> int:
        n_dims = len(frame.shape)
        axis = {"rows": -1, "columns": -2}[self.onto] if self.onto else self.axis or 0
        if (self.onto and n_dims < 2) or not -n_dims <= axis < n_dims:
            wanted = f"onto its {self.onto}" if self.onto else f"along axis {axis}"
            raise SpecError(
                f"field {context.field!r}: cannot be projected {wanted}: its frames have shape {frame.shape}"
            )
        return axis % n_dims


@dataclass(frozen=True, slots=True)
class Projection(Reduction):
    """Sums or means along one dimension."""

    axis: int = 0  # number of this dimension in the input

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return the pixel numbers along what is left."""
        return {
            dim: pixel_numbers(self.input, dim + (dim >= self.axis)) for dim in range(len(self.output.shape))
        }
