"""One field of a run: cheap to hold, read only when asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import xarray as xr
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from cubeengine.budget import format_size
from cubeengine.errors import SpecError
from cubeengine.events.filled import nan_filled
from cubeengine.events.given import is_mask, masked_events
from cubeengine.events.lazy import events_per_chunk, lazy_column
from cubeengine.schema.calls import no_attribute, told_methods
from cubeengine.schema.texts import counted
from cubeengine.sources.columns import has_finite, read_column
from cubeengine.types import BoolArray, Column, FieldInfo, FieldKind, IntArray

if TYPE_CHECKING:
    from cubeengine.events.run import Run

EVENT_COORDS = ("time", "timestamp")
"""Coordinates of every array over events; in a dataset they stand for fields of the same names."""


@told_methods("field")
@dataclass(frozen=True, slots=True, eq=False)
class Field(NDArrayOperatorsMixin):
    """One field of a run; it behaves as an array over events, which is read when it is used.

    Slices and masks read what they ask for. Arithmetic and comparisons read the whole field and give an
    `xarray.DataArray`.

    Examples
    --------
    >>> run = ce.open_run("cubeengine-demo/xppdemo20_Run0012.h5")
    >>> i0 = run["ipm2/sum"]
    >>> i0.shape, i0[:10].shape, i0[i0 > 1].size == (i0 > 1).sum().item()
    ((1500,), (10,), True)
    >>> frames = run["jungfrau/ROI_0_area"][::100, 4:8, :10]
    >>> frames.dims, frames.shape
    (('event', 'jungfrau__ROI_0_area_dim0', 'jungfrau__ROI_0_area_dim1'), (15, 4, 10))
    """

    run: Run  # the run it belongs to
    name: str
    """As the run has it, e.g. "ipm2/sum"."""

    @property
    def info(self) -> FieldInfo:
        """What is known of it without reading it."""
        return self.run.fields[self.name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what `read` gives, the events first; that of one event's value is `info.shape`."""
        info = self.info
        rows = {FieldKind.EVENT: self.run.n_events, FieldKind.ALIGNED: info.n_rows}.get(info.kind)
        return info.shape if rows is None else (rows, *info.shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions, the events included."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of all elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, as it is stored."""
        return self.info.dtype

    @property
    def unit(self) -> str | None:
        """The declared unit; None where none was declared."""
        return self.run.fields.unit(self.name)

    def read(self, *, missing: Literal["nan", "mask"] = "nan") -> xr.DataArray:
        """Read the field for all events.

        Parameters
        ----------
        missing : "nan" or "mask"
            What stands where an event lacks the field. "nan": NaN; integers and booleans of which some are
            missing become float64. "mask": the type stays, and the boolean coordinate `valid` is False where
            the event has no value, or none that is finite; what stands there means nothing.

        Returns
        -------
        xarray.DataArray
            Over `event` in time order and `<name>_dim0`, ..., with coordinates `time` and `timestamp`. A
            field of an align group comes with the events of that group, one that is once per run without.

        Raises
        ------
        SpecError
            If the field has a varying number of values per event; or integers of which some are missing are
            beyond 2**53, where float64 is not exact: these need "mask".
        SourceFormatError
            If it cannot be read from its file.
        """
        if missing not in ("nan", "mask"):
            raise SpecError(f"read: missing must be 'nan' or 'mask', but is {missing!r}")
        if self.info.kind is not FieldKind.EVENT:
            return self._read_other(missing)
        column = self.run.column(self.name)
        if missing == "mask":
            return self._array(column.data, has_finite(column))
        return self._array(nan_filled(self.name, column), None)

    @property
    def values(self) -> NDArray[Any]:
        """The values that `read` gives, as a numpy array."""
        return self.read().to_numpy()

    def __getitem__(self, key: Any) -> xr.DataArray:
        """Read some events, and of these some elements; ``field[key]`` equals ``field.read()[key]``.

        Parameters
        ----------
        key : int, slice, mask or array of event numbers; or a tuple with those of further dimensions
            A mask may be a DataArray; it is aligned by its times, and events that it lacks are left out.
        """
        if self.info.kind is not FieldKind.EVENT:
            return self.read()[key]
        which, elements = _split(key, self.ndim)
        numbers = self._numbers(which)
        chosen = None if elements is None else self._elements()[elements]
        column = self._column(numbers.ravel(), None if chosen is None else chosen.to_numpy())
        found = self._array(nan_filled(self.name, column), None, numbers.ravel(), chosen)
        return found if numbers.ndim else found.isel(event=0)

    def _numbers(self, key: Any) -> IntArray:
        """Return the numbers of the events that a key means; without dimensions for a single one."""
        if is_mask(key) and np.asarray(key).dtype.kind == "b":
            return np.flatnonzero(masked_events(self.run, key))
        try:
            numbers = np.asarray(np.arange(self.run.n_events)[key])
        except IndexError as err:
            raise IndexError(f"run[{self.name!r}][{key!r}]: {err}") from err
        if numbers.ndim > 1:
            raise IndexError(f"run[{self.name!r}]: choose events with one index, not with {numbers.ndim}")
        return numbers

    def _elements(self) -> xr.DataArray:
        """Return the numbers of the flattened elements of one event's value, with their coordinates."""
        shape = self.info.shape
        numbers = np.arange(math.prod(shape)).reshape(shape)
        return xr.DataArray(numbers, dims=_element_dims(self.name, len(shape)), coords=self.element_coords())

    def _column(self, events: IntArray, elements: IntArray | None) -> Column:
        """Read some events, in any order, and of these some of the flattened elements."""
        run, stored = self.run, self.name not in self.run.derived
        if stored and elements is not None and run.kept(self.name) is None:
            rows = events if run.rows is None else run.rows[events]
            column = read_column(run.reader(self.name), rows, elements.ravel())
            return replace(column, data=column.data.reshape(len(events), *elements.shape))
        if stored and run.kept(self.name) is None:
            return run.source.read(self.name, events)
        column = run.some(self.name, events)
        if elements is None:
            return column
        flat = column.data.reshape(len(events), -1)
        return replace(column, data=flat[:, elements.ravel()].reshape(len(events), *elements.shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [item._operand() if isinstance(item, Field) else item for item in inputs]
        found = getattr(ufunc, method)(*plain, **options)
        if ufunc in _COMPARISONS and method == "__call__":
            found = _honest(found, plain)
        return found.drop_attrs() if isinstance(found, xr.DataArray) else found

    def _operand(self) -> xr.DataArray:
        """Return the values for arithmetic: whole numbers in 64 bits, as narrow ones overflow unseen."""
        array = self.read()
        return array.astype(np.int64) if array.dtype.kind in "iu" and array.dtype.itemsize < 8 else array

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or hasattr(type(self), name):
            object.__getattribute__(self, name)
        read = (
            f"run[{self.name!r}].read().{name}{'()' if callable(getattr(xr.DataArray, name, None)) else ''}"
        )
        hint = f"a field is read first: {read}" if hasattr(xr.DataArray, name) else ""
        no_attribute(f"field {self.name!r}", name, dir(type(self)), hint)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"field {self.name!r} is a single value and has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __bool__(self) -> bool:
        raise ValueError(
            f"field {self.name!r} has many values, so it is neither true nor false; compare "
            "it, or use any() or all()"
        )

    def __hash__(self) -> int:
        return hash((id(self.run), self.name))

    def dask(self) -> xr.DataArray:
        """Return the field as a dask array in chunks of events; nothing is read yet.

        The type stays as it is; the boolean coordinate `valid`, lazy as well, is False where an event turns
        out to lack the value, or has none that is finite.

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
                FieldKind.RUN: "one value per run, not one per event; read it with .read()",
                FieldKind.ALIGNED: f"in align group {info.group!r}; open it with run.aligned({info.group!r})",
            }
            raise SpecError(f"field {self.name!r}: {info.note or reasons[info.kind]}")

    def _read_other(self, missing: Literal["nan", "mask"]) -> xr.DataArray:
        info = self.info
        if info.kind is FieldKind.ALIGNED:
            return self.run.aligned(info.group).field(self.name).read(missing=missing)
        data = self.run.source.read(self.name).data  # which says why ragged fields cannot be read so
        return xr.DataArray(
            data, dims=_element_dims(self.name, data.ndim), name=variable(self.name), attrs=self._attrs()
        )

    def _array(
        self, data: Any, valid: Any, events: IntArray | None = None, chosen: xr.DataArray | None = None
    ) -> xr.DataArray:
        """Wrap values: of all events or of some, of all elements or of those that were chosen."""
        coords: dict[str, Any] = event_coords(self.run)
        if events is not None:
            coords = {name: (dims, values[events]) for name, (dims, values) in coords.items()}
        if chosen is None:
            elements, further = _element_dims(self.name, data.ndim - 1), self.element_coords()
        else:
            elements, further = tuple(map(str, chosen.dims)), dict(chosen.coords.variables)
        coords |= further
        if valid is not None:
            coords["valid"] = ("event", valid)
        return xr.DataArray(
            data, dims=("event", *elements), coords=coords, name=variable(self.name), attrs=self._attrs()
        )

    def as_variable(self, column: Column) -> xr.Variable:
        """Wrap a column of this field as a variable of a dataset."""
        dims = ("event", *_element_dims(self.name, column.data.ndim - 1))
        return xr.Variable(dims, column.data, self._attrs())

    def element_coords(self) -> dict[str, tuple[str, Any]]:
        """Return the coordinates that the file knows for the element dimensions."""
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
        kind = counted(info.n_rows, "event") if info.kind is FieldKind.EVENT else f"{info.kind.value} field"
        return f"Field {self.name!r}: {info.dtype}{shape}{unit}, {kind}, {format_size(info.nbytes)}{note}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"


def variable(name: str) -> str:
    """Return the name of a field in a dataset: `__` for `/`."""
    return name.replace("/", "__")


def event_coords(run: Run) -> dict[str, Any]:
    """Return the coordinates of events: `time` and the packed `timestamp`."""
    return dict(zip(EVENT_COORDS, (("event", run.time), ("event", run.timestamps)), strict=True))


_COMPARISONS = (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal)


def _honest(found: Any, inputs: Sequence[Any]) -> Any:
    """Mark events of which nothing is known in a comparison: False, and False in the coordinate `valid`."""
    arrays = [item for item in inputs if isinstance(item, xr.DataArray) and item.dims == ("event",)]
    if not isinstance(found, xr.DataArray) or found.dims != ("event",):
        return found
    lacks = np.any([_lacks(array) for array in arrays], axis=0)
    if not lacks.any():
        return found
    return (found & ~lacks).assign_coords(valid=("event", ~lacks))


def _lacks(array: xr.DataArray) -> BoolArray:
    marks = array.coords.get("valid")
    missing: BoolArray = np.zeros(len(array), bool) if marks is None else ~marks.to_numpy().astype(bool)
    return missing | np.isnan(array.to_numpy()) if array.dtype.kind == "f" else missing


def _split(key: Any, n_dims: int) -> tuple[Any, Any]:
    """Split a key into that of the events and those of the elements, None where all of these are wanted."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if len([part for part in parts if part is Ellipsis]) == 1:
        place = next(number for number, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [slice(None)] * (n_dims - len(parts) + 1)
    if len(parts) > n_dims:
        raise IndexError(f"{len(parts)} indices for {n_dims} dimensions (the first dimension is the events)")
    return parts[0] if parts else slice(None), tuple(parts[1:]) or None


def _element_dims(name: str, n_dims: int) -> tuple[str, ...]:
    return tuple(f"{variable(name)}_dim{axis}" for axis in range(n_dims))
