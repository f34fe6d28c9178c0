"""Where a session is kept between its times, and how: one NetCDF file, replaced as a whole.

It lies beside the data, or, where that cannot be written to, in the user's own folder for data
(`platformdirs.user_data_path`). The environment variable `CUBEENGINE_SESSIONS` names another folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from cubeengine.errors import SpecError, StoreMismatch
from cubeengine.events.identity import Identity, Sameness, leading_files
from cubeengine.events.run import Run
from cubeengine.events.variables import (
    ASIDE,
    CUBE,
    ENGINE,
    SPEC,
    SavedVariables,
    mismatch_words,
    read_variables,
    variables_dataset,
)
from cubeengine.picking.spec import kind_of_spec
from cubeengine.schema.calls import as_path
from cubeengine.session.notes import Notes, fitting
from cubeengine.spec.model import CubeSpec
from cubeengine.store.files import StoreWriteError, replace_file, writing
from cubeengine.types import Column, InputFile

FOLDER = "CUBEENGINE_SESSIONS"
"""Environment variable that names the folder of all sessions."""

SUFFIX = ".session.nc"
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)

Policy = Literal["check", "accept", "recipes", "ignore"]
POLICIES = ("check", "accept", "recipes", "ignore")

Saved: TypeAlias = Policy | str | Path
"""What is taken over from last time: by a policy; or from a session's file of another name."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was there from last time."""

    notes: Notes  # what the session begins with
    path: Path | None = None  # the file; None where there was none
    stamp: InputFile | None = None  # the file as it was read; None where it was not
    taken: bool = True  # whether all of its content is in the notes, so that it may be replaced
    remarks: tuple[str, ...] = ()  # what the user should know


def places(run: Run) -> tuple[Path, ...]:
    """Return the places for the file of a run's session, best first; none for a run in memory."""
    files = leading_files(run.source)
    if not files:
        return ()
    source = files[0].path
    stem = source.stem if len(files) == 1 or ".xtc2" not in source.suffixes else _raw_stem(run, source)
    # Files of one name in several folders must not share a session.
    apart = hashlib.sha256(str(source).encode()).hexdigest()[:12]
    named = os.environ.get(FOLDER)
    if named:
        return (Path(named).expanduser() / f"{stem}-{apart}{SUFFIX}",)
    from platformdirs import user_data_path

    own = user_data_path("cubeengine", appauthor=False) / "sessions"
    return source.with_name(stem + SUFFIX), own / f"{stem}-{apart}{SUFFIX}"


def _raw_stem(run: Run, source: Path) -> str:
    return f"{run.run_id.experiment}-r{run.run_id.run:04d}" if run.run_id else source.name.partition("-s0")[0]


def open_saved(run: Run, fresh: Notes, saved: Saved = "check") -> Opened:
    """Look for what was kept of a run's session, and put as much of it into the notes as is asked for.

    Parameters
    ----------
    run : Run
        The run as opened.
    fresh : Notes
        Notes of a session without a past.
    saved : "check", "accept", "recipes" or "ignore"; or path
        What is done with a session of other files: refuse it; accept it, if the events are the same;
        take its units, derived variables and selections, and not its arrays; or begin anew. A file that is
        not taken whole stays as it is. A path names the file of a session: it is taken in place of the usual
        one, as with "check".

    Raises
    ------
    StoreMismatch
        If the source has changed since, and the policy is not to mind.
    SourceFormatError
        If the file cannot be read.
    SpecError
        If there is no such policy.
    """
    policy, path = _asked(run, saved)
    if path is None:
        return Opened(fresh)
    if policy == "ignore":
        return Opened(fresh, path, remarks=(f"{path} was left unchanged",))
    stamp = InputFile.of(path)
    found = read_variables(path)
    sameness = found.identity.compare(run)
    if policy != "recipes" and not _is_welcome(sameness, policy):
        raise StoreMismatch(f"{path}: {mismatch_words(sameness, found.identity, run)}; {_ways(sameness)}")
    arrays = {} if policy == "recipes" else found.columns
    notes, remarks = _restored(run, fresh, found, arrays)
    return Opened(notes, path, stamp, taken=len(arrays) == len(found.columns), remarks=remarks)


def _asked(run: Run, saved: Saved) -> tuple[str, Path | None]:
    """Return the policy, and the file that is there."""
    if saved in POLICIES:
        return str(saved), saved_place(places(run))
    policies = ", ".join(map(repr, POLICIES))
    path = as_path(saved, f"saved is {policies}, None, or it", "'mine.session.nc'").expanduser()
    if not path.is_file():
        raise SpecError(
            f"saved={str(saved)!r}: not a session file; give a session file, or one of {policies}"
        )
    return "check", path


