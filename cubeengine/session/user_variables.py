"""Arrays that a user gives, as columns of the run: checked, and what is missing in them kept missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.types import BoolArray, Column

_EXACT = 2**53
"""Integers up to this size are the same as float64."""


def user_column(run: Run, name: str, values: object) -> Column:
    """Check an array of a user's and give it as a column.

    Parameters
    ----------
    run : Run
        The run whose events it is for, in time order as ``run[field].read()`` gives them.
    name : str
        Its name, for messages.
    values : array_like, or xarray.DataArray
        First dimension the events, any further ones. Of a DataArray, `event` may be any dimension; a boolean
        coordinate `valid` says which integers are there, and of floats the others become NaN. Of a masked
        array the masked elements of floats become NaN, and integers are missing where any element is masked.

    Raises
    ------
    SpecError
        If it has not one row per event of the run, is of other events, or holds no numbers.
    """
    if isinstance(values, xr.DataArray):
        return _column(name, *_of_data_array(run, name, values))
    if isinstance(values, np.ma.MaskedArray):
        data, valid = _of_masked(values)
    else:
        data, valid = np.asarray(values), None
    _check_length(run, name, data)
    return _column(name, data, valid)


def _of_data_array(run: Run, name: str, array: xr.DataArray) -> tuple[NDArray[Any], BoolArray | None]:
    if "event" in array.dims:
        array = array.transpose("event", ...)
    _check_length(run, name, array)
    stamps = array.coords.get("timestamp")
    if stamps is not None and stamps.dims == array.dims[:1] and (stamps.to_numpy() != run.timestamps).any():
        raise SpecError(
            f"variable {name!r} has the times of other events than {run.label}, or in another order; take "
            "its values from fields of this run, in time order"
        )
    marks = array.coords.get("valid")
    one_per_event = marks is not None and marks.dims == array.dims[:1]
    return array.to_numpy(), marks.to_numpy().astype(bool) if marks is not None and one_per_event else None


def _of_masked(values: np.ma.MaskedArray[Any, Any]) -> tuple[NDArray[Any], BoolArray | None]:
    if values.dtype.kind == "f":
        return values.filled(np.nan), None
    mask = np.ma.getmaskarray(values)
    return values.filled(0), ~np.asarray(mask.any(axis=tuple(range(1, mask.ndim))))


def _check_length(run: Run, name: str, values: NDArray[Any] | xr.DataArray) -> None:
    if not values.shape:
        raise SpecError(
            f"variable {name!r} is one value for all events; it needs one per event, or is an expression: "
            f"run.add({name!r}, {str(values.item())!r})"
        )
    if values.shape[0] != run.n_events:
        raise SpecError(
            f"variable {name!r} has {values.shape[0]:,} rows (shape {values.shape}), but {run.label} has "
            f"{run.n_events:,} events; give one row per event, NaN where there is no value"
        )


def _column(name: str, data: NDArray[Any], valid: BoolArray | None) -> Column:
    if data.dtype.kind not in "biuf" or data.dtype.itemsize > 8:
        raise SpecError(f"variable {name!r} holds {data.dtype}, not numbers of at most 64 bits")
    own = np.array(
        data, dtype=data.dtype.newbyteorder("="), order="C"
    )  # later changes by the user stay theirs
    if valid is None or valid.all():
        return Column(own)
    if own.dtype.kind == "f":
        own[~valid] = np.nan
        return Column(own)
    return Column(own, valid.copy())


def honest(dataset: xr.Dataset) -> xr.Dataset:
    """Give a run's data with missing integers and booleans as NaN, so that arithmetic keeps them missing.

    Those with values beyond 2**53, which float64 does not hold, stay as they are, with `<name>_valid`.
    """
    for key in [str(key) for key in dataset.data_vars]:
        marks = dataset.coords.get(f"{key}_valid")
        array = dataset[key]
        if marks is None or marks.dims != ("event",) or array.dtype.kind not in "biu":
            continue
        data = array.to_numpy()
        if data.size and max(abs(int(data.min())), abs(int(data.max()))) > _EXACT:
            continue
        held = data.astype(np.float64)
        held[~marks.to_numpy().astype(bool)] = np.nan
        dataset = dataset.assign({key: (array.dims, held, array.attrs)}).drop_vars(f"{key}_valid")
    return dataset
