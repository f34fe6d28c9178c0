"""A fingerprint of a cube's values, to tell whether two computations gave the same bits."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.schema.calls import as_path, told
from cubeengine.store.layout import STRING
from cubeengine.store.metadata import check_cube, is_consolidated

SLAB_BYTES = 32 * 2**20
"""Most bytes of one array in memory at a time, unless one index of its first dimensions holds more."""


@told("ce.cube_hash")
def cube_hash(cube: Path | str | xr.Dataset) -> str:
    """Return the SHA-256 of a cube's values: names, dimensions, shapes, types and bits of all arrays.

    Attributes, chunks, compression and the order of the arrays do not enter; all NaN count as one. Zeros
    of different sign are different. A computed dataset and its stored cube have the same hash.

    Parameters
    ----------
    cube : path or xarray.Dataset
        A cube on disk, or opened, or computed; lazy arrays are read piece by piece.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    StoreMismatch
        If there is no cube at the path.

    Examples
    --------
    >>> cube_hash("delay.zarr") == cube_hash(ce.open_cube("delay.zarr").load())
    True
    """
    if isinstance(cube, xr.Dataset):
        return _hash(cube)
    path = as_path(cube, "the cube", "'delay.zarr'")
    check_cube(path)
    with xr.open_zarr(path, chunks=None, consolidated=is_consolidated(path), decode_cf=False) as dataset:
        return _hash(dataset)


def _hash(dataset: xr.Dataset) -> str:
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        variable = dataset.variables[name]
        dtype = STRING if variable.dtype.kind in "UTO" else variable.dtype.newbyteorder("<").str
        digest.update(repr((name, tuple(map(str, variable.dims)), tuple(variable.shape), dtype)).encode())
        _add_values(digest, variable)
    return digest.hexdigest()


def _add_values(digest: hashlib._Hash, variable: xr.Variable) -> None:
    """Add the values in C order, by slabs along the first dimensions."""
    n_split, rows = _slabs(variable.shape, variable.dtype.itemsize)
    if n_split == variable.ndim == 0:
        digest.update(_bytes(variable.values))
        return
    dim = variable.dims[n_split]
    for index in np.ndindex(*variable.shape[:n_split]):
        part = variable.isel(dict(zip(variable.dims[:n_split], index, strict=True)))
        for start in range(0, part.sizes[dim], rows):
            digest.update(_bytes(part.isel({dim: slice(start, start + rows)}).values))


def _slabs(shape: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Return how many dimensions to walk one by one, and how many indices of the next to take at once."""
    for n_split in range(len(shape)):
        inner = math.prod(shape[n_split + 1 :]) * itemsize
        if inner <= SLAB_BYTES or n_split == len(shape) - 1:
            return n_split, max(SLAB_BYTES // max(inner, 1), 1)
    return 0, 1


def _bytes(values: NDArray[np.generic]) -> bytes | memoryview:
    """Return the little-endian bytes of an array, with one NaN for all and strings ended by NUL."""
    if values.dtype.kind in "UTO":
        return b"".join(str(text).encode() + b"\0" for text in values.ravel())
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)
    plain = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    return plain.view(np.uint8).data if plain.size and plain.ndim else plain.tobytes()  # no copy as a rule
