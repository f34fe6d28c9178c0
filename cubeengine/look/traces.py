"""A quantity along the run: single events while they are few, else mean and spread in bins of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.look.events import Events, Part, Tally, floats, look_at
from cubeengine.look.moments import Moments, moments_of, no_moments
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.types import IntArray

TRACE_BINS = 300
MOST_SINGLE = 2000
"""So many events are shown one by one."""

Over = Literal["time", "event"]
_LONG_NAMES = {"time": "time (UTC)", "event": "event"}


@looks
def trace(
    run: RunLike,
    name: str,
    *,
    over: Over = "time",
    bins: int | None = None,
    select: Select = None,
) -> xr.Dataset:
    """Follow a quantity along the run.

    Parameters
    ----------
    run : Run, or session
        The run.
    name : str
        A field with one number per event, or an expression.
    over : "time" or "event"
        Along the time of day (UTC), or the number of the event.
    bins : int, optional
        Bins of equal length. Where left out: every event by itself up to 2,000 events, else 300 bins.
    select : Select, optional
        Which events.

    Returns
    -------
    xarray.Dataset
        Over `time` or `event`, where each bin begins: `count` of finite values, their `mean` and `std` (ddof
        0); NaN where there is none. The attributes count the events as for `histogram`; infinite values are
        outside.

    Examples
    --------
    >>> found = look.trace(run, "ipm2/sum", bins=50)
    >>> found["mean"].dims, found["mean"].attrs["long_name"]
    (('time',), 'ipm2/sum')
    """
    if over not in ("time", "event"):
        raise SpecError(f"over must be 'time' or 'event', got {over!r}")
    if bins is not None and bins < 1:
        raise SpecError(f"bins must be at least 1, got {bins}")
    events = look_at(run, [name], select)
    clock = _clock(events.run, over, bins)
    moments, tally = _follow(events, clock)
    return _data(events, moments, tally, xr.Variable(over, clock.starts, {"long_name": _LONG_NAMES[over]}))


@dataclass(frozen=True, slots=True, eq=False)
class _Clock:
    """Says in which bin events lie."""

    starts: NDArray[Any]  # (n_bins,) where each bin begins
    edges: IntArray  # (n_bins + 1,) int64, in the unit of `at`
    at: IntArray | None  # (n_events,) int64, nanoseconds; None for the numbers of the events

    def index(self, part: Part) -> IntArray:
        """Return the bin of every event of a window."""
        within = part.window.events
        at = np.arange(within.start, within.stop) if self.at is None else self.at[within]
        return np.searchsorted(self.edges, at, side="right") - 1


def _clock(run: Run, over: Over, bins: int | None) -> _Clock:
    """Return every event a bin of its own while they are few, else bins of equal length."""
    n_events = run.n_events
    if not n_events or (bins is None and n_events <= MOST_SINGLE):
        numbers = np.arange(n_events + 1)
        return _Clock(run.time if over == "time" else numbers[:-1], numbers, None)
    n_bins = max(min(bins or TRACE_BINS, n_events), 1)
    if over == "event":
        edges = _even(0, n_events, n_bins)
        return _Clock(edges[:-1], edges, None)
    at = run.time.view(np.int64)
    edges = _even(*_span(at), n_bins)
    return _Clock(edges[:-1].view("datetime64[ns]"), edges, at)


def _even(first: int, stop: int, n_bins: int) -> IntArray:
    whole, rest = divmod(stop - first, n_bins)  # apart, as nanoseconds times bins may exceed 64 bits
    numbers = np.arange(n_bins + 1)
    return first + whole * numbers + rest * numbers // n_bins


def _span(time: IntArray) -> tuple[int, int]:
    return (int(time[0]), int(time[-1]) + 1) if len(time) else (0, 1)


def _follow(events: Events, clock: _Clock) -> tuple[Moments, Tally]:
    n_bins = len(clock.starts)
    moments, tally = no_moments(1, n_bins), Tally()
    for part in events.parts():
        finite, known = part.finite, int(np.count_nonzero(part.known))
        values = floats(part.columns[0], finite)[None]
        moments += moments_of(values, clock.index(part)[finite], n_bins)
        selected = int(np.count_nonzero(part.kept))
        tally += Tally(selected, selected - known, known - values.shape[1])
    return moments, tally


def _data(events: Events, moments: Moments, tally: Tally, along: xr.Variable) -> xr.Dataset:
    (over,) = along.dims
    attrs = events.attrs(events.names[0])
    return xr.Dataset(
        {
            "mean": (over, moments.means()[0], attrs),
            "std": (over, moments.stds()[0], {**attrs, "long_name": f"spread of {events.names[0]}"}),
            "count": (over, moments.count, {"long_name": "events"}),
        },
        coords={over: along},
        attrs={**tally.attrs, **events.origin},
    )
