"""The files that continue one another: an Enable says where the next events go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.content import FileContent
from cubeengine.sources.xtc2.dgram import Place, Service

DETECTOR = "chunkinfo"
_LONGEST = 240
"""Bytes of a file name that every file system takes, with a suffix added."""


def next_chunks(content: FileContent) -> list[tuple[int, str]]:
    """Give the files that a file is continued in.

    Returns
    -------
    list of (int, str)
        Row of the Enable in the table of datagrams, and name of the file for the events behind it.

    Raises
    ------
    SourceFormatError
        If the name is not that of a file in the same folder.
    """
    return [
        (row, _bare_name(part.values.get("filename"), Place(transition.path, transition.offset)))
        for row, transition in zip(content.rows, content.transitions, strict=True)
        if transition.service is Service.ENABLE
        for part in transition.contributions
        if part.names.detector == DETECTOR
    ]


def _bare_name(name: object, place: Place) -> str:
    known = isinstance(name, str) and 0 < len(name.encode()) <= _LONGEST
    if not isinstance(name, str) or not known or name in (".", "..") or set(name) & set("/\\"):
        raise place.error(
            0, f"the next file is called {name!r}, but a name without a folder is wanted; the file is damaged"
        )
    return name


def find_chunk(first: Path, name: str, known: Sequence[Path]) -> Path:
    """Find a file that continues a stream: beside the first one, or beside what that one links to.

    Parameters
    ----------
    first : Path
        The first file of events.
    name : str
        Name of the file that is wanted.
    known : sequence of Path
        The files of the stream up to there.

    Raises
    ------
    SourceFormatError
        If it is not there, or is one of those that are known.
    """
    folders = dict.fromkeys((first.parent, first.resolve().parent))
    for path in (folder / (name + suffix) for folder in folders for suffix in ("", ".inprogress")):
        if path.is_file():
            if path in known:
                raise SourceFormatError(f"{path}: continues itself, says {known[-1]}; the file is damaged")
            return path
    raise SourceFormatError(
        f"{first.parent / name}: is not there, but continues {known[-1].name}; copy it beside that one"
    )
