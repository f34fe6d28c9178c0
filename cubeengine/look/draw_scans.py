"""Pictures of a signal over a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.look.axes import AxisLike
from cubeengine.look.bins import Bins
from cubeengine.look.draw_histograms import next_colour
from cubeengine.look.events import Tally
from cubeengine.look.figures import (
    GREY,
    HEIGHT,
    LABEL_WIDTH,
    LEGEND,
    WIDTH,
    axes_for,
    finish,
    new_figure,
    plain,
    say_empty,
)
from cubeengine.look.ratios import Statistic
from cubeengine.look.scans import SELECTION, TIMETOOL, scan_curve
from cubeengine.look.selecting import RunLike, Select, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Show = Literal["both", "curves", "difference"]


@looks
def plot_scan(
    run: RunLike,
    signal: str,
    i0: str | None = None,
    *,
    axis: AxisLike = None,
    bins: Bins | None = None,
    select: Select = None,
    curves: Mapping[str, Select] | Sequence[str] | None = None,
    without: Sequence[str] = TIMETOOL,
    statistic: Statistic = "ratio_of_means",
    show: Show | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a signal over a scan with standard errors: laser on, off, and below their difference.

    Parameters
    ----------
    run, signal, i0, axis, bins, select, curves, without, statistic
        As for `scan_curve`.
    show : "both", "curves" or "difference", optional
        What to draw. On a figure of its own both, where there are two curves; on given axes the curves.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes
        Those of the curves; with both, the difference is on `ax.figure.axes[1]`.

    Examples
    --------
    >>> ax = look.plot_scan(run, "diode2__channels[3]", "ipm2/sum", select="`ipm2/sum` > 0.3")
    >>> [panel.get_ylabel() for panel in ax.figure.axes][1]
    'on - off'
    """
    data = scan_curve(
        run,
        signal,
        i0,
        axis=axis,
        bins=bins,
        select=select,
        curves=curves,
        without=without,
        statistic=statistic,
    )
    has_difference = "difference" in data
    shown = show or ("both" if has_difference and ax is None else "curves")
    if shown != "curves" and not has_difference:
        raise SpecError(
            "there is no difference: it needs two curves without common events, found "
            f"{', '.join(map(str, data[SELECTION].values))}"
        )
    if shown == "both" and ax is not None:
        raise SpecError("on given axes choose show='curves' or show='difference', not both")
    if shown == "both":
        return _draw_both(data)
    drawn = axes_for(ax, data)
    (draw_curves if shown == "curves" else draw_difference)(data, drawn)
    return drawn


def _draw_both(data: xr.Dataset) -> Axes:
    made = new_figure(WIDTH, HEIGHT + 1.8)
    made.suptitle(plain(str(data.attrs["run"])), fontsize="medium", color=GREY)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    draw_curves(data, upper)
    draw_difference(data, lower)
    upper.set_xlabel("")
    drawn: Axes = upper
    return drawn


def draw_curves(data: xr.Dataset, ax: Axes) -> None:
    """Draw each selection as points with errors."""
    dim = _axis(data)
    if not np.isfinite(data["value"].values).any():
        say_empty(ax, "no event has a value")
    for number, name in enumerate(data[SELECTION].values):
        one = data.isel({SELECTION: number})
        tally = _tally(data, number)
        _draw(ax, data["position"].values, one["value"], one["error"], plain(f"{name}: {tally}"))
    finish(ax, data[dim], data["value"])
    title = f"{data.attrs['selection']}; {data.attrs['statistic'].replace('_', ' ')}, standard errors"
    ax.legend(title=plain(title, LABEL_WIDTH), **LEGEND)


def draw_difference(data: xr.Dataset, ax: Axes) -> None:
    """Draw the difference with its error, around a line at 0."""
    _draw(ax, data["position"].values, data["difference"], data["difference_error"], None)
    ax.axhline(0, color="#888888", lw=0.8, zorder=0)
    finish(ax, data[_axis(data)], data["difference"])


def _draw(
    ax: Axes, x: NDArray[np.float64], value: xr.DataArray, error: xr.DataArray, label: str | None
) -> None:
    colour = next_colour(ax) if label is not None else GREY
    ax.errorbar(
        x, value.values, error.values, fmt="o-", ms=3.5, lw=1.0, elinewidth=1.0, capsize=2.0, color=colour,
        label=label,
    )  # fmt: skip


def _axis(data: xr.Dataset) -> str:
    return next(str(dim) for dim in data["value"].dims if dim != SELECTION)


def _tally(data: xr.Dataset, number: int) -> Tally:
    shown, missing, outside = (data.attrs[f"n_{what}"][number] for what in ("events", "missing", "outside"))
    return Tally(shown + missing + outside, missing, outside)
