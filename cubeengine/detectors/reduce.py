"""Sums and means over blocks of a frame's elements: what `rebin`, `project` and `sum` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Elements, Frame, Stage
from cubeengine.detectors.views import read_only
from cubeengine.errors import DataError
from cubeengine.kernels.jit import jit

How: TypeAlias = Literal["sum", "mean"]

_LANES = 64  # elements added side by side: sums that do not wait for one another, and fit the first cache
_PLAIN, _SUM, _STRICT, _MEAN = range(4)  # what is made of sums and counts


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a frame is cut: rows of `columns` blocks, each of `height` rows times `width` elements.

    An input row has `columns * width` elements; `height` of them, one after another, make an output row
    of `columns` elements.
    """

    height: int
    columns: int
    width: int

    @property
    def size(self) -> int:
        """Elements of a block."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Reduction(Stage):
    """Every output element is the sum or mean of one block of the input.

    Elements that are not finite are missing and left out; none left gives NaN.

    Attributes
    ----------
    input, output : Frame
        What goes in and what comes out.
    blocks : Blocks
        Which elements belong together.
    how : "sum" or "mean"
        What is made of them.
    strict : bool
        Whether a sum is NaN where any of its elements is missing.
    """

    input: Frame
    output: Frame
    blocks: Blocks
    how: How
    strict: bool = False

    def needs(self, elements: Elements) -> Elements:
        """Return the whole rows of blocks that a range of output elements is made of."""
        columns, per_row = self.blocks.columns, self.blocks.columns * self.blocks.size
        return elements[0] // columns * per_row, -(-elements[1] // columns) * per_row

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Sum the blocks; see `Stage.apply`.

        Raises
        ------
        DataError
            If a sum of 64-bit integers does not fit 64 bits.
        """
        values = read_only(frames)
        first = elements[0] % self.blocks.columns
        shape = (self.blocks.height, self.blocks.columns, self.blocks.width)
        if out.dtype == values.dtype == np.int64 and _largest(values) * self.blocks.size >= 2**63:
            row = _first_too_large(values, *shape, first, out.shape[1])
            if row >= 0:
                raise DataError(
                    f"a sum of {self.blocks.size:,} integers does not fit 64 bits; use 'how: mean', or, if "
                    "some integers mark missing values, leave them out first, e.g. with "
                    "{threshold: {max: 1e9, above: missing}}",
                    row,
                )
        # Sums may leave the range of int64 on the way: modulo 2**64 the last one is right all the same.
        lines, counts = np.empty(self._line(), out.dtype), np.empty(self._line(), np.int32)
        _reduce(values, *shape, first, self._mode(), out, lines, counts)

    def scratch_nbytes(self, n_frames: int, n_elements: int) -> int:  # noqa: ARG002 - of any range
        """Return the memory for sums and counts of a row."""
        return 12 * (self._line() + 2 * _LANES)

    def _line(self) -> int:
        """Return how many sums are made at a time."""
        return self.blocks.columns * (self.blocks.width if self.blocks.width < _LANES else 1)

    def _mode(self) -> int:
        if self.how == "mean":
            return _MEAN
        if self.output.dtype == np.int64:
            return _PLAIN
        return _STRICT if self.strict else _SUM


def reduced_dtype(dtype: np.dtype[Any], how: How) -> np.dtype[Any]:
    """Return the type of a sum or mean: int64 for exact sums of integers, else float64.

    Sums of uint64 may exceed any integer: they are float64.
    """
    exact = how == "sum" and dtype.kind in "biu" and dtype != np.uint64
    return np.dtype(np.int64) if exact else np.dtype(np.float64)


