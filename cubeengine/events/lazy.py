"""A field as a dask array over events: nothing is read before it is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray

from cubeengine.sources.base import Reader
from cubeengine.sources.columns import has_finite, read_column
from cubeengine.types import BoolArray, Column, FieldInfo, IntArray

CHUNK_NBYTES = 64 * 2**20
"""Size of a chunk: large against the cost of a task (a millisecond), small against a worker's memory."""


@dataclass(frozen=True, slots=True)
class LazyColumn:
    """The dask arrays of a field."""

    data: Any  # (n_events, ...) dask array
    valid: Any
    """(n_events,) dask array of bool: False where a value turns out to be missing, or not finite in any
    element; comes from the same read.
    """


def events_per_chunk(info: FieldInfo, target_nbytes: int = CHUNK_NBYTES) -> int:
    """Return the events of a chunk: about `target_nbytes`, in whole chunks of the storage."""
    together = max(info.storage.chunk_events, 1)
    wanted = max(target_nbytes // max(info.event_nbytes, 1), 1)
    return max(wanted // together, 1) * together


def lazy_column(
    reader: Reader, rows: IntArray | None, n_events: int, *, per_chunk: int, token: str
) -> LazyColumn:
    """Return a field as dask arrays.

    Parameters
    ----------
    reader : Reader
        Reads the field in a task.
    rows : (n_events,) int64, or None
        Row of storage of every event.
    n_events, per_chunk : int
        Events in all, and per chunk.
    token : str
        Names the content: equal tokens make equal task names.
    """
    name = f"read-{hashlib.sha256(f'{token}:{per_chunk}'.encode()).hexdigest()[:24]}"
    shared = delayed(reader, name=f"{name}-reader", traverse=False)
    data, valid = [], []
    for number, start in enumerate(range(0, max(n_events, 1), per_chunk)):
        stop = min(start + per_chunk, n_events)
        chunk_rows = None if rows is None else rows[start:stop]
        read = delayed(_read, pure=True)(shared, start, stop, chunk_rows, dask_key_name=f"{name}-{number}")
        shape = (stop - start, *reader.shape)
        data.append(_part(_data, read, f"{name}-data-{number}", shape, reader.dtype))
        valid.append(_part(_valid, read, f"{name}-valid-{number}", shape[:1], np.dtype(bool)))
    return LazyColumn(_joined(data), _joined(valid))


def _part(take: Callable[..., Any], read: Any, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    value = delayed(take, pure=True)(read, dask_key_name=key)
    return da.from_delayed(value, shape, dtype)


def _joined(parts: list[Any]) -> Any:
    return da.concatenate(parts)


def _read(reader: Reader, start: int, stop: int, rows: IntArray | None) -> Column:
    return read_column(reader, np.arange(start, stop) if rows is None else rows)


def _data(read: Column) -> NDArray[Any]:
    return read.data


def _valid(read: Column) -> BoolArray:
    return has_finite(read)
