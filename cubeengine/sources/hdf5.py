"""HDF5 files: opening them, and what the library says put in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from cubeengine.errors import MissingExtra, SourceFormatError

LIBRARY_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, NotImplementedError)
"""What h5py raises when HDF5 fails: the kind says little."""

CODECS = {
    1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 307: "bzip2",
    32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd",
    32026: "blosc2",
}  # fmt: skip
"""Names of HDF5 filters by their registered number."""

_CUT = re.compile(r"truncated file: eof = (\d+), sblock->base_addr = (\d+), stored_eof = (\d+)")


@contextmanager
def opened_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises
    ------
    SourceFormatError
        If it cannot be opened, with the reason and what to do; also for what HDF5 raises inside the block.
    """
    try:
        # best-effort: a writer's lock stops us, a file system without locks does not.
        file = h5py.File(path, "r", locking="best-effort")
    except LIBRARY_ERRORS as err:
        raise SourceFormatError(explain_hdf5(path, str(err))) from err
    try:
        yield file
    finally:
        file.close()


@contextmanager
def library_errors(path: Path, what: str = "") -> Iterator[None]:
    """Turn what HDF5 raises into SourceFormatError; `what` names the field."""
    try:
        yield
    except SourceFormatError:
        raise
    except LIBRARY_ERRORS as err:
        raise SourceFormatError(explain_hdf5(path, str(err), what)) from err


def explain_hdf5(path: Path, message: str, what: str = "") -> str:
    """Say what an error of the HDF5 library means, and what to do about it.

    Parameters
    ----------
    path : Path
        The file.
    message : str
        The library's message.
    what : str
        What was being read, e.g. "field 'ipm2/sum'".
    """
    place = f"{path}: {what + ': ' if what else ''}"
    text = message.strip("'\"")
    if cut := _CUT.search(text):
        found, base, wanted = (int(group) for group in cut.groups())
        sizes = f"has {found - base:,} bytes, should have {wanted:,}"
        return f"{place}is cut off: {sizes}; copy it again, or wait until it is written"
    for sign, meaning in _MEANINGS:
        if sign in text.lower():
            return f"{place}{meaning}"
    return f"{place}cannot be read; HDF5 says: {text}"


_MEANINGS = (
    (
        "encoded vds heap",
        f"is a virtual dataset in an encoding that HDF5 {h5py.version.hdf5_version} cannot read (written "
        "by a newer HDF5); update h5py to one with HDF5 2.0 or later, or join the parts again with HDF5 1.14",
    ),
    (
        "unable to lock file",
        "is being written by another process; wait until it is finished",
    ),
    (
        "already open for",
        "is still being written, or its writer was stopped; wait, or copy the file and clear the mark in "
        "the copy: h5clear -s FILE",
    ),
    ("file signature not found", "is not an HDF5 file; cubeengine reads smallData HDF5 files"),
    ("no such file", "no such file"),
    ("permission denied", "cannot be read: permission denied"),
    ("is a directory", "is a directory, not a file"),
)


def filter_numbers(dataset: Any) -> tuple[int, ...]:
    """Return the filters of a dataset (low-level identifier), in the order of writing."""
    creation = dataset.get_create_plist()
    return tuple(creation.get_filter(number)[0] for number in range(creation.get_nfilters()))


def codec_names(filters: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of filters."""
    return tuple(CODECS.get(number, f"filter {number}") for number in filters)


def check_filters(path: Path, what: str, filters: tuple[int, ...]) -> None:
    """Make sure that the library can undo the filters; loads the codecs where one needs them.

    Raises
    ------
    MissingExtra
        If the optional package with the codecs is not installed.
    SourceFormatError
        If no installed codec undoes the filter.
    """
    lacking = [number for number in filters if not h5py.h5z.filter_avail(number)]
    if not lacking:
        return
    names = ", ".join(codec_names(tuple(lacking)))
    try:
        import hdf5plugin  # noqa: F401  # registers its filters when imported; wanted for such files alone
    except ImportError as err:
        raise MissingExtra(
            f"{path}: {what} is compressed with {names}; install the codecs: pip install 'cubeengine[codecs]'"
        ) from err
    lacking = [number for number in lacking if not h5py.h5z.filter_avail(number)]
    if lacking:
        numbers = ", ".join(map(str, lacking))
        raise SourceFormatError(
            f"{path}: {what} is compressed with HDF5 filter {numbers}, which is not installed; "
            "put its plugin in HDF5_PLUGIN_PATH, or write the file with another compression"
        )
