"""Arrays that a user gives, over the events of a run: checked, and brought into the order of the events.

An array without coordinates has one row per event, in time order. One with the times of its events, or their
numbers, is aligned by these; events that it does not have are missing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.schema.texts import counted
from cubeengine.types import BoolArray, Column, IntArray

if TYPE_CHECKING:
    from cubeengine.events.run import Run

_LOG = logging.getLogger(__name__)

_LABELS = {"timestamp": "iu", "time": "M", "event": "iu"}
"""Coordinates that say which event a row is of, the surest first, and the kinds of numbers they hold."""


class Array(Protocol):
    """What numpy takes for an array, as a DataArray or a field."""

    def __array__(self) -> NDArray[Any]: ...


def given_column(run: Run, what: str, values: object) -> Column:
    """Return an array that a user gives as a column of the run.

    Parameters
    ----------
    run : Run
        The run whose events it is for.
    what : str
        What it is, for messages: "variable 'mine'".
    values : array_like, xarray.DataArray, pandas.Series, masked array or Field
        First dimension the events, any further ones. Of a DataArray, `event` may be any dimension, the events
        are found by its coordinate `timestamp`, `time` or `event`, and a boolean coordinate `valid` says
        which rows are there. The index of a Series does the same. Masked elements of floats are NaN;
        a row of integers is missing where any element is masked.

    Returns
    -------
    Column
        A copy, in time order; missing floats are NaN.

    Raises
    ------
    SpecError
        If it has not one row per event, or rows of other events, or holds no numbers.
    """
    array = _as_data_array(values)
    if isinstance(array, xr.DataArray):
        data, valid = _of_data_array(run, what, array)
    elif isinstance(array, np.ma.MaskedArray):
        data, valid = _of_masked(array)
    else:
        data, valid = np.asarray(array), None
    _check_length(run, what, data.shape)
    return _own(what, data, valid)


def is_mask(value: object) -> bool:
    """Return whether a user gives events as an array of booleans, or an array meant as one."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return len(value) > 0 and all(isinstance(item, bool | np.bool_) for item in value)
    return hasattr(value, "__array__") and not isinstance(value, str | type)


def given_mask(run: Run, values: object) -> Column:
    """Return booleans over the events of a run as a column, as `given_column` does.

    Raises
    ------
    SpecError
        If they are no booleans, one per event.
    """
    column = given_column(run, "the mask", values)
    if column.data.ndim != 1:
        shape = column.data.shape[1:]
        raise SpecError(
            f"the mask has shape {shape} per event, but a selection needs one answer; use e.g. mask.any(1)"
        )
    if column.data.dtype.kind != "b":
        raise SpecError(
            f"the mask holds {column.data.dtype}, not booleans; compare it, e.g. mask == 1; to turn event "
            "numbers into a mask, use np.isin(np.arange(run.n_events), numbers)"
        )
    # Rows of an array are of different events: where it has fewer, it lacks as many.
    if lacking := run.n_events - _n_rows(values):
        told = "the mask says nothing of %s of the %s events of run %s: these count as missing"
        _LOG.warning(told, f"{lacking:,}", f"{run.n_events:,}", run.label)
    return column


def _n_rows(values: object) -> int:
    array = _as_data_array(values)
    if isinstance(array, xr.DataArray) and "event" in array.dims:
        return int(array.sizes["event"])
    return len(array)


def masked_events(run: Run, values: object) -> BoolArray:
    """Return (n_events,) whether an event is certainly in a mask; see `given_mask`."""
    mask = given_mask(run, values)
    kept: BoolArray = mask.data.astype(bool)
    return kept if mask.valid is None else kept & mask.valid


def _as_data_array(values: object) -> Any:
    """Return what has an index, or reads itself, as a DataArray."""
    if isinstance(values, xr.DataArray):
        return values
    index: Any = getattr(values, "index", None)
    if hasattr(values, "to_numpy") and hasattr(index, "to_numpy"):  # pandas, which need not be loaded here
        labels = index.to_numpy()
        name = {"M": "time", "i": "event", "u": "event"}.get(labels.dtype.kind)
        data: Any = values.to_numpy()
        return xr.DataArray(data, dims=("event", *(f"dim_{i}" for i in range(1, data.ndim)))).assign_coords(
            {name: ("event", labels)} if name else {}
        )
    return values


