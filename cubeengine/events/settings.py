"""The settings that readings gather at: which readings belong together, and which lie between settings.

A setting is a window of the width of the tolerance that holds more events than every window it overlaps. So a
setting is never wider than the tolerance, however many readings lie in a row; its value is the median reading
of its events, which is the setting itself where most of them read the same. Readings in no such window lie
between settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import FloatArray, IntArray

FEW_VALUES = 2**18
"""Up to so many distinct readings are first looked at with numpy: mostly no window is needed."""

Room: TypeAlias = Callable[[int, np.dtype[Any]], NDArray[Any]]
"""Makes an array of a length and type to work in."""


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """Settings, rising: the readings that belong to each.

    Attributes
    ----------
    values : (n_settings,) float64
        The settings: the median reading of the events of each, the lower one of two.
    lowest, highest : (n_settings,) of the type of the readings
        Lowest and highest reading of each.
    events : (n_settings,) int64
        Events that they were found among.
    """

    values: FloatArray
    lowest: NDArray[Any]
    highest: NDArray[Any]
    events: IntArray

    def __len__(self) -> int:
        return len(self.values)

    def index(self, readings: NDArray[Any]) -> NDArray[np.int32]:
        """Return the number of every reading's setting; -1 between settings, and where it is not finite."""
        known = readings.astype(self.lowest.dtype, copy=False)
        found = np.searchsorted(self.lowest, known, side="right") - 1
        inside = np.isfinite(readings) & (found >= 0)
        inside[inside] = known[inside] <= self.highest[found[inside]]
        return np.where(inside, found, -1).astype(np.int32)


def find_settings(
    values: NDArray[Any], counts: IntArray, tolerance: float, room: Room = np.empty
) -> Settings:
    """Find the settings among distinct readings.

    Parameters
    ----------
    values : (n,) numbers
        Distinct finite readings, rising.
    counts : (n,) int64
        Events with each.
    tolerance : float
        Width of a setting at most.
    room : callable, optional
        Makes the arrays to work in where there are many readings.
    """
    n, whole = len(values), np.dtype(np.int64)
    before = room(n + 1, whole)
    before[0] = 0
    np.cumsum(counts, out=before[1:])
    found = _chains(values, tolerance) if n <= FEW_VALUES else None
    if found is None or _is_wide(values, *found, tolerance):
        from cubeengine.kernels.windows import densest_windows  # compiled, and few scans need it

        found = densest_windows(np.asarray(values), tolerance, before, room(n, whole), room(n, whole))
    first, stop = found
    events = before[stop] - before[first]
    median = np.searchsorted(before, before[first] + (events - 1) // 2, side="right") - 1
    return Settings(values[median].astype(np.float64), values[first], values[stop - 1], events)


def joined(parts: Sequence[Settings]) -> Settings:
    """Put settings one after the other that lie apart, each part above the one before."""
    return Settings(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.lowest for part in parts]),
        np.concatenate([part.highest for part in parts]),
        np.concatenate([part.events for part in parts]),
    )


def begins(values: NDArray[Any], tolerance: float) -> IntArray:
    """Return the places of values that lie farther above the one before than the tolerance; 0 is none."""
    numbers = values.astype(np.float64, copy=False)
    return np.flatnonzero(numbers[1:] > numbers[:-1] + tolerance) + 1


def _chains(values: NDArray[Any], tolerance: float) -> tuple[IntArray, IntArray]:
    """Return where readings begin and end that follow one another within the tolerance."""
    places = begins(values, tolerance)
    return np.append(0, places)[: len(values)], np.append(places, len(values))[: len(values)]


def _is_wide(values: NDArray[Any], first: IntArray, stop: IntArray, tolerance: float) -> bool:
    low, high = values[first].astype(np.float64), values[stop - 1].astype(np.float64)
    return bool((high > low + tolerance).any())
