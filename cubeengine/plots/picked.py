"""Drawing picked events: their frames for a few bins, or their values over the bins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.plots import panels as style
from cubeengine.plots.values import SELECTION, Drawable, axes_for_display, axes_of, display_unit
from cubeengine.store.read import PICK, cube_facts, picked_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS_SHOWN = 6
"""Bins of which events are shown, evenly spread over those that have some."""

PICKS_SHOWN = 3
"""Events of each bin and selection that are shown: the best ones."""

MOST_PIXELS = 600
"""Pixels of a frame along a side: larger ones are drawn with every n-th of them."""

LONGEST = (0.3, 2.5)
"""Height over width of frames whose pixels are drawn square."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is drawn: some bins, flat along `bin`, with their titles and places, and some events of each."""

    values: xr.DataArray
    elements: tuple[str, ...]
    titles: tuple[str, ...]
    drawn: Drawable
    x: NDArray[np.float64]
    x_label: str

    @property
    def rows(self) -> list[tuple[str, xr.DataArray]]:
        """Name and values over the bins of every selection and rank."""
        n_picks = self.values.sizes[PICK]
        return [
            (f"{name}{f', {rank}' if n_picks > 1 else ''}", self.values.sel({SELECTION: name, PICK: rank}))
            for name in self.values[SELECTION].values
            for rank in self.values[PICK].values
        ]

    @property
    def label(self) -> str:
        """What the values are, with their unit."""
        return style.with_unit(self.drawn.label, self.drawn.unit)


def plot_picked(dataset: xr.Dataset, signal: str | None = None) -> Figure:
    """Draw the picked events of a store.

    Parameters
    ----------
    dataset : xarray.Dataset
        Picked events, as from `open_cube`; only what is drawn is read.
    signal : str, optional
        Name of a variable or its field; the first that has frames by default.

    Returns
    -------
    matplotlib.figure.Figure
        Frames: a row per selection and rank, a column for each of a few bins. Vectors: curves, a panel per
        bin. Numbers: points over the bins.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    FieldNotFound, SpecError
        If there is no such variable, or no event was picked.
    """
    dataset = axes_for_display(dataset)
    name = _found(dataset, signal) if signal else _default(dataset)
    slots = tuple(map(str, dataset["event"].dims))
    elements = tuple(str(dim) for dim in dataset[name].dims if dim not in slots)
    scene = _scene(dataset, name, elements)
    figure = (_points, _curves)[len(elements)](scene) if len(elements) < 2 else _frames(scene)
    style.annotate(figure, dataset, scene.drawn, shows_errors=False)
    return figure


def _found(dataset: xr.Dataset, signal: str) -> str:
    known = picked_names(dataset)
    by_field = {str(dataset[name].attrs.get("field")): name for name in reversed(known)}
    for candidate in (signal, signal.replace("/", "__"), by_field.get(signal)):
        if candidate in known:
            return candidate
    raise FieldNotFound(signal, "the picked events", known, hint=f"signals: {', '.join(known)}")


def _default(dataset: xr.Dataset) -> str:
    """Return the first variable with the most dimensions."""
    names = picked_names(dataset)
    if not names:
        raise SpecError("the store has no signals to draw")
    return max(names, key=lambda name: min(dataset[name].ndim - dataset["event"].ndim, 2))


