"""Finding the smallData file of a run: a path, a directory, or an experiment and a run number."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.types import RunId

DATA_ROOT = "SIT_PSDM_DATA"
"""Environment variable that names the data root, as at LCLS."""

_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_REFERENCE = re.compile(r"([^:/\\]+):([0-9]+)")
_FILE_NAME = re.compile(r"(?:ldat_)?([A-Za-z0-9][A-Za-z0-9_-]*)_[Rr]un([0-9]{3,})(?:_part[0-9]+)?")
_PART = re.compile(r"(.+)_part[0-9]+")
_MAX_RUN = 10**6
_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class Located:
    """A file, and the run it holds where that is known."""

    path: Path
    run_id: RunId | None


def locate(source: str | Path, run: int | None = None, *, root: Path | None = None) -> Located:
    """Find the smallData file that a user means.

    Parameters
    ----------
    source : str or Path
        A file, a directory with one smallData file, "experiment:run", or, beside `run`, an experiment.
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
    if run is not None:
        return _by_run(run_id(str(source), run), root)
    path = Path(source)
    if path.is_dir():
        return _described(_only_file(path))
    match = _REFERENCE.fullmatch(str(source))
    if match and not path.exists():
        return _by_run(run_id(match[1], int(match[2])), root)
    if not path.exists():
        raise SpecError(
            f"{str(source)!r} is no file, no directory and no experiment:run, as xpptut15:252 would be"
        )
    return _described(path)


def run_id(experiment: str, run: int) -> RunId:
    """Check the name of an experiment and a run number before paths are made of them.

    Raises
    ------
    SpecError
        If the name has characters other than letters, digits, - and _, or the number is out of range.
    """
    if not _EXPERIMENT.fullmatch(experiment):
        raise SpecError(f"{experiment!r} is no experiment name: letters, digits, '-' and '_' only")
    if isinstance(run, bool) or not 0 <= run < _MAX_RUN:
        raise SpecError(f"run {run!r} is no run number: 0 to {_MAX_RUN - 1}")
    return RunId(experiment, run)


def run_of_name(path: Path) -> RunId | None:
    """Read experiment and run from a file name such as `xpptut15_Run0252.h5`; None where it is another."""
    match = _FILE_NAME.fullmatch(path.stem)
    return RunId(match[1], int(match[2])) if match else None


def candidates(wanted: RunId, root: Path) -> Iterator[Path]:
    """Give the places where the file of a run may be under a data root, the usual one first."""
    experiment = wanted.experiment
    names = [f"{experiment}_Run{wanted.run:04d}.h5", f"{experiment}_Run{wanted.run:03d}.h5"]
    old = [f"ldat_{experiment}_Run{wanted.run:03d}.h5"]
    home = root / experiment[:3] / experiment
    for folder in (home / "hdf5" / "smalldata", home / "ftc", root / experiment / "hdf5" / "smalldata"):
        yield from (folder / name for name in dict.fromkeys(names + old))
    for folder in (home, root / experiment, root):
        yield from (folder / name for name in dict.fromkeys(names))


def _by_run(wanted: RunId, root: Path | None) -> Located:
    base = _data_root(wanted) if root is None else root
    tried = list(candidates(wanted, base))
    for path in tried:
        if path.is_file():
            return Located(path, wanted)
    places = "".join(f"\n  {path}" for path in tried)
    raise SpecError(f"run {wanted} has no smallData file; tried:{places}")


def _data_root(wanted: RunId) -> Path:
    named = os.environ.get(DATA_ROOT)
    if not named:
        raise SpecError(f"run {wanted} needs a data root: set {DATA_ROOT}, or give the path of the file")
    if not Path(named).is_dir():
        raise SpecError(f"run {wanted}: the data root {DATA_ROOT}={named} is not a directory")
    return Path(named)


def _only_file(folder: Path) -> Path:
    files = smalldata_files(folder)
    if not files:
        raise SpecError(f"directory {folder} has no smallData file (*.h5) in it")
    if len(files) > 1:
        names = "".join(f"\n  {path}" for path in files)
        raise SpecError(f"directory {folder} has {len(files)} smallData files; name the one you mean:{names}")
    return files[0]


def smalldata_files(folder: Path) -> list[Path]:
    """Give the HDF5 files of a directory, without the parts that a joined file beside them refers to."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    except OSError as err:
        raise SourceFormatError(f"directory {folder} cannot be listed: {err.strerror}") from err
    joined = {path.stem for path in files}
    return [path for path in files if not _is_part_of(path, joined)]


def _is_part_of(path: Path, joined: set[str]) -> bool:
    match = _PART.fullmatch(path.stem)
    return match is not None and match[1] in joined


def _described(path: Path) -> Located:
    return Located(path, run_of_name(path))
