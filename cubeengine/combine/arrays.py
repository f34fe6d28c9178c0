"""The arrays of a combined cube, but for its signals: names, axes, event counts, places of elements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.combine.blocks import SignalWork
from cubeengine.combine.content import EVENTS, SELECTION, STATISTICS, Cube, SignalContent
from cubeengine.store.layout import STRING, ArrayLayout, choose_chunks, stored_type
from cubeengine.types import IntArray

Known = tuple[ArrayLayout, NDArray[Any]]
"""An array that is known before the work begins, and its values."""


def selection_array(cube: Cube) -> Known:
    """Return the names of the selections."""
    names = np.array(cube.selections, dtype=np.dtypes.StringDType())
    return ArrayLayout(SELECTION, (SELECTION,), names.shape, names.shape, STRING), names


def axis_arrays(
    axis: str, bounds: NDArray[np.float64], attrs: Mapping[str, Any], labels: NDArray[Any]
) -> Iterator[Known]:
    """Yield the labels of the bins of an axis, and their edges."""
    n_bins, name = len(labels), f"{axis}_bnds"
    about = {**attrs, "bounds": name}
    yield ArrayLayout(axis, (axis,), (n_bins,), (n_bins,), stored_type(labels.dtype), about), labels
    units = {"units": attrs["units"]} if "units" in attrs else {}
    shape = (n_bins, 2)
    yield ArrayLayout(name, (axis, "bnds"), shape, shape, "float64", units, coordinate=True), bounds


def same_axis(cube: Cube, axis: str) -> Iterator[Known]:
    """Yield an axis as a cube has it."""
    bounds = cube.bounds(axis)
    if bounds is not None:
        center = cube.dataset[axis]
        yield from axis_arrays(axis, bounds, center.attrs, np.asarray(center.values))


def events_array(dims: Sequence[str], n_events: IntArray, cube: Cube) -> Known:
    """Return the event counts."""
    shape = n_events.shape
    attrs = cube.dataset[EVENTS].attrs
    return ArrayLayout(EVENTS, tuple(dims), shape, choose_chunks(shape, 8), "int64", attrs), n_events


def static_arrays(cubes: Sequence[Cube], signals: Mapping[str, SignalContent]) -> Iterator[Known]:
    """Yield what says where the elements of the signals are, from the first cube that has it."""
    places = {dim for signal in signals.values() for dim in signal.element_dims}
    found = {
        name: array
        for cube in reversed(cubes)
        for name, array in cube.statics.items()
        if set(array.dims) <= places
    }
    for name, array in sorted(found.items()):
        dims = tuple(map(str, array.dims))
        dtype = stored_type(array.dtype)
        chunks = choose_chunks(array.shape, 16 if dtype == STRING else array.dtype.itemsize)
        layout = ArrayLayout(name, dims, array.shape, chunks, dtype, array.attrs, coordinate=name not in dims)
        yield layout, np.asarray(array.values)


def signal_arrays(
    work: SignalWork, dims: Sequence[str], content: SignalContent, dtype: np.dtype[Any]
) -> Iterator[ArrayLayout]:
    """Lay out count, mean and std of a signal.

    Parameters
    ----------
    work : SignalWork
        Shape and chunks.
    dims : sequence of str
        Names of the dimensions of `n_events`.
    content : SignalContent
        Gives element dimensions and attributes.
    dtype : numpy.dtype
        Of mean and std.
    """
    for statistic in STATISTICS:
        whole = statistic != "count" or work.counted
        n_dims = len(work.shape) if whole else work.n_bin_dims
        yield ArrayLayout(
            f"{work.name}_{statistic}",
            (*dims, *content.element_dims)[:n_dims],
            work.shape[:n_dims],
            work.chunks[:n_dims],
            "int64" if statistic == "count" else dtype.name,
            content.attrs(statistic),
        )