def _largest(values: NDArray[Any]) -> int:
    """Return the largest magnitude."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


@jit
def _first_too_large(
    frames: NDArray[np.int64], height: int, columns: int, width: int, first: int, n_sums: int
) -> int:
    """Return the first frame that has a sum beyond 64 bits, or -1; parameters are those of `_reduce`.

    Upper and lower halves are added apart: each sum of fewer than 2**31 of them fits.
    """
    for event in range(frames.shape[0]):
        for number in range(first, first + n_sums):
            start = number // columns * columns * height * width + number % columns * width
            upper, lower = np.int64(0), np.int64(0)
            for line in range(height):
                for e in range(start + line * columns * width, start + line * columns * width + width):
                    upper += frames[event, e] >> 32
                    lower += frames[event, e] & 0xFFFFFFFF
            upper += lower >> 32
            if not -(2**31) <= upper < 2**31:
                return event
    return -1


@jit
def _reduce(
    frames: NDArray[Any],
    height: int,
    columns: int,
    width: int,
    first: int,
    mode: int,
    out: NDArray[Any],
    lines: NDArray[Any],
    counts: NDArray[np.int32],
) -> None:
    """Reduce frames that begin with the row of blocks whose column `first` is the first wanted.

    Narrow blocks are summed down first, elements side by side in `lines` and `counts`, then across.
    """
    per_row = columns * width
    narrow = 1 < width < _LANES
    for event in range(out.shape[0]):
        done = 0
        row = 0
        begin = first
        while done < out.shape[1]:
            n = min(columns - begin, out.shape[1] - done)
            sums = lines[: n * width] if narrow else out[event, done : done + n]
            sums[:] = 0
            counts[: len(sums)] = 0
            for line in range(row * height, (row + 1) * height):
                start = line * per_row + begin * width
                values = frames[event, start : start + n * width]
                if width < _LANES:
                    _add(values, sums, counts)
                else:
                    _add_long(values, width, sums, counts)
            if narrow:
                _fold(sums, counts, width, out[event, done : done + n])
            if mode != _PLAIN:
                _finish(out[event, done : done + n], counts, height * width, mode)
            done += n
            row += 1
            begin = 0


@jit
def _add(values: NDArray[Any], sums: NDArray[Any], counts: NDArray[np.int32]) -> None:
    for i in range(len(sums)):
        there = np.isfinite(values[i])
        sums[i] += values[i] if there else 0
        counts[i] += there


@jit
def _fold(sums: NDArray[Any], counts: NDArray[np.int32], width: int, out: NDArray[Any]) -> None:
    """Add neighbours; `counts` is folded in place."""
    if width == 2:  # as most often, and compiled without an inner loop
        for i in range(len(out)):
            out[i] = sums[2 * i] + sums[2 * i + 1]
            counts[i] = counts[2 * i] + counts[2 * i + 1]
        return
    for i in range(len(out)):
        total, n = sums[i * width], counts[i * width]
        for j in range(i * width + 1, (i + 1) * width):
            total += sums[j]
            n += counts[j]
        out[i], counts[i] = total, n


@jit
def _add_long(values: NDArray[Any], width: int, sums: NDArray[Any], counts: NDArray[np.int32]) -> None:
    """Add blocks of many elements, to one sum each."""
    for i in range(len(sums)):
        _add_one(values[i * width : (i + 1) * width], sums, counts, i)


@jit
def _add_one(values: NDArray[Any], sums: NDArray[Any], counts: NDArray[np.int32], i: int) -> None:
    """Add all values to one sum, in lanes."""
    lanes = np.zeros(_LANES, sums.dtype)
    n = np.zeros(_LANES, np.int64)
    whole = len(values) - len(values) % _LANES
    for start in range(0, whole, _LANES):
        for lane in range(_LANES):
            there = np.isfinite(values[start + lane])
            lanes[lane] += values[start + lane] if there else 0
            n[lane] += there
    for j in range(whole, len(values)):
        there = np.isfinite(values[j])
        lanes[j - whole] += values[j] if there else 0
        n[j - whole] += there
    sums[i] += lanes.sum()
    counts[i] += n.sum()


@jit
def _finish(sums: NDArray[Any], counts: NDArray[np.int32], size: int, mode: int) -> None:
    for i in range(len(sums)):
        if counts[i] == 0 or (mode == _STRICT and counts[i] < size):
            sums[i] = np.nan
        elif mode == _MEAN:
            sums[i] /= counts[i]
