"""Pictures of two quantities against one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cubeengine.look.bins import Limits
from cubeengine.look.correlations import MOST_POINTS, correlation
from cubeengine.look.draw_histograms import draw_counts
from cubeengine.look.events import tally_of
from cubeengine.look.figures import axes_for, finish, legend_text, note, say_empty
from cubeengine.look.histograms import BINS_EACH_WAY
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.plots.panels import COLOURS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


@looks
def plot_correlation(
    run: RunLike,
    x: str,
    y: str,
    *,
    bins: int = BINS_EACH_WAY,
    percentiles: Limits | None = None,
    points: int = MOST_POINTS,
    select: Select = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw two quantities against one another: single events, or their density where they are many.

    Parameters
    ----------
    run, x, y, bins, percentiles, points, select
        As for `correlation`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes
        With the line of least squares; above stand the numbers of events and the coefficient.

    Examples
    --------
    >>> ax = look.plot_correlation(run, "ipm2/sum", "diode2__channels[3]", select="`ipm2/sum` > 0.3")
    >>> ax.get_ylabel()
    'diode2/channels[3]'
    """
    data = correlation(run, x, y, bins=bins, percentiles=percentiles, points=points, select=select)
    drawn = axes_for(ax, data)
    draw_correlation(data, drawn)
    return drawn


def draw_correlation(data: xr.Dataset, ax: Axes) -> None:
    """Draw points or density, and the line through them."""
    x, y = map(str, data["counts"].dims)
    limits = [(float(data[f"{dim}_low"][0]), float(data[f"{dim}_high"][-1])) for dim in (x, y)]
    if "points" in data:
        if not data.sizes["event"]:
            say_empty(ax, "no event has both values")
        ax.plot(*data["points"].values.T, ".", ms=4.0, color=COLOURS[1], alpha=0.6, mew=0)
        finish(ax, data[x], data[y])
    else:
        draw_counts(data["counts"], ax, log=True)
    at = np.array(limits[0])
    line = float(data["intercept"]) + float(data["slope"]) * at
    if np.isfinite(line).all():
        ax.plot(at, line, color=COLOURS[0], lw=1.0, ls="--", scalex=False, scaley=False)
    ax.set(xlim=_padded(*limits[0]), ylim=_padded(*limits[1]))
    coefficient = float(data["correlation"])
    words = f"r = {coefficient:.3f}" if np.isfinite(coefficient) else "no r: one quantity is constant"
    note(ax, legend_text(data.attrs, f"{tally_of(data.attrs)}, {words}"))


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.02 * (high - low)
    return low - margin, high + margin
