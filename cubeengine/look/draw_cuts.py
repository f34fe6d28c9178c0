"""Pictures of what cuts do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from cubeengine.look.cuts import CUT_BINS, cut_flow, cut_histograms
from cubeengine.look.figures import (
    GREY,
    WIDTH,
    edges_of,
    finish,
    fit_ticks,
    new_figure,
    plain,
    say_empty,
    write_powers,
)
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.plots.panels import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL = 34
"""Letters of a line that names a cut."""


@looks
def plot_cut_flow(run: RunLike, select: Select, *, ax: Axes | None = None) -> Axes:
    """Draw the events that are left after each cut as bars, with the fraction that each rejects.

    Parameters
    ----------
    run, select
        As for `cut_flow`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes
        Bars in the order of the cuts, from the top; the pale ones are what a cut alone keeps.

    Examples
    --------
    >>> ax = look.plot_cut_flow(run, ["`ipm2/sum` > 0.4", "`tt/AMPL` > 0.02"])
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['all events', 'ipm2/sum > 0.4', 'tt/AMPL > 0.02']
    """
    data = cut_flow(run, select)
    if ax is None:
        made = new_figure(WIDTH + 1.0, 1.3 + 0.42 * (data.sizes["cut"] + 1))
        made.suptitle(plain(str(data.attrs["run"])), fontsize="medium", color=GREY)
        ax = made.subplots()
    draw_cut_flow(data, ax)
    return ax


def draw_cut_flow(data: xr.Dataset, ax: Axes) -> None:
    """Draw a bar for all events, and one for each cut."""
    total, kept = int(data.attrs["n_total"]), data["after"].values
    names = ["all events", *(plain(str(cut), LABEL) for cut in data["cut"].values)]
    places = np.arange(len(names))
    ax.barh(
        places[1:], data["alone"].values, height=0.72, color=COLOURS[1], alpha=0.2, label="by this cut alone"
    )
    ax.barh(places, [total, *kept], height=0.46, color=COLOURS[1], label="kept so far")
    for place, (after, rejected) in enumerate(zip(kept, data["rejected"].values, strict=True), 1):
        words = f" {after:,} ({_percent(after, total)}); {_rejects(rejected)}"
        ax.text(total * 1.02, place, words, va="center", fontsize="small", color=GREY)
    ax.text(total * 1.02, 0, f" {total:,}", va="center", fontsize="small", color=GREY)
    ax.set_yticks(places, names, fontsize="small")
    ax.invert_yaxis()
    ax.set_xlim(0, max(total, 1) * 1.02)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("events")
    write_powers(ax.xaxis)
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)


def _percent(part: int, total: int) -> str:
    return f"{part / total:.1%}" if total else "-"


def _rejects(fraction: float) -> str:
    return f"rejects {fraction:.1%}" if np.isfinite(fraction) else "keeps no event"


@looks
def plot_cuts(run: RunLike, select: Select, *, bins: int = CUT_BINS) -> list[Axes]:
    """Draw, for each cut, where it lies in the values of its quantity.

    Parameters
    ----------
    run, select, bins
        As for `cut_histograms`.

    Returns
    -------
    list of matplotlib.axes.Axes
        One for each cut on a single quantity: grey all events, coloured those that all other cuts keep, and
        lines where the cut lies.

    Examples
    --------
    >>> panels = look.plot_cuts(run, ["`ipm2/sum` > 0.4", "`tt/AMPL` > 0.02"])
    >>> [panel.get_xlabel() for panel in panels]
    ['ipm2/sum', 'tt/AMPL']
    """
    found = cut_histograms(run, select, bins=bins)
    columns = min(max(math.ceil(math.sqrt(len(found))), 1), 3)
    rows = max(math.ceil(len(found) / columns), 1)
    made = new_figure(columns * 3.6 + 0.4, rows * 2.8 + 0.5)
    grid = list(made.subplots(rows, columns, squeeze=False).ravel())
    for panel, (cut, data) in zip(grid, found.items(), strict=False):
        draw_cut(cut, data, panel)
        made.suptitle(plain(str(data.attrs["run"])), fontsize="medium", color=GREY)
    for panel in grid[len(found) :]:
        panel.set_axis_off()
    if found:
        handles, labels = grid[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    return grid[: len(found)]


def draw_cut(cut: str, data: xr.DataArray, ax: Axes) -> None:
    """Draw the two histograms on a logarithmic scale, and the lines of the cut."""
    dim = str(data.dims[1])
    edges = edges_of(data, dim)
    everything, others = data.values
    if not everything.any():
        say_empty(ax, "no event in the bins")
    ax.stairs(everything, edges, fill=True, color="#c9ced3", label="all events")
    ax.stairs(others, edges, color=COLOURS[1], lw=1.4, label="kept by all other cuts")
    for number, value in enumerate(data.attrs["lines"]):
        ax.axvline(value, color=COLOURS[0], lw=1.2, ls="--", label=None if number else "cut")
    if everything.any():  # no logarithm of counts that are all 0
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.5)
    ax.set_xlim(edges[0], edges[-1])
    finish(ax, data[dim], data)
    ax.get_legend().remove()  # type: ignore[union-attr]
    fit_ticks(ax, "x", data[dim])
    ax.set_title(plain(f"{cut}: {_rejects(data.attrs['rejected'])}", LABEL + 8), fontsize="small", color=GREY)
