"""Drawing a cube with matplotlib: which view fits the dimensions, and what it looks like."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.plots import panels as style
from cubeengine.plots.picked import plot_picked
from cubeengine.plots.values import (
    SELECTION,
    Drawable,
    Ratio,
    axes_for_display,
    axes_of,
    default_signal,
    display_unit,
    drawable,
    element_dims,
    mean_over_elements,
)
from cubeengine.schema.calls import told
from cubeengine.store.read import as_dataset, find_signal, is_picked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_ELEMENTS = 6
"""Signals with up to so many channels are drawn as curves, longer ones as maps."""

FRAMES_SHOWN = 6
"""Bins of which the frame is shown, evenly spread over the axis."""

LONGEST = (0.3, 2.5)
"""Height over width of frames whose pixels are drawn square; longer ones would leave an empty figure."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be drawn, and the names of its binned axes and of its element dimensions."""

    dataset: xr.Dataset
    drawn: Drawable
    axes: tuple[str, ...]
    elements: tuple[str, ...]

    @property
    def value_label(self) -> str:
        """What the values are, with their unit."""
        return style.wrapped(style.with_unit(self.drawn.label, self.drawn.unit), 44)

    def label(self, dim: str) -> str:
        """Say what a dimension is, with its unit."""
        return style.axis_label(self.dataset, dim)

    def parts(self) -> Iterator[tuple[str, xr.DataArray, xr.DataArray, str]]:
        """Yield name, value, error and colour of each selection; a difference is one without a name."""
        value, error = self.drawn.value, self.drawn.error
        if SELECTION not in value.dims:
            yield "", value, error, style.COLOURS[0]
            return
        for i, name in enumerate(value[SELECTION].values):
            colour = style.COLOURS[i % len(style.COLOURS)]
            yield str(name), value.isel({SELECTION: i}), error.isel({SELECTION: i}), colour


@told("ce.plot_cube")
def plot_cube(
    dataset: xr.Dataset | str | os.PathLike[str],
    signal: str | None = None,
    over: str | None = None,
    difference: str | Sequence[str] | None = None,
    *,
    ratio: Ratio | None = None,
) -> Figure:
    """Draw one signal of a cube, in a picture that fits its dimensions.

    Scalars over one axis become curves with standard errors, over two axes maps. Signals of a few channels
    become curves, longer ones maps over axis and element, frames one picture per bin (a few of them); over
    two axes, signals with elements are drawn by their mean over the elements.

    Parameters
    ----------
    dataset : xarray.Dataset
        A cube, as from `open_cube`, or picked events (see `plot_picked`); only what is drawn is read.
    signal : str, optional
        Name of a signal or its field; the first that is no axis by default.
    over : str, optional
        A scalar signal to divide by: ratio of sums over the same events, without errors.
    difference : str or two names, optional
        Two selections, "on,off": the first minus the second (approximate errors).
    ratio : callable, optional
        Makes the ratio to `over`; ``ce.look.RatioOfRun()`` takes it, with errors, from the run that the cube
        was made of, where that is as it was.

    Returns
    -------
    matplotlib.figure.Figure
        To be saved with `figure.savefig(path)`. It is made without pyplot: nothing global is touched, and
        no display is needed.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    FieldNotFound, SpecError
        If signal or selections are not in the cube, it has more than two axes, or `over` is of other events.

    Examples
    --------
    >>> figure = plot_cube(ce.open_cube("delay.zarr"), "diode_ratio", difference="on,off")
    >>> figure.savefig("delay.png")
    """
    dataset = as_dataset(dataset)
    if is_picked(dataset):
        if over or difference:
            raise SpecError("picked events are drawn without ratio or difference; draw these from a cube")
        return plot_picked(dataset, signal)
    name = find_signal(dataset, signal) if signal else default_signal(dataset)
    axes, elements = axes_of(dataset), element_dims(dataset, name)
    if len(axes) > 2:
        raise SpecError(
            f"the cube has {len(axes)} axes, but pictures have two; choose bins in Python with isel()"
        )
    if len(axes) == 1 and len(elements) > 1:
        dataset = dataset.isel({axes[0]: _spread(dataset, axes[0])})
    if len(axes) == 2 and elements:
        dataset, elements = mean_over_elements(dataset, name), ()
    drawn = drawable(dataset, name, over=over, difference=difference, ratio=ratio)
    unit, factor = display_unit(drawn.value, drawn.unit)
    if unit != drawn.unit:
        drawn = replace(drawn, value=drawn.value * factor, error=drawn.error * factor, unit=unit)
    scene = Scene(axes_for_display(dataset), drawn, axes, elements)
    view, shows_errors = _choose(scene)
    figure = view(scene)
    style.annotate(figure, dataset, scene.drawn, shows_errors=shows_errors)
    return figure


def _choose(scene: Scene) -> tuple[Callable[[Scene], Figure], bool]:
    """Return the view that fits, and whether it shows errors."""
    match len(scene.axes), len(scene.elements):
        case 0, 0:
            return _points, True
        case 0, 1:
            return _vector, True
        case 1, 0:
            return _curves, True
        case 1, 1 if scene.dataset.sizes[scene.elements[0]] <= FEW_ELEMENTS:
            return _channels, True
        case (1, 1) | (2, 0):
            return _maps, False
    return _frames, False


def _points(scene: Scene) -> Figure:
    """No axis, scalars: one point per selection."""
    figure = style.figure(4.8, 3.6)
    panel = figure.subplots()
    names = []
    for place, (name, value, error, colour) in enumerate(scene.parts()):
        panel.errorbar(place, float(value), float(error), fmt="o", color=colour, capsize=4)
        names.append(name)
    panel.set_xticks(range(len(names)), names)
    panel.margins(x=0.3, y=0.3)
    style.finish_curves(panel, "", scene.value_label, legend=False)
    return figure


