"""All datasets of an HDF5 file by name, found in one walk that reads no data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cubeengine.errors import SourceFormatError
from cubeengine.sources.hdf5 import LIBRARY_ERRORS, explain_hdf5, library_errors
from cubeengine.sources.links import hard_item, read_link, referred_file
from cubeengine.sources.stored import OpenFiles, Stored, examine
from cubeengine.types import InputFile

_MAX_ITEMS = 200_000
"""Names in a file at most: smallData has hundreds; links that multiply could make it endless."""

_MAX_DEPTH = 24
"""Groups in groups, and links through files, at most."""


def walk(path: Path, files: OpenFiles) -> dict[str, Stored]:
    """Find every dataset.

    Links out of the run's directory, links that lead nowhere and datasets that cannot be opened are listed
    with their `problem`.

    Raises
    ------
    SourceFormatError
        If the file cannot be opened, or has more names than a smallData file can have.
    """
    root, described = files.open(path)
    found: dict[str, Stored] = {}
    for name, stored in _items(root, described, "", files, ()):
        found[name] = stored
        if len(found) > _MAX_ITEMS:
            raise SourceFormatError(
                f"{path}: has more than {_MAX_ITEMS:,} names; this is not a smallData file"
            )
    return found


def _items(
    group: h5py.Group, file: InputFile, prefix: str, files: OpenFiles, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, Stored]]:
    """Walk a group; `above` are the groups it lies in, so that links in a circle end."""
    with library_errors(file.path, f"group {'/' + prefix!r}"):
        info = h5py.h5o.get_info(group.id)
        # Names that are not UTF-8 come as bytes.
        names = sorted(os.fsdecode(name) for name in group)
    if (info.fileno, info.addr) in above or len(above) >= _MAX_DEPTH:
        return
    for leaf in names:
        name = f"{prefix}{leaf}"
        try:
            item, holder = _follow(group, leaf, file, files)
            if isinstance(item, h5py.Dataset):
                yield name, examine(item, holder, files)
            elif isinstance(item, h5py.Group):
                yield from _items(item, holder, name + "/", files, (*above, (info.fileno, info.addr)))
        except SourceFormatError as err:
            yield name, _unreadable(file, name, str(err))
        except LIBRARY_ERRORS as err:
            yield name, _unreadable(file, name, explain_hdf5(file.path, str(err), f"field {name!r}"))


def _unreadable(file: InputFile, name: str, problem: str) -> Stored:
    return Stored(file, name, (), np.dtype(object), problem=problem)


def _follow(group: h5py.Group, leaf: str, file: InputFile, files: OpenFiles) -> tuple[Any, InputFile]:
    """Open what a name stands for, and tell which file it is in."""
    kind, target = read_link(group, leaf)
    if kind == "hard":
        return group[leaf], file
    if kind == "external":
        file_name, inner = target
        path = referred_file(file.path, file_name, f"link {leaf!r} to file")
        other, holder = files.open(path)
        return hard_item(other, inner, path), holder
    start = group.file if target[0].startswith("/") else group
    return hard_item(start, target[0], file.path), file
