"""Pictures of histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cubeengine.look.bins import Bins, Limits
from cubeengine.look.events import tally_of
from cubeengine.look.figures import (
    axes_for,
    edges_of,
    figure_of,
    finish,
    fit_ticks,
    label_axis,
    legend_text,
    note,
    plain,
    say_empty,
)
from cubeengine.look.histograms import BINS, BINS_EACH_WAY, histogram, histogram2d
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.plots.panels import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh


@looks
def plot_histogram(
    run: RunLike,
    name: str,
    *,
    bins: Bins = BINS,
    range: Limits | None = None,
    percentiles: Limits | None = None,
    select: Select = None,
    label: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the histogram of a quantity; several may be drawn on the same axes.

    Parameters
    ----------
    run, name, bins, range, percentiles, select
        As for `histogram`.
    label : str, optional
        Name in the legend; the selection where left out. The numbers of events stand beside it.
    log : bool
        Whether counts have a logarithmic scale.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes
        `ax.figure.savefig("histogram.png")` saves it.

    Examples
    --------
    >>> ax = look.plot_histogram(run, "ipm2/sum", bins=np.linspace(0, 2, 41), label="all")
    >>> ax = look.plot_histogram(run, "ipm2/sum", bins=np.linspace(0, 2, 41),
    ...                          select="`lightStatus/laser` == 0", label="laser off", ax=ax)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('ipm2/sum', 'events')
    """
    data = histogram(run, name, bins=bins, range=range, percentiles=percentiles, select=select)
    drawn = axes_for(ax, data)
    draw_histogram(data if label is None else data.assign_attrs(selection=label), drawn)
    if log and data.values.any():  # no logarithm of counts that are all 0
        drawn.set_yscale("log")
        drawn.set_ylim(bottom=0.5)
    return drawn


def draw_histogram(data: xr.DataArray, ax: Axes) -> None:
    """Draw counts as steps."""
    (dim,) = map(str, data.dims)
    if not data.values.any():
        say_empty(ax, "no event in the bins")
    colour = next_colour(ax)
    label = legend_text(data.attrs, str(tally_of(data.attrs)))
    edges = edges_of(data, dim)
    ax.stairs(data.values, edges, color=colour, lw=1.3, label=label)
    ax.stairs(data.values, edges, color=colour, fill=True, alpha=0.15)
    finish(ax, data[dim], data)
    fit_ticks(ax, "x", data[dim])


def next_colour(ax: Axes) -> str:
    """Return the colour after those that the legend has."""
    n_drawn = len(ax.get_legend_handles_labels()[1])
    return COLOURS[n_drawn % len(COLOURS)]


@looks
def plot_histogram2d(
    run: RunLike,
    x: str,
    y: str,
    *,
    bins: Bins | tuple[Bins, Bins] = BINS_EACH_WAY,
    range: tuple[Limits | None, Limits | None] = (None, None),
    percentiles: Limits | None = None,
    select: Select = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the histogram of two quantities as a map; bins without events stay white.

    Parameters
    ----------
    run, x, y, bins, range, percentiles, select
        As for `histogram2d`.
    log : bool
        Whether colours have a logarithmic scale.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = look.plot_histogram2d(run, "ipm2/sum", "ipm3/sum", percentiles=(1, 99))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('ipm2/sum', 'ipm3/sum')
    """
    data = histogram2d(run, x, y, bins=bins, range=range, percentiles=percentiles, select=select)
    drawn = axes_for(ax, data)
    draw_counts(data, drawn, log=log)
    note(drawn, legend_text(data.attrs, str(tally_of(data.attrs))))
    return drawn


def draw_counts(data: xr.DataArray, ax: Axes, *, log: bool = False) -> QuadMesh:
    """Draw counts over two dimensions as a map with a scale of colours."""
    from matplotlib.colors import LogNorm, Normalize

    x, y = map(str, data.dims)
    if not data.values.any():
        say_empty(ax, "no event in the bins")
    counts = np.where(data.values > 0, data.values, np.nan).astype(np.float64)
    most = max(int(data.values.max(initial=1)), 1)
    norm: Any = LogNorm(0.8, max(most, 2)) if log else Normalize(0, most)
    mesh = ax.pcolormesh(
        edges_of(data, x), edges_of(data, y), counts.T, norm=norm, cmap="viridis", rasterized=True
    )
    label_axis(ax.xaxis, data[x])
    label_axis(ax.yaxis, data[y])
    fit_ticks(ax, "x", data[x])
    fit_ticks(ax, "y", data[y])
    figure_of(ax).colorbar(mesh, ax=ax, label=plain(str(data.attrs["long_name"])))
    return mesh
