"""Evaluation in blocks of events, where arrays are read of which only one value per event is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from cubeengine.types import BoolArray, Column, FieldInfo, IntArray

T = TypeVar("T")
Window = Callable[[str, slice], Column]

BLOCK_NBYTES = 64 * 2**20
"""Arrays are read in blocks of events of about this size."""

MAX_BLOCK_NBYTES = 4 * BLOCK_NBYTES
"""Blocks may grow to this size to hold whole storage chunks, each of which is then decoded once."""


def in_blocks(
    wide: Sequence[FieldInfo],
    window: Window,
    n_events: int,
    compute: Callable[[Callable[[str], Column], int], T],
) -> Iterator[T]:
    """Compute for block after block of events.

    Parameters
    ----------
    wide : sequence of FieldInfo
        The array fields that are read.
    window : callable
        Gives a column for a range of events.
    n_events : int
        Events in all.
    compute : callable
        Given the columns and the number of events of a block.
    """
    step = block_events(wide) if wide else max(n_events, 1)
    for start in range(0, max(n_events, 1), step):
        events = slice(start, min(start + step, n_events))
        yield compute(partial(_swapped, window, events), events.stop - events.start)


def _swapped(window: Window, events: slice, name: str) -> Column:
    return window(name, events)


def as_stored(column: Column, narrow: np.dtype[Any] | None) -> Column:
    """Return a column in the type of its field in the file: numbers it is compared with are rounded to that.

    Parameters
    ----------
    column : Column
        Values in memory.
    narrow : numpy.dtype, or None
        See `FieldInfo`.
    """
    return column if narrow is None else replace(column, data=column.data.astype(narrow))


def block_events(wide: Sequence[FieldInfo]) -> int:
    """Return the events of a block: whole storage chunks where these are not too large."""
    per_event = max(sum(info.event_nbytes for info in wide), 1)
    together = math.lcm(*(max(info.storage.chunk_events, 1) for info in wide))
    wanted = max(BLOCK_NBYTES // per_event, 1)
    if together * per_event > MAX_BLOCK_NBYTES:
        return wanted
    return max(wanted // together, 1) * together


def joined(parts: Sequence[Column]) -> Column:
    """Put columns of consecutive blocks together."""
    if len(parts) == 1:
        return parts[0]
    data = np.concatenate([part.data for part in parts])
    lacks = any(part.valid is not None for part in parts)
    hurt = any(part.damaged is not None for part in parts)
    return Column(
        data,
        np.concatenate([known(part) for part in parts]) if lacks else None,
        np.concatenate([damage(part) for part in parts]) if hurt else None,
    )


def known(column: Column) -> BoolArray:
    """Return where a column has values."""
    return np.ones(len(column), bool) if column.valid is None else column.valid


def damage(column: Column) -> BoolArray:
    """Return where a column was damaged."""
    return np.zeros(len(column), bool) if column.damaged is None else column.damaged


def part_of(column: Column, events: slice) -> Column:
    """Return a range of a column."""
    return chosen(column, events)


def chosen(column: Column, events: slice | IntArray) -> Column:
    """Return some rows of a column."""
    return Column(
        column.data[events],
        None if column.valid is None else column.valid[events],
        None if column.damaged is None else column.damaged[events],
    )
