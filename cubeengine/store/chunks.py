"""The files in which the chunks of an array lie, by name: which there should be, and which are not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cubeengine.store import metadata
from cubeengine.store.layout import Region

SEPARATOR = "."
"""Between the chunk indices in a file name: one folder per array, not one per row of chunks (zarr's "/")."""


def chunk_name(index: tuple[int, ...]) -> str:
    """Return the file name of a chunk.

    Examples
    --------
    >>> chunk_name((0, 12))
    'c.0.12'
    """
    return SEPARATOR.join(("c", *map(str, index)))


def chunk_index(region: Region, chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of the chunk at the start of a region."""
    return tuple(part.start // chunk for part, chunk in zip(region, chunks, strict=True))


@dataclass(frozen=True, slots=True)
class Missing:
    """The chunks of an array that have no file."""

    n_chunks: int
    first: str  # file name of the first of them


def missing_chunks(store: Path) -> dict[str, Missing]:
    """Return the chunks that have no file, by array; arrays that are complete are left out.

    The store writes every chunk, also where it holds nothing but the fill value: a chunk that is not there
    was not written, or was lost in copying, and would quietly read as empty bins.

    Notes
    -----
    Other writers do leave such chunks out. Their arrays (of a cube saved again by xarray, say) are known
    by the names of their chunks and are not judged. The work is that of the files that are there, however
    many an array is said to have.
    """
    arrays = (metadata.read_root(store).get("consolidated_metadata") or {}).get("metadata", {})
    found = {name: _missing(store / name, array) for name, array in arrays.items() if _is_ours(array)}
    return {name: missing for name, missing in found.items() if missing}


def _is_ours(array: Mapping[str, Any]) -> bool:
    encoding: object = array["chunk_key_encoding"]
    return encoding == {"name": "default", "configuration": {"separator": SEPARATOR}}


def _missing(folder: Path, array: Mapping[str, Any]) -> Missing | None:
    chunks = array["chunk_grid"]["configuration"]["chunk_shape"]
    grid = [-(-size // chunk) for size, chunk in zip(array["shape"], chunks, strict=True)]
    names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    n_wanted, n_there = math.prod(grid), sum(_is_of(name, grid) for name in names)
    if n_there == n_wanted:
        return None
    first = next(name for name in (_name_of(number, grid) for number in range(n_wanted)) if name not in names)
    return Missing(n_wanted - n_there, first)


def _name_of(number: int, grid: Sequence[int]) -> str:
    """Return the file name of the n-th chunk of a grid, in C order."""
    index = []
    for size in reversed(grid):
        number, place = divmod(number, size)
        index.append(place)
    return chunk_name(tuple(reversed(index)))


def _is_of(name: str, grid: Sequence[int]) -> bool:
    """Return whether a file is a chunk of a grid."""
    parts = name.split(SEPARATOR)[1:]
    numbers = tuple(int(part) for part in parts if part.isascii() and part.isdecimal())
    known = name == chunk_name(numbers) and len(numbers) == len(grid)
    return known and all(number < size for number, size in zip(numbers, grid, strict=True))
