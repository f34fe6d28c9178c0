"""The picture to judge pedestals by: maps and histograms per gain range, bad pixels marked and counted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.pedestals.limits import Interval
from cubeengine.pedestals.result import Pedestal
from cubeengine.plots.panels import LIMIT_PERCENTILES, grid, wrapped
from cubeengine.types import BoolArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAD_COLOUR, GOOD_COLOUR, LIMIT_COLOUR = "#e0218a", "#2f6690", "#c8442f"
MOST_CELLS = 1000
"""Rows and columns of a map: pixels are joined to fit, and a cell with a bad pixel in it is bad."""

PANELS = (("pedestal", "map"), ("noise", "map"), ("pedestal", "histogram"), ("noise", "histogram"))
BINS = 100


def draw(result: Pedestal) -> Figure:
    """Draw pedestals and noise, a row of panels for each gain range that has constants."""
    known = [number for number, name in enumerate(result.range_names) if result.origins[name]]
    made, panels = grid(max(len(known), 1), len(PANELS), width=3.6, height=3.0)
    for row, number in enumerate(known):
        own = panels[row * len(PANELS) : (row + 1) * len(PANELS)]
        for panel, (what, how) in zip(own, PANELS, strict=True):
            _draw_one(made, panel, result, number, what, how)
    name = result.detector.name if result.detector else result.facts["field"]
    title = f"{name}: {result.facts['source'].removeprefix('cubeengine pedestal, ')}"
    made.suptitle(wrapped(title, int(made.get_figwidth() * 11)), fontsize="large")
    bad = f"{np.count_nonzero(result.bad):,} of {result.bad.size:,} pixels are bad"
    notes = [wrapped(note, int(made.get_figwidth() * 13)) for note in (bad, *result.notes)]
    made.supxlabel("\n".join(notes), fontsize="small", color="#555555", x=0.01, ha="left")
    return made


def _draw_one(made: Figure, panel: Axes, result: Pedestal, number: int, what: str, how: str) -> None:
    name = result.range_names[number]
    values = (result.pedestals if what == "pedestal" else result.noise)[number]
    bad = result.status[number] != 0
    if how == "map":
        image = _draw_map(panel, values, bad)
        made.colorbar(image, ax=panel, extend="both")
        panel.set_title(f"{name} {what} (ADU), {np.count_nonzero(bad):,} bad")
        return
    limits = result.limits.get(name)
    good: Interval | None = None if limits is None else getattr(limits, what)
    _draw_histogram(panel, values, bad, good)
    stated = f", good: {good[0]:.5g} to {good[1]:.5g}" if good else ""
    panel.set(title=f"{name} {what}", xlabel=f"{what} (ADU){stated}", ylabel="pixels")


def _draw_map(panel: Axes, values: NDArray[np.float32], bad: BoolArray) -> Any:
    """Draw panels side by side; bad pixels have a colour that no value has."""
    from matplotlib.colors import ListedColormap

    image, flags = _joined(_tiled(np.where(bad, np.nan, values), np.nan), _tiled(bad, False))
    low, high = _span(image)
    drawn = panel.imshow(image, vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
    shown = np.ma.masked_equal(flags.astype(np.uint8), 0)
    panel.imshow(shown, cmap=ListedColormap([BAD_COLOUR]), interpolation="nearest")
    panel.set(xticks=[], yticks=[])
    return drawn


def _draw_histogram(
    panel: Axes, values: NDArray[np.float32], bad: BoolArray, limits: Interval | None
) -> None:
    finite = np.isfinite(values)
    low, high = _span(values[finite & ~bad])
    edges = np.linspace(low - 0.3 * (high - low), high + 0.3 * (high - low), BINS + 1)
    shown = [np.clip(values[finite & which], edges[0], edges[-1]) for which in (~bad, bad)]
    labels = [f"{len(part):,} {word}" for part, word in zip(shown, ("good", "bad"), strict=True)]
    panel.hist(shown, edges.tolist(), stacked=True, color=[GOOD_COLOUR, BAD_COLOUR], label=labels)
    for limit in limits or ():
        if edges[0] <= limit <= edges[-1]:
            panel.axvline(limit, color=LIMIT_COLOUR, lw=1, ls="--")
    panel.set_yscale("log")
    panel.legend(frameon=False, fontsize="small")


def _span(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(edge) for edge in np.percentile(finite, LIMIT_PERCENTILES))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _tiled(panels: NDArray[Any], empty: object) -> NDArray[Any]:
    """Lay panels out, (n, rows, columns), in a grid that is about square."""
    count, rows, columns = panels.shape
    across = max(round(math.sqrt(count * rows / columns)), 1)
    down = math.ceil(count / across)
    laid = np.full((down * across, rows, columns), empty, panels.dtype)
    laid[:count] = panels
    return laid.reshape(down, across, rows, columns).swapaxes(1, 2).reshape(down * rows, across * columns)


def _joined(values: NDArray[Any], flags: BoolArray) -> tuple[NDArray[Any], BoolArray]:
    """Join cells until the map is small enough: one value of each, bad where any is bad."""
    step = math.ceil(max(values.shape) / MOST_CELLS)
    if step == 1:
        return values, flags
    rows, columns = (range(0, size, step) for size in flags.shape)
    bad = np.logical_or.reduceat(np.logical_or.reduceat(flags, rows, axis=0), columns, axis=1)
    return values[::step, ::step], bad