def _scene(dataset: xr.Dataset, name: str, elements: tuple[str, ...]) -> _Scene:
    """Read what is drawn: of scalars all bins, of frames a few."""
    bins = _bins(dataset, few=bool(elements))
    thinned = {dim: slice(None, None, -(-dataset.sizes[dim] // MOST_PIXELS)) for dim in elements[-2:]}
    index = {axis: xr.DataArray(place, dims="bin") for axis, place in bins.items()}
    values = _values(dataset, name).isel({PICK: slice(PICKS_SHOWN), **thinned}).isel(index)
    values = values if index else values.expand_dims("bin")
    values = values.transpose(SELECTION, PICK, "bin", *elements).load()
    attrs = dataset[name].attrs
    unit, factor = display_unit(values, str(attrs.get("units", "")))
    values, label = values * factor, f"{attrs.get('field', name)} of picked events"
    drawn = Drawable(values, values, label, unit, notes=tuple(_notes(dataset)))
    n_bins = values.sizes["bin"]
    titles = (
        "\n".join(style.bin_title(dataset, axis, int(bins[axis][i])) for axis in bins) for i in range(n_bins)
    )
    return _Scene(values, elements, tuple(titles), drawn, *_places(dataset, bins, n_bins))


def _bins(dataset: xr.Dataset, *, few: bool) -> dict[str, NDArray[np.int64]]:
    """Return the place along every axis of the bins that are drawn: those with events, or a few of them."""
    n_picked = dataset["n_picked"].transpose(SELECTION, ...).values
    full = np.flatnonzero(n_picked.any(axis=0).ravel())
    if not full.size:
        raise SpecError("no event was picked; all bins are empty")
    if few:
        full = full[np.unique(np.linspace(0, full.size - 1, BINS_SHOWN).round().astype(np.int64))]
    axes = axes_of(dataset)
    return dict(zip(axes, np.unravel_index(full, n_picked.shape[1:]), strict=True)) if axes else {}


def _values(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return a variable as floats, lazily, NaN where nothing is."""
    values, mask = dataset[name].reset_coords(drop=True).astype(np.float64), f"{name}_valid"
    if mask in dataset.coords:
        values = values.where(dataset[mask].reset_coords(drop=True))
    return values.drop_vars(axes_of(dataset), errors="ignore")


def _notes(dataset: xr.Dataset) -> Iterator[str]:
    yield f"picked: {cube_facts(dataset)[PICK]['meaning']}"
    if partial := dataset.attrs.get("partial_run"):
        yield f"part of the run only: {partial}"


def _places(
    dataset: xr.Dataset, bins: Mapping[str, NDArray[np.int64]], n_bins: int
) -> tuple[NDArray[np.float64], str]:
    """Return where bins are drawn if they lie side by side, and what that is."""
    if len(bins) != 1:
        return np.arange(n_bins, dtype=np.float64), "bins with picked events, in their order"
    (axis,) = bins
    return style.positions(dataset, axis)[bins[axis]], style.axis_label(dataset, axis)


def _frames(scene: _Scene) -> Figure:
    rows, columns = scene.rows, scene.values.sizes["bin"]
    pictures = [_flat(values.isel(bin=i), scene.elements) for _, values in rows for i in range(columns)]
    shape = pictures[0].shape[0] / pictures[0].shape[1]
    height = 1.9 * min(max(shape, LONGEST[0]), LONGEST[1]) + 0.3
    aspect: Literal["equal", "auto"] = "equal" if LONGEST[0] <= shape <= LONGEST[1] else "auto"
    figure, panels = style.grid(len(rows), columns, width=1.9, height=height)
    look = style.colours_for(scene.drawn)
    for number, (panel, picture) in enumerate(zip(panels, pictures, strict=True)):
        row, column = divmod(number, columns)
        image = panel.imshow(picture, interpolation="nearest", aspect=aspect, **look)
        panel.tick_params(labelsize="x-small", length=2)
        panel.label_outer()
        if row == 0:
            panel.set_title(scene.titles[column], fontsize="small")
        if column == 0:
            panel.set_ylabel(rows[row][0])
    style.add_scale(figure, image, panels, scene.drawn, scene.label)
    return figure


def _flat(frame: xr.DataArray, elements: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the frame as a picture, the panels of a detector of several one below the other."""
    values = frame.transpose(*elements).values
    flat: NDArray[np.float64] = values.reshape(-1, values.shape[-1])
    return flat


def _curves(scene: _Scene) -> Figure:
    columns = min(scene.values.sizes["bin"], 3)
    n_rows = -(-scene.values.sizes["bin"] // columns)
    figure, panels = style.grid(n_rows, columns, width=3.4, height=2.4)
    x = style.positions(scene.values.to_dataset(name="values"), scene.elements[0])
    for number, title in enumerate(scene.titles):
        for row, (name, values) in enumerate(scene.rows):
            colour = style.COLOURS[row % len(style.COLOURS)]
            panels[number].plot(x, values.isel(bin=number).values, color=colour, lw=1.0, label=name)
        style.finish_curves(panels[number], scene.elements[0], scene.label, legend=number == 0)
        panels[number].set_title(title, fontsize="small")
        panels[number].label_outer()
    for panel in panels[len(scene.titles) :]:
        panel.set_axis_off()
    return figure


def _points(scene: _Scene) -> Figure:
    figure = style.figure(6.4, 4.2)
    panel = figure.subplots()
    for row, (name, values) in enumerate(scene.rows):
        colour = style.COLOURS[row % len(style.COLOURS)]
        panel.plot(scene.x, values.values, "o", ms=3.5, color=colour, label=name)
    style.finish_curves(panel, scene.x_label, scene.label)
    return figure
