"""The arrays of a cube, as section 'The cube on disk' of the guide describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Coordinate
from cubeengine.planning.plan import Axis, CubePlan, SignalPlan
from cubeengine.store.layout import STD_COMMENT, ArrayLayout, CubeLayout, stored_type
from cubeengine.types import IntArray

Coordinates = Mapping[int, Coordinate]


@dataclass(frozen=True)
class Output:
    """A cube before its signals are filled in."""

    layout: CubeLayout  # all arrays and the group's attributes
    small: Mapping[str, NDArray[Any]]
    """Arrays known before computing: names, axes, edges, event counts, coordinates."""


def cube_output(
    plan: CubePlan,
    n_events: IntArray,
    coordinates: Mapping[str, Coordinates],
    attrs: Mapping[str, object],
) -> Output:
    """Lay a cube out.

    Parameters
    ----------
    plan : CubePlan
        Axes, selections and signals.
    n_events : (n_selections, n_bins) int64
        Selected events per bin.
    coordinates : mapping
        Signal name -> coordinates of its element dimensions.
    attrs : mapping
        Attributes of the group.
    """
    arrays: list[ArrayLayout] = []
    small: dict[str, NDArray[Any]] = {}
    for layout, values in _known(plan, n_events, coordinates):
        arrays.append(layout)
        small[layout.name] = values
    for signal in plan.signals:
        arrays.extend(_signal_arrays(plan, signal))
    return Output(CubeLayout(tuple(arrays), attrs), small)


def _known(
    plan: CubePlan, n_events: IntArray, coordinates: Mapping[str, Coordinates]
) -> Iterator[tuple[ArrayLayout, NDArray[Any]]]:
    yield selection_array(plan.selections)
    for axis in plan.axes:
        yield from axis_arrays(axis)
    counts = n_events.reshape(len(plan.selections), *plan.bins_shape)
    dims = ("selection", *(axis.name for axis in plan.axes))
    yield (
        ArrayLayout("n_events", dims, counts.shape, counts.shape, "int64", _LONG_NAMES["n_events"]),
        counts,
    )
    for signal in plan.signals:
        for number, known in coordinates.get(signal.name, {}).items():
            yield coordinate_array(element_dims(signal)[number], known)


def selection_array(names: Sequence[str]) -> tuple[ArrayLayout, NDArray[Any]]:
    """Return the names of the selections as an array."""
    values = np.array(names, dtype=np.dtypes.StringDType())
    return ArrayLayout("selection", ("selection",), values.shape, values.shape, "string"), values


def coordinate_array(dim: str, known: Coordinate) -> tuple[ArrayLayout, NDArray[Any]]:
    """Return the coordinate of an element dimension as an array."""
    attrs = {"long_name": known.name} | ({"units": known.unit} if known.unit else {})
    shape = known.values.shape
    return ArrayLayout(dim, (dim,), shape, shape, stored_type(known.values.dtype), attrs), known.values


_LONG_NAMES = {"n_events": {"long_name": "selected events in the bin"}}


def axis_arrays(axis: Axis) -> Iterator[tuple[ArrayLayout, NDArray[Any]]]:
    """Yield the labels and the edges of an axis as arrays."""
    bounds = f"{axis.name}_bnds"
    attrs: dict[str, object] = {"units": axis.unit, "long_name": axis.long_name, "bounds": bounds}
    if axis.is_named:
        attrs["field"] = axis.field
    if axis.steps:
        attrs |= {"steps": axis.steps, "tolerance": axis.tolerance}
    edges, n = np.asarray(axis.edges), axis.n_bins
    yield ArrayLayout(axis.name, (axis.name,), (n,), (n,), "float64", attrs), axis.centers
    yield (
        ArrayLayout(
            bounds, (axis.name, "bnds"), (n, 2), (n, 2), "float64", {"units": axis.unit}, coordinate=True
        ),
        np.stack([edges[:-1], edges[1:]], axis=1),
    )


def element_dims(signal: SignalPlan) -> tuple[str, ...]:
    """Name the element dimensions of a signal."""
    return tuple(f"{signal.name}_dim{number}" for number in range(len(signal.info.shape)))


def statistic_dims(plan: CubePlan, signal: SignalPlan, statistic: str) -> tuple[str, ...]:
    """Name the dimensions of a signal's mean, std or count."""
    dims = ("selection", *(axis.name for axis in plan.axes))
    return dims if statistic == "count" and not signal.has_count else (*dims, *element_dims(signal))


def statistic_attrs(signal: SignalPlan, statistic: str) -> dict[str, object]:
    """Return the attributes of a signal's mean, std or count."""
    attrs: dict[str, object] = {"field": signal.field}
    if statistic == "count":
        return attrs | {"long_name": f"finite values of {signal.field} in the bin"}
    attrs |= {"units": signal.unit, "long_name": f"{statistic} of {signal.field}"}
    return attrs | ({"ddof": 0, "comment": STD_COMMENT} if statistic == "std" else {})


def _signal_arrays(plan: CubePlan, signal: SignalPlan) -> Iterator[ArrayLayout]:
    for statistic in ("count", "mean", "std"):
        dims = statistic_dims(plan, signal, statistic)
        frame = len(dims) > 1 + len(plan.axes)
        shape = (len(plan.selections), *plan.bins_shape, *(signal.info.shape if frame else ()))
        chunks = (1, *signal.bin_chunks, *(signal.element_chunks if frame else ()))
        dtype = "int64" if statistic == "count" else signal.out_dtype
        yield ArrayLayout(
            f"{signal.name}_{statistic}", dims, shape, chunks, dtype, statistic_attrs(signal, statistic)
        )
