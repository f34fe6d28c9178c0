"""One field of a run: cheap to hold, read only when asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cubeengine.budget import format_size
from cubeengine.errors import SpecError
from cubeengine.events.lazy import events_per_chunk, lazy_column
from cubeengine.types import Column, FieldInfo, FieldKind

if TYPE_CHECKING:
    from cubeengine.events.run import Run

EVENT_COORDS = ("time", "timestamp")
"""Coordinates of every array over events; in a dataset they stand for fields of the same names."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a run.

    Attributes
    ----------
    run : Run
        The run it belongs to.
    name : str
        As the run has it, e.g. "ipm2/sum".
    """

    run: Run
    name: str

    @property
    def info(self) -> FieldInfo:
        """What is known of it without reading it."""
        return self.run.fields[self.name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's value."""
        return self.info.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element."""
        return self.info.dtype

    @property
    def unit(self) -> str | None:
        """The declared unit; None where none was declared."""
        return self.run.fields.unit(self.name)

    def read(self) -> xr.DataArray:
        """Read the field for all events.

        Returns
        -------
        xarray.DataArray
            Over `event` in time order and `<name>_dim0`, ..., with coordinates `time` and `timestamp`.
            Integers and booleans of which some are missing have a boolean coordinate `valid`. A field
            of an align group comes with the events of that group, one that is once per run without.

        Raises
        ------
        SpecError
            If the field has a varying number of values per event.
        SourceFormatError
            If it cannot be read from its file.
        """
        if self.info.kind is not FieldKind.EVENT:
            return self._read_other()
        column = self.run.column(self.name)
        lacks = column.valid is not None and not column.valid.all()
        return self._array(column.data, column.valid if lacks else None)

    def dask(self) -> xr.DataArray:
        """Give the field as a dask array in chunks of events; nothing is read yet.

        Integers and booleans have a boolean coordinate `valid`, lazy as well: False where an event
        turns out to lack the value.

        Raises
        ------
        SpecError
            If the field has not one value per event.
        """
        self.require_event()
        run, info = self.run, self.info
        token = f"{run.identity}:{self.name}"
        lazy = lazy_column(
            run.reader(self.name), run.rows, run.n_events, per_chunk=events_per_chunk(info), token=token
        )
        return self._array(lazy.data, lazy.valid)

    def require_event(self) -> None:
        """Raise SpecError, saying why, if the field has not one value per event of the run."""
        info = self.info
        if info.kind is not FieldKind.EVENT:
            reasons = {
                FieldKind.RAGGED: "varying number of values per event",
                FieldKind.RUN: "once per run, not once per event; .read() gives it",
                FieldKind.ALIGNED: f"of align group {info.group!r}; run.aligned({info.group!r}) has it",
            }
            raise SpecError(f"field {self.name!r}: {info.note or reasons[info.kind]}")

    def _read_other(self) -> xr.DataArray:
        info = self.info
        if info.kind is FieldKind.ALIGNED:
            return self.run.aligned(info.group)[self.name].read()
        data = self.run.source.read(self.name).data  # which says why ragged fields cannot be read so
        return xr.DataArray(
            data, dims=_element_dims(self.name, data.ndim), name=variable(self.name), attrs=self._attrs()
        )

    def _array(self, data: Any, valid: Any) -> xr.DataArray:
        dims = ("event", *_element_dims(self.name, data.ndim - 1))
        coords: dict[str, Any] = {**event_coords(self.run), **self.element_coords()}
        if valid is not None:
            coords["valid"] = ("event", valid)
        return xr.DataArray(data, dims=dims, coords=coords, name=variable(self.name), attrs=self._attrs())

    def variable(self, column: Column) -> xr.Variable:
        """Wrap a column of this field as a variable of a dataset."""
        dims = ("event", *_element_dims(self.name, column.data.ndim - 1))
        return xr.Variable(dims, column.data, self._attrs())

    def element_coords(self) -> dict[str, tuple[str, Any]]:
        """Give the coordinates that the file knows for the element dimensions."""
        known: Mapping[int, tuple[str, Any]] = self.run.element_coordinates(self.name)
        own = variable(self.name)
        return {f"{own}_{label}": (f"{own}_dim{axis}", values) for axis, (label, values) in known.items()}

    def _attrs(self) -> dict[str, str]:
        attrs = {"field": self.name, "origin": self.info.origin}
        if self.unit:
            attrs["units"] = self.unit
        if self.info.note:
            attrs["note"] = self.info.note
        return attrs

    def __repr__(self) -> str:
        info = self.info
        shape = f", shape {info.shape}" if info.shape else ""
        unit = f", in {self.unit}" if self.unit else ""
        note = f"; {info.note}" if info.note else ""
        kind = f"{info.n_rows:,} events" if info.kind is FieldKind.EVENT else f"{info.kind.value} field"
        return f"Field {self.name!r}: {info.dtype}{shape}{unit}, {kind}, {format_size(info.nbytes)}{note}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"


def variable(name: str) -> str:
    """Give the name of a field in a dataset: `__` for `/`."""
    return name.replace("/", "__")


def event_coords(run: Run) -> dict[str, Any]:
    """Give the coordinates of events: `time` and the packed `timestamp`."""
    return dict(zip(EVENT_COORDS, (("event", run.time), ("event", run.timestamps)), strict=True))


def _element_dims(name: str, n_dims: int) -> tuple[str, ...]:
    return tuple(f"{variable(name)}_dim{axis}" for axis in range(n_dims))
