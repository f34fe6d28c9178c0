"""Files that a file refers to: only those of the run's own directory are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from cubeengine.errors import SourceFormatError


def referred_file(holder: Path, stored: str, what: str) -> Path:
    """Find a file that another one names.

    Looked for at the path as stored, then by its last name, both beside `holder`: the writer stores part
    names relative to the directory it was started in.

    Parameters
    ----------
    holder : Path
        The file with the reference.
    stored : str
        The name in it.
    what : str
        What is referred to, for the message, e.g. "virtual dataset 'timestamp': part file".

    Raises
    ------
    SourceFormatError
        If the file is not there, or not under the directory of `holder`.
    """
    homes = _homes(holder)
    candidates = [home / name for home in homes for name in (stored, Path(stored).name)]
    inside = [path for path in candidates if _is_under(path, homes)]
    for path in inside:
        if path.is_file():
            return path
    if not _is_under(candidates[0], homes):
        raise SourceFormatError(
            f"{holder}: {what} {stored!r} is outside the run's directory {homes[0]}, so it is not opened; "
            "move it into that directory"
        )
    raise SourceFormatError(
        f"{holder}: {what} {stored!r} was not found in {homes[0]}; copy it beside this file"
    )


def _homes(holder: Path) -> list[Path]:
    """Directories of a file: where it is named, and where it is if that is a link."""
    named, real = holder.absolute().parent, holder.resolve().parent
    return [named] if named.resolve() == real else [named, real]


def _is_under(path: Path, homes: list[Path]) -> bool:
    real = path.resolve()
    return any(real.is_relative_to(home.resolve()) for home in homes)


def read_link(group: h5py.Group, leaf: str) -> tuple[str, tuple[str, ...]]:
    """Return the kind of a link and where it leads, without following it.

    Returns
    -------
    kind : "hard", "soft" or "external"
    target : tuple of str
        () or (path,) or (file name, path).
    """
    encoded = leaf.encode("utf-8", "surrogateescape")
    kind = group.id.links.get_info(encoded).type
    if kind == h5py.h5l.TYPE_HARD:
        return "hard", ()
    value = group.id.links.get_val(encoded)
    if kind == h5py.h5l.TYPE_SOFT:
        return "soft", (value.decode("utf-8", "surrogateescape"),)
    return "external", tuple(part.decode("utf-8", "surrogateescape") for part in value)


def hard_item(start: h5py.Group, path: str, file: Path) -> Any:
    """Open a path that goes through no links: HDF5 would follow them out of the directory.

    Raises
    ------
    SourceFormatError
        If nothing is there, or the path goes through a link.
    """
    item: Any = start
    for part in filter(None, path.split("/")):
        if not isinstance(item, h5py.Group) or part not in set(item):
            raise SourceFormatError(f"{file}: has no {path!r}, although a link points to it")
        if read_link(item, part)[0] != "hard":
            raise SourceFormatError(f"{file}: {path!r} passes through another link, which is not followed")
        item = item[part]
    return item
