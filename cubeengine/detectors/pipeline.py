"""Stages one after another, as one operation on blocks of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Coordinate, Elements, Frame, Options, Stage
from cubeengine.shared import held_nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """The stages of one signal, each taking what the one before gives.

    Attributes
    ----------
    input : Frame
        What is read.
    stages : tuple of Stage
        In order; none leaves frames as they are.
    """

    input: Frame
    stages: tuple[Stage, ...]

    @property
    def output(self) -> Frame:
        """What comes out."""
        return self.stages[-1].output if self.stages else self.input

    @property
    def local(self) -> bool:
        """Whether any range of a frame can be worked on by itself."""
        return all(stage.local for stage in self.stages)

    @property
    def held_nbytes(self) -> int:
        """Bytes of the tables that are in memory."""
        return held_nbytes(self.stages)

    def needs(self, elements: Elements) -> Elements:
        """Give the range of elements to read for a range of elements of the output."""
        return self._ranges(elements)[0]

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Give the coordinates of the output's dimensions: those of the last stage that changed the shape."""
        shaping = [stage for stage in self.stages if stage.input.shape != stage.output.shape]
        return shaping[-1].coordinates() if shaping else {}

    def facts(self) -> list[dict[str, object]]:
        """Give what the stages found, for the record."""
        return [dict(stage.facts()) for stage in self.stages]

    def work(self, elements: Elements, capacity: int) -> Work:
        """Prepare memory for blocks of at most `capacity` events."""
        return Work(self, elements, capacity)

    def memory_nbytes(self, elements: Elements, capacity: int) -> int:
        """Give the memory that `work` takes: a buffer per stage, and what stages need themselves."""
        ranges = self._ranges(elements)[1:]
        widths = [stop - start for start, stop in ranges]
        buffers = sum(
            capacity * width * stage.output.dtype.itemsize
            for stage, width in zip(self.stages, widths, strict=True)
        )
        scratch = (
            stage.scratch_nbytes(capacity, width) for stage, width in zip(self.stages, widths, strict=True)
        )
        return buffers + max(scratch, default=0)

    def _ranges(self, elements: Elements) -> list[Elements]:
        """Give the range that is read, then those that the stages make."""
        ranges = [elements]
        for stage in reversed(self.stages):
            ranges.append(stage.needs(ranges[-1]))
        return ranges[::-1]


class Work:
    """A pipeline with the buffers it works in: reused from block to block.

    Parameters
    ----------
    pipeline : Pipeline
        What to do.
    elements : (int, int)
        Range of the output's elements that is wanted.
    capacity : int
        Most events of a block.
    """

    def __init__(self, pipeline: Pipeline, elements: Elements, capacity: int) -> None:
        ranges = pipeline._ranges(elements)
        self.needs = ranges[0]
        self._steps = [
            (stage, wanted, np.empty((capacity, wanted[1] - wanted[0]), stage.output.dtype))
            for stage, wanted in zip(pipeline.stages, ranges[1:], strict=True)
        ]

    def __call__(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Give the output of a block of events; overwritten by the next call."""
        for stage, wanted, buffer in self._steps:
            out = buffer[: len(frames)]
            stage.apply(frames, wanted, out)
            frames = out
        return frames


def build_pipeline(frame: Frame, options: Sequence[Options], context: Context) -> Pipeline:
    """Make the stages of a signal, one after another; see `Options.build` for the errors."""

    def extended(stages: tuple[Stage, ...], option: Options) -> tuple[Stage, ...]:
        return (*stages, option.build(stages[-1].output if stages else frame, context))

    stages: tuple[Stage, ...] = reduce(extended, options, ())
    return Pipeline(frame, stages)
