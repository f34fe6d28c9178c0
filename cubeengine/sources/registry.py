"""Which source reads a file: told by its content, not by its name alone."""

from __future__ import annotations

import struct
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.sources.base import Source

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_XTC2_HEADER = struct.Struct("<IIIIHHI")
_CONFIGURE = 2
"""Service number of the first datagram of an xtc2 file."""


def open_source(path: Path) -> Source:
    """Open a file of events.

    Parameters
    ----------
    path : Path
        A smallData HDF5 file.

    Raises
    ------
    SourceFormatError
        If it is not there, or in a format that cubeengine does not read.
    """
    head = _head(path)
    if _is_hdf5(path, head):
        from cubeengine.sources.smalldata import open_smalldata

        return open_smalldata(path)
    if ".xtc2" in path.suffixes or _is_xtc2(head):
        raise SourceFormatError(
            f"{path}: is an LCLS-II raw file (xtc2); cubeengine reads smallData HDF5 files: open the run's "
            "smallData, usually <experiment>_Run<number>.h5 under hdf5/smalldata"
        )
    if ".xtc" in path.suffixes:
        raise SourceFormatError(
            f"{path}: is an LCLS-I raw file (xtc), which cubeengine does not read; its smallData is "
            "supported: open <experiment>_Run<number>.h5 under hdf5/smalldata"
        )
    raise SourceFormatError(
        f"{path}: is not an HDF5 file (begins with {head[:8]!r}); cubeengine reads smallData HDF5 files"
    )


def _head(path: Path) -> bytes:
    if path.is_dir():
        raise SourceFormatError(f"{path}: is a directory; name a smallData HDF5 file in it")
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
