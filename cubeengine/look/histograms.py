"""Histograms of one quantity, and of two."""

from __future__ import annotations

import numpy as np
import xarray as xr

from cubeengine.errors import SpecError
from cubeengine.kernels.bins import bin_index, flat_index
from cubeengine.look.bins import Bins, Limits, bin_coords, find_edges
from cubeengine.look.events import Events, Part, Tally, dim_of, look_at
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.types import FloatArray, IntArray

BINS, BINS_EACH_WAY = 100, 80


@looks
def histogram(
    run: RunLike,
    name: str,
    *,
    bins: Bins = BINS,
    range: Limits | None = None,
    percentiles: Limits | None = None,
    select: Select = None,
) -> xr.DataArray:
    """Count the events in bins of a quantity.

    Parameters
    ----------
    run : Run, or session
        The run.
    name : str
        A field with one number per event, or an expression.
    bins : int, or edges
        So many bins at most (integers get bins of whole numbers, booleans two), or the edges.
    range : (low, high), optional
        Where the bins begin and end; the range of the values where left out.
    percentiles : (low, high) of 0 to 100, optional
        Begin and end at these percentiles of the values instead, as ``(0.5, 99.5)`` where outliers are far.
    select : Select, optional
        Which events: an expression, a cut or selection, or what these were resolved to.

    Returns
    -------
    xarray.DataArray
        int64 counts; the coordinate has the centres of the bins, `<name>_low` and `<name>_high` their edges.
        The attributes have `n_selected` = `n_events` (in the bins) + `n_missing` (missing or NaN) +
        `n_outside`.

    Raises
    ------
    FieldNotFound, SpecError
        If the run has no such field, or arguments make no sense.

    Notes
    -----
    Bins are [low, high), the last one [low, high], as with `numpy.histogram`. The events are looked at
    window by window, twice where a range has to be found.

    Examples
    --------
    >>> counts = look.histogram(run, "ipm2/sum", bins=50, select="`lightStatus/xray` == 1")
    >>> int(counts.sum()) == counts.attrs["n_events"]
    True
    """
    events = look_at(run, [name], select)
    edges = find_edges(events, [bins], limits=[range], percentiles=percentiles)
    counts, tally = count_events(events, edges)
    return _data(events, edges, counts, tally)


@looks
def histogram2d(
    run: RunLike,
    x: str,
    y: str,
    *,
    bins: Bins | tuple[Bins, Bins] = BINS_EACH_WAY,
    range: tuple[Limits | None, Limits | None] = (None, None),
    percentiles: Limits | None = None,
    select: Select = None,
) -> xr.DataArray:
    """Count the events in bins of two quantities.

    Parameters
    ----------
    run, percentiles, select
        As for `histogram`; percentiles hold for both quantities.
    x, y : str
        The quantities.
    bins : int, or two of int or edges
        For both, or for x and for y.
    range : two of (low, high) or None
        For x and for y.

    Returns
    -------
    xarray.DataArray
        int64 counts over x and y; else as for `histogram`. Missing are events that lack one of the two.

    Examples
    --------
    >>> counts = look.histogram2d(run, "ipm2/sum", "ipm3/sum", bins=(20, 30))
    >>> counts.shape
    (20, 30)
    """
    events = look_at(run, [x, y], select)
    check_differ(events)
    each = bins if isinstance(bins, tuple) and len(bins) == 2 and not _are_edges(bins) else (bins, bins)
    edges = find_edges(events, each, limits=range, percentiles=percentiles)  # type: ignore[arg-type]
    counts, tally = count_events(events, edges)
    return _data(events, edges, counts, tally)


def _are_edges(bins: tuple[object, ...]) -> bool:
    return all(isinstance(value, float) for value in bins)


def check_differ(events: Events) -> None:
    """Refuse one quantity as two."""
    if events.names[0] == events.names[1]:
        raise SpecError(f"x and y are both {events.names[0]!r}; give two quantities")


def count_events(events: Events, edges: list[FloatArray]) -> tuple[IntArray, Tally]:
    """Count the events in the bins of all quantities, and those that are in none."""
    shape = tuple(len(bounds) - 1 for bounds in edges)
    counts, tally = np.zeros(int(np.prod(shape)), np.int64), Tally()
    for part in events.parts():
        found, seen = _count(part, edges, shape)
        counts += found
        tally += seen
    return counts.reshape(shape), tally


def _count(part: Part, edges: list[FloatArray], shape: tuple[int, ...]) -> tuple[IntArray, Tally]:
    known = part.known
    indices = [bin_index(c.data[known], bounds) for c, bounds in zip(part.columns, edges, strict=True)]
    flat = flat_index(indices, shape)
    inside = flat[flat >= 0]
    selected, there = int(np.count_nonzero(part.kept)), int(np.count_nonzero(known))
    counts = np.bincount(inside, minlength=int(np.prod(shape)))
    return counts, Tally(selected, selected - there, there - len(inside))


def _data(events: Events, edges: list[FloatArray], counts: IntArray, tally: Tally) -> xr.DataArray:
    coords = {
        name: variable
        for field, bounds in zip(events.names, edges, strict=True)
        for name, variable in bin_coords(events, field, bounds).items()
    }
    return xr.DataArray(
        counts,
        coords=coords,
        dims=[dim_of(name) for name in events.names],
        name="counts",
        attrs={"long_name": "events", **tally.attrs, **events.origin},
    )
