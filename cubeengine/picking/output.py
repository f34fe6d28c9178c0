"""The arrays of a store of picked events."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.budget import Budget
from cubeengine.detectors.base import Coordinate
from cubeengine.events.run import Run
from cubeengine.picking.plan import PickWork, Variable, fill_of, picked_rows, variable_facts
from cubeengine.picking.spec import PickSpec
from cubeengine.planning.bind import Bound
from cubeengine.planning.output import Output, axis_arrays, coordinate_array, selection_array
from cubeengine.planning.provenance import bound_attributes
from cubeengine.store.layout import ArrayLayout, CubeLayout, choose_chunks, stored_type
from cubeengine.store.read import PICKED

Small = tuple[ArrayLayout, NDArray[Any]]

NO_EVENT = "where the bin has fewer events"
TIME_ATTRS = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
"""How xarray knows dates; the lowest number is NaT."""


def pick_output(
    bound: Bound,
    spec: PickSpec,
    work: PickWork,
    budget: Budget,
    coordinates: Mapping[str, Mapping[int, Coordinate]],
) -> Output:
    """Lay the store out, with all that is known before frames are read.

    Parameters
    ----------
    bound, spec, work, budget
        What is made.
    coordinates : mapping
        Variable -> coordinates of its element dimensions.
    """
    known = list(_known(bound.run, bound, work, coordinates))
    arrays = [layout for layout, _ in known]
    for variable in work.variables:
        arrays.extend(_variable_arrays(work, variable))
    small = {layout.name: values for layout, values in known}
    return Output(CubeLayout(tuple(arrays), _attributes(bound, spec, work, budget)), small)


def _attributes(bound: Bound, spec: PickSpec, work: PickWork, budget: Budget) -> dict[str, Any]:
    planned = {
        "key": work.key,
        "memory_per_worker": budget.per_worker,
        "n_tasks": work.n_tasks,
        "read_nbytes": work.read_nbytes,
        "variables": {variable.name: variable_facts(variable) for variable in work.variables},
    }
    pick = {**spec.pick.to_plain(), "events": spec.pick.events, "meaning": str(spec.pick)}
    return {**bound_attributes(bound, planned), "content": PICKED, "pick": pick}


def _known(
    run: Run, bound: Bound, work: PickWork, coordinates: Mapping[str, Mapping[int, Coordinate]]
) -> Iterator[Small]:
    yield selection_array(work.selections)
    for axis in work.axes:
        yield from axis_arrays(axis)
    n_picks = work.slots_shape[-1]
    rank = {"long_name": "rank of the picked event, 0 is the best"}
    yield ArrayLayout("pick", ("pick",), (n_picks,), (n_picks,), "int64", rank), np.arange(n_picks)
    counts = {
        "n_events": (bound.n_events, "selected events in the bin"),
        "n_candidates": (work.picked.n_candidates, "selected events in the bin that could be picked"),
        "n_picked": (work.picked.n_picked, "picked events"),
    }
    for name, (values, meaning) in counts.items():
        yield _per_slot(work, name, values, {"long_name": meaning}, work.slot_dims[:-1])
    yield from _identities(run, work)
    for variable in work.variables:
        for number, known in coordinates.get(variable.name, {}).items():
            yield coordinate_array(element_dims(variable)[number], known)


def _identities(run: Run, work: PickWork) -> Iterator[Small]:
    """Say which events they are: by number, row, time stamp and time."""
    events = work.picked.events.ravel()
    there = events >= 0
    found: dict[str, tuple[NDArray[Any], dict[str, object]]] = {
        "event": (events, {"long_name": "number of the event in time order", "comment": f"-1 {NO_EVENT}"}),
        "row": (
            picked_rows(work.picked, run.rows),
            {"long_name": "row of the event in storage", "comment": f"-1 {NO_EVENT}"},
        ),
    }
    stamps = np.full(events.shape, fill_of(np.dtype(np.uint64)), np.uint64)
    stamps[there] = run.timestamps[events[there]]
    text = "time stamp as the facility writes it: seconds << 32 | nanoseconds"
    found["timestamp"] = stamps, {"long_name": text, "comment": f"2**64 - 1 {NO_EVENT}"}
    times = np.full(events.shape, fill_of(np.dtype(np.int64)), np.int64)
    times[there] = run.time[events[there]].astype("datetime64[ns]").astype(np.int64)
    found["time"] = times, {"long_name": "time of the event", **TIME_ATTRS}
    for name, (values, attrs) in found.items():
        yield _per_slot(work, name, values, attrs, work.slot_dims, coordinate=True)


def _per_slot(
    work: PickWork,
    name: str,
    values: NDArray[Any],
    attrs: Mapping[str, object],
    dims: tuple[str, ...],
    *,
    coordinate: bool = False,
) -> Small:
    shape = work.slots_shape[: len(dims)]
    chunks = choose_chunks(shape, values.dtype.itemsize)
    layout = ArrayLayout(
        name,
        dims,
        shape,
        chunks,
        stored_type(values.dtype),
        attrs,
        fill_value=fill_of(values.dtype),
        coordinate=coordinate,
    )
    return layout, values.reshape(shape)


def element_dims(variable: Variable) -> tuple[str, ...]:
    """Name the element dimensions of a variable."""
    return tuple(f"{variable.name}_dim{number}" for number in range(len(variable.info.shape)))


def _variable_arrays(work: PickWork, variable: Variable) -> Iterator[ArrayLayout]:
    attrs = {"field": variable.field, "units": variable.unit, "long_name": variable.field}
    mask = f"{variable.name}_valid"
    if variable.has_mask:
        attrs["comment"] = f"{variable.fill} where {mask} is false: no event was picked, or the event lacks "
        "this field"
    yield ArrayLayout(
        variable.name,
        (*work.slot_dims, *element_dims(variable)),
        (*work.slots_shape, *variable.info.shape),
        (*variable.slot_chunks, *variable.element_chunks),
        stored_type(variable.info.dtype),
        attrs,
        fill_value=None if math.isnan(variable.fill) else variable.fill,
    )
    if variable.has_mask:
        yield ArrayLayout(
            mask,
            work.slot_dims,
            work.slots_shape,
            variable.batch,
            "bool",
            {"long_name": f"whether there is a value of {variable.field}"},
            coordinate=True,
        )
