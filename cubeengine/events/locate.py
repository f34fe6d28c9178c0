"""Finding the files of a run: a path, a directory, or an experiment and a run number."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.schema.files import reader_words
from cubeengine.sources.registry import is_raw, raw_files
from cubeengine.types import RunId

DATA_ROOT = "SIT_PSDM_DATA"
"""Environment variable that names the data root, as at LCLS."""

_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_REFERENCE = re.compile(r"([^:/\\]+):([0-9]+)")
_FILE_NAME = re.compile(r"(?:ldat_)?([A-Za-z0-9][A-Za-z0-9_-]*)_[Rr]un([0-9]{3,})(?:_part[0-9]+)?")
_RAW_NAME = re.compile(r"(.+-r[0-9]{4,})-s[0-9]+-c[0-9]+")
_PART = re.compile(r"(.+)_part[0-9]+")
_MAX_RUN = 10**6
_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class Located:
    """The files of a run: smallData, raw data, or both."""

    smalldata: Path | None  # the smallData file
    xtc: tuple[Path, ...] = ()  # the raw files (xtc2), or their directory
    run_id: RunId | None = None  # the run they hold, where that is known
    asked: int | None = None  # run number that the user asked for: raw data that say otherwise are refused
    experiment: str | None = None  # experiment that the user asked for, in the same way


def locate(
    source: str | Path | Sequence[str | Path], run: int | None = None, *, root: Path | None = None
) -> Located:
    """Find the files that a user means.

    Parameters
    ----------
    source : str or Path, or a sequence of these
        A file, a directory with the files of one run (raw ones perhaps in its subdirectory `xtc`),
        "experiment:run", or, beside `run`, an experiment. Several files: those of one run.
    run : int, optional
        Run number of the experiment `source`.
    root : Path, optional
        Data root; the environment variable `SIT_PSDM_DATA` where left out.

    Raises
    ------
    SpecError
        If the experiment or run is no such name, nothing is found (naming every place that was tried),
        or several files are.
    """
    if not isinstance(source, str | Path):
        return _of_files([Path(path) for path in source])
    if run is not None:
        return _by_run(run_id(str(source), run), root)
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    match = _REFERENCE.fullmatch(str(source))
    if match and not path.exists():
        return _by_run(run_id(match[1], int(match[2])), root)
    return _of_files([path])


def _of_files(paths: Sequence[Path]) -> Located:
    for path in paths:
        if not path.exists():
            raise SpecError(
                f"{str(path)!r} is not a file, a directory or an experiment:run such as xpptut15:252"
            )
        if path.is_file() and path.suffix in (".yaml", ".yml", ".json") and (reader := reader_words(path)):
            raise SpecError(f"{path} holds no data of a run; {reader}")
    raw = tuple(path for path in paths if path.is_dir() or is_raw(path))
    others = [path for path in paths if path not in raw]
    if len(others) > 1 or not paths:
        raise SpecError(
            f"{len(others)} files are not raw data (xtc2): {', '.join(map(str, others))}; give the files of "
            "one run: at most one smallData file, and raw files"
        )
    return Located(others[0], raw, run_of_name(others[0])) if others else Located(None, raw)


def run_id(experiment: str, run: int) -> RunId:
    """Check the name of an experiment and a run number before paths are made of them.

    Raises
    ------
    SpecError
        If the name has characters other than letters, digits, - and _, or the number is out of range.
    """
    if not _EXPERIMENT.fullmatch(experiment):
        raise SpecError(f"{experiment!r} is not an experiment name; use letters, digits, '-' and '_' only")
    if isinstance(run, bool) or not 0 <= run < _MAX_RUN:
        raise SpecError(f"run {run!r} is not a run number; use 0 to {_MAX_RUN - 1}")
    return RunId(experiment, run)


def run_of_name(path: Path) -> RunId | None:
    """Read experiment and run from a file name such as `xpptut15_Run0252.h5`; None where it is another."""
    match = _FILE_NAME.fullmatch(path.stem)
    return RunId(match[1], int(match[2])) if match else None


def candidates(wanted: RunId, root: Path) -> Iterator[Path]:
    """Yield the places where the file of a run may be under a data root, the usual one first."""
    experiment = wanted.experiment
    names = [f"{experiment}_Run{wanted.run:04d}.h5", f"{experiment}_Run{wanted.run:03d}.h5"]
    old = [f"ldat_{experiment}_Run{wanted.run:03d}.h5"]
    home = root / experiment[:3] / experiment
    for folder in (home / "hdf5" / "smalldata", home / "ftc", root / experiment / "hdf5" / "smalldata"):
        yield from (folder / name for name in dict.fromkeys(names + old))
    for folder in (home, root / experiment, root):
        yield from (folder / name for name in dict.fromkeys(names))


def raw_folders(wanted: RunId, root: Path) -> tuple[Path, ...]:
    """Return the directories where the raw files of an experiment may be under a data root."""
    experiment = wanted.experiment
    return root / experiment[:3] / experiment / "xtc", root / experiment / "xtc"


def _by_run(wanted: RunId, root: Path | None) -> Located:
    base = _data_root(wanted) if root is None else root
    tried = list(candidates(wanted, base))
    smalldata = next((path for path in tried if path.is_file()), None)
    xtc = next((folder for folder in raw_folders(wanted, base) if _holds(folder, wanted)), None)
    if smalldata is None and xtc is None:
        raw = (folder / f"{_raw_start(wanted)}*.xtc2" for folder in raw_folders(wanted, base))
        places = "".join(f"\n  {path}" for path in (*tried, *raw))
        raise SpecError(f"run {wanted} has no smallData file and no raw files; tried:{places}")
    return Located(smalldata, () if xtc is None else (xtc,), wanted, wanted.run)


def raw_runs(path: Path) -> frozenset[str]:
    """Return the beginnings of the names of a directory's raw files, one for each run: `xpptut15-r0252`."""
    files = raw_files(path) if path.is_dir() else []
    return frozenset(match[1] for file in files if (match := _RAW_NAME.match(file.name)))


