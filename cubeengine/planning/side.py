"""Arrays over the events of a run that grow window by window: in memory while small, then in side files.

The files have no name: they lie in the system's temporary folder (`TMPDIR`), are mapped, and the system
takes their space back when nobody maps them any more, however the process ends.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import PlanError
from cubeengine.types import Column

KEEP_NBYTES = 8 * 2**20
"""Arrays up to this size stay in memory: those of a small run, which is one window."""

COPY_ITEMS = 2**20
"""Items that are converted at a time, where the type of an array has to change."""


class Growing:
    """An array that grows at its end; its type is that which holds all parts, as `numpy.concatenate` has it.

    Parameters
    ----------
    keep_nbytes : int
        Bytes to keep in memory.
    """

    def __init__(self, keep_nbytes: int = KEEP_NBYTES) -> None:
        self._keep_nbytes = keep_nbytes
        self._parts: list[NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        self._stored: np.dtype[Any] | None = None
        self._n_stored = 0
        self._row_shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self._n_stored + sum(map(len, self._parts))

    def append(self, part: NDArray[Any]) -> None:
        """Add items; they may not be changed afterwards."""
        self._parts.append(part)
        if sum(kept.nbytes for kept in self._parts) > self._keep_nbytes:
            self._spill()

    def array(self) -> NDArray[Any]:
        """Return all items; those of a file are mapped, not read."""
        if self._file is None:
            return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._spill()
        return self._mapped()

    @property
    def last(self) -> Any:
        """The last item; there must be one."""
        return self._parts[-1][-1] if self._parts else self._mapped()[-1]

    def _mapped(self) -> NDArray[Any]:
        if self._file is None or self._stored is None:
            raise ValueError("nothing was stored yet")
        self._file.flush()
        return np.memmap(self._file, self._stored, "r", shape=(self._n_stored, *self._row_shape))

    def _spill(self) -> None:
        """Move what is in memory to the file."""
        if not self._parts:
            return
        self._row_shape = self._parts[0].shape[1:]
        dtype = np.result_type(*self._parts, *([] if self._stored is None else [self._stored]))
        try:
            file = self._opened(dtype)
            for part in self._parts:
                file.write(np.ascontiguousarray(part, dtype).data.cast("B"))
        except OSError as err:
            raise _no_room(err) from err
        self._n_stored += sum(map(len, self._parts))
        self._parts.clear()

    def _opened(self, dtype: np.dtype[Any]) -> IO[bytes]:
        """Return the file, at its end; what stands in it is rewritten if that is of another type."""
        if self._file is not None and dtype == self._stored:
            return self._file
        before = np.empty(0, dtype) if self._file is None else self._mapped()
        file: IO[bytes] = tempfile.TemporaryFile(prefix="cubeengine-")  # noqa: SIM115 - as long as it is used
        weakref.finalize(self, file.close)  # maps of it hold the file by themselves
        for start in range(0, len(before), COPY_ITEMS):
            file.write(np.ascontiguousarray(before[start : start + COPY_ITEMS], dtype).data.cast("B"))
        self._file, self._stored = file, dtype
        return file


class GrowingColumn:
    """A column that grows at its end, with its marks where it has any."""

    def __init__(self) -> None:
        self._data, self._n_events = Growing(), 0
        self._marks: dict[str, Growing] = {}

    def append(self, column: Column) -> None:
        """Add the values of the next events."""
        self._data.append(column.data)
        usual = {"valid": True, "damaged": False}
        for name, mark in (("valid", column.valid), ("damaged", column.damaged)):
            if mark is not None and name not in self._marks:
                self._marks[name] = Growing()
                self._marks[name].append(np.full(self._n_events, usual[name]))
            if name in self._marks:
                self._marks[name].append(np.full(len(column), usual[name]) if mark is None else mark)
        self._n_events += len(column)

    def column(self) -> Column:
        """Return the column of all events."""
        marks = {name: mark.array() for name, mark in self._marks.items()}
        return Column(self._data.array(), marks.get("valid"), marks.get("damaged"))


def in_memory(*arrays: NDArray[Any]) -> int:
    """Return the bytes of arrays that are in memory, and not mapped from a file."""
    return sum(array.nbytes for array in arrays if not isinstance(array, np.memmap))


def scratch(length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array to be filled in any order: in memory while small, else mapped from a side file."""
    if length * dtype.itemsize <= KEEP_NBYTES:
        return np.empty(length, dtype)
    file = tempfile.TemporaryFile(prefix="cubeengine-")  # noqa: SIM115 - the map holds it
    try:
        os.posix_fallocate(file.fileno(), 0, length * dtype.itemsize)
        return np.memmap(file, dtype, "r+", shape=(length,))
    except OSError as err:
        raise _no_room(err) from err
    finally:
        file.close()


def _no_room(error: OSError) -> PlanError:
    return PlanError(
        f"cannot write the plan's temporary files to {tempfile.gettempdir()} ({error}); set TMPDIR to a "
        "folder with free space"
    )
