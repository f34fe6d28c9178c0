"""The files in which the chunks of an array lie, by name: which there should be, and which are not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cubeengine.store import metadata
from cubeengine.store.layout import Region, regions

SEPARATOR = "."
"""Between the chunk indices in a file name: one folder per array, not one per row of chunks (zarr's "/")."""


def chunk_name(index: tuple[int, ...]) -> str:
    """Give the file name of a chunk.

    Examples
    --------
    >>> chunk_name((0, 12))
    'c.0.12'
    """
    return SEPARATOR.join(("c", *map(str, index)))


def chunk_index(region: Region, chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Give the index of the chunk at the start of a region."""
    return tuple(part.start // chunk for part, chunk in zip(region, chunks, strict=True))


def missing_chunks(store: Path) -> dict[str, tuple[str, ...]]:
    """Give the chunks that have no file, by array; arrays that are complete are left out.

    The store writes every chunk, also where it holds nothing but the fill value: a chunk that is not there
    was not written, or was lost in copying, and would quietly read as empty bins.

    Notes
    -----
    Other writers do leave such chunks out. Their arrays (of a cube saved again by xarray, say) are known
    by the names of their chunks and are not judged.
    """
    arrays = (metadata.read_root(store).get("consolidated_metadata") or {}).get("metadata", {})
    found = {name: _missing(store / name, array) for name, array in arrays.items() if _is_ours(array)}
    return {name: keys for name, keys in found.items() if keys}


def _is_ours(array: Mapping[str, Any]) -> bool:
    encoding: object = array["chunk_key_encoding"]
    return encoding == {"name": "default", "configuration": {"separator": SEPARATOR}}


def _missing(folder: Path, array: Mapping[str, Any]) -> tuple[str, ...]:
    chunks = tuple(array["chunk_grid"]["configuration"]["chunk_shape"])
    wanted = (chunk_name(chunk_index(region, chunks)) for region in regions(array["shape"], chunks))
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    return tuple(name for name in wanted if name not in present)