def _of_data_array(run: Run, what: str, array: xr.DataArray) -> tuple[NDArray[Any], BoolArray | None]:
    if "event" in array.dims:
        array = array.transpose("event", ...)
    marks = array.coords.get("valid")
    one_per_event = marks is not None and marks.dims == array.dims[:1]
    valid = marks.to_numpy().astype(bool) if marks is not None and one_per_event else None
    data = array.to_numpy()
    places = _places(run, what, array)
    if places is None:
        return data, valid
    there = places >= 0
    if not len(data):
        return np.zeros((run.n_events, *data.shape[1:]), data.dtype), there
    return data[places], there if valid is None else there & valid[places]


def _places(run: Run, what: str, array: xr.DataArray) -> IntArray | None:
    """Return the row of the array for every event, -1 for none; None where rows are events as they are."""
    usable = (
        array.coords[name]
        for name, kinds in _LABELS.items()
        if name in array.coords and array.coords[name].dtype.kind in kinds
    )
    labels = next((found for found in usable if found.dims == array.dims[:1]), None)
    if labels is None:
        return None
    ours = {"timestamp": run.timestamps, "time": run.time}.get(str(labels.name), np.arange(run.n_events))
    theirs = labels.to_numpy().astype(ours.dtype)
    if np.array_equal(theirs, ours):
        return None
    if labels.name == "event" and np.array_equal(theirs, np.arange(len(theirs))):
        return None  # numbered anew, which says nothing: the length has to be right
    order = np.argsort(theirs, kind="stable")
    rising = theirs[order]
    for values, whose in ((rising, "it"), (np.sort(ours), "the run")):
        if (values[1:] == values[:-1]).any():
            raise SpecError(
                f"{what} is in another order than the events of run {run.label}, and cannot be sorted by "
                f"{labels.name!r}, because {whose} has some of these twice"
            )
    found = np.searchsorted(rising, ours)
    found[found == len(rising)] = 0
    hit = rising[found] == ours if len(rising) else np.zeros(len(ours), bool)
    if strangers := len(theirs) - int(np.count_nonzero(hit)):
        raise SpecError(
            f"{what}: {strangers:,} of its {len(theirs):,} rows are not events of run {run.label}, by their "
            f"{labels.name!r}"
        )
    return np.where(hit, order[found] if len(rising) else 0, -1)


def _of_masked(values: np.ma.MaskedArray[Any, Any]) -> tuple[NDArray[Any], BoolArray | None]:
    if values.dtype.kind == "f":
        return values.filled(np.nan), None
    mask = np.ma.getmaskarray(values)
    return values.filled(0), ~np.asarray(mask.any(axis=tuple(range(1, mask.ndim))))


def _check_length(run: Run, what: str, shape: tuple[int, ...]) -> None:
    if not shape:
        raise SpecError(
            f"{what} is a single value; give one value per event, e.g. np.full(run.n_events, VALUE)"
        )
    if shape[0] != run.n_events:
        raise SpecError(
            f"{what} has {counted(shape[0], 'row')} (shape {shape}), but run {run.label} has "
            f"{counted(run.n_events, 'event')}; "
            "give one row per event, or a DataArray with their coordinate 'timestamp'"
        )


def _own(what: str, data: NDArray[Any], valid: BoolArray | None) -> Column:
    if data.dtype.kind not in "biuf" or data.dtype.itemsize > 8:
        raise SpecError(f"{what} holds {data.dtype}, not numbers of at most 64 bits")
    # A copy: later changes by the user stay theirs.
    own = np.array(data, dtype=data.dtype.newbyteorder("="), order="C")
    if valid is None or valid.all():
        return Column(own)
    if own.dtype.kind == "f":
        own[~valid] = np.nan
        return Column(own)
    return Column(own, valid.copy())
