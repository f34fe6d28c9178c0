"""Which files make which streams of which run: by their names, and by what they say themselves.

Names are `<experiment>-r<run>-s<stream>-c<chunk>.xtc2`; smd files lie in `smalldata` beside them, as
`<same>.smd.xtc2`; `.inprogress` behind either marks a file that is being written. A file of another name
is a run of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.runinfo import run_of
from cubeengine.types import RunId

INDEX_FOLDER = "smalldata"
_SUFFIXES = (".xtc2", ".xtc2.inprogress")
_MOST_SHOWN = 4
_NAME = re.compile(
    r"(?P<head>(?P<experiment>\w+)-r(?P<run>\d+)-s(?P<stream>\d+)-c)(?P<chunk>\d+)"
    r"(\.smd)?\.xtc2(\.inprogress)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class StreamFiles:
    """The files that one stream begins with."""

    number: int  # as in the file name; 0 for a file whose name has none
    data: Path  # the first file of events; the stream itself names those that continue it
    index: Path | None = None  # the smd file


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of one run."""

    run_id: RunId | None  # as the files say it (runinfo), else their names; None where neither does
    streams: tuple[StreamFiles, ...]  # by rising number


@dataclass(frozen=True, slots=True)
class _Stem:
    """What the files of one stream are all called, and what that name says."""

    name: str
    run: RunId | None
    files: StreamFiles

    def __str__(self) -> str:
        return self.files.data.name if self.run is None else str(self.run)


def find_run(paths: Path | Sequence[Path], run: RunId | None = None) -> RunFiles:
    """Find the files of one run.

    Parameters
    ----------
    paths : Path, or sequence of Path
        Files, or folders of files: of events or smd. The other kind is looked for beside them. For a file
        that continues another one, that one is taken.
    run : RunId, optional
        The run that is wanted, where there are several: as the files are called, or as they say it.

    Raises
    ------
    SourceFormatError
        If there is no file, no such run, or more than one; or if the files of a run contradict one another.

    Notes
    -----
    Of the files only the beginnings are read.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    where = (
        ", ".join(map(str, given)) if len(given) < _MOST_SHOWN else f"{given[0]} and {len(given) - 1} more"
    )
    stems = [_stem(name, *pair) for name, pair in sorted(_pairs(_expanded(given)).items())]
    if not stems:
        raise SourceFormatError(f"{where}: no xtc2 file that starts a stream (c000) was found")
    wanted = _chosen(stems, run, where)
    said = _said_run(wanted)
    return RunFiles(said or wanted[0].run, tuple(stem.files for stem in wanted))


def _expanded(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield all files in place of folders, and the first chunk in place of those that continue one."""
    for path in paths:
        if not path.exists():
            raise SourceFormatError(f"{path}: is not there")
        for file in _listed(path) if path.is_dir() else [path]:
            first = _first_chunk(file)
            if first.exists():  # else the name of the chunk is another one: its stream names it
                yield first


def _listed(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES) and path.is_file())
    except OSError as err:
        raise SourceFormatError(f"{folder}: cannot be listed ({err.strerror})") from err
    index = folder / INDEX_FOLDER
    return files if files or not index.is_dir() else _listed(index)


def _first_chunk(path: Path) -> Path:
    parts = _NAME.fullmatch(path.name)
    if parts is None or int(parts["chunk"]) == 0:
        return path
    name = parts["head"] + "0" * len(parts["chunk"])
    return _beside((path.parent,), name, ".xtc2") or path.with_name(name + ".xtc2")


def _pairs(paths: Iterable[Path]) -> dict[str, tuple[Path | None, Path | None]]:
    """Return the files of events and smd files that were named, by what they have in common."""
    found: dict[str, list[Path | None]] = {}
    for path in paths:
        name = path.name.removesuffix(".inprogress").removesuffix(".xtc2")
        stem = name.removesuffix(".smd")
        pair, kind = found.setdefault(stem, [None, None]), int(stem != name)
        known = pair[kind]
        if known is None or known.name.endswith(".inprogress"):
            pair[kind] = path
        elif known.resolve() != path.resolve() and not path.name.endswith(".inprogress"):
            raise SourceFormatError(f"{known} and {path}: two files have this name; give only one of them")
    return {stem: (pair[0], pair[1]) for stem, pair in found.items()}


def _stem(name: str, data: Path | None, index: Path | None) -> _Stem:
    """Find what was not named: the smd file, or the file of events."""
    if data is None and index is not None:
        folders = (index.parent.parent, index.parent)
        data = _beside(folders, name, ".xtc2")
        if data is None:
            raise SourceFormatError(
                f"{index}: its file of events, {name}.xtc2, was found neither in {folders[0]} nor beside "
                "the index"
            )
    if data is None:
        raise ValueError("a stream needs at least one file")
    index = index or _beside((data.parent / INDEX_FOLDER, data.parent), name, ".smd.xtc2")
    parts = _NAME.fullmatch(name + ".xtc2")
    run = RunId(parts["experiment"], int(parts["run"])) if parts else None
    return _Stem(name, run, StreamFiles(int(parts["stream"]) if parts else 0, data, index))


def _beside(folders: Iterable[Path], name: str, suffix: str) -> Path | None:
    paths = (folder / (name + suffix + growing) for folder in folders for growing in ("", ".inprogress"))
    return next((path for path in paths if path.is_file()), None)


def _chosen(stems: Sequence[_Stem], run: RunId | None, where: str) -> list[_Stem]:
    """Return the streams of the run that is wanted, by rising number."""
    runs: dict[RunId | str, list[_Stem]] = {}
    for stem in stems:
        runs.setdefault(stem.run or stem.name, []).append(stem)
    matching = runs if run is None else {run: runs[run]} if run in runs else _saying(runs, run)
    shown = ", ".join(sorted({str(group[0]) for group in runs.values()}))
    if not matching:
        raise SourceFormatError(f"{where}: has no run {run}; it has {shown}")
    if len(matching) > 1:
        raise SourceFormatError(f"{where}: has files of {len(matching)} runs; choose one of {shown}")
    chosen = sorted(next(iter(matching.values())), key=lambda stem: stem.files.number)
    for one, other in pairwise(chosen):
        if one.files.number == other.files.number:
            raise SourceFormatError(
                f"{one.files.data} and {other.files.data}: both are stream {one.files.number} of {one}; "
                "give only one of them"
            )
    return chosen


def _saying(runs: Mapping[RunId | str, list[_Stem]], run: RunId) -> dict[RunId | str, list[_Stem]]:
    return {key: group for key, group in runs.items() if run_of(_beginning(group[0])) == run}


def _said_run(stems: Sequence[_Stem]) -> RunId | None:
    """Return the run that the files say they are of; all that say one must say the same."""
    said = {path: run for path in map(_beginning, stems) if (run := run_of(path)) is not None}
    if len(set(said.values())) > 1:
        shown = ", ".join(f"{path} says {run}" for path, run in said.items())
        raise SourceFormatError(f"files of different runs: {shown}; give the files of one run")
    return next(iter(said.values()), None)


def _beginning(stem: _Stem) -> Path:
    """Return the file to look for the run in: both say it, and the smd file is small."""
    return stem.files.index or stem.files.data
