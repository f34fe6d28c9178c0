"""Pictures of a quantity along the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cubeengine.look.draw_histograms import next_colour
from cubeengine.look.events import tally_of
from cubeengine.look.figures import axes_for, finish, label_of, legend_text
from cubeengine.look.selecting import RunLike, Select
from cubeengine.look.traces import Over, trace

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


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
    mean, std = data["mean"].values, data["std"].values
    single = int(data["count"].values.max(initial=0)) <= 1
    colour = next_colour(ax)
    words = str(tally_of(data.attrs)) + ("" if single else "; mean and spread")
    style: Any = {"marker": ".", "ls": "", "ms": 3.0} if single else {"lw": 1.2}
    ax.plot(data[over].values, mean, color=colour, label=legend_text(data.attrs, words), **style)
    if not single:
        ax.fill_between(data[over].values, mean - std, mean + std, color=colour, alpha=0.2, lw=0)
    finish(ax, label_of(data[over]), label_of(data["mean"]))
    if over == "time" and data.sizes[over]:
        fit_time(ax)


def fit_time(ax: Axes) -> None:
    """Write times as short as they can be, and the day in the label."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date

    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
    first = num2date(ax.dataLim.x0)  # type: ignore[no-untyped-call]
    ax.set_xlabel(f"time (UTC), from {first:%Y-%m-%d %H:%M}")
