"""What all pictures share: figures and panels, colours and their limits, labels and notes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import MissingExtra
from cubeengine.plots.values import Drawable, run_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

COLOURS = ("#c8442f", "#2f6690", "#3a7d44", "#8d5a97", "#d98e04", "#5c6670")
"""Of the selections in their order: they differ in lightness too, for readers who confuse red and green."""

LIMIT_PERCENTILES = (0.5, 99.5)
"""Between these lie the colours of a map: single hot pixels and poor bins do not stretch the scale."""


MOST_TICKS = 12
"""Labels of bins that lie side by side, along an axis."""


def figure(width: float, height: float) -> Figure:
    """Make an empty figure of a size in inches.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as err:
        raise MissingExtra(
            "pictures need matplotlib; install it with: pip install 'cubeengine[plot]'"
        ) from err
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def grid(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Make a grid of panels of a size in inches, with room for a title and a scale of colours."""
    made = figure(columns * width + 1.2, rows * height + 0.8)
    return made, list(made.subplots(rows, columns, squeeze=False).ravel())


def finish_curves(panel: Axes, xlabel: str, ylabel: str, *, legend: bool = True, zero: bool = False) -> None:
    """Add labels, grid and legend to a panel of curves; with `zero` a line there."""
    panel.set(xlabel=xlabel, ylabel=ylabel)
    panel.grid(visible=True, alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    if zero:
        panel.axhline(0, color="#888888", lw=0.8, zorder=0)
    if legend and any(panel.get_legend_handles_labels()[1]):
        panel.legend(frameon=False)


def colours_for(drawn: Drawable) -> dict[str, Any]:
    """Choose colour map and limits for all panels of a picture."""
    from matplotlib.colors import Normalize

    finite = drawn.value.values[np.isfinite(drawn.value.values)]
    low, high = np.percentile(finite, LIMIT_PERCENTILES) if finite.size else (0.0, 1.0)
    if drawn.centred:
        high = max(abs(low), abs(high))
        low = -high
    norm = Normalize(low, high if high > low else low + 1.0)
    return {"norm": norm, "cmap": "RdBu_r" if drawn.centred else "viridis"}


def add_scale(
    made: Figure, mappable: ScalarMappable, panels: list[Axes], drawn: Drawable, label: str
) -> None:
    """Add the scale of colours, with pointed ends where values lie beyond its limits."""
    limits, values = mappable.norm, drawn.value.values
    below, above = bool((values < limits.vmin).any()), bool((values > limits.vmax).any())
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    lines = wrapped(label, int(made.get_figheight() * 10))
    made.colorbar(mappable, ax=panels, label=lines, extend=ends[below, above], aspect=25)


def annotate(made: Figure, dataset: xr.Dataset, drawn: Drawable, *, shows_errors: bool) -> None:
    """Put the run and the quantity on top, and below what must be said."""
    runs = run_words(dataset)
    width = int(made.get_figwidth() * 11)
    made.suptitle(wrapped(f"{runs}: {drawn.label}" if runs else drawn.label, width), fontsize="large")
    notes = (*drawn.notes, *(drawn.error_notes if shows_errors else ()))
    if notes:
        text = "\n".join(wrapped(note, int(width * 1.2)) for note in notes)
        made.supxlabel(text, fontsize="small", color="#555555", x=0.01, ha="left")


def positions(dataset: xr.Dataset, dim: str) -> NDArray[np.float64]:
    """Return the coordinate of a dimension, or plain numbers where it has none."""
    known = dim in dataset.coords and np.issubdtype(dataset[dim].dtype, np.number)
    return np.asarray(dataset[dim].values if known else np.arange(dataset.sizes[dim]), np.float64)


def edges(dataset: xr.Dataset, dim: str) -> NDArray[np.float64]:
    """Return the bin edges of a dimension; midway between positions where none are stored."""
    stored = _bounds(dataset, dim)
    if len(stored) and not have_gaps(dataset, dim):
        return np.concatenate([stored[:, 0], stored[-1:, 1]])
    at = np.arange(len(stored), dtype=np.float64) if len(stored) else positions(dataset, dim)
    if at.size == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middle: NDArray[np.float64] = (at[:-1] + at[1:]) / 2
    outer = np.array([2 * at[0] - middle[0], 2 * at[-1] - middle[-1]])
    return np.concatenate([outer[:1], middle, outer[1:]])


def have_gaps(dataset: xr.Dataset, dim: str) -> bool:
    """Return whether bins do not touch one another, as of runs 12 and 20: maps show them side by side."""
    stored = _bounds(dataset, dim)
    return bool((stored[1:, 0] != stored[:-1, 1]).any())


def _bounds(dataset: xr.Dataset, dim: str) -> NDArray[np.float64]:
    bounds = dataset.variables.get(f"{dim}_bnds")
    return np.empty((0, 2)) if bounds is None else np.asarray(bounds.values, np.float64)


def tick_bins(axis: Axis, dataset: xr.Dataset, dim: str, *, side_by_side: bool = False) -> None:
    """Write the labels of bins at their places where they lie side by side; of runs write whole numbers."""
    from matplotlib.ticker import MaxNLocator

    if side_by_side:
        shown = range(0, dataset.sizes[dim], -(-dataset.sizes[dim] // MOST_TICKS))
        axis.set_ticks(list(shown), [label_text(dataset, dim, number) for number in shown])
    elif len(_bounds(dataset, dim)) and dataset[dim].dtype.kind in "iu":
        axis.set_major_locator(MaxNLocator(integer=True))


def label_text(dataset: xr.Dataset, dim: str, number: int) -> str:
    """Write the label of a bin: a whole number in full, as of a run."""
    label = dataset[dim].values[number]
    return str(label) if dataset[dim].dtype.kind in "iu" else f"{label:.4g}"


def axis_label(dataset: xr.Dataset, dim: str) -> str:
    """Say what a dimension is, with its unit."""
    attrs = dataset[dim].attrs if dim in dataset.coords else {"long_name": "element"}
    return with_unit(str(attrs.get("long_name", attrs.get("field", dim))), str(attrs.get("units", "")))


def bin_title(dataset: xr.Dataset, axis: str, number: int) -> str:
    """Name one bin of an axis by its label."""
    attrs = dataset[axis].attrs
    name = attrs.get("long_name", attrs.get("field", axis))
    return f"{name} {label_text(dataset, axis, number)} {attrs.get('units', '')}".rstrip()


def with_unit(text: str, unit: str) -> str:
    """Add a unit in brackets, if there is one."""
    return f"{text} ({unit})" if unit else text


def wrapped(text: str, width: int) -> str:
    """Break a text into lines."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False))
