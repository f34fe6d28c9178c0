"""Bin numbers of events: one axis at a time, and all axes as one flat number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

OUTSIDE = -1  # number of an event that falls in no bin


def bin_index(values: ArrayLike, edges: ArrayLike) -> NDArray[np.int32]:
    """Return each event the number of the bin it falls in.

    Bins are [low, high), the last one [low, high]. Values outside, NaN and infinities get -1.

    Parameters
    ----------
    values : (n_events,) bool, integer or float, in the unit of `edges`
        One value per event. Floats are compared as float64; integers exactly, as 64-bit integers.
    edges : (n_bins + 1,) float64
        Strictly rising, finite bin edges.

    Returns
    -------
    (n_events,) int32
        Bin number in [0, n_bins), or -1.

    Raises
    ------
    ValueError
        If `values` or `edges` is not one-dimensional, if there are fewer than two edges, or if they
        do not rise strictly.
    TypeError
        If `values` is neither boolean, integer nor float.

    Notes
    -----
    Memory: up to 20 bytes per event beside the input. Cost: O(n_events log n_bins).

    References
    ----------
    The rule is that of `numpy.histogram`.

    Examples
    --------
    >>> bin_index(np.array([0.0, 0.9, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]))
    array([0, 0, 1, 1], dtype=int32)
    """
    bounds = _checked_edges(edges)
    sample = np.asarray(values)
    if sample.ndim != 1:
        raise ValueError(f"values: one value per event is needed, got an array of shape {sample.shape}")
    if sample.dtype.kind == "f":
        return _find(sample.astype(np.float64, copy=False), bounds, bounds[-1])
    if sample.dtype.kind == "b":
        sample = sample.view(np.uint8)
    if sample.dtype.kind not in "iu":
        raise TypeError(f"values: cannot bin type {sample.dtype}; needs bool, integer or float")
    return _find_integers(sample, bounds)


def flat_index(indices: Sequence[NDArray[np.int32]], shape: Sequence[int]) -> NDArray[np.int64]:
    """Join the bin numbers of all axes to one number, in C order over the axes.

    Parameters
    ----------
    indices : sequence of (n_events,) int32
        Bin number of every event on each axis, -1 where it falls in none.
    shape : sequence of int
        Number of bins of each axis.

    Returns
    -------
    (n_events,) int64
        Number in [0, product of shape), or -1 where any axis has -1.

    Raises
    ------
    ValueError
        If there is no axis, or lengths disagree, or a bin number exceeds its axis.

    Examples
    --------
    >>> flat_index([np.array([0, 1, -1], np.int32), np.array([2, 0, 1], np.int32)], (2, 3))
    array([ 2,  3, -1])
    """
    if not indices or len(indices) != len(shape):
        raise ValueError(f"flat index: {len(indices)} axes of bin numbers, but a shape of {len(shape)} axes")
    if len({np.shape(index) for index in indices}) != 1 or np.ndim(indices[0]) != 1:
        raise ValueError(f"flat index: lengths differ: {[np.shape(index) for index in indices]}")
    for axis, (index, size) in enumerate(zip(indices, shape, strict=True)):
        if index.size and not OUTSIDE <= int(index.min()) <= int(index.max()) < size:
            raise ValueError(f"flat index: axis {axis} has bin numbers outside -1..{size - 1}")
    if prod(shape) >= 2**63:
        raise ValueError(f"flat index: {tuple(shape)} bins are more than 64 bits can number")
    flat = np.zeros(len(indices[0]), np.int64)
    inside = np.ones(len(flat), np.bool_)
    for index, size in zip(indices, shape, strict=True):
        flat *= size
        flat += index
        inside &= index >= 0
    flat[~inside] = OUTSIDE
    return flat


def _checked_edges(edges: ArrayLike) -> NDArray[np.float64]:
    bounds = np.asarray(edges, np.float64)
    if bounds.ndim != 1 or len(bounds) < 2:
        raise ValueError(f"edges: at least 2 in one dimension are needed, got shape {bounds.shape}")
    if not np.all(bounds[:-1] < bounds[1:]) or not np.isfinite(bounds[[0, -1]]).all():
        raise ValueError("edges: must be finite and rise strictly")
    return bounds


def _find(values: NDArray[Any], bounds: NDArray[Any], last: Any) -> NDArray[np.int32]:
    """Search `bounds`; `last` closes the last bin. NaN sorts behind all edges, so it fails `<= last`."""
    found = np.searchsorted(bounds, values, side="right").astype(np.int32)
    found -= 1
    found[values == last] = len(bounds) - 2
    found[~(values <= last)] = OUTSIDE
    return found


def _find_integers(values: NDArray[Any], bounds: NDArray[np.float64]) -> NDArray[np.int32]:
    """Compare without rounding: float64 holds no odd integer beyond 2**53.

    An integer v is >= edge exactly where v >= ceil(edge), and <= last where v <= floor(last).
    Edges beyond the type's range are set on its border, one step in, by masks.
    """
    kind = np.uint64 if values.dtype == np.uint64 else np.int64
    least, most = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    low = [int(np.ceil(edge)) for edge in bounds]
    top = int(np.floor(bounds[-1]))
    found = np.full(len(values), OUTSIDE, np.int32)
    if top < least or low[0] > most:
        return found
    # Starts above the range are left out (nothing can reach them); those below begin at its border.
    starts = np.array([max(edge, least) for edge in low[:-1] if edge <= most], kind)
    wide = values.astype(kind, copy=False)
    found = np.searchsorted(starts, wide, side="right").astype(np.int32)
    found -= 1
    found[wide > kind(min(top, most))] = OUTSIDE
    return found
