"""Reading a cube: as an xarray dataset, with what is derived on reading."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from cubeengine.errors import CubeEngineError, FieldNotFound, SpecError, StoreMismatch
from cubeengine.schema.calls import as_path, told
from cubeengine.schema.texts import counted, kind_of
from cubeengine.store.attributes import facts_of
from cubeengine.store.chunks import missing_chunks
from cubeengine.store.digest import cube_hash
from cubeengine.store.encode import StoredArray, check_lengths, open_stored
from cubeengine.store.metadata import check_cube, is_consolidated, is_cube

SEM_COMMENT = "standard error of the mean of the events of a bin: std / sqrt(count - 1)"
"""What the attribute `comment` of the result of `sem` says."""

RUN = "run"
"""Dimension of cubes that are stacked."""

PICKED, PICK = "picked events", "pick"
"""What the attribute `content` says of a store of picked events, and the dimension that only these have."""

__all__ = ["cube_facts", "cube_hash", "is_cube", "open_cube", "sem", "signal_names"]


@told("ce.open_cube")
def open_cube(path: Path | str, *, chunks: Literal["auto"] | Mapping[str, int] | None = None) -> xr.Dataset:
    """Open a cube; values are read when they are used.

    Parameters
    ----------
    path : path
        The cube's folder.
    chunks : optional
        As in `xarray.open_zarr`; None gives plain lazy arrays, "auto" or {} dask arrays.

    Returns
    -------
    xarray.Dataset
        Counts, means and standard deviations over (selection, axes...); what was done stands in `attrs`.

    Raises
    ------
    StoreMismatch
        If there is nothing at `path`, no cube, one of a newer format, or one of which chunks are missing or
        were cut off.

    Examples
    --------
    >>> cube = open_cube("delay.zarr")
    >>> dict(cube["n_events"].sizes)
    {'selection': 2, 'delay': 21}
    """
    if isinstance(path, xr.Dataset):
        raise SpecError("this is already a Dataset; ce.open_cube takes the path of a cube, e.g. 'delay.zarr'")
    path = as_path(path, "the cube", "'delay.zarr'")
    check_cube(path)
    if missing := missing_chunks(path):
        name, first = next((name, lost.first) for name, lost in missing.items())
        n_missing = sum(lost.n_chunks for lost in missing.values())
        raise StoreMismatch(
            f"{path}: the cube is not complete: {counted(n_missing, 'chunk')} "
            f"{'is' if n_missing == 1 else 'are'} missing, "
            f"the first {first!r} of array {name!r}; was it copied whole?"
        )
    # Delays in "ps" or "s" are numbers with a unit; older xarray would make time differences of them.
    wanted = dict(chunks) if isinstance(chunks, Mapping) else chunks
    for folder, _ in _arrays(path):
        check_lengths(folder)
    with naming_damage(path):
        dataset: xr.Dataset = xr.open_zarr(
            path, chunks=wanted, consolidated=is_consolidated(path), decode_timedelta=False
        )
    return dataset


@contextmanager
def naming_damage(*cubes: Path | str) -> Iterator[None]:
    """Name the damaged chunk where reading values of these cubes fails: the library names none.

    Raises
    ------
    StoreDamaged
        If a chunk cannot be unpacked; any other error stays as it is.
    """
    try:
        yield
    except CubeEngineError:
        raise
    except Exception:  # whatever the library makes of it
        for cube in cubes:
            _check_chunks(Path(cube))
        raise


def _check_chunks(cube: Path) -> None:
    for folder, stored in _arrays(cube):
        for chunk in sorted(folder.glob("c*")):
            stored.read(chunk)


def _arrays(cube: Path) -> Iterator[tuple[Path, StoredArray]]:
    """Yield the arrays of our make in a cube."""
    for folder in sorted(path for path in cube.iterdir() if path.is_dir()):
        try:
            yield folder, open_stored(folder)
        except StoreMismatch:  # of another make, which the library reads
            continue


def as_dataset(cube: xr.Dataset | str | os.PathLike[str]) -> xr.Dataset:
    """Return a cube that is given as a dataset, or by its path.

    Raises
    ------
    SpecError
        If it is neither.
    """
    if isinstance(cube, xr.Dataset):
        return cube
    if isinstance(cube, str | os.PathLike):
        return open_cube(Path(cube))
    raise SpecError(f"give a cube as a Dataset from ce.open_cube, or as a path, not {kind_of(cube)}")


@told("ce.cube_facts")
def cube_facts(cube: xr.Dataset | str | os.PathLike[str]) -> dict[str, Any]:
    """Return the attributes of a cube with their structures: the spec, cut flow and fates as dicts and lists.

    Parameters
    ----------
    cube : xarray.Dataset or path
        A cube, opened by `open_cube` or by xarray, from zarr or NetCDF; or computed; or the path of one.

    Returns
    -------
    dict
        All attributes. Text that holds a JSON object or array is read; everything else stays as it is.

    Raises
    ------
    SpecError
        If it is neither.
    StoreMismatch
        If there is no cube at the path.

    Examples
    --------
    >>> facts = cube_facts("delay.zarr")
    >>> sum(facts["fates"]["on"].values()) == facts["n_events_total"]
    True
    """
    return facts_of(as_dataset(cube).attrs)


def is_stack(dataset: xr.Dataset) -> bool:
    """Return whether a cube is a stack along `run`: run numbers are integers, and labels of bins floats."""
    return RUN in dataset.dims and RUN in dataset.coords and dataset[RUN].dtype.kind in "iu"


def is_picked(dataset: xr.Dataset) -> bool:
    """Return whether a store holds picked events, and no cube of means."""
    return bool(dataset.attrs.get("content") == PICKED)


def check_means(dataset: xr.Dataset, path: Path | str, what: str) -> None:
    """Raise where a store holds picked events, which cannot be `what`, e.g. "merged".

    Raises
    ------
    StoreMismatch
        If so.
    """
    if is_picked(dataset):
        raise StoreMismatch(
            f"{path}: holds picked events, not a cube of means, so it cannot be {what}; "
            "look at it with  cubeengine show,  or open it with xarray"
        )


def picked_names(dataset: xr.Dataset) -> tuple[str, ...]:
    """Return the names of the variables of picked events, in the order of the store."""
    return tuple(str(name) for name, values in dataset.data_vars.items() if PICK in values.dims)


def signal_names(dataset: xr.Dataset) -> tuple[str, ...]:
    """Return the names of the signals of a cube, in its order; the binned axis variables are among them."""
    names = (str(name).removesuffix("_mean") for name in dataset.data_vars if str(name).endswith("_mean"))
    return tuple(name for name in names if f"{name}_count" in dataset)


def find_signal(dataset: xr.Dataset, signal: str) -> str:
    """Return the name of a signal in a cube, for its name or the name of its field.

    Raises
    ------
    FieldNotFound
        If the cube has no such signal.
    """
    known = signal_names(dataset)
    if not isinstance(signal, str):
        raise SpecError(f"a signal is a name, not {kind_of(signal)}; signals: {', '.join(known)}")
    by_field = {str(dataset[f"{name}_mean"].attrs.get("field", name)): name for name in known}
    for candidate in (signal, signal.replace("/", "__"), by_field.get(signal)):
        if candidate in known:
            return candidate
    raise FieldNotFound(signal, "the cube", known, hint=f"signals: {', '.join(known)}")


@told("ce.sem")
def sem(dataset: xr.Dataset | str | os.PathLike[str], signal: str) -> xr.DataArray:
    """Return the standard error of a signal's mean: the sample standard deviation over sqrt(count).

    Parameters
    ----------
    dataset : xarray.Dataset
        A cube.
    signal : str
        Name of a signal, or of its field.

    Returns
    -------
    xarray.DataArray
        Of the shape of `<signal>_std`, which has ddof = 0, so this is std / sqrt(count - 1). NaN where
        fewer than two values contributed.

    Raises
    ------
    FieldNotFound
        If the cube has no such signal.

    Examples
    --------
    >>> error = sem(open_cube("delay.zarr"), "diode_ratio")
    >>> dict(error.sizes)
    {'selection': 2, 'delay': 21}
    """
    dataset = as_dataset(dataset)
    name = find_signal(dataset, signal)
    std, count = dataset[f"{name}_std"], dataset[f"{name}_count"]
    freedom = (count - 1).astype(np.float64)
    error = (std / np.sqrt(freedom.where(freedom > 0))).transpose(*std.dims).rename(f"{name}_sem")
    kept = {key: value for key, value in std.attrs.items() if key in ("units", "field")}
    error.attrs = {**kept, "long_name": f"standard error of {name}", "comment": SEM_COMMENT, "ddof": 1}
    return error
