"""Opening a run: smallData, raw data, or both of them joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from cubeengine.errors import SpecError
from cubeengine.events.field import Field
from cubeengine.events.group import FieldGroup
from cubeengine.events.locate import Located, locate, raw_runs
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.schema.calls import as_mapping, check_whole_number, given_words, told
from cubeengine.sources.base import Source
from cubeengine.types import RunId

Files = str | Path | Sequence[str | Path]


@told("ce.open_run", "as ce.open_run('data/xpptut15_Run0252.h5') or ce.open_run('xpptut15', 252)")
def open_run(
    source: Files, run: int | None = None, *, xtc: Files | None = None, units: Mapping[str, str] | None = None
) -> Run:
    """Open a run for reading: list its fields and read only the event times.

    With smallData and raw data the events are those of smallData, and raw fields are matched by time.

    Parameters
    ----------
    source : str or Path, or a sequence of these
        A smallData file, raw files (xtc2), a directory with one run's, "experiment:run", or, beside
        `run`, an experiment; the latter two are looked up under the data root, the environment variable
        SIT_PSDM_DATA.
    run : int, optional
        Run number of the experiment `source`.
    xtc : str or Path, or a sequence of these, optional
        Raw data beside smallData: a file, files, or a directory.
    units : mapping of field name to unit, optional
        Units of fields; files carry none.

    Raises
    ------
    SpecError
        If there is no such run, or more than one file it could be.
    SourceFormatError
        If the files cannot be read, or smallData and raw data have no event in common.

    Examples
    --------
    >>> run = open_run("cubeengine-demo/xppdemo20_Run0012.h5", xtc="cubeengine-demo/xtc")
    >>> run["jungfrau/raw/raw"].dask().shape
    (1500, 2, 24, 64)
    """
    declared = as_mapping(units, "units", "{'scan/lxt': 's'}")
    check_whole_number(run, "the run's number")
    paths = _paths(source, "a run")
    files = str(source) if isinstance(source, str | PathLike) else paths
    beside = () if xtc is None else _paths(xtc, "xtc")
    opened = open_located(with_raw(locate(files, run), beside))
    return opened.with_units(declared) if declared else opened


def _paths(source: object, what: str) -> list[Path]:
    """Return one path, or several, as a list.

    Raises
    ------
    SpecError
        If they are none.
    """
    if isinstance(source, Run) or has_run(source):
        raise SpecError("the run is open already; ce.open_run takes the path of its file")
    files = [source] if isinstance(source, str | PathLike) else source
    if isinstance(files, list | tuple) and files and all(isinstance(file, str | PathLike) for file in files):
        return list(map(Path, files))
    strange = isinstance(files, list | tuple) and any(not isinstance(file, str | PathLike) for file in files)
    raise SpecError(
        f"{what} is given by the path of a file or folder, by a list of raw files, or as 'experiment:run', "
        f"such as 'xpptut15:252'; not by {'a list of others' if strange else given_words(source)}"
    )


class HasRun(Protocol):
    """What holds a run and knows selections by name, as a session does."""

    @property
    def run(self) -> Run:
        """The run, with what was derived."""

    def node(self, select: Any) -> Node:
        """Return a selection, named or not, as a tree of cuts."""


def has_run(source: object) -> TypeGuard[HasRun]:
    """Return whether something holds a run, as a session does."""
    is_field = isinstance(source, Field | FieldGroup)  # these know their run, but do not stand for it
    return not is_field and isinstance(getattr(source, "run", None), Run)


def as_source(source: object) -> Run | HasRun:
    """Return the run, or session, that a user means: itself, or the run at a path, as `open_run` takes it.

    Raises
    ------
    SpecError
        If it is neither, with what is taken.
    SourceFormatError
        If the files cannot be read.
    """
    if isinstance(source, Run) or has_run(source):
        return source
    if isinstance(source, list | tuple) and any(isinstance(one, Run) or has_run(one) for one in source):
        raise SpecError(
            f"one run is taken at a time, not a list of {len(source)}; make a cube of each, and add these "
            "with ce.merge_cubes(['a.zarr', 'b.zarr'], 'both.zarr')"
        )
    if isinstance(source, str | PathLike | list | tuple):
        return open_run(_paths(source, "a run") if isinstance(source, list | tuple) else str(source))
    raise SpecError(f"give a run from ce.open_run, or the path of its file, not {given_words(source)}")


def with_raw(located: Located, xtc: Sequence[str | Path]) -> Located:
    """Return smallData with the raw files, or their directory, that are named beside it, if any are.

    Raises
    ------
    SpecError
        If what was located is raw data itself.
    """
    if not xtc:
        return located
    if located.smalldata is None:
        raise SpecError(f"{located.xtc[0]} is already raw data; give a smallData file to join with it")
    return replace(located, xtc=tuple(map(Path, xtc)))


def open_located(located: Located) -> Run:
    """Open the files of a run.

    Raises
    ------
    SpecError
        If the raw data say that they are of another run than the one asked for.
    SourceFormatError
        If the files cannot be read, or have no event in common.
    """
    from cubeengine.sources.joined import join_sources
    from cubeengine.sources.registry import open_source

    raw = _open_raw(located) if located.xtc else None
    raw_id: RunId | None = getattr(raw, "run_id", None)
    if located.asked is not None and raw_id is not None and located.asked != raw_id.run:
        raise SpecError(f"run {located.asked} was requested, but the raw data are of run {raw_id}")
    if located.experiment is not None and raw_id is not None and located.experiment != raw_id.experiment:
        raise SpecError(
            f"experiment {located.experiment} was requested, but the raw data are of run {raw_id}; correct "
            "run.experiment or run.xtc"
        )
    if located.smalldata is None:
        if raw is None:
            raise SpecError("a run needs a smallData file or raw files")
        return Run(raw, located.run_id or raw_id)
    smalldata = open_source(located.smalldata)
    source = smalldata if raw is None else join_sources(smalldata, raw)
    return Run(source, located.run_id or raw_id)


def _open_raw(located: Located) -> Source:
    """Open the raw files; of a directory with several runs, those of the run that is known."""
    from cubeengine.sources.registry import open_raw

    paths = located.xtc[0] if len(located.xtc) == 1 else located.xtc
    several = isinstance(paths, Path) and len(raw_runs(paths)) > 1
    return open_raw(paths, located.run_id if several else None)
