"""Stage `sum`: one number per event."""

from __future__ import annotations

from cubeengine.detectors.base import Context, Frame, Options
from cubeengine.detectors.reduce import Blocks, How, Reduction, reduced_dtype


class StageOptions(Options):
    """Sum over the whole frame, after whatever was masked."""

    name = "sum"
    shorthand = "how"

    how: How = "sum"  # "sum" or "mean": Of the pixels that are there; NaN where none is

    def build(self, frame: Frame, context: Context) -> Reduction:  # noqa: ARG002 - fits any field
        """Make the stage; see `Options.build`."""
        output = Frame((), reduced_dtype(frame.dtype, self.how), frame.unit)
        return Reduction(frame, output, Blocks(1, 1, frame.n_elements), self.how)
