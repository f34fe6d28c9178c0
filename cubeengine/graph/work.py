"""Files that tasks share beside the data: the pairs of every signal, arrays of memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.store.state import WORK_PREFIX


class WorkFolder:
    """A folder for the side files of one plan, removed when its last owner in this process lets go.

    Tasks on other machines get the path alone: a pickled copy removes nothing.

    Parameters
    ----------
    beside : Path, optional
        Folder to create it in: one that all workers see. Default: the system's temporary folder.
    """

    def __init__(self, beside: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=beside))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

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


def load_range(path: Path, start: int, stop: int) -> NDArray[Any]:
    """Read a range of an array that `WorkFolder.save` wrote."""
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.array(mapped[start:stop])
