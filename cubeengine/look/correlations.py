"""How two quantities go together: coefficient, line, density, and single events while they are few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from cubeengine.look.bins import Limits, bin_coords, find_edges
from cubeengine.look.events import Events, dim_of, floats, look_at
from cubeengine.look.histograms import BINS_EACH_WAY, check_differ, count_events
from cubeengine.look.moments import Moments, moments_of, no_moments
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.types import FloatArray

MOST_POINTS = 5000
"""More events than these are no longer told apart as points."""


@looks
def correlation(
    run: RunLike,
    x: str,
    y: str,
    *,
    bins: int = BINS_EACH_WAY,
    percentiles: Limits | None = None,
    points: int = MOST_POINTS,
    select: Select = None,
) -> xr.Dataset:
    """Measure how two quantities go together.

    Parameters
    ----------
    run : Run, or session
        The run.
    x, y : str
        Fields with one number per event, or expressions.
    bins : int
        Bins of the density, each way.
    percentiles : (low, high) of 0 to 100, optional
        Limits of the density, as outliers may be far. Coefficient and line are of all events.
    points : int
        Give single events as long as there are no more than these.
    select : Select, optional
        Which events.

    Returns
    -------
    xarray.Dataset
        `correlation`: Pearson's coefficient; `slope` and `intercept` of the line of least squares of y on x
        (NaN where a quantity does not vary); `counts` over x and y; and `points` (event, quantity), where
        there are few. The attributes count the events as for `histogram`; an event that lacks one of the two
        is missing.

    Notes
    -----
    Infinite values have no correlation: they are left out of coefficient and line, and are outside.

    Examples
    --------
    >>> found = look.correlation(run, "ipm2/sum", "ipm3/sum")
    >>> bool(found["correlation"] > 0.9)
    True
    """
    events = look_at(run, [x, y], select)
    check_differ(events)
    edges = find_edges(events, [bins, bins], limits=[None, None], percentiles=percentiles)
    counts, tally = count_events(events, edges)
    pairs = _pairs(events, points)
    coords = {
        k: v for n, e in zip(events.names, edges, strict=True) for k, v in bin_coords(events, n, e).items()
    }
    dims = tuple(map(dim_of, events.names))
    data = xr.Dataset(
        {**_line(pairs.moments, events), "counts": (dims, counts, {"long_name": "events"})},
        coords=coords,
        attrs={**tally.attrs, **events.origin},
    )
    if pairs.points is None:
        return data
    return data.assign(points=(("event", "quantity"), pairs.points)).assign_coords(quantity=list(dims))


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Moments of the pairs of values, and the pairs themselves, (n, 2), if they are few."""

    moments: Moments
    points: FloatArray | None


def _pairs(events: Events, most: int) -> _Pairs:
    moments = no_moments(len(events.names), 1)
    found: list[FloatArray] = []
    for part in events.parts():
        finite = part.finite
        values = np.stack([floats(column, finite) for column in part.columns])
        moments += moments_of(values, np.zeros(values.shape[1], np.int64), 1)
        found = [*found, values.T] if moments.count[0] <= most else []
    few = int(moments.count[0]) <= most
    return _Pairs(moments, np.concatenate(found) if few and found else None)


def _line(moments: Moments, events: Events) -> dict[str, xr.Variable]:
    xx, yy = moments.products[0, 0, 0], moments.products[1, 1, 0]
    xy = moments.products[0, 1, 0]
    varies = xx > 0 and yy > 0
    coefficient = np.clip(xy / np.sqrt(xx) / np.sqrt(yy), -1, 1) if varies else np.nan
    slope = xy / xx if xx > 0 else np.nan
    intercept = moments.mean[1, 0] - slope * moments.mean[0, 0]
    x, y = (events.run.fields.unit(name) or "" for name in events.names)
    return {
        "correlation": xr.Variable((), coefficient, {"long_name": "correlation coefficient (Pearson)"}),
        "slope": xr.Variable((), slope, {"long_name": "slope", "units": f"{y or '1'}/{x}" if x else y}),
        "intercept": xr.Variable((), intercept, {"long_name": "intercept", "units": y}),
    }
