"""Azimuthal averages as plain geometry in numpy, written apart from the package and from pyFAI.

Positions are along rows, along columns and along the beam, in metres, seen from the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))
_FINE = 24  # points along each side of a pixel, for areas


@dataclass(frozen=True)
class Camera:
    """Square pixels on a plane that may be tilted: rotated about rows, columns and beam, one after another.

    Without a tilt the beam hits (row 0, column 0) of `middles` + `poni`.
    """

    middles: tuple[Array, Array]
    """Rows and columns that the middles of all pixels lie at, in pixels from the edge of the first pixel."""
    size: float
    distance: float
    poni: tuple[float, float]
    """Place on the plane, in metres, of the foot of the perpendicular from the sample."""
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def points(self, down: float = 0, right: float = 0) -> tuple[Array, Array, Array]:
        """Return the points of all pixels that lie so far from their middles, in pixels."""
        a = (self.middles[0] + down) * self.size - self.poni[0]
        b = (self.middles[1] + right) * self.size - self.poni[1]
        first, second, third = (np.array([np.cos(angle), np.sin(angle)]) for angle in self.tilt)
        flat = np.stack([a, b, np.full_like(a, self.distance)])
        turn_1 = np.array([[1, 0, 0], [0, first[0], first[1]], [0, -first[1], first[0]]])
        turn_2 = np.array([[second[0], 0, -second[1]], [0, 1, 0], [second[1], 0, second[0]]])
        turn_3 = np.array([[third[0], -third[1], 0], [third[1], third[0], 0], [0, 0, 1]])
        x, y, z = np.einsum("ij,j...->i...", turn_3 @ turn_2 @ turn_1, flat)
        return x, y, z


def grid(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the middles of the pixels of an image."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return rows + 0.5, columns + 0.5


def abscissa(points: tuple[Array, Array, Array], unit: str, wavelength: float) -> Array:
    """Return q, angle or radius; the wavelength in metres."""
    down, right, along = points
    radius = np.hypot(down, right)
    angle = np.arctan2(radius, along)
    per_nm = 4e-9 * np.pi / wavelength * np.sin(angle / 2)
    values = {"r_mm": radius * 1e3, "2th_rad": angle, "2th_deg": np.degrees(angle)}
    return (values | {"q_nm^-1": per_nm, "q_A^-1": per_nm / 10})[unit]


def azimuth(points: tuple[Array, Array, Array]) -> Array:
    """Return the angle from the direction of rising columns towards rising rows, in degrees."""
    return np.degrees(np.arctan2(points[0], points[1]))


def in_sector(angles: Array, sector: Sequence[float]) -> Array:
    """Tell which angles lie in a sector: they, or they and some full turns, lie between its ends."""
    low, high = sector
    turns = range(int(np.floor(low / 360)) - 1, int(np.ceil(high / 360)) + 2)
    return np.any([(angles + 360 * n >= low) & (angles + 360 * n <= high) for n in turns], axis=0)


def reach(camera: Camera, unit: str, wavelength: float, split: str) -> tuple[float, float]:
    """Return the first and last value that any pixel holds; none is negative."""
    low, high = _bounds(camera, unit, wavelength, split)
    return max(float(low.min()), 0.0), float(high.max())


def _bounds(camera: Camera, unit: str, wavelength: float, split: str) -> tuple[Array, Array]:
    """Return what each pixel holds: its middle, or as far each way as its farthest corner, or all of it."""
    middle = abscissa(camera.points(), unit, wavelength)
    if split == "none":
        return middle, middle
    corners = np.stack([abscissa(camera.points(*corner), unit, wavelength) for corner in CORNERS])
    if split == "full":
        return corners.min(axis=0), corners.max(axis=0)
    half = np.abs(corners - middle).max(axis=0)
    return middle - half, middle + half


def shares(
    camera: Camera, unit: str, wavelength: float, edges: Array, split: str, *, beyond: bool = False
) -> Array:
    """Return the share of every pixel in every bin: (n_bins, ...); `beyond`: the outer ones have no end."""
    bins = [(float(a), float(b)) for a, b in pairwise(edges)]
    if beyond:
        bins[0], bins[-1] = (-np.inf, bins[0][1]), (bins[-1][0], np.inf)
    if split == "bbox":
        low, high = _bounds(camera, unit, wavelength, split)
        overlaps = [np.minimum(b, high) - np.maximum(a, low) for a, b in bins]
        return np.maximum(overlaps, 0) / (high - low)
    places = [0.0] if split == "none" else (np.arange(_FINE) + 0.5) / _FINE - 0.5
    points = np.stack([abscissa(camera.points(a, b), unit, wavelength) for a in places for b in places])
    return np.stack([((points >= a) & (points < b)).mean(axis=0) for a, b in bins])


def norms(camera: Camera, *, solid_angle: bool, polarization: float | None) -> Array:
    """Return what a pixel sees of an even brightness, beside a pixel at the foot of the perpendicular."""
    points = camera.points()
    away = np.sqrt(sum(axis**2 for axis in points))
    norm = (camera.distance / away) ** 3 if solid_angle else np.ones(away.shape)
    if polarization is not None:  # the share p of light that swings along columns, the rest along rows
        along_rows, along_columns = points[0] / away, points[1] / away
        p = (1 + polarization) / 2
        norm = norm * (p * (1 - along_columns**2) + (1 - p) * (1 - along_rows**2))
    return norm


def averages(frames: Array, share: Array, norm: Array) -> Array:
    """Return (n_frames, n_bins) averages of the pixels that are finite, NaN for a bin without any."""
    values = frames.reshape(len(frames), -1).astype(float)
    flat, there = share.reshape(len(share), -1), np.isfinite(values)
    sums = np.where(there, values, 0) @ flat.T
    weights = (there * norm.ravel()) @ flat.T
    with np.errstate(invalid="ignore"):
        return np.where(weights > 0, sums / weights, np.nan)
