"""Which source reads a file: told by its content, not by its name alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.base import Source
from cubeengine.types import RunId

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_XTC2_HEADER = struct.Struct("<IIIIHHI")
_CONFIGURE = 2
"""Service number of the first datagram of an xtc2 file."""


def open_source(path: Path) -> Source:
    """Open events.

    Parameters
    ----------
    path : Path
        A smallData HDF5 file, a raw file of LCLS-II (xtc2), or a directory of one run's raw files.

    Raises
    ------
    SourceFormatError
        If it is not there, or in a format that cubeengine does not read.
    """
    if not path.is_dir() and _is_hdf5(path, _head(path)):
        from cubeengine.sources.smalldata import open_smalldata

        return open_smalldata(path)
    return open_raw(path)


def open_raw(paths: Path | Sequence[Path], run: RunId | None = None) -> Source:
    """Open raw data of LCLS-II (xtc2).

    Parameters
    ----------
    paths : Path, or sequence of Path
        A file, a directory, or files of one run.
    run : RunId, optional
        The run that is wanted, where a directory holds several.

    Raises
    ------
    SourceFormatError
        If a path is not there, or is no raw data, or they are not of one run.
    """
    for path in [paths] if isinstance(paths, Path) else paths:
        _check_raw(path)
    from cubeengine.sources.xtc2.source import open_xtc2

    return open_xtc2(paths, run)


def is_raw(path: Path) -> bool:
    """Return whether a file, which need not be there, is one of raw data of LCLS-II (xtc2)."""
    if ".xtc2" in path.suffixes:
        return True
    try:
        return _is_xtc2(_head(path))
    except SourceFormatError:
        return False


def raw_files(folder: Path) -> list[Path]:
    """Return the raw files (xtc2) of a directory, those being written included, and its smd files."""
    places = [folder, folder / "smalldata"]
    try:
        found = [path for place in places if place.is_dir() for path in place.iterdir()]
    except OSError as err:
        raise SourceFormatError(f"directory {folder} cannot be listed ({err.strerror})") from err
    return sorted(path for path in found if ".xtc2" in path.suffixes)


def _check_raw(path: Path) -> None:
    if not path.is_dir():
        if not is_raw(path):
            raise SourceFormatError(_unknown(path, _head(path)))
    elif not raw_files(path):
        for old in path.glob("*.xtc"):
            raise SourceFormatError(_unknown(old, b""))
        raise SourceFormatError(
            f"{path}: is a directory without raw files of LCLS-II (*.xtc2); give the path of a smallData "
            "HDF5 file"
        )


def _unknown(path: Path, head: bytes) -> str:
    """Say why a file is not read."""
    if head.startswith(_HDF5_SIGNATURE):
        return f"{path}: is an HDF5 file, not raw data (xtc2)"
    if ".xtc" in path.suffixes:
        return (
            f"{path}: is an LCLS-I raw file (xtc), which cubeengine does not read; open its smallData file "
            "instead: <experiment>_Run<number>.h5 under hdf5/smalldata"
        )
    return (
        f"{path}: is neither an HDF5 file (it begins with {head[:8]!r}) nor raw data (xtc2); cubeengine "
        "reads only these"
    )


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_XTC2_HEADER.size)
    except OSError as err:
        raise SourceFormatError(f"{path}: cannot be opened ({err.strerror})") from err


def _is_hdf5(path: Path, head: bytes) -> bool:
    """Look for the signature, which may come after a block of the user's of 512, 1024, ... bytes."""
    if head.startswith(_HDF5_SIGNATURE):
        return True
    size, place = path.stat().st_size, 512
    with path.open("rb") as file:
        while place + len(_HDF5_SIGNATURE) <= size:
            file.seek(place)
            if file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE:
                return True
            place *= 2
    return False


def _is_xtc2(head: bytes) -> bool:
    """Whether a file begins with a Configure datagram of xtc2."""
    if len(head) < _XTC2_HEADER.size:
        return False
    _, _, env, _, _, kind, extent = _XTC2_HEADER.unpack(head)
    return bool(kind == 0 and (env >> 24) & 0xF == _CONFIGURE and extent >= 12)