def _raw_start(wanted: RunId) -> str:
    return f"{wanted.experiment}-r{wanted.run:04d}-"


def _holds(folder: Path, wanted: RunId) -> bool:
    """Return whether a directory has raw files of LCLS-II of a run; those of LCLS-I are passed over."""
    start = _raw_start(wanted)
    return folder.is_dir() and any(path.name.startswith(start) for path in raw_files(folder))


def _data_root(wanted: RunId) -> Path:
    named = os.environ.get(DATA_ROOT)
    if not named:
        raise SpecError(f"run {wanted} needs a data root: set {DATA_ROOT}, or give the path of the file")
    if not Path(named).is_dir():
        raise SpecError(f"run {wanted}: the data root {DATA_ROOT}={named} is not a directory")
    return Path(named)


def _of_folder(folder: Path) -> Located:
    files = smalldata_files(folder)
    xtc = next((place for place in (folder, folder / "xtc") if place.is_dir() and raw_files(place)), None)
    if not files and xtc is None:
        if reader := reader_words(folder):
            raise SpecError(f"{folder} holds no data of a run; {reader}")
        old = any(path.suffix == ".xtc" for path in folder.iterdir())
        hint = ", only raw files of LCLS-I (*.xtc), which cubeengine does not read" if old else ""
        raise SpecError(
            f"directory {folder} contains no smallData file (*.h5) and no raw files (*.xtc2){hint}"
        )
    if len(files) > 1:
        names = "".join(f"\n  {path}" for path in files)
        raise SpecError(f"directory {folder} has {len(files)} smallData files; choose one of them:{names}")
    raw = () if xtc is None else (xtc,)
    return Located(files[0], raw, run_of_name(files[0])) if files else Located(None, raw)


def smalldata_files(folder: Path) -> list[Path]:
    """Return the HDF5 files of a directory, without the parts that a joined file beside them refers to.

    Where some are named after a run, as smallData is, the others (constants, say) are left out.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    except OSError as err:
        raise SourceFormatError(f"directory {folder} cannot be listed: {err.strerror}") from err
    joined = {path.stem for path in files}
    whole = [path for path in files if not _is_part_of(path, joined)]
    return [path for path in whole if run_of_name(path)] or whole


def _is_part_of(path: Path, joined: set[str]) -> bool:
    match = _PART.fullmatch(path.stem)
    return match is not None and match[1] in joined
