"""Pictures of the mean of a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cubeengine.look.bins import Limits
from cubeengine.look.events import in_reach, tally_of
from cubeengine.look.figures import (
    GREY,
    axes_for,
    figure_of,
    finish,
    label_axis,
    legend_text,
    new_figure,
    note,
    plain,
)
from cubeengine.look.images import Montage, average_image, montage_of
from cubeengine.look.selecting import RunLike, Select, looks
from cubeengine.plots.panels import COLOURS, LIMIT_PERCENTILES
from cubeengine.progress import Progress

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

MISSING = "#d9d9d9"
"""Colour of pixels without a value: not in the scale of colours."""

MOST_NUMBERED = 64
LONGEST = (0.1, 10.0)
"""Height over width of pictures whose pixels are drawn square."""


@looks
def plot_average_image(
    run: RunLike,
    name: str,
    *,
    select: Select = None,
    stages: Sequence[object] = (),
    events: int | None = None,
    every: int | None = None,
    memory: str | int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    percentiles: Limits = LIMIT_PERCENTILES,
    show: Literal["mean", "std"] = "mean",
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean of a detector over the selected events; a vector becomes a curve.

    Parameters
    ----------
    run, name, select, stages, events, every, memory, on_progress
        As for `average_image`.
    percentiles : (low, high) of 0 to 100
        Between these of the pixels lie the colours, so that hot pixels do not stretch the scale; it has
        pointed ends where pixels lie beyond.
    show : "mean" or "std"
        The mean, or the spread of single events.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure where left out.

    Returns
    -------
    matplotlib.axes.Axes
        Segments of a detector stand side by side, numbered; stage `assemble` puts them where they are. Pixels
        without a value are grey, and counted.

    Examples
    --------
    >>> ax = look.plot_average_image(run, "jungfrau/ROI_0_area", percentiles=(1, 99))
    >>> ax.images[0].get_array().shape
    (48, 64)
    """
    data = average_image(
        run,
        name,
        select=select,
        stages=stages,
        events=events,
        every=every,
        memory=memory,
        on_progress=on_progress,
    )
    if ax is None:
        ax = _axes(data)
    draw = draw_image if data[show].ndim > 1 else draw_vector
    draw(data, ax, show=show, percentiles=percentiles)
    return ax


def _axes(data: xr.Dataset) -> Axes:
    """Return axes of about the shape of the picture."""
    if data["mean"].ndim < 2:
        return axes_for(None, data)
    rows, columns = montage_of(data["mean"]).shape
    made = new_figure(6.4, float(np.clip(5.0 * rows / columns, 2.0, 7.0)) + 1.0)
    made.suptitle(plain(str(data.attrs["run"])), fontsize="medium", color=GREY)
    drawn: Axes = made.subplots()
    return drawn


def draw_image(data: xr.Dataset, ax: Axes, *, show: str, percentiles: Limits) -> None:
    """Draw a frame with its scale of colours."""
    import matplotlib as mpl
    from matplotlib.colors import Normalize

    frame, laid = data[show], montage_of(data[show])
    finite = frame.values[in_reach(frame.values)]
    frame = frame.where(in_reach(frame.values))
    low, high = np.percentile(finite, percentiles) if finite.size else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1.0)
    colours = mpl.colormaps["viridis"].with_extremes(bad=MISSING)
    image = _draw_segments(frame, laid, ax, norm=norm, cmap=colours)
    ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    extend = ends[bool((finite < norm.vmin).any()), bool((finite > norm.vmax).any())]
    label_axis(figure_of(ax).colorbar(image, ax=ax, extend=extend).ax.yaxis, frame)
    n_dead = int(frame.size - finite.size)
    note(ax, legend_text(data.attrs, _words(data) + (f"; {n_dead:,} pixels without value" if n_dead else "")))
    if frame.ndim == 2:
        ax.set(xlabel="column", ylabel="row")
    else:
        _number_segments(laid, ax)


def _draw_segments(frame: xr.DataArray, laid: Montage, ax: Axes, **look: Any) -> AxesImage:
    """Draw each segment in its place, and give the last one."""
    height, width = laid.shape
    aspect: Literal["equal", "auto"] = "equal" if LONGEST[0] < height / width < LONGEST[1] else "auto"
    for number, segment in enumerate(frame.values.reshape(-1, laid.rows, laid.columns)):
        top, left = laid.place(number)
        extent = (left - 0.5, left + laid.columns - 0.5, top + laid.rows - 0.5, top - 0.5)
        image = ax.imshow(segment, extent=extent, interpolation="nearest", aspect=aspect, **look)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return image


def _number_segments(laid: Montage, ax: Axes) -> None:
    """Write the number of each segment; rows and columns of the whole mean nothing."""
    from matplotlib.patheffects import withStroke

    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    for number in range(laid.n_segments if 1 < laid.n_segments <= MOST_NUMBERED else 0):
        top, left = laid.place(number)
        ax.text(
            left, top, f" {number}", va="top", fontsize="small", color="white",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )  # fmt: skip


def draw_vector(data: xr.Dataset, ax: Axes, *, show: str, percentiles: Limits) -> None:  # noqa: ARG001 - as images
    """Draw a vector as a curve; the mean with the spread of events."""
    (dim,) = map(str, data[show].dims)
    known = [name for name, c in data.coords.items() if c.dims == (dim,) and c.dtype.kind in "iuf"]
    x = data[known[0]] if known else None
    at = np.arange(data.sizes[dim]) if x is None else x.values
    mean, std = data[show].values, data["std"].values
    ax.plot(at, mean, color=COLOURS[1], lw=1.3, label=legend_text(data.attrs, _words(data)))
    if show == "mean":
        ax.fill_between(at, mean - std, mean + std, color=COLOURS[1], alpha=0.2, lw=0)
    finish(ax, "element" if x is None else x, data[show])


def _words(data: xr.Dataset) -> str:
    part = f" ({data.attrs['part']} only)" if data.attrs["part"] else ""
    return f"{tally_of(data.attrs)}{part}"