def saved_place(wanted: Sequence[Path]) -> Path | None:
    """Return the place, of several, where a session is saved; None where there is none.

    One's own comes first: it is there only where the place beside the data could not be written to.
    """
    return next((place for place in reversed(wanted) if place.is_file()), None)


def _is_welcome(sameness: Sameness, policy: str) -> bool:
    if policy == "accept":
        return sameness is not Sameness.OTHER
    return sameness is Sameness.SAME


def _ways(sameness: Sameness) -> str:
    accept = "saved='accept' loads it anyway; " if sameness is not Sameness.OTHER else ""
    return (
        f"{accept}saved='recipes' loads its units, derived variables and selections, but no arrays; "
        "saved='ignore' starts a new session (on the command line: --saved). Nothing is deleted"
    )


def _restored(
    run: Run, fresh: Notes, saved: SavedVariables, arrays: Mapping[str, Column]
) -> tuple[Notes, tuple[str, ...]]:
    """Return notes with what fits the run as it is open now; what does not is put aside."""
    kept = json.loads(saved.texts.get(ASIDE, "{}"))
    plain = _with_aside(CubeSpec.loads(saved.texts[SPEC]).to_dict(), kept) if SPEC in saved.texts else {}
    own = fresh.spec.to_dict()
    meaning = {key: plain["run"][key] for key in ("laser", "xray") if key in plain.get("run", {})}
    spec = CubeSpec.from_dict({**plain, **own, "run": {**own.get("run", {}), **meaning}})
    clashing = sorted(name for name in arrays if name in run.fields)
    columns = {name: column for name, column in arrays.items() if name not in clashing}
    spec, aside, reasons = fitting(spec.at(fresh.spec.folder), run.with_columns(columns))
    cube = kind_of_spec(saved.texts[CUBE]).loads(saved.texts[CUBE]) if CUBE in saved.texts else None
    remarks = [f"left out because it does not fit the run: {reason}" for reason in reasons]
    remarks += [f"left out because the run now has a field {name!r}" for name in clashing]
    return Notes(spec, columns, cube, aside), tuple(remarks)


def _with_aside(plain: dict[str, Any], aside: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put back what did not fit last time."""
    return {**plain, **{key: {**entries, **plain.get(key, {})} for key, entries in aside.items()}}


def save_notes(
    run: Run, notes: Notes, wanted: Sequence[Path], *, mine: InputFile | None
) -> tuple[Path, Path | None]:
    """Write the notes of a session.

    Parameters
    ----------
    run : Run
        The run as opened.
    notes : Notes
        What to save.
    wanted : sequence of Path
        Places, best first: the first that can be written to is taken.
    mine : InputFile, or None
        The file that may be replaced; any other that is there is kept under another name.

    Returns
    -------
    Path
        The file.
    Path, or None
        Where what was there before is kept.

    Raises
    ------
    StoreWriteError
        If it cannot be written; what was there before is untouched.
    SpecError
        If the run is in memory only, so that nothing could find it again.
    """
    if not wanted:
        raise SpecError("a run of arrays in memory has no file, so there is no place to save its session")
    for place in wanted[:-1]:
        try:
            return place, _write(place, run, notes, mine)
        except StoreWriteError as err:
            if getattr(err.__cause__, "errno", None) not in _NOT_ALLOWED:
                raise
    return wanted[-1], _write(wanted[-1], run, notes, mine)


def _write(path: Path, run: Run, notes: Notes, mine: InputFile | None) -> Path | None:
    texts = {SPEC: notes.spec.to_yaml()}
    texts |= {} if notes.cube is None else {CUBE: notes.cube.to_yaml()}
    texts |= {ASIDE: json.dumps(notes.aside, default=dict)} if notes.aside else {}
    identity = Identity.of(run).with_digests(leading_files(run.source))
    dataset = variables_dataset(run, notes.variables, notes.spec.units, identity=identity, texts=texts)
    # Made in memory: the HDF5 library ends the process where it cannot write the last of a file.
    content = dataset.to_netcdf(engine=ENGINE)
    with writing(path, "saving the session"):
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _keep_aside(path) if path.exists() and InputFile.of(path) != mine else None
        replace_file(path, content)
    return kept


def _keep_aside(path: Path) -> Path:
    """Keep a file under a name of its own, while it stays where it is."""
    other = free_name(path)
    try:
        os.link(path, other)
    except OSError:  # a file system without links
        shutil.copy2(path, other)
    return other


def free_name(path: Path) -> Path:
    """Return a name beside a session's file that is not taken: `run.1.session.nc`."""
    stem = path.name.removesuffix(SUFFIX)
    names = (path.with_name(f"{stem}.{number}{SUFFIX}") for number in range(1, 10_000))
    return next(name for name in names if not name.exists())
