"""The session's table of what is in memory: what is assigned to it is added to the session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.events.field import EVENT_COORDS

Take = Callable[[Mapping[str, xr.DataArray]], None]


class SessionData(xr.Dataset):  # type: ignore[no-untyped-call]  # xarray's hook for subclasses is untyped
    """What of a run is in memory, as an xarray.Dataset.

    New variables are added to the session when they are assigned to ``run.data`` itself: with
    ``run.data["x"] = ...``, ``run.data.assign(x=...)`` or ``run.data = ...``. Datasets made of it (a
    selection of events, a mean) are ordinary: what is assigned to those stays theirs.
    """

    __slots__ = ("_take",)

    @classmethod
    def of(cls, dataset: xr.Dataset, take: Take) -> SessionData:
        """Wrap a dataset; `take` receives what is assigned, by name."""
        made = cls(dataset.data_vars, coords=dataset.coords, attrs=dataset.attrs)
        made._take = take
        return made

    def assign(self, variables: Mapping[Any, Any] | None = None, **named: Any) -> xr.Dataset:  # type: ignore[override]
        """Assign variables as xarray does; those assigned to ``run.data`` are added to the session."""
        given = {**(variables or {}), **named}
        plain = _plain(self)
        values = {
            name: _over_events(str(name), value(plain) if callable(value) else value)
            for name, value in given.items()
        }
        assigned = plain.assign(values)
        take: Take | None = getattr(self, "_take", None)
        if take is None:
            return assigned
        take(_as_given(values, assigned))
        return SessionData.of(assigned, take)

    def __setitem__(self, key: Any, value: Any) -> None:
        take: Take | None = getattr(self, "_take", None)
        if take is not None:
            value = _over_events(str(key), value)
            assigned = _plain(self)
            assigned[key] = value
            names = [key] if isinstance(key, str) else list(key)
            take(_as_given({name: value if name is key else None for name in names}, assigned))
        super().__setitem__(key, value)


def _over_events(name: str, value: Any) -> Any:
    """Return a plain array as one over events; xarray would give it a dimension of its own."""
    if not isinstance(value, np.ndarray | list) or np.ndim(value) == 0:
        return value
    return ("event", *(f"{name}_dim{axis}" for axis in range(np.ndim(value) - 1))), value


def _plain(data: SessionData) -> xr.Dataset:
    return xr.Dataset(data.data_vars, coords=data.coords, attrs=data.attrs)


def _as_given(values: Mapping[Any, Any], assigned: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return what was assigned, each with its own coordinates: a dataset has but one `valid` for all."""
    return {
        str(name): value if isinstance(value, xr.DataArray) else _bare(assigned, name)
        for name, value in values.items()
    }


def _bare(dataset: xr.Dataset, name: Any) -> xr.DataArray:
    array: xr.DataArray = dataset[name]
    return array.drop_vars([coord for coord in array.coords if coord not in EVENT_COORDS])


def new_variables(before: xr.Dataset, after: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the variables of a dataset that another one does not have, or has with other values."""
    return {str(name): _bare(after, name) for name in after.data_vars if _is_new(before, after, name)}


def _is_new(before: xr.Dataset, after: xr.Dataset, name: Any) -> bool:
    if name not in before.variables:
        return True
    old, new = before.variables[name], after.variables[name]
    return old is not new and not bool(old.equals(new))  # type: ignore[no-untyped-call]
