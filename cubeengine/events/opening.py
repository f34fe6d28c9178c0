"""Opening a run: smallData, raw data, or both of them joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cubeengine.errors import SpecError
from cubeengine.events.locate import Located, locate, raw_runs
from cubeengine.events.run import Run
from cubeengine.sources.base import Source
from cubeengine.types import RunId

Files = str | Path | Sequence[str | Path]


def open_run(
    source: Files, run: int | None = None, *, xtc: Files | None = None, units: Mapping[str, str] | None = None
) -> Run:
    """Open a run for reading: lists its fields and reads the event times, nothing else.

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
    beside = () if xtc is None else (xtc,) if isinstance(xtc, str | Path) else xtc
    return open_located(with_raw(locate(source, run), beside), units=units)


def with_raw(located: Located, xtc: Sequence[str | Path]) -> Located:
    """Give smallData with the raw files, or their directory, that are named beside it, if any are.

    Raises
    ------
    SpecError
        If what was located is raw data itself.
    """
    if not xtc:
        return located
    if located.smalldata is None:
        raise SpecError(f"{located.xtc[0]} is raw data already; name a smallData file to join it with others")
    return replace(located, xtc=tuple(map(Path, xtc)))


def open_located(located: Located, *, units: Mapping[str, str] | None = None) -> Run:
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
        raise SpecError(f"run {located.asked} was asked for, but the raw data are of run {raw_id}")
    if located.smalldata is None:
        if raw is None:
            raise SpecError("a run needs a smallData file or raw files")
        return Run(raw, located.run_id or raw_id, units=units)
    smalldata = open_source(located.smalldata)
    source = smalldata if raw is None else join_sources(smalldata, raw)
    return Run(source, located.run_id or raw_id, units=units)


def _open_raw(located: Located) -> Source:
    """Open the raw files; of a directory with several runs, those of the run that is known."""
    from cubeengine.sources.registry import open_raw

    paths = located.xtc[0] if len(located.xtc) == 1 else located.xtc
    several = isinstance(paths, Path) and len(raw_runs(paths)) > 1
    return open_raw(paths, located.run_id if several else None)
