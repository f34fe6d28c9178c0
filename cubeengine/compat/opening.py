"""Which file a `SmallDataAna` means: by name, by folder and run, or under the data root."""

from __future__ import annotations

from pathlib import Path

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.events.locate import candidates, locate, run_id


def find_file(expname: str, run: int, dirname: str, filename: str) -> Path:
    """Find the smallData file.

    Parameters
    ----------
    expname, run
        Experiment and run number.
    dirname : str
        Folder of the file; "" looks under the data root, the environment variable `SIT_PSDM_DATA`.
    filename : str
        Name of the file in the folder, instead of experiment and run.

    Raises
    ------
    SpecError
        If nothing says which file is meant.
    SourceFormatError
        If no such file; names every place that was tried.
    """
    if filename:
        return _existing([Path(dirname) / filename])
    if not expname or run < 0:
        raise SpecError("SmallDataAna needs an experiment and a run number, or a filename")
    wanted = run_id(expname, run)
    if dirname:
        return _existing([path for path in candidates(wanted, Path(dirname)) if path.parent == Path(dirname)])
    located = locate(expname, run)
    if located.smalldata is None:
        raise SourceFormatError(f"run {wanted} has raw files but no smallData file; SmallDataAna needs one")
    return located.smalldata


def _existing(tried: list[Path]) -> Path:
    for path in tried:
        if path.is_file():
            return path
    places = "".join(f"\n  {path}" for path in tried)
    raise SourceFormatError(f"there is no smallData file; tried:{places}")
