"""Arrays that tasks share: in memory where they are made, in a file where they are used.

Tables of a detector, or the places of a million events, must not travel with every task. What a task
needs is a frozen value whose large arrays are `SharedArray`; before the work begins `in_files` puts them
into files, and every process maps the same pages of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError

T = TypeVar("T")
Save = Callable[[str, NDArray[Any]], Path]
"""Writes an array under a name and gives the path of its .npy file."""

HEADERS = Lock()
"""Held while numpy reads the head of a file: it parses that as source code, which several threads of CPython
3.11 may not do at a time ("AST constructor recursion depth mismatch", seen at some 8,000 tasks)."""


def mapped_array(path: Path) -> NDArray[Any]:
    """Map the array of a .npy file; for tasks, of which many begin at a time."""
    with HEADERS:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@dataclass(frozen=True, slots=True, eq=False)
class SharedArray:
    """An array by value or by the path of its .npy file."""

    value: NDArray[Any] | None  # where it is in memory; read-only by agreement
    path: Path | None = None  # the file, where it is not

    def load(self) -> NDArray[Any]:
        """Return the array; that of a file is mapped, not read."""
        if self.value is not None:
            return self.value
        if self.path is None:
            raise ValueError("a shared array needs a value or a path")
        try:
            mapped = mapped_array(self.path).view(np.ndarray)
        except (OSError, ValueError) as err:
            raise SourceFormatError(
                f"{self.path}: this file of the run cannot be read ({err}); check that all workers see its "
                "folder"
            ) from err
        return mapped

    @property
    def nbytes(self) -> int:
        """Bytes in memory: none where it is in a file."""
        return 0 if self.value is None else self.value.nbytes


def in_files(item: T, save: Save, name: str) -> T:
    """Return the same frozen value with every shared array in it, at any depth, put into a file.

    Parameters
    ----------
    item : a frozen dataclass, or a tuple
        What tasks will get.
    save : callable
        Writes an array under a name.
    name : str
        Begins the names of the files.
    """
    return _moved(item, save, name)  # type: ignore[no-any-return]


def held_nbytes(item: object) -> int:
    """Return the bytes of all shared arrays that are in memory, at any depth."""
    return sum(array.nbytes for array in _arrays(item))


def content_digest(item: object) -> str:
    """Return a hash of the values of all shared arrays, at any depth."""
    digest = hashlib.blake2b(digest_size=16)
    for array in _arrays(item):
        values = np.ascontiguousarray(array.load())
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(values.data.cast("B") if values.size else b"")
    return digest.hexdigest()


def _moved(item: Any, save: Save, name: str) -> Any:
    if isinstance(item, SharedArray):
        return item if item.value is None else SharedArray(None, save(name, item.value))
    if isinstance(item, tuple):
        return tuple(_moved(part, save, f"{name}.{number}") for number, part in enumerate(item))
    if is_dataclass(item) and not isinstance(item, type):
        values = {field.name: getattr(item, field.name) for field in fields(item) if field.init}
        moved = {key: _moved(value, save, f"{name}.{key}") for key, value in values.items()}
        changed = {key: value for key, value in moved.items() if value is not values[key]}
        return replace(item, **changed) if changed else item
    return item


def _arrays(item: object) -> Iterator[SharedArray]:
    if isinstance(item, SharedArray):
        yield item
    elif isinstance(item, tuple):
        for part in item:
            yield from _arrays(part)
    elif is_dataclass(item) and not isinstance(item, type):
        for field in fields(item):
            yield from _arrays(getattr(item, field.name))
