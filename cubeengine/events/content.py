"""Hashes of the values of a variable, found a window of events at a time."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import Column


class ContentDigest:
    """Names the values of a column: data, and the marks it has; the same however the events are cut.

    Parameters
    ----------
    n_events : int
        Events of all windows together.
    dtype : numpy.dtype, optional
        Type that the values count as: windows may differ in it. Default: as they are.
    """

    def __init__(self, n_events: int, dtype: np.dtype[Any] | None = None) -> None:
        self._n_events, self._dtype, self._seen = n_events, dtype, 0
        self._dtypes: set[np.dtype[Any]] = set()
        self._data: Any = None
        self._marks: dict[str, Any] = {}

    def add(self, column: Column) -> None:
        """Add the values of the next events."""
        data = column.data if self._dtype is None else column.data.astype(self._dtype, copy=False)
        self._dtypes.add(data.dtype)
        if self._data is None:
            self._data = self._begun(data.dtype, data.shape[1:])
        _update(self._data, data)
        usual = {"valid": True, "damaged": False}
        for name, mark in (("valid", column.valid), ("damaged", column.damaged)):
            if mark is None and name not in self._marks:
                continue
            if name not in self._marks:  # nothing was missing so far
                self._marks[name] = self._begun(np.dtype(bool), ())
                _update(self._marks[name], np.full(self._seen, usual[name]))
            _update(self._marks[name], np.full(len(column), usual[name]) if mark is None else mark)
        self._seen += len(column)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds all values."""
        return np.result_type(*self._dtypes)

    @property
    def is_mixed(self) -> bool:
        """Whether windows differed in type: then the hash is another one than of all events at once."""
        return len(self._dtypes) > 1

    @property
    def text(self) -> str:
        """Hash of all that was added."""
        parts = [self._data, *(self._marks[name] for name in ("valid", "damaged") if name in self._marks)]
        return "".join(part.hexdigest() for part in parts if part is not None)

    def _begun(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
        return hashlib.sha256(f"{dtype.str}{(self._n_events, *shape)}".encode())


def _update(digest: Any, values: NDArray[Any]) -> None:
    digest.update(np.ascontiguousarray(values).data.cast("B") if values.size else b"")
