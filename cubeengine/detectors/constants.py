"""Constants of one detector in a local file, HDF5 or npz: what is read, and what is written.

The keys are the names of the facility's constant types. The layout of the file is in docs/constants.md.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.array_files import ArrayFile, Index, opened_arrays
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.types import InputFile, memory_dtype

ARRAYS = (
    "pedestals",
    "pixel_rms",
    "pixel_status",
    "status_extra",
    "pixel_gain",
    "pixel_offset",
    "pixel_mask",
    "common_mode",
)
"""Names of the arrays a file may hold; all are optional."""

GEOMETRY = "geometry"
FORMAT = "cubeengine-constants"
_TEXTS = ("kind", "name", "unique_id", "source")
_RUNS = ("valid_from_run", "valid_to_run")


@dataclass(frozen=True, slots=True)
class Constants:
    """A file of constants: what it says of itself; the arrays are read when they are asked for.

    Attributes
    ----------
    file : InputFile
        The file, as it was when it was opened.
    shapes : mapping
        Name of each array it holds -> its shape.
    kind, name, unique_id : str
        Type of the detector, the user's name for it, and the type and serial numbers of its segments;
        "" where the file does not say.
    source : str
        Where the constants come from, in words.
    segments : tuple of int, or None
        Numbers of the segments along the segment axis, rising; None means 0, 1, 2, ...
    valid_from_run, valid_to_run : int, or None
        First and last run they are meant for; None is no limit.
    """

    file: InputFile
    shapes: Mapping[str, tuple[int, ...]]
    kind: str = ""
    name: str = ""
    unique_id: str = ""
    source: str = ""
    segments: tuple[int, ...] | None = None
    valid_from_run: int | None = None
    valid_to_run: int | None = None

    def read(self, key: str, index: Index = ()) -> NDArray[Any]:
        """Read an array, or the part of it at `index`, as `memory_dtype` says: no narrower than float32.

        Raises
        ------
        SpecError
            If the file has none of that name.
        SourceFormatError
            If it cannot be read, or is not of numbers.
        """
        if key not in self.shapes:
            held = ", ".join(self.shapes) or "no constants"
            raise SpecError(f"{self.file.path}: holds no {key!r}; it has {held}")
        with opened_arrays(self.file.path) as file:
            values = file.array(key, index)
        if values.dtype.kind not in "iufb":
            raise SourceFormatError(f"{self.file.path}: {key!r} must be numbers, but is {values.dtype}")
        return values.astype(memory_dtype(values.dtype), copy=False)

    def geometry(self) -> str:
        """Read the text of the geometry; see `read` for the errors."""
        with opened_arrays(self.file.path) as file:
            text = _text(file, GEOMETRY)
        if not text:
            raise SpecError(f"{self.file.path}: holds no {GEOMETRY!r}")
        return text

    def facts(self) -> dict[str, object]:
        """Return what a cube should record of the file."""
        facts: dict[str, object] = {
            "file": str(self.file.path),
            "size": self.file.size,
            "mtime_ns": self.file.mtime_ns,
            "kind": self.kind,
            "detector": self.name,
            "unique_id": self.unique_id,
            "source": self.source,
            "valid_from_run": self.valid_from_run,
            "valid_to_run": self.valid_to_run,
        }
        return {key: value for key, value in facts.items() if value not in (None, "")}


def open_constants(path: Path) -> Constants:
    """Open a file of constants, HDF5 or npz by its content; reads no array.

    Raises
    ------
    SpecError
        If no such file.
    SourceFormatError
        If it is neither, or what it says of itself is wrong.
    """
    with opened_arrays(path) as file:
        shapes = {key: shape for key in ARRAYS if (shape := file.shape(key)) is not None}
        kind, name, unique_id, source = (_text(file, key) for key in _TEXTS)
        first, last = ((_numbers(file, key, path) or (None,))[0] for key in _RUNS)
        segments = _numbers(file, "segments", path)
    if segments is not None and list(segments) != sorted(set(segments)):
        raise SourceFormatError(f"{path}: 'segments' must rise, but is {list(segments)}")
    return Constants(InputFile.of(path), shapes, kind, name, unique_id, source, segments, first, last)


def _text(file: ArrayFile, key: str) -> str:
    found = np.asarray(file.about(key)).reshape(-1).tolist()
    if len(found) != 1 or not isinstance(found[0], str | bytes):
        return ""
    return found[0].decode("utf-8", "replace") if isinstance(found[0], bytes) else found[0]


def _numbers(file: ArrayFile, key: str, path: Path) -> tuple[int, ...] | None:
    found = file.about(key)
    if found is None:
        return None
    array = np.asarray(found)
    if array.dtype.kind not in "iu" or array.ndim > 1 or array.size == 0:
        raise SourceFormatError(f"{path}: {key!r} must be whole numbers, but is {str(found)[:60]!r}")
    return tuple(array.reshape(-1).tolist())


def write_constants(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    *,
    kind: str = "",
    name: str = "",
    unique_id: str = "",
    source: str = "",
    segments: Sequence[int] | None = None,
    valid_from_run: int | None = None,
    valid_to_run: int | None = None,
    geometry: str = "",
    further: Mapping[str, NDArray[Any]] | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a file of constants: npz if that is its suffix, else HDF5.

    Parameters
    ----------
    path : Path
        The file; replaced in one step if it exists: a reader, or a crash, finds the old one or the new one.
    arrays : mapping
        Arrays by name, each one of `ARRAYS`.
    kind, name, unique_id, source, segments, valid_from_run, valid_to_run
        As in `Constants`.
    geometry : str
        Text of the geometry.
    further, texts : mapping, optional
        Arrays and texts of other names that go into the file as well; who reads constants ignores them.

    Raises
    ------
    SpecError
        If an array has another name.
    """
    unknown = sorted(arrays.keys() - set(ARRAYS))
    if unknown:
        raise SpecError(f"{unknown[0]!r} is not the name of a constant; known: {', '.join(ARRAYS)}")
    about: dict[str, Any] = {"format": FORMAT, "version": 1, "kind": kind, "name": name}
    about |= {"unique_id": unique_id, "source": source, "segments": segments}
    about |= {"valid_from_run": valid_from_run, "valid_to_run": valid_to_run}
    known = {key: np.asarray(value) for key, value in about.items() if value is not None and value != ""}
    written = {**(texts or {}), **({GEOMETRY: geometry} if geometry else {})}
    write = _write_npz if path.suffix == ".npz" else _write_hdf5
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb+") as file:
            write(file, {**arrays, **(further or {})}, known, written)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_npz(
    file: IO[bytes], arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    members: dict[str, Any] = {**arrays, **about, **{key: np.array(text) for key, text in texts.items()}}
    np.savez_compressed(file, **members)


def _write_hdf5(
    stream: IO[bytes], arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    with h5py.File(stream, "w") as file:
        for key, value in about.items():
            file.attrs[key] = value.item() if value.ndim == 0 else value
        for key, values in arrays.items():
            file.create_dataset(key, data=values)
        for key, text in texts.items():
            file.create_dataset(key, data=text, dtype=h5py.string_dtype())
