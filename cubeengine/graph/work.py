"""Files that tasks share beside the data: the pairs of every signal, arrays of memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cubeengine.shared import mapped_array
from cubeengine.store.state import WORK_PREFIX


class WorkFolder:
    """A folder for the side files of one plan, removed when its last owner in this process lets go.

    Tasks on other machines get the path alone: a pickled copy removes nothing.

    Parameters
    ----------
    beside : Path, optional
        Folder to create it in: one that all workers see. Default: the system's temporary folder.
    local : bool
        Whether all tasks run in this process: they find in memory what is there, and need no files of it.
    """

    def __init__(self, beside: Path | None = None, *, local: bool = False) -> None:
        self.local = local
        self._saved: dict[int, tuple[NDArray[Any], Path]] = {}
        self.path = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=beside))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder now."""
        self._remove()

    def __reduce__(self) -> tuple[Any, ...]:
        return Path, (self.path,)

    def save(self, name: str, array: NDArray[Any]) -> Path:
        """Write an array and give its path."""
        path = self.path / f"{name}.npy"
        np.save(path, array, allow_pickle=False)
        return path

    def save_once(self, array: NDArray[Any]) -> Path:
        """Write an array that several signals may share, where that is not done yet; return its path."""
        if id(array) not in self._saved:  # the array is kept, so no other one gets its number
            self._saved[id(array)] = array, self.save(f"array.{len(self._saved)}", array)
        return self._saved[id(array)][1]

    def made_once(
        self, wanted: Mapping[str, np.dtype[Any]], length: int, fill: Callable[..., None]
    ) -> list[Path]:
        """Return arrays that several signals share; they are made when they are asked for first.

        Parameters
        ----------
        wanted : mapping of name to numpy.dtype
            Names and types of the arrays.
        length : int
            Items of each.
        fill : callable
            Gets the arrays, which are mapped from files, and fills them.
        """
        paths = [self.path / f"{name}.npy" for name in wanted]
        if not all(path.exists() for path in paths):
            partial = [path.with_suffix(".partial") for path in paths]
            arrays = [_mapped(*item, length) for item in zip(partial, wanted.values(), strict=True)]
            fill(*arrays)
            for array, made, path in zip(arrays, partial, paths, strict=True):
                if isinstance(array, np.memmap):
                    array.flush()
                made.replace(path)
        return paths


def _mapped(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """Make a file for an array, with all its room: a full disk is an error here, not a signal later."""
    array = np.lib.format.open_memmap(path, "w+", dtype, (length,))
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def load_range(path: Path, start: int, stop: int) -> NDArray[Any]:
    """Read a range of an array that `WorkFolder.save` wrote."""
    return np.array(mapped_array(path)[start:stop])
