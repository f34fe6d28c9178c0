"""Where the pixels of a sensor lie, by the name that geometry files give its type.

All lengths in um, from the sensor's centre (`MTRX`: from its first pixel). Wider pixels lie between the
chips of a sensor; which of their centres is meant differs from type to type, as stated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.types import FloatArray

_JUNGFRAU = 75.0
_MAX_PIXELS = 2**27
_MAX_SIZE = 1e6  # um
_MATRIX = re.compile(r"MTRX:(V2:)?([1-9]\d{0,4}):([1-9]\d{0,4}):([0-9.]+):([0-9.]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Sensor:
    """One type of sensor.

    Attributes
    ----------
    x, y : (rows, columns) float64, um
        Centres of its pixels.
    pitch : float, um
        Size of a pixel.
    """

    x: FloatArray
    y: FloatArray
    pitch: float


def sensor(name: str) -> Sensor:
    """Return the sensor of a type, e.g. "JUNGFRAU:V2" or "MTRX:1024:1024:50:50".

    Raises
    ------
    SourceFormatError
        If the type is not known.
    """
    if name in _SENSORS:
        return _SENSORS[name]()
    match = _MATRIX.fullmatch(name)
    if match is None:
        known = ", ".join([*_SENSORS, "MTRX:rows:columns:size:size"])
        raise SourceFormatError(f"{name!r} is not a type of sensor; known: {known}")
    try:
        sizes = float(match[4]), float(match[5])
    except ValueError:
        sizes = (0.0, 0.0)
    rows, columns = int(match[2]), int(match[3])
    if not 0 < min(sizes) <= max(sizes) < _MAX_SIZE or rows * columns > _MAX_PIXELS:
        raise SourceFormatError(
            f"{name!r}: pixel sizes must be positive numbers in um, at most {_MAX_PIXELS:,} pixels"
        )
    return _matrix(rows, columns, *sizes, centred=bool(match[1]))


def _grid(columns: NDArray[Any], rows: NDArray[Any], pitch: float) -> Sensor:
    x, y = np.meshgrid(columns, rows)
    return Sensor(x, y, pitch)


def _jungfrau() -> Sensor:
    """Four chips by two, one pixel apart, row 0 at the bottom; wide pixels at their own centres."""
    columns = _chips(256, (-514.5, -256.5, 1.5, 259.5))
    rows = _chips(256, (-256.5, 1.5))
    return _grid(columns, rows, _JUNGFRAU)


def _chips(size: int, offsets: tuple[float, ...]) -> FloatArray:
    """Return the pixels along chips that follow one another; those that meet are twice as wide."""
    centres = np.concatenate([(np.arange(size) + offset) * _JUNGFRAU for offset in offsets])
    inner = np.arange(size, len(centres), size)
    centres[inner - 1] += _JUNGFRAU / 2
    centres[inner] -= _JUNGFRAU / 2
    return centres


def _halves(n_columns: int, n_rows: int, pitch: float, first: float, top: bool) -> Sensor:
    """Two halves each way that begin `first` from the centre; row 0 at the top, or at the bottom."""
    columns = _mirrored(n_columns, pitch, first)
    rows = _mirrored(n_rows, pitch, first)
    return _grid(columns, rows[::-1] if top else rows, pitch)


def _mirrored(n: int, pitch: float, first: float) -> FloatArray:
    half = np.arange(n // 2) * pitch + first
    return np.concatenate([-half[::-1], half])


def _cspad() -> Sensor:
    """Two chips side by side, row 0 at the top."""
    pitch, half_height = 109.92, 92
    columns = _mirrored(388, pitch, 2 * pitch)
    return _grid(columns, (half_height - np.arange(2 * half_height + 1)) * pitch, pitch)


def _matrix(n_rows: int, n_columns: int, size_a: float, size_b: float, *, centred: bool) -> Sensor:
    """Plain pixels: rows along x and columns along y from the first pixel; `V2`: as one looks at it."""
    if centred:
        columns = (np.arange(n_columns) - (n_columns - 1) / 2) * size_b
        rows = ((n_rows - 1) / 2 - np.arange(n_rows)) * size_a
        return _grid(columns, rows, size_b)
    x, y = np.meshgrid(np.arange(n_rows) * size_a, np.arange(n_columns) * size_b, indexing="ij")
    return Sensor(x, y, size_a)


_SENSORS: Mapping[str, Callable[[], Sensor]] = {
    "JUNGFRAU:V2": _jungfrau,
    "EPIX10KA:V1": partial(_halves, 384, 352, 100.0, 175.0, top=True),
    "EPIX100:V1": partial(_halves, 768, 704, 50.0, 150.0, top=False),
    "SENS2X1:V1": _cspad,
}
