"""Pictures of a quantity along the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cubeengine.look.draw_histograms import next_colour
from cubeengine.look.events import tally_of
from cubeengine.look.figures import axes_for, finish, legend_text, say_empty
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.look.traces import Over, trace

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

ONE_SECOND = np.timedelta64(1, "s")


@looks
def plot_trace(
    run: RunLike,
    name: str,
    *,
    over: Over = "time",
    bins: int | None = None,
    select: Select = None,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a quantity along the run: points, or the mean in bins with the spread of events as a band.

    Parameters
    ----------
    run, name, over, bins, select
        As for `trace`.
    label : str, optional
        Name in the legend; the selection where left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes
        Lines have gaps where there are no events.

    Examples
    --------
    >>> ax = look.plot_trace(run, "ipm2/sum", over="event", bins=60)
    >>> ax.get_xlabel()
    'event'
    """
    data = trace(run, name, over=over, bins=bins, select=select)
    drawn = axes_for(ax, data)
    draw_trace(data if label is None else data.assign_attrs(selection=label), drawn)
    return drawn


def draw_trace(data: xr.Dataset, ax: Axes) -> None:
    """Draw points where bins hold one event, else mean and spread."""
    (over,) = map(str, data.dims)
    at, mean, std = data[over].values, data["mean"].values, data["std"].values
    there = np.isfinite(mean)
    if not there.any():
        say_empty(ax, "no event has a value")
        ax.set_xlim(*at[[0, -1]] if len(at) > 1 else (None, None))
    elif over == "time" and len(at) == 1:
        ax.set_xlim(at[0] - ONE_SECOND, at[0] + ONE_SECOND)  # of one moment matplotlib shows four years
    single = int(data["count"].values.max(initial=0)) <= 1
    colour = next_colour(ax)
    words = str(tally_of(data.attrs)) + ("" if single else "; mean and spread")
    alone = np.flatnonzero(there & ~np.append(False, there[:-1]) & ~np.append(there[1:], False))
    style: Any = {"ls": ""} if single else {"lw": 1.2, "markevery": alone.tolist()}  # a line needs two points
    ax.plot(at, mean, marker=".", ms=3.0, color=colour, label=legend_text(data.attrs, words), **style)
    if not single:
        ax.fill_between(at, mean - std, mean + std, color=colour, alpha=0.2, lw=0)
    finish(ax, data[over], data["mean"])
    if over == "time" and data.sizes[over]:
        fit_time(ax, data["time"])


def fit_time(ax: Axes, time: xr.DataArray) -> None:
    """Write times as short as they can be, and the day in the label."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    first = str(time.values[0].astype("datetime64[m]")).replace("T", " ")
    ax.set_xlabel(f"time (UTC), from {first}")
