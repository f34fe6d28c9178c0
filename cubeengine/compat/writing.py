"""Cubes in the original's files: NetCDF, or plain HDF5 with one dataset per variable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import xarray as xr

from cubeengine.errors import SpecError
from cubeengine.store.files import replace_file, writing

_LOG = logging.getLogger(__name__)


def write_cube(cube: xr.Dataset, path: Path, kind: str) -> Path:
    """Write a cube beside the data, as the original's `toHdf5` does.

    A file that is there is replaced, as by the original; the log says so.

    Parameters
    ----------
    cube : xarray.Dataset
        In the original's layout.
    path : Path
        File without its ending.
    kind : "h5netcdf" or "h5"
        NetCDF (.nc), or HDF5 (.h5) without dimensions.

    Raises
    ------
    SpecError
        If `kind` is something else.
    StoreWriteError
        If it cannot be written; a file that was there is then as it was.
    """
    if kind not in _WRITERS:
        raise SpecError(f"toHdf5 {kind!r}: give {' or '.join(map(repr, _WRITERS))}")
    ending, content = _WRITERS[kind]
    file = path.with_name(f"{path.name}.{ending}")
    with writing(file, "writing the cube"):
        note_replaced(file)
        replace_file(file, content(cube))
    return file


def note_replaced(file: Path) -> None:
    """Say in the log that a file that is there will be replaced."""
    if file.exists():
        _LOG.warning("replaced: %s", file)


def _netcdf(cube: xr.Dataset) -> bytes:
    # NetCDF allows no '/' in names.
    slashed = [str(name) for name in cube.variables if "/" in str(name)]
    plain = cube.rename({name: name.replace("/", "_") for name in slashed})
    buffer = BytesIO()
    plain.to_netcdf(buffer, engine="h5netcdf")
    return buffer.getvalue()


def _hdf5(cube: xr.Dataset) -> bytes:
    import h5py

    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, variable in cube.variables.items():
            file[str(name).replace("/", "_")] = variable.values
    return buffer.getvalue()


_WRITERS: Mapping[str, tuple[str, Callable[[xr.Dataset], bytes]]] = MappingProxyType(
    {"h5netcdf": ("nc", _netcdf), "h5": ("h5", _hdf5)}
)
