"""Small stages for tests of what carries them: one local, one of whole frames, one that only moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cubeengine.detectors.base import Context, Coordinate, Frame, Options, Stage
from cubeengine.detectors.registry import register
from cubeengine.shared import SharedArray


@dataclass(frozen=True, slots=True, eq=False)
class Offset(Stage):
    """Subtracts a table; every seventh element is bad."""

    input: Frame
    output: Frame
    table: SharedArray
    local: ClassVar[bool] = True

    def apply(self, frames, elements, out):
        np.subtract(frames, self.table.load()[slice(*elements)], out=out, casting="unsafe")

    def facts(self):
        return {"bad": int(np.isnan(self.table.load()).sum())}


class OffsetOptions(Options):
    name: ClassVar[str] = "test_offset"

    def build(self, frame: Frame, context: Context) -> Stage:
        return Offset(
            frame, Frame(frame.shape, np.dtype("f4"), "keV"), SharedArray(offsets(frame.n_elements))
        )


def offsets(n_elements: int) -> np.ndarray:
    table = np.arange(n_elements, dtype=np.float32)
    table[::7] = np.nan
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Rows(Stage):
    """Sums along the last dimension."""

    input: Frame
    output: Frame

    def apply(self, frames, elements, out):
        whole = frames.reshape(len(frames), *self.input.shape).sum(axis=-1, dtype=self.output.dtype)
        out[:] = whole.reshape(len(frames), -1)[:, slice(*elements)]

    def coordinates(self):
        return {0: Coordinate("row", np.arange(self.output.shape[0]), "pixel")}


class RowsOptions(Options):
    name: ClassVar[str] = "test_rows"

    def build(self, frame: Frame, context: Context) -> Stage:
        return Rows(frame, Frame(frame.shape[:-1], np.dtype("i8" if frame.dtype.kind == "u" else "f8")))


@dataclass(frozen=True, slots=True, eq=False)
class Turn(Stage):
    """Turns frames upside down and puts an empty row below."""

    input: Frame
    output: Frame
    index: SharedArray

    @property
    def gather(self):
        return self.index

    def apply(self, frames, elements, out):
        index = self.index.load()[slice(*elements)]
        out[:] = np.where(index < 0, np.nan, frames[:, np.maximum(index, 0)])


class TurnOptions(Options):
    name: ClassVar[str] = "test_turn"

    def build(self, frame: Frame, context: Context) -> Stage:
        rows, columns = frame.shape
        index = np.full((rows + 1, columns), -1)
        index[:rows] = np.arange(rows * columns).reshape(rows, columns)[::-1]
        output = Frame(index.shape, np.dtype("f4"), frame.unit)
        return Turn(frame, output, SharedArray(index.ravel()))


for options in (OffsetOptions, RowsOptions, TurnOptions):
    register(options)
