"""The JSON side of a cube: the marker that makes a folder a cube, and group attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cubeengine
from cubeengine.errors import StoreMismatch
from cubeengine.schema.calls import as_path, told
from cubeengine.schema.files import reader_words
from cubeengine.store.attributes import facts_of, stored_attributes
from cubeengine.store.files import reading, replace_file

FORMAT = 1
"""Version of the layout on disk; a reader refuses a newer one."""

MARKER = "cubeengine"
"""Group attribute that makes a zarr group a cube; nothing without it is ever removed."""

ROOT = "zarr.json"


def marker() -> dict[str, object]:
    """Return the value of the marker attribute."""
    return {"format": FORMAT, "version": cubeengine.__version__}


@told("ce.is_cube")
def is_cube(path: Path | str) -> bool:
    """Return whether `path` is a cube of any format version, or a link to a cube.

    Examples
    --------
    >>> is_cube("delay.zarr"), is_cube("cubeengine-demo")
    (True, False)
    """
    return _format_of(read_root(as_path(path, "the cube", "'delay.zarr'"))) is not None


def check_cube(path: Path) -> None:
    """Raise where `path` is not a cube that this version can read.

    Raises
    ------
    StoreMismatch
        If nothing is there, or no cube, or one of a newer format.
    """
    if not path.exists():
        raise StoreMismatch(f"{path}: no such file or folder; expected a cube (a folder *.zarr)")
    root = read_root(path)
    version = _format_of(root)
    if version is None:
        kind = (
            "a zarr group" if root.get("node_type") == "group" else "a folder" if path.is_dir() else "a file"
        )
        if kind == "a file" and _is_netcdf_cube(path):
            raise StoreMismatch(
                f"{path}: is a cube in NetCDF: open it with  xarray.open_dataset({str(path)!r}); a cube "
                "here is a folder *.zarr"
            )
        reader = "" if kind == "a zarr group" else reader_words(path)
        raise StoreMismatch(
            f"{path}: is {kind} but not a cube (no attribute {MARKER!r}); "
            f"{reader or 'for other zarr stores use xarray.open_zarr'}"
        )
    if version > FORMAT:
        raise StoreMismatch(
            f"{path}: is a cube of format {version}, but this version of cubeengine reads up to "
            f"{FORMAT}; update cubeengine"
        )


def _is_netcdf_cube(path: Path) -> bool:
    """Return whether a file is what `to_netcdf` makes of a cube."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return MARKER in file.attrs
    except OSError:
        return False


def is_consolidated(path: Path) -> bool:
    """Return whether a group's metadata hold those of its arrays; other writers may leave that out."""
    return bool(read_root(path).get("consolidated_metadata"))


def read_root(path: Path) -> Mapping[str, Any]:
    """Read the metadata of the group at `path`; empty where there is none.

    Raises
    ------
    StoreWriteError
        If the file system does not let it be read, so that one cannot tell.
    """
    with reading(path, "reading the cube"):
        try:
            root = json.loads((path / ROOT).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
            return {}
    return root if isinstance(root, dict) else {}


def read_facts(path: Path) -> dict[str, Any]:
    """Read the attributes of the group at `path`, with their structures; empty where there is none."""
    return _facts_in(read_root(path))


def write_root(path: Path, attrs: Mapping[str, object], arrays: Sequence[str]) -> None:
    """Write the group's metadata with those of `arrays` consolidated in it, in their order.

    Notes
    -----
    Consolidated metadata are what zarr and xarray write themselves, as a copy of each array's own file.
    They are put together here because the library's own way warns that they are an extension.
    """
    metadata = {name: json.loads((path / name / ROOT).read_text(encoding="utf-8")) for name in arrays}
    root = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": stored_attributes(attrs),
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": metadata},
    }
    replace_file(path / ROOT, json.dumps(root, indent=1, ensure_ascii=False, allow_nan=False).encode())


def _format_of(root: Mapping[str, Any]) -> int | None:
    mark = _facts_in(root).get(MARKER)
    version = mark.get("format") if isinstance(mark, dict) else None
    return version if root.get("node_type") == "group" and isinstance(version, int) else None


def _facts_in(root: Mapping[str, Any]) -> dict[str, Any]:
    attributes = root.get("attributes")
    return facts_of(attributes) if isinstance(attributes, dict) else {}
