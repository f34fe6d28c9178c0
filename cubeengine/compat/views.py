"""What the original's plots show: data that `look` makes, and pictures that it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.compat.reduced import Region, one_number
from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.events.expressions import Expression
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.look.correlations import correlation
from cubeengine.look.draw_correlations import draw_correlation
from cubeengine.look.draw_histograms import draw_counts, draw_histogram
from cubeengine.look.draw_images import draw_image, draw_vector
from cubeengine.look.figures import edges_of
from cubeengine.look.histograms import histogram, histogram2d
from cubeengine.look.images import average_image
from cubeengine.planning.derive import Formula

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Arrays: TypeAlias = "tuple[NDArray[Any], ...]"
Canvas: TypeAlias = "Callable[[xr.Dataset | xr.DataArray], Axes] | None"
"""Gives the axes to draw data on; None where nothing is drawn."""


@dataclass(frozen=True, slots=True)
class View:
    """What is plotted.

    Attributes
    ----------
    run : Run
        With the variables, one number per event each.
    names : tuple of str
        Their names in it.
    node : Node
        Which events.
    limits : sequence
        (low, high) or (low, high, "p") for percentiles.
    """

    run: Run
    names: tuple[str, ...]
    node: Node
    limits: Sequence[Any]

    @property
    def percentiles(self) -> tuple[float, float] | None:
        """The percentiles, where the limits are some."""
        return (float(self.limits[0]), float(self.limits[1])) if tuple(self.limits[2:]) == ("p",) else None

    @property
    def range(self) -> tuple[float, float] | None:
        """Lowest and highest value, where the limits are these."""
        low, high = sorted(map(float, self.limits[:2]))
        return None if self.percentiles else (low, high)


def named(run: Run, region: Region) -> tuple[Run, str]:
    """Return a run that has one number per event for a region, and the name of that number."""
    info = run.field(region.field).info
    text = one_number(region, info)
    if text == f"`{region.field}`":
        return run, info.name
    label = region.text.replace("`", "")
    label = f"sum({label})" if text != region.text else label
    if label not in run.fields:
        expression = Expression.parse(text)
        run = run.with_columns({label: Formula(expression, *expression.result(run.fields))})
    return run, label


def show_histogram(view: View, bins: int, canvas: Canvas) -> Arrays:
    """Show one variable; gives counts and edges."""
    (name,) = view.names
    data = histogram(
        view.run, name, bins=bins, range=view.range, percentiles=view.percentiles, select=view.node
    )
    if canvas is not None:
        draw_histogram(data, canvas(data))
    return data.values, edges_of(data, str(data.dims[0]))


def show_map(view: View, bins: tuple[int, int], canvas: Canvas) -> Arrays:
    """Show the counts of the first variable upwards and the second to the right.

    Gives counts (first, second), and [left, right, low, high].
    """
    upwards, right = view.names
    data = histogram2d(
        view.run,
        right,
        upwards,
        bins=(bins[1], bins[0]),
        range=(view.range, view.range),
        percentiles=view.percentiles,
        select=view.node,
    )
    if canvas is not None:
        draw_counts(data, canvas(data))
    x, y = (edges_of(data, str(dim)) for dim in data.dims)
    return data.values.T, np.array([x[0], x[-1], y[0], y[-1]])


def show_points(view: View, canvas: Canvas) -> Arrays:
    """Show single events, the first variable upwards; gives the values within the limits."""
    upwards, right = view.names
    data = correlation(view.run, right, upwards, percentiles=view.percentiles, select=view.node)
    if canvas is not None:
        draw_correlation(data, canvas(data))
    counts = data["counts"]
    kept = view.run.states(view.node) == states.TRUE
    found = [numbers(view.run.column(name)) for name in (upwards, right)]
    for values, dim in zip(found, reversed(counts.dims), strict=True):
        low, high = view.range or edges_of(counts, str(dim))[[0, -1]]
        kept = kept & (values >= low) & (values <= high)
    return tuple(values[kept] for values in found)


def show_mean(view: View, field: str, canvas: Canvas) -> Arrays:
    """Show the mean over the events, element by element; gives it with the numbers of the elements.

    Raises
    ------
    SpecError
        If the field has one number per event.
    """
    if not view.run.fields[field].shape:
        raise SpecError(f"{field!r} has one number per event, not an array; leave out plotMultidimMean")
    data = average_image(view.run, field, select=view.node)
    mean = data["mean"]
    if canvas is not None:
        draw = draw_image if mean.ndim > 1 else draw_vector
        draw(data, canvas(data), show="mean", percentiles=(1, 99))
    return mean.values, *map(np.arange, mean.shape)
