"""The files that continue one another: an Enable says where the next events go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import Place, Service
from cubeengine.sources.xtc2.transitions import Transition

DETECTOR = "chunkinfo"
_LONGEST = 240
"""Bytes of a file name that every file system takes, with a suffix added."""


def chunk_names(transition: Transition) -> list[str]:
    """Return the file that the stream goes on in behind this datagram; usually there is none.

    Raises
    ------
    SourceFormatError
        If the name is not that of a file in the same folder.
    """
    if transition.service is not Service.ENABLE:
        return []
    place = Place(transition.path, transition.offset)
    return [
        _bare_name(part.values.get("filename"), place)
        for part in transition.contributions
        if part.names.detector == DETECTOR
    ]


def _bare_name(name: object, place: Place) -> str:
    known = isinstance(name, str) and 0 < len(name.encode()) <= _LONGEST
    if not isinstance(name, str) or not known or name in (".", "..") or set(name) & set("/\\"):
        raise place.error(
            0,
            f"the next file is called {name!r}, but it should be a name without a folder; the file is "
            "damaged",
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
        f"{first.parent / name}: this file continues {known[-1].name} but was not found; copy it beside "
        "that file"
    )
