"""Bins that fit the values: even ones for numbers, whole ones for integers, two for booleans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import xarray as xr

from cubeengine.errors import SpecError
from cubeengine.look.events import LARGEST, Events, dim_of
from cubeengine.planning.distinct import Distinct, quantiles
from cubeengine.types import FloatArray

Bins: TypeAlias = int | Sequence[float] | FloatArray
"""So many bins at most, or their edges."""

Limits: TypeAlias = tuple[float, float]
"""Lowest and highest value, or a percentile for each."""

MOST_BINS = 1_000_000
_EXACT = 2.0**52
"""Beyond, float64 has no place for an edge midway between integers."""


def find_edges(
    events: Events,
    bins: Sequence[Bins],
    *,
    limits: Sequence[Limits | None],
    percentiles: Limits | None = None,
) -> list[FloatArray]:
    """Find the bins of each quantity; looks at the events where their range is needed.

    Parameters
    ----------
    events : Events
        What is to be binned.
    bins : sequence, one for each quantity
        So many bins at most, or edges.
    limits : sequence, one for each quantity
        Lowest and highest value, where they are given.
    percentiles : (low, high) of 0 to 100, optional
        Leave out what lies below the one and above the other.

    Raises
    ------
    SpecError
        If edges do not rise, or numbers make no sense.
    """
    for wanted, given in zip(bins, limits, strict=True):
        _check_bins(wanted)
        if given is not None and not _rise(given, -LARGEST, LARGEST):
            raise SpecError(f"range: must be two rising numbers, none beyond {LARGEST:g}, got {given!r}")
    ranges = list(limits)
    if any(isinstance(wanted, int) and given is None for wanted, given in zip(bins, limits, strict=True)):
        found = find_limits(events, percentiles)
        ranges = [given or seen for given, seen in zip(limits, found, strict=True)]
    dtypes = [events.run.fields[name].dtype for name in events.names]
    return [
        even_edges(*(within or (0.0, 1.0)), wanted, dtype)
        if isinstance(wanted, int)
        else np.asarray(wanted, np.float64)
        for wanted, within, dtype in zip(bins, ranges, dtypes, strict=True)
    ]


def find_limits(events: Events, percentiles: Limits | None = None) -> list[Limits | None]:
    """Return the lowest and highest finite value of each quantity, or percentiles; None where there is none.

    Values beyond `LARGEST` count as infinite.

    Notes
    -----
    Percentiles are exact, as `numpy.percentile` gives them: values are sorted window by window, and those
    of long runs lie in files in `TMPDIR`, 16 bytes for each.
    """
    if percentiles is not None:
        return _percentiles(events, percentiles)
    lows = np.full(len(events.names), np.inf)
    highs = -lows
    for part in events.parts():
        for i, column in enumerate(part.columns):
            values = column.data[part.alone(i).finite]
            if values.size:
                lows[i] = min(lows[i], _at_most(values.min().item()))
                highs[i] = max(highs[i], -_at_most(-values.max().item()))
    return [(float(a), float(b)) if a <= b else None for a, b in zip(lows, highs, strict=True)]


def _at_most(value: float) -> float:
    """Return the largest float64 that is not above a value: integers beyond 2^53 may lie between two."""
    nearest = float(value)
    return nearest if nearest <= value else math.nextafter(nearest, -math.inf)


def _percentiles(events: Events, percentiles: Limits) -> list[Limits | None]:
    if not _rise(percentiles, 0, 100):
        raise SpecError(f"percentiles must be two numbers from 0 to 100, rising, got {percentiles!r}")
    low, high = percentiles
    seen = [Distinct() for _ in events.names]
    for part in events.parts():
        for i, column in enumerate(part.columns):
            seen[i].add(column.data[part.alone(i).finite])
    shares = np.array([low, high]) / 100
    found = [quantiles(distinct, shares).tolist() if distinct.n_values else None for distinct in seen]
    return [None if pair is None else (pair[0], pair[1]) for pair in found]


def even_edges(low: float, high: float, n_bins: int, dtype: np.dtype[np.generic]) -> FloatArray:
    """Return the edges of at most `n_bins` bins of equal width.

    Integers get bins of a whole number of them each, with edges midway between integers; booleans get one
    bin each for False and True. One value alone gets a bin around it.

    Examples
    --------
    >>> even_edges(0, 6, 4, np.dtype("i8"))
    array([-0.5,  1.5,  3.5,  5.5,  7.5])
    >>> even_edges(0.0, 1.0, 2, np.dtype("f8"))
    array([0. , 0.5, 1. ])
    """
    if dtype.kind == "b":
        return np.array([-0.5, 0.5, 1.5])
    if dtype.kind in "iu" and max(abs(low), abs(high)) < _EXACT:
        low, high = np.floor(low), np.ceil(high)
        width = np.ceil((high - low + 1) / n_bins)
        whole: FloatArray = low - 0.5 + width * np.arange(np.ceil((high - low + 1) / width) + 1)
        return whole
    if not low < high:
        half = abs(low) * 1e-3 or 0.5
        low, high = low - half, low + half
    return np.unique(np.linspace(low, high, n_bins + 1))


def _rise(limits: Limits, least: float, most: float) -> bool:
    """Return whether these are two rising numbers within bounds; whatever else was given is not."""
    try:
        low, high = limits
        return bool(least <= low < high <= most)
    except (TypeError, ValueError):
        return False


def _check_bins(bins: Bins) -> None:
    if isinstance(bins, int):
        if not 1 <= bins <= MOST_BINS:
            raise SpecError(f"bins: must be from 1 to {MOST_BINS:,}, got {bins}")
        return
    try:
        edges = np.asarray(bins, np.float64)
    except (TypeError, ValueError):
        edges = np.empty(0)  # text, or lists of several lengths: no edges
    listed = edges.ndim == 1 and len(edges) >= 2 and bool((np.abs(edges) <= LARGEST).all())
    if not listed or not (np.diff(edges) > 0).all():
        raise SpecError(
            f"bins: must be a number, or two or more edges that rise strictly, none beyond {LARGEST:g}, "
            f"got {bins!r}"
        )


def bin_coords(events: Events, name: str, edges: FloatArray) -> dict[str, xr.Variable]:
    """Return the coordinates of bins: centres, and where each begins and ends."""
    dim = dim_of(name)
    attrs = events.attrs(name)
    return {
        dim: xr.Variable(dim, (edges[:-1] + edges[1:]) / 2, {**attrs, "dtype": _dtype(events, name)}),
        f"{dim}_low": xr.Variable(dim, edges[:-1], attrs),
        f"{dim}_high": xr.Variable(dim, edges[1:], attrs),
    }


def _dtype(events: Events, name: str) -> str:
    return str(events.run.fields[name].dtype)
