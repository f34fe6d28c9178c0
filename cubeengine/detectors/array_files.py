"""Files of named arrays, HDF5 or npz: opened, asked, closed. Nothing in them is ever unpickled."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError, SpecError

Index = tuple[Any, ...]

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NPY_SIGNATURE = b"\x93NUMPY"
_ZIP_SIGNATURE = b"PK"
_DAMAGE = (EOFError, MemoryError, OverflowError, SyntaxError, tokenize.TokenError, struct.error, zlib.error)


class ArrayFile(Protocol):
    """An open file."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the arrays."""

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of an array; None if there is none of that name."""

    def array(self, name: str, index: Index) -> NDArray[Any]:
        """Read the part of an array at `index`; all of it for ()."""

    def about(self, name: str) -> Any:
        """Return what the file says of itself under a name; None if it says nothing."""


@contextmanager
def opened_arrays(path: Path) -> Iterator[ArrayFile]:
    """Open a file of arrays, whatever its suffix.

    A single array in a .npy file has the name "".

    Raises
    ------
    SpecError
        If no such file.
    SourceFormatError
        If it is no such file, or if anything in it cannot be read while it is open.
    """
    try:
        with _kind_of(path)(path) as file:
            yield file
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, *_DAMAGE) as err:
        if isinstance(err, SpecError | SourceFormatError):
            raise
        raise SourceFormatError(f"{path}: cannot be read ({err})") from err


def _kind_of(path: Path) -> Any:
    if not path.is_file():
        raise SpecError(f"no such file: {str(path)!r}")
    with path.open("rb") as file:
        start = file.read(8)
    if start == _HDF5_SIGNATURE:
        return _Hdf5File
    if start.startswith(_ZIP_SIGNATURE):
        return _NpzFile
    if start.startswith(_NPY_SIGNATURE):
        return _NpyFile
    raise SourceFormatError(f"{path}: is neither an HDF5 file nor a numpy file (.npy, .npz)")


class _Hdf5File:
    """Datasets and the attributes of the root."""

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "r")

    def __enter__(self) -> _Hdf5File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        self._file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        return tuple(found)

    def shape(self, name: str) -> tuple[int, ...] | None:
        item = self._file.get(name) if name else None
        return item.shape if isinstance(item, h5py.Dataset) else None

    def array(self, name: str, index: Index) -> NDArray[Any]:
        return np.asarray(self._file[name][index])

    def about(self, name: str) -> Any:
        if name in self._file.attrs:
            return self._file.attrs[name]
        return self._file[name][()] if self.shape(name) == () else None


class _NpzFile:
    """Arrays in a zip file."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("rb")
        try:
            self._file: Any = np.load(self._stream, allow_pickle=False)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> _NpzFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._stream.close()

    def names(self) -> tuple[str, ...]:
        return tuple(self._file.files)

    def shape(self, name: str) -> tuple[int, ...] | None:
        if name not in self._file.files:
            return None
        with self._file.zip.open(f"{name}.npy") as member:
            version = np.lib.format.read_magic(member)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape: tuple[int, ...] = header(member)[0]
        return shape

    def array(self, name: str, index: Index) -> NDArray[Any]:
        return np.asarray(self._file[name][index])

    def about(self, name: str) -> Any:
        return self._file[name][()] if name in self._file.files else None


class _NpyFile:
    """One array."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._array: NDArray[Any] = np.load(stream, allow_pickle=False)

    def __enter__(self) -> _NpyFile:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def names(self) -> tuple[str, ...]:
        return ("",)

    def shape(self, name: str) -> tuple[int, ...] | None:
        return None if name else self._array.shape

    def array(self, name: str, index: Index) -> NDArray[Any]:  # noqa: ARG002 - it has one
        return self._array[index]

    def about(self, name: str) -> Any:  # noqa: ARG002 - it says nothing
        return None