def _vector(scene: Scene) -> Figure:
    """No axis, a vector: value over element, with the error as a band."""
    figure = style.figure(6.4, 4.2)
    panel = figure.subplots()
    dim = scene.elements[0]
    x = style.positions(scene.dataset, dim)
    for name, value, error, colour in scene.parts():
        panel.plot(x, value.values, color=colour, lw=1.4, label=name)
        low, high = (value - error).values, (value + error).values
        panel.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    style.finish_curves(panel, scene.label(dim), scene.value_label, zero=scene.drawn.centred)
    return figure


def _curves(scene: Scene) -> Figure:
    """One axis, scalars: one curve per selection."""
    figure = style.figure(6.4, 4.2)
    panel = figure.subplots()
    _draw_curves(panel, scene, {})
    style.finish_curves(panel, scene.label(scene.axes[0]), scene.value_label, zero=scene.drawn.centred)
    return figure


def _channels(scene: Scene) -> Figure:
    """One axis and a few channels: one panel per channel, one curve per selection."""
    dim = scene.elements[0]
    count = scene.dataset.sizes[dim]
    columns = math.ceil(math.sqrt(count))
    figure, panels = style.grid(math.ceil(count / columns), columns, width=3.9, height=2.7)
    for i, panel in enumerate(panels[:count]):
        _draw_curves(panel, scene, {dim: i})
        below = i + columns >= count
        labels = (scene.label(scene.axes[0]) if below else "", scene.value_label if i % columns == 0 else "")
        style.finish_curves(panel, *labels, legend=i == 0, zero=scene.drawn.centred)
        panel.set_title(f"channel {i}", fontsize="medium")
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure


def _draw_curves(panel: Axes, scene: Scene, element: dict[str, int]) -> None:
    x = scene.dataset[scene.axes[0]].values
    for name, value, error, colour in scene.parts():
        y, dy = value.isel(element).values, error.isel(element).values
        panel.errorbar(
            x, y, dy, fmt="o-", ms=3.5, lw=1.1, elinewidth=1.0, capsize=2.0, color=colour, label=name
        )
    style.tick_bins(panel.xaxis, scene.dataset, scene.axes[0])


def _maps(scene: Scene) -> Figure:
    """Two dimensions in all, binned or not: one map per selection, with one scale of colours."""
    across, up = (*scene.axes, *scene.elements)
    parts = list(scene.parts())
    figure, panels = style.grid(1, len(parts), width=4.2 if len(parts) == 1 else 3.6, height=3.4)
    look = style.colours_for(scene.drawn)
    edges = [style.edges(scene.dataset, dim) for dim in (across, up)]
    for panel, (name, value, _, _) in zip(panels, parts, strict=True):
        mesh = panel.pcolormesh(*edges, value.transpose(up, across).values, rasterized=True, **look)
        for axis, dim in ((panel.xaxis, across), (panel.yaxis, up)):
            style.tick_bins(axis, scene.dataset, dim, side_by_side=style.have_gaps(scene.dataset, dim))
        panel.set(xlabel=scene.label(across), ylabel=scene.label(up))
        panel.set_title(name, fontsize="medium")
        panel.label_outer()
    style.add_scale(figure, mesh, panels, scene.drawn, scene.value_label)
    return figure


def _frames(scene: Scene) -> Figure:
    """Frames: side by side, or with an axis one row per selection and one picture per bin."""
    parts = list(scene.parts())
    pictures = [
        _flat(frame, scene.elements) for _, value, _, _ in parts for frame in _bins(value, scene.axes)
    ]
    columns = len(pictures) // len(parts) if scene.axes else len(parts)
    width = 1.9 if scene.axes else 3.8
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    height = width * min(max(shape, LONGEST[0]), LONGEST[1]) + 0.3
    aspect: Literal["equal", "auto"] = "equal" if LONGEST[0] <= shape <= LONGEST[1] else "auto"
    figure, panels = style.grid(len(pictures) // columns, columns, width=width, height=height)
    look = style.colours_for(scene.drawn)
    for number, (panel, picture) in enumerate(zip(panels, pictures, strict=True)):
        image = panel.imshow(picture, interpolation="nearest", aspect=aspect, **look)
        panel.tick_params(labelsize="x-small", length=2)
        panel.label_outer()
        row, column = divmod(number, columns)
        if not scene.axes:
            panel.set_title(parts[column][0], fontsize="medium")
        elif row == 0:
            panel.set_title(style.bin_title(scene.dataset, scene.axes[0], column), fontsize="small")
        if scene.axes and column == 0:
            panel.set_ylabel(parts[row][0])
    style.add_scale(figure, image, panels, scene.drawn, scene.value_label)
    return figure


def _bins(value: xr.DataArray, axes: Sequence[str]) -> Iterator[xr.DataArray]:
    if not axes:
        yield value
        return
    for i in range(value.sizes[axes[0]]):
        yield value.isel({axes[0]: i})


def _flat(frame: xr.DataArray, elements: Sequence[str]) -> NDArray[np.generic]:
    """Return the frame as a picture, the panels of a detector of several one below the other."""
    values = frame.transpose(*elements).values
    return values.reshape(-1, values.shape[-1])


def _spread(dataset: xr.Dataset, axis: str) -> NDArray[np.int64]:
    """Return a few bins, evenly spread over those that hold events."""
    counts = dataset["n_events"].transpose(axis, SELECTION).values
    full = np.flatnonzero((counts > 0).all(axis=1))
    full = full if full.size else np.arange(dataset.sizes[axis])
    return full[np.unique(np.linspace(0, full.size - 1, FRAMES_SHOWN).round().astype(np.int64))]
