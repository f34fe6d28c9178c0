"""The constants of a frame as they are looked up: an offset and a factor per pixel and gain range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.constants import Constants
from cubeengine.detectors.kinds import Kind
from cubeengine.detectors.lookup import one_range, three_ranges, two_ranges
from cubeengine.detectors.panels import Panels, load
from cubeengine.errors import SpecError
from cubeengine.shared import SharedArray
from cubeengine.types import BoolArray

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """A value is (raw - offset) * factor; a factor of NaN marks what is bad.

    Attributes
    ----------
    offset, factor : (rows, n_elements) float32
        A row for each gain range that a pixel may be in.
    shift : int
        Number of the lowest gain bit of a raw pixel.
    rows : tuple of int
        Row of the tables for each value of the gain bits, -1 for a value that is no range; one entry
        means there are no gain bits.
    eligible : (rows, n_elements) bool, or None
        Pixels that the common mode is measured with and corrected in, where it is.
    """

    offset: SharedArray
    factor: SharedArray
    shift: int
    rows: tuple[int, ...]
    eligible: SharedArray | None = None

    def look_up(self, frames: NDArray[Any], first: int, out: NDArray[Any]) -> None:
        """Calibrate frames from element `first` on, without a common mode."""
        offset, factor = self.offset.load(), self.factor.load()
        if len(self.rows) == 1:
            one_range(frames, first, offset, factor, out)
        elif len(self.rows) == 2:
            two_ranges(frames, first, self.shift, offset, factor, out)
        else:
            three_ranges(frames, first, offset, factor, out)


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Constants of every gain range for the panels of a frame."""

    offset: NDArray[Any]
    """(ranges, panels, rows, columns) array: Pedestal, and offset where there is one: ADU."""
    factor: Float32Array
    """(ranges, panels, rows, columns) float32: 1 / gain, 1 where no gain is wanted or known; NaN for a gain
    of 0 and for bad pixels.
    """


def read_ranges(constants: Constants, kind: Kind, panels: Panels, good: BoolArray, *, gain: bool) -> Ranges:
    """Read pedestals and gains.

    Raises
    ------
    SpecError
        If there are no pedestals: raw values are never passed on as calibrated ones.
    """
    pedestals = load(constants, "pedestals", kind, panels)
    if pedestals is None:
        held = ", ".join(constants.shapes) or "nothing"
        raise SpecError(f"{constants.file.path.name} holds no 'pedestals'; it has {held}")
    offset = load(constants, "pixel_offset", kind, panels)
    # The sum as it is stored, then rounded, as the facility's software does; integers might overflow.
    total = pedestals if offset is None else np.add(pedestals, offset, dtype=_sum_dtype(pedestals, offset))
    gains = load(constants, "pixel_gain", kind, panels) if gain else None
    factor = np.ones(total.shape, np.float32) if gains is None else _inverse(gains)
    factor[:, ~good] = np.nan
    return Ranges(total, factor)


def _sum_dtype(a: NDArray[Any], b: NDArray[Any]) -> np.dtype[Any]:
    return np.result_type(a.dtype, b.dtype, np.float32)


def _inverse(gains: NDArray[Any]) -> Float32Array:
    """Return 1 / gain, NaN where it is 0 or not finite."""
    inverse = np.full(gains.shape, np.nan, np.float32)
    np.divide(1, gains, out=inverse, where=(gains != 0) & np.isfinite(gains), casting="same_kind")
    return inverse


def as_table(values: NDArray[Any], dtype: type[np.generic] = np.float32) -> SharedArray:
    """Flatten the constants of frames, read-only as those that are mapped from a file."""
    table = np.ascontiguousarray(values.reshape(len(values), -1).astype(dtype, copy=False))
    table.setflags(write=False)
    return SharedArray(table)


def eligible_pixels(offset: NDArray[Any], allowed: NDArray[np.bool_], good: BoolArray) -> SharedArray:
    """Return the pixels that a common mode is measured with: of an allowed range, good, with a pedestal."""
    return as_table(allowed & good & np.isfinite(offset), np.bool_)
