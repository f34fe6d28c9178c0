"""The part files of a joined smallData file, which may have more events than stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.stored import OpenFiles, Stored, examine
from cubeengine.types import Announced

_JOIN = "join the parts again"


def announced_by_parts(times: Stored, files: OpenFiles) -> tuple[Announced, ...]:
    """Count the events of all parts, and those that a joined file refers to.

    Parameters
    ----------
    times : Stored
        The event times of the file.
    files : OpenFiles
        Where its parts are open.

    Returns
    -------
    tuple of Announced
        Of the whole, and of every part that has more events; empty for a file that is not joined.
    """
    if not times.pieces:
        return ()
    parts = [*_referred(times), *_beside(times, files)]
    lacking = tuple(part for part in parts if not part.is_complete)
    why = f"{len(lacking)} of {len(parts)} part files have events that are missing in the joined file"
    total = Announced(
        "joined smallData",
        sum(part.announced for part in parts),
        sum(part.read for part in parts),
        why if lacking else "",
    )
    return (total, *lacking)


def _referred(times: Stored) -> Iterator[Announced]:
    """Count the events of the parts that the file refers to; a part may stand in it in several pieces."""
    read: dict[Path, int] = {}
    for piece in times.pieces:
        read[piece.source.file.path] = read.get(piece.source.file.path, 0) + piece.count
    held = {piece.source.file.path: piece.source.n_rows for piece in times.pieces}
    for path, n_rows in held.items():
        why = "" if read[path] == n_rows else f"the part has grown since the files were joined: {_JOIN}"
        yield Announced(f"part {path.name}", n_rows, read[path], why)


def _beside(times: Stored, files: OpenFiles) -> Iterator[Announced]:
    """Count the events of files that are called as parts are, and that the file does not refer to.

    The writer clears away parts of an earlier time, and joins what it finds: such a part came late.
    """
    own = times.file.path
    known = {piece.source.file.path for piece in times.pieces}
    for path in sorted(own.parent.glob(f"{own.stem}_part*.h5")):
        if path.resolve() not in known:
            try:
                holder, described = files.open(path)
            except SourceFormatError:
                continue  # no part file, whatever it is called
            if times.name in holder:
                n_rows = examine(holder[times.name], described, files).n_rows
                yield Announced(f"part {path.name}", n_rows, 0, f"the joined file lacks this part: {_JOIN}")
