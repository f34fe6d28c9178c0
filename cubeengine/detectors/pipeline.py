"""Stages one after another, as one operation on blocks of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Coordinate, Elements, Frame, Options, Stage
from cubeengine.detectors.dims import carried
from cubeengine.errors import MissingExtra, SourceFormatError, SpecError
from cubeengine.schema.problems import Problem, spec_error
from cubeengine.shared import SharedArray, held_nbytes
from cubeengine.types import IntArray

MAX_EVENTS = 65_536
"""Events of a block at most: their index is small against everything else then."""


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """The stages of one signal, each taking what the one before gives."""

    input: Frame  # what is read
    stages: tuple[Stage, ...]  # in order; none leaves frames as they are
    field: str = ""  # field the frames are read from, for messages

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

    @property
    def gather(self) -> SharedArray | None:
        """Where the last stage takes each element of the output from, if it does nothing else."""
        return self.stages[-1].gather if self.stages else None

    def before_gather(self) -> Pipeline:
        """Return the stages before the last."""
        return replace(self, stages=self.stages[:-1])

    def needs(self, elements: Elements) -> Elements:
        """Return the range of elements to read for a range of elements of the output."""
        return self._ranges(elements)[0]

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return the coordinates of the output's dimensions, in pixels of the frame that is read."""
        none: Mapping[int, Coordinate] = {}
        return reduce(carried, self.stages, none)

    def facts(self) -> list[dict[str, object]]:
        """Return what the stages found, for the record."""
        return [dict(stage.facts()) for stage in self.stages]

    def events_per_block(self, elements: Elements, block_nbytes: int) -> int:
        """Return how many events a block holds, so that none of its forms exceeds `block_nbytes`."""
        widest = max(self._row_nbytes(elements))
        return min(max(block_nbytes // max(widest, 1), 1), MAX_EVENTS)

    def work(self, elements: Elements, capacity: int) -> Work:
        """Prepare memory for blocks of at most `capacity` events."""
        return Work(self, elements, capacity)

    def memory_nbytes(self, elements: Elements, capacity: int) -> int:
        """Return the memory that `work` takes: events picked, a buffer per stage, and what stages need."""
        ranges = self._ranges(elements)[1:]
        scratch = (
            stage.scratch_nbytes(capacity, stop - start)
            for stage, (start, stop) in zip(self.stages, ranges, strict=True)
        )
        return capacity * sum(self._row_nbytes(elements)) + max(scratch, default=0)

    def _row_nbytes(self, elements: Elements) -> list[int]:
        """Return the bytes of one event: as read, then after every stage."""
        sizes = [self.input.dtype.itemsize, *(stage.output.dtype.itemsize for stage in self.stages)]
        ranges = self._ranges(elements)
        return [(stop - start) * size for (start, stop), size in zip(ranges, sizes, strict=True)]

    def _ranges(self, elements: Elements) -> list[Elements]:
        """Return the range that is read, then those that the stages make."""
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
        self.needs, self.capacity = ranges[0], capacity
        self._picked = np.empty((capacity, self.needs[1] - self.needs[0]), pipeline.input.dtype)
        self._steps = [
            (stage, wanted, np.empty((capacity, wanted[1] - wanted[0]), stage.output.dtype))
            for stage, wanted in zip(pipeline.stages, ranges[1:], strict=True)
        ]

    def __call__(self, data: NDArray[Any], rows: IntArray) -> NDArray[Any]:
        """Return the output of some rows of a block, at most `capacity`; overwritten by the next call.

        Parameters
        ----------
        data : (m, n_needed) array of the input's type
            The block as read.
        rows : (n,) int64
            Rows of it that are wanted, rising.
        """
        frames = self._pick(data, rows)
        for stage, wanted, buffer in self._steps:
            out = buffer[: len(frames)]
            stage.apply(frames, wanted, out)
            frames = out
        return frames

    def _pick(self, data: NDArray[Any], rows: IntArray) -> NDArray[Any]:
        if len(rows) and int(rows[-1]) - int(rows[0]) + 1 == len(rows):
            return data[int(rows[0]) : int(rows[-1]) + 1]
        return np.take(data, rows, axis=0, out=self._picked[: len(rows)], mode="clip")


def build_pipeline(frame: Frame, options: Sequence[Options], context: Context) -> Pipeline:
    """Make the stages of a signal, one after another.

    Raises
    ------
    SpecError
        With everything that is wrong, as far as it can be known: behind a stage that cannot be made these are
        files that do not exist, and what does not fit the shape of the frames, while that is known. The
        paths of its problems begin with the number and the name of the stage.
    """
    stages: list[Stage] = []
    problems: list[Problem] = []
    current: Frame | None = frame
    for number, option in enumerate(options):
        path = number, option.name
        absent = list(option.missing_files(context.folder))
        problems += [Problem((*path, key), f"no such file: {str(file)!r}") for key, file in absent]
        made = None
        if current is not None and not absent and not (problems and option.keeps_shape):
            try:
                made = option.build(current, context)
            except (SpecError, SourceFormatError, MissingExtra) as err:
                damaged = isinstance(err, SourceFormatError)
                problems.append(Problem(path, str(err), cause="data" if damaged else "spec"))
        if made is not None:
            stages.append(made)
            current = made.output
        elif not option.keeps_shape:
            current = None
    if problems:
        raise spec_error(problems)
    return Pipeline(frame, tuple(stages), context.field)
