"""Which files make which streams of which run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cubeengine.types import RunId


@dataclass(frozen=True, slots=True)
class StreamFiles:
    """The files that one stream begins with.

    Attributes
    ----------
    number : int
        As in the file name; 0 for a file whose name has none.
    data : Path
        The first file of events; the stream itself names those that continue it.
    index : Path, or None
        The smd file.
    """

    number: int
    data: Path
    index: Path | None = None


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of one run.

    Attributes
    ----------
    run_id : RunId, or None
        As the files say it (runinfo), else their names; None where neither does.
    streams : tuple of StreamFiles
        By rising number.
    """

    run_id: RunId | None
    streams: tuple[StreamFiles, ...]


def find_run(paths: Path | Sequence[Path], run: RunId | None = None) -> RunFiles:
    """Find the files of one run.

    Parameters
    ----------
    paths : Path, or sequence of Path
        Files, or folders of files: of events or smd.
    run : RunId, optional
        The run that is wanted, where there are several.

    Raises
    ------
    SourceFormatError
        If there is no run, or more than one.
    """
    raise NotImplementedError
