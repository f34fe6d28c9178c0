"""One page of pictures of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from cubeengine.look.draw_histograms import draw_histogram
from cubeengine.look.draw_traces import draw_trace, fit_time
from cubeengine.look.figures import GREY, finish, new_figure, plain, write_powers
from cubeengine.look.overviews import Choices, overview
from cubeengine.look.selecting import RunLike, looks, run_of
from cubeengine.plots.panels import COLOURS
from cubeengine.schema.texts import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LAYOUT = (("shots", "i0", "i0_trace"), ("scan", "timetool", "amplitude"), ("missing", "missing", "rate"))
ABSENT = {
    "i0": "no intensity monitor varies",
    "i0_trace": "no intensity monitor varies",
    "scan": "no scan variable moves",
    "timetool": "no time tool",
    "amplitude": "no time tool",
}
MOST_FIELDS = 10
"""Fields that lack most are shown by name."""


@looks
def plot_overview(
    run: RunLike, *, fields: Choices | None = None, missing: Iterable[str] | None = None
) -> Mapping[str, Axes]:
    """Draw on one page what one looks at first in a run.

    Parameters
    ----------
    run, fields, missing
        As for `overview`.

    Returns
    -------
    mapping of name to matplotlib.axes.Axes
        The panels, by the names that `overview` has; a panel of what the run lacks says so.

    Examples
    --------
    >>> panels = look.plot_overview(run)
    >>> list(panels)
    ['shots', 'i0', 'i0_trace', 'scan', 'timetool', 'amplitude', 'missing', 'rate']
    """
    data = overview(run, fields=fields, missing=missing)
    made = new_figure(13.0, 9.0)
    at = run_of(run)
    span = f", {_second(at.time[0])} to {_second(at.time[-1])} UTC" if at.n_events else ""
    made.suptitle(plain(f"{at.label}: {counted(at.n_events, 'event')}{span}"), fontsize="large")
    panels: dict[str, Axes] = made.subplot_mosaic([list(row) for row in LAYOUT])
    for name, panel in panels.items():
        if name in data:
            _draw(name, data[name], panel)
        else:
            _say(panel, ABSENT[name])
    return panels


def _draw(name: str, data: xr.Dataset | xr.DataArray, ax: Axes) -> None:
    if isinstance(data, xr.Dataset):
        draw_trace(data, ax)
    elif name == "shots":
        _draw_shots(data, ax)
    elif name == "rate":
        _draw_rate(data, ax)
    elif name == "missing":
        _draw_missing(data, ax)
    else:
        draw_histogram(data, ax)


def _draw_shots(data: xr.DataArray, ax: Axes) -> None:
    shown = data[data.values > 0]
    total = max(int(data.attrs["n_total"]), 1)
    colours = [COLOURS[1] if state.startswith("laser") else COLOURS[2] for state in shown["state"].values]
    places = np.arange(shown.size)
    ax.barh(places, shown.values, color=colours, height=0.7)
    for place, count in enumerate(shown.values):
        ax.text(
            total * 1.02, place, f"{count:,} ({count / total:.1%})", va="center", fontsize="small", color=GREY
        )
    ax.set_yticks(places, shown["state"].values.tolist())
    ax.set_xlim(0, total * 1.5)
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= total])
    write_powers(ax.xaxis)
    ax.invert_yaxis()
    ax.set_xlabel("events")
    ax.spines[["top", "right"]].set_visible(False)


def _draw_rate(data: xr.DataArray, ax: Axes) -> None:
    ax.plot(data["time"].values, data.values, color=COLOURS[1], lw=1.2, drawstyle="steps-post")
    ax.set_ylim(0, 1.1 * max(float(data.max()), 1.0))
    finish(ax, data["time"], data)
    fit_time(ax, data["time"])


def _draw_missing(data: xr.DataArray, ax: Axes) -> None:
    lacking = data[data.values > 0]
    shown = lacking[:MOST_FIELDS]
    complete, more = data.size - lacking.size, lacking.size - shown.size
    words = f"{complete} fields are complete" + (f", {more} more fields lack fewer events" if more else "")
    if data.attrs["unreadable"]:
        words += f"; cannot be read: {', '.join(data.attrs['unreadable'][:3])}"
    ax.set_title(plain(words, 80), loc="left", fontsize="small", color=GREY)
    if not shown.size:
        _say(ax, "nothing is missing")
        return
    places = np.arange(shown.size)
    ax.barh(places, shown.values * 100, color=COLOURS[4], height=0.7)
    for place, value in enumerate(shown.values):
        ax.text(value * 100, place, f" {value:.2%}", va="center", fontsize="small", color=GREY)
    ax.set_yticks(places, [plain(name) for name in shown["field"].values], fontsize="small")
    ax.set_ylim(max(shown.size, 6) - 0.5, -0.5)
    ax.margins(x=0.15)
    ax.set_xlabel("events without value (%)")
    ax.spines[["top", "right"]].set_visible(False)


def _say(ax: Axes, words: str) -> None:
    """Say in an empty panel why it is empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, ha="center", va="center", color=GREY, transform=ax.transAxes)


def _second(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")).replace("T", " ")
