"""Figures that show themselves where somebody looks, and the style of all pictures here.

In IPython with a window or inline pictures, a figure shows only if pyplot made it; so there it does.
Elsewhere (scripts, batch jobs, tests, a terminal without a display) figures are made without pyplot: nothing
global is touched, nothing piles up, no display is needed. `axes.figure.savefig("look.png")` works in both.
"""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.plots import panels
from cubeengine.plots.values import display_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

WIDTH, HEIGHT = 6.4, 4.2
"""Inches; see `plots.panels` for colours."""

LABEL_WIDTH = 64
"""Letters of a line in a legend or title."""

AXIS_WIDTH = 44
"""Letters of a line beside an axis."""

LEGEND: Any = {
    "frameon": False, "fontsize": "small", "title_fontsize": "small", "alignment": "left",
    "loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2,
}  # fmt: skip

GREY = "#5c6670"

_SHOWING = ("inline", "ipympl", "widget", "nbagg", "webagg")


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """Make an empty figure: by pyplot where that shows it, else by itself.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    made = panels.figure(width, height)
    if not _pyplot_shows():
        return made
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def _pyplot_shows() -> bool:
    """Return whether somebody looks at what pyplot makes; loads it in IPython only."""
    if "matplotlib.pyplot" not in sys.modules and not _in_ipython():
        return False
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    backend = plt.get_backend().lower()
    builtin = backend_registry.list_builtin(BackendFilter.INTERACTIVE)  # type: ignore[no-untyped-call]
    interactive = [name.lower() for name in builtin]
    return backend in interactive or any(word in backend for word in _SHOWING)


def _in_ipython() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return get_ipython() is not None


def axes_for(ax: Axes | None, data: xr.DataArray | xr.Dataset) -> Axes:
    """Return the axes to draw on: those given, or new ones that are titled with the run."""
    if ax is not None:
        return ax
    made = new_figure()
    made.suptitle(plain(str(data.attrs.get("run", ""))), fontsize="medium", color=GREY)
    drawn: Axes = made.subplots()
    return drawn


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes are on."""
    figure: Any = ax.get_figure(root=True)
    made: Figure = figure
    return made


def plain(text: str, width: int = 0) -> str:
    """Return a text that matplotlib takes as it is, in lines of a width: names are no formulae."""
    lines = textwrap.wrap(text, width, break_on_hyphens=False) if width else [text]
    return "\n".join(lines).replace("$", r"\$")


def label_axis(axis: Axis, shown: xr.DataArray | str) -> None:
    """Say along an axis what is shown, in the unit that reads best for what is drawn so far.

    Only the label and the numbers at the ticks are in that unit, as they are in pictures of cubes: what is
    drawn stays in the unit of the data, so that more can be drawn on the same axes.
    """
    from matplotlib.ticker import ScalarFormatter

    attrs = {"long_name": shown} if isinstance(shown, str) else {"long_name": shown.name or "", **shown.attrs}
    unit, factor = display_unit(axis.get_data_interval(), str(attrs.get("units", "")))
    axis.set_label_text(plain(panels.with_unit(str(attrs["long_name"]), unit), AXIS_WIDTH))
    if factor != 1:
        axis.set_major_formatter(_in_unit(factor))
    elif getattr(axis.get_major_formatter(), IN_UNIT, False):
        axis.set_major_formatter(ScalarFormatter())
    write_powers(axis)


IN_UNIT = "cubeengine_unit"
"""Marks formatters that write numbers in another unit than that of the data."""


def _in_unit(factor: float) -> FuncFormatter:
    from matplotlib.ticker import FuncFormatter

    made = FuncFormatter(lambda value, _: f"{value * factor:.6g}")
    setattr(made, IN_UNIT, True)
    return made


def legend_text(attrs: dict[Any, Any], words: str) -> str:
    """Name what is drawn: the selection, and how many events."""
    return plain(f"{attrs['selection']}: {words}", LABEL_WIDTH)


def edges_of(data: xr.DataArray | xr.Dataset, dim: str) -> NDArray[np.float64]:
    """Return the edges of the bins along a dimension."""
    return np.append(data[f"{dim}_low"].values, data[f"{dim}_high"].values[-1:])


def finish(ax: Axes, x: xr.DataArray | str, y: xr.DataArray | str) -> None:
    """Label both axes, see `label_axis`, and add grid and legend: above, where it covers nothing."""
    panels.finish_curves(ax, "", "", legend=False)
    if any(ax.get_legend_handles_labels()[1]):
        ax.legend(**LEGEND)
    for axis, shown in ((ax.xaxis, x), (ax.yaxis, y)):
        label_axis(axis, shown)


def write_powers(axis: Axis) -> None:
    """Write 2e-12 or 3M beside the tick: a power of ten at the end of the axis is overlooked."""
    from matplotlib.ticker import FuncFormatter, ScalarFormatter

    largest = np.abs(axis.get_view_interval()).max()
    if isinstance(axis.get_major_formatter(), ScalarFormatter) and not 1e-3 < largest < 1e6:
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def tick_text(value: float) -> str:
    """Write a small or large number as short as it can be.

    Examples
    --------
    >>> tick_text(2e-12), tick_text(1.5e6), tick_text(0.0), tick_text(3e12)
    ('2e-12', '1.5M', '0', '3e+12')
    """
    return f"{value / 1e6:.6g}M" if 1e5 <= abs(value) < 1e9 else f"{value:.6g}"


def say_empty(ax: Axes, words: str) -> None:
    """Say in the middle of axes why nothing is to be seen, unless something is drawn there already."""
    if not ax.has_data():
        ax.text(0.5, 0.6, words, ha="center", va="center", color=GREY, transform=ax.transAxes)


def note(ax: Axes, text: str) -> None:
    """Put words above the axes; what was there stays."""
    before = ax.get_title(loc="left")
    ax.set_title("\n".join(filter(None, [before, text])), loc="left", fontsize="small", color=GREY)


def fit_ticks(ax: Axes, axis: str, coordinate: xr.DataArray) -> None:
    """Write whole numbers where values are whole, and words for booleans."""
    from matplotlib.ticker import MaxNLocator

    kind = np.dtype(coordinate.attrs.get("dtype", "f8")).kind
    ticked = ax.xaxis if axis == "x" else ax.yaxis
    if kind == "b":
        ticked.set_ticks([0, 1], labels=["false", "true"])
    elif kind in "iu":
        ticked.set_major_locator(MaxNLocator(integer=True))
