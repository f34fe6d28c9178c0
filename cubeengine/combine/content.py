"""What a cube holds, told apart by role: bins, signals, and what describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.combine.reading import ArrayReader
from cubeengine.errors import SpecError, StoreMismatch, nearest_names
from cubeengine.schema.calls import as_path
from cubeengine.schema.texts import kind_of, variable_name
from cubeengine.store.layout import Region
from cubeengine.store.read import check_means, cube_facts, open_cube, signal_names
from cubeengine.types import IntArray

STATISTICS = ("count", "mean", "std")
SELECTION, EVENTS = "selection", "n_events"

Values = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Count, mean and std of a region."""


@dataclass(frozen=True, slots=True)
class SignalContent:
    """A signal of one cube.

    Attributes
    ----------
    name : str
        As in the cube.
    element_dims : tuple of str
        Dimensions of one event's value.
    shape : tuple of int
        Their lengths.
    counted : bool
        Whether every element has a count of its own.
    dtype : numpy.dtype
        Of mean and std together.
    count, mean, std : ArrayReader
        The arrays.
    """

    name: str
    element_dims: tuple[str, ...]
    shape: tuple[int, ...]
    counted: bool
    dtype: np.dtype[Any]
    count: ArrayReader
    mean: ArrayReader
    std: ArrayReader

    def attrs(self, statistic: str) -> Mapping[str, Any]:
        """Attributes of one of the arrays."""
        reader: ArrayReader = getattr(self, statistic)
        return reader.variable.attrs

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays, before compression."""
        return sum(reader.variable.nbytes for reader in (self.count, self.mean, self.std))

    def read(self, region: Region) -> Values:
        """Read count, mean and std of a region; the count with lengths 1 where elements share it."""
        bins = region[: len(region) - len(self.shape)]
        mean, std = self.mean.read(region), self.std.read(region)
        if self.counted:
            return self.count.read(region), mean, std
        count = self.count.read(bins)
        return count.reshape(count.shape + (1,) * len(self.shape)), mean, std

    @property
    def field(self) -> str:
        """The name users know it by."""
        return str(self.attrs("mean").get("field", self.name))

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return str(self.attrs("mean").get("units", ""))


@dataclass(frozen=True, eq=False)
class Cube:
    """A cube that is to be combined with others."""

    path: Path  # where it is
    dataset: xr.Dataset  # opened lazily

    @classmethod
    def open(cls, path: Path | str) -> Cube:
        """Open the cube at a path.

        Raises
        ------
        StoreMismatch
            If there is no cube, or it is not complete, or it lacks what all cubes have.
        """
        dataset = open_cube(as_path(path, "the cube", "'delay.zarr'"))
        check_means(dataset, path, "merged or rebinned")
        if EVENTS not in dataset or SELECTION not in dataset.coords:
            raise StoreMismatch(f"{path}: lacks {EVENTS!r} or {SELECTION!r}, so it is not a cube")
        if dataset[EVENTS].dims[0] != SELECTION:
            raise StoreMismatch(f"{path}: the first dimension of {EVENTS!r} is not {SELECTION!r}")
        return cls(Path(path), dataset)

    @property
    def dims(self) -> tuple[str, ...]:
        """Selection and binned axes."""
        return tuple(map(str, self.dataset[EVENTS].dims))

    @property
    def axes(self) -> tuple[str, ...]:
        """Binned axes, and `run` in a stack."""
        return self.dims[1:]

    def axis(self, name: str) -> str:
        """Return the axis of a name, which may be that of its field, as `ipm2/sum`.

        Raises
        ------
        SpecError
            Naming the nearest axes.
        """
        if not isinstance(name, str):
            raise SpecError(
                f"{self.path}: an axis is a name, not {kind_of(name)}; axes: {', '.join(self.axes)}"
            )
        if variable_name(name) in self.axes:
            return variable_name(name)
        if variable_name(name) in self.signals:
            raise SpecError(
                f"{self.path}: {name!r} is a signal, not an axis; an axis is joined, or dropped by summing "
                f"over it; here: {', '.join(self.axes)}"
            )
        near = nearest_names(variable_name(name), self.axes) or self.axes
        raise SpecError(f"{self.path}: has no axis {name!r}; nearest: {', '.join(map(repr, near))}")

    @property
    def selections(self) -> tuple[str, ...]:
        """Names of the selections."""
        return tuple(map(str, self.dataset[SELECTION].values))

    @cached_property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes of the group, with their structures."""
        return cube_facts(self.dataset)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of `dims`."""
        return tuple(self.dataset[EVENTS].shape)

    @cached_property
    def n_events(self) -> IntArray:
        """Selected events per bin."""
        return np.asarray(self.dataset[EVENTS].values, np.int64)

    def bounds(self, axis: str) -> NDArray[np.float64] | None:
        """Return the edges of each bin of an axis, (n_bins, 2); None where it has none."""
        name = f"{axis}_bnds"
        return np.asarray(self.dataset[name].values, np.float64) if name in self.dataset.variables else None

    def labels(self, axis: str) -> NDArray[np.float64]:
        """Return the labels of the bins of an axis, (n_bins,)."""
        return np.asarray(self.dataset[axis].values, np.float64)

    def tolerance(self, axis: str) -> float:
        """Return how far readings of one setting of an axis may be apart; 0 if its bins are no settings."""
        return float(self.dataset[axis].attrs.get("tolerance", 0.0))

    def unit(self, axis: str) -> str:
        """Return the unit of an axis."""
        return str(self.dataset[axis].attrs.get("units", "")) if axis in self.dataset.coords else ""

    @cached_property
    def signals(self) -> Mapping[str, SignalContent]:
        """The signals by name, in the order of the cube."""
        return {name: self._signal(name) for name in signal_names(self.dataset)}

    @property
    def nbytes(self) -> int:
        """Bytes of all signals, before compression."""
        return sum(signal.nbytes for signal in self.signals.values())

    @cached_property
    def statics(self) -> Mapping[str, xr.DataArray]:
        """What says where the elements of signals are: coordinates, pixel positions."""
        known = set(self._roles())
        places = {dim for signal in self.signals.values() for dim in signal.element_dims}
        return {
            str(name): self.dataset[name]
            for name, array in self.dataset.variables.items()
            if name not in known and array.dims and set(array.dims) <= places
        }

    @cached_property
    def strangers(self) -> tuple[str, ...]:
        """Arrays that are neither: nobody knows how to add them."""
        known = {*self._roles(), *self.statics}
        return tuple(str(name) for name in self.dataset.variables if name not in known)

    def _roles(self) -> Iterator[str]:
        yield from (SELECTION, EVENTS)
        for axis in self.axes:
            yield from (axis, f"{axis}_bnds")
        for name in self.signals:
            yield from (f"{name}_{statistic}" for statistic in STATISTICS)

    def _signal(self, name: str) -> SignalContent:
        if f"{name}_std" not in self.dataset:
            raise StoreMismatch(f"{self.path}: signal {name!r} has no std, so it cannot be combined")
        mean = self.dataset[f"{name}_mean"]
        dims = tuple(map(str, mean.dims))
        elements = dims[len(self.dims) :]
        count = self.dataset[f"{name}_count"]
        self._check(name, mean, count)
        readers = {
            statistic: ArrayReader.of(
                self.path / f"{name}_{statistic}", self.dataset.variables[f"{name}_{statistic}"]
            )
            for statistic in STATISTICS
        }
        dtype = np.result_type(mean.dtype, self.dataset[f"{name}_std"].dtype)
        shape = tuple(mean.shape[len(self.dims) :])
        return SignalContent(
            name, elements, shape, bool(elements) and count.ndim == mean.ndim, dtype, **readers
        )

    def _check(self, name: str, mean: xr.DataArray, count: xr.DataArray) -> None:
        std = self.dataset[f"{name}_std"]
        leading = tuple(map(str, mean.dims))[: len(self.dims)]
        if leading != self.dims or std.dims != mean.dims or count.dims not in (self.dims, mean.dims):
            raise StoreMismatch(
                f"{self.path}: the arrays of signal {name!r} are not over {self.dims} and its elements"
            )
        if (ddof := std.attrs.get("ddof", 0)) != 0:
            raise StoreMismatch(f"{self.path}: the std of signal {name!r} has ddof {ddof}, not 0")


def first_element(count: NDArray[Any], n_dims: int) -> NDArray[Any]:
    """Return a count that all elements share over the first dimensions only."""
    index = (slice(None),) * n_dims + (0,) * (count.ndim - n_dims)
    shared: NDArray[Any] = count[index]
    return shared
