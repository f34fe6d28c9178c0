"""Variables that a user has given: arrays over the events of a run, and their NetCDF file.

The file is plain NetCDF-4, which xarray opens by itself: a variable per array, named with `__` for `/`, over
`event` and dimensions of its own, with the coordinates `time` and `timestamp`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from cubeengine.errors import SourceFormatError, SpecError, StoreMismatch
from cubeengine.events.field import EVENT_COORDS, event_coords, variable
from cubeengine.events.identity import Identity, Sameness
from cubeengine.events.run import Run
from cubeengine.types import Column, InputFile

FORMAT = 1
ENGINE: Literal["h5netcdf"] = "h5netcdf"
VALID = ":valid"
"""End of the name under which it is kept which values are there; no name of a variable has a colon."""

IDENTITY, SPEC = "cubeengine:identity", "cubeengine:spec"
CUBE, ASIDE = "cubeengine:cube", "cubeengine:aside"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
_MAX_NAME = 128
_STORED_AS: Mapping[str, np.dtype[Any]] = {"bool": np.dtype(np.uint8)}
"""Types that NetCDF does not have, and those that hold their values."""

_TYPES = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
          "float16", "float32", "float64")  # fmt: skip


@dataclass(frozen=True, slots=True)
class SavedVariables:
    """What a file of variables holds."""

    columns: Mapping[str, Column]  # the arrays, in time order
    identity: Identity  # the run they belong to
    texts: Mapping[str, str] = field(default_factory=dict)
    """What else was written down, e.g. `SPEC`."""


def check_variable_name(name: str) -> str:
    """Return the name of a variable with `/` for `__`, as fields have it.

    Raises
    ------
    SpecError
        If a field could not be called so.

    Examples
    --------
    >>> check_variable_name("mine__ratio")
    'mine/ratio'
    """
    full = name.replace("__", "/") if isinstance(name, str) else name
    if not isinstance(full, str) or _NAME.fullmatch(full) is None or len(variable(full)) > _MAX_NAME:
        raise SpecError(
            f"{str(name)[:80]!r} is not a variable name; use letters, digits, '_', '.', '-', with '/' (or "
            f"'__') between parts, start with a letter, at most {_MAX_NAME} characters"
        )
    if full in EVENT_COORDS or full == "event":
        raise SpecError(f"{full!r} is already a label of every event; choose another name")
    return full


def variables_dataset(
    run: Run,
    columns: Mapping[str, Column],
    units: Mapping[str, str],
    *,
    identity: Identity,
    texts: Mapping[str, str],
) -> xr.Dataset:
    """Lay variables out as they are kept in a file.

    Parameters
    ----------
    run : Run
        The run they belong to.
    columns : mapping of name to Column
        One value or array per event, in time order.
    units : mapping of name to unit
        For whoever reads the file; what counts is the spec.
    identity : Identity
        That of the run.
    texts : mapping of name to str
        What else is to be written down.
    """
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        arrays |= _arrays(name, column, units.get(name))
    arrays |= {name: ((), text) for name, text in {IDENTITY: identity.to_json(), **texts}.items()}
    attrs = {"title": f"variables of run {run.label}", "cubeengine_format": FORMAT}
    return xr.Dataset(arrays, coords=event_coords(run), attrs=attrs)


def _arrays(name: str, column: Column, unit: str | None) -> dict[str, Any]:
    key, dtype = variable(name), column.data.dtype.newbyteorder("=")
    dims = ("event", *(f"{key}_dim{axis}" for axis in range(column.data.ndim - 1)))
    attrs = {"field": name, "dtype_in_memory": dtype.name} | ({} if unit is None else {"units": unit})
    stored: np.dtype[Any] = _STORED_AS.get(dtype.name, dtype)
    data = column.data.astype(stored, copy=False)
    found: dict[str, Any] = {key: (dims, data, attrs, {"_FillValue": None})}
    if column.valid is not None:
        found[key + VALID] = ("event", column.valid.astype(np.uint8), {}, {"_FillValue": None})
    return found


def read_variables(path: Path) -> SavedVariables:
    """Read a file of variables.

    Raises
    ------
    SourceFormatError
        If it is not there, or is no such file.
    """
    if not path.is_file():
        raise SourceFormatError(f"{path}: no such file of variables")
    try:
        with xr.open_dataset(path, engine=ENGINE, decode_times=False, mask_and_scale=False) as dataset:
            return _saved(dataset.load())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as err:
        text = str(err).splitlines()[0] if str(err) else repr(err)
        raise SourceFormatError(f"{path}: cannot be read as a file of variables ({text})") from err


def _saved(dataset: xr.Dataset) -> SavedVariables:
    found = dataset.attrs.get("cubeengine_format")
    if found != FORMAT:
        raise ValueError(f"its format is {found!r}, and this version reads {FORMAT}")
    texts = {name: str(dataset[name].item()) for name in (SPEC, CUBE, ASIDE) if name in dataset}
    columns = {
        str(array.attrs["field"]): _column(dataset, str(key))
        for key, array in dataset.data_vars.items()
        if "field" in array.attrs
    }
    return SavedVariables(columns, Identity.from_json(str(dataset[IDENTITY].item())), texts)


def _column(dataset: xr.Dataset, key: str) -> Column:
    array, marks = dataset[key], dataset.get(key + VALID)
    dtype = array.attrs["dtype_in_memory"]
    if dtype not in _TYPES or array.dims[0] != "event":
        raise ValueError(f"{key!r} holds {dtype!r} over {array.dims}")
    valid = None if marks is None else marks.to_numpy().astype(bool)
    return Column(array.to_numpy().astype(np.dtype(dtype), copy=False), valid)


def with_saved_variables(run: Run, path: Path) -> Run:
    """Return a run with the variables of a file, which is recorded as an input of what is made of them.

    Raises
    ------
    SourceFormatError
        If it is no file of variables.
    StoreMismatch
        If it belongs to another run, or to another version of this one.
    SpecError
        If the run has fields of the same names.
    """
    saved = read_variables(path)
    sameness = saved.identity.compare(run)
    if sameness is not Sameness.SAME:
        raise StoreMismatch(
            f"{path}: {mismatch_words(sameness, saved.identity, run)}; open the run in a session "
            "(cubeengine shell, or ce.explore), which shows the choices, and save it there"
        )
    return run.with_columns(saved.columns).with_inputs([InputFile.of(path)])


def mismatch_words(sameness: Sameness, saved: Identity, run: Run) -> str:
    """Say how a run differs from the one that variables were saved for."""
    now = Identity.of(run)
    if sameness is Sameness.OTHER:
        return f"was saved for other events: {saved}; the run has {now}"
    if sameness is Sameness.LIKELY:
        return (
            f"was saved for {saved}; the run's files have other time stamps but the same content in the "
            "parts that were compared; probably they were copied or touched"
        )
    return (
        f"was saved for another version of the run's files: {saved}; now there are {now}, with different "
        "content"
    )
