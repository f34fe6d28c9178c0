"""Rows of blocks: put together to a column, and looked through for rows that hold nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.base import Block, Reader
from cubeengine.types import BoolArray, Column, IntArray

READ_NBYTES = 4 * 2**20
"""Block size of reads into memory: fits the cache together with what it is copied to."""

LOOK_ELEMENTS = 2**15
"""Elements that are looked at together: a look takes at most some 10 bytes for each."""

FIRST_LOOK = 8
"""Elements of the first look at a row: most rows show at once that they hold something."""


def read_column(reader: Reader, rows: IntArray, elements: IntArray | None = None) -> Column:
    """Read rows in any order.

    Parameters
    ----------
    rows : (n,) int64
        Rows of storage, any order, repeats allowed.
    elements : (m,) int64, optional
        Numbers of the flattened elements of a row that are wanted, any order. Default: all of them.

    Returns
    -------
    Column
        One value per requested row, of the reader's shape, or of shape (m,); `valid` only where a row is
        missing, `damaged` only where one is.
    """
    order = None if len(rows) < 2 or bool((rows[1:] >= rows[:-1]).all()) else np.argsort(rows, kind="stable")
    data = np.empty((len(rows), *(reader.shape if elements is None else elements.shape)), reader.dtype)
    flat = data.reshape(len(rows), -1) if data.size else data.reshape(len(rows), data[:1].size)
    span, chosen = _span(elements)
    valid: BoolArray | None = None
    damaged: BoolArray | None = None
    ascending = rows if order is None else rows[order]
    for block in reader.blocks(ascending, elements=span, block_nbytes=READ_NBYTES):
        target = slice(block.start, block.stop) if order is None else order[block.start : block.stop]
        flat[target] = taken(block)[:, chosen]
        if block.valid is not None:
            valid = np.ones(len(rows), bool) if valid is None else valid
            valid[target] = block.valid
        if block.damaged is not None and block.damaged.any():
            damaged = np.zeros(len(rows), bool) if damaged is None else damaged
            damaged[target] = block.damaged
    return Column(data, valid, damaged)


def _span(elements: IntArray | None) -> tuple[slice, slice | IntArray]:
    """Return the range of elements that is read, and which of these are wanted."""
    if elements is None:
        return slice(None), slice(None)
    if not len(elements):
        return slice(0, 0), slice(None)
    first = int(elements.min())
    return slice(first, int(elements.max()) + 1), elements - first


def taken(block: Block) -> NDArray[Any]:
    """Return the rows of a block in the order they were asked for; no copy where that is how they lie."""
    n = block.stop - block.start
    if n == len(block.data) and bool((block.take == np.arange(n)).all()):
        return block.data
    rows: NDArray[Any] = block.data[block.take]
    return rows


def has_finite(column: Column) -> BoolArray:
    """Return where a column has a value: where it is not missing, and some element is finite.

    Returns
    -------
    (n_events,) bool
    """
    there = np.ones(len(column), bool) if column.valid is None else column.valid.copy()
    if column.data.dtype.kind == "f" and column.data.size:
        there &= ~without_value(column.data.reshape(len(column), -1))
    return there


def without_value(data: NDArray[Any]) -> BoolArray:
    """Find the rows of floats that have no finite element; see `rows_of_only`."""
    return rows_of_only(data, _is_not_finite)


def _is_not_finite(data: NDArray[Any]) -> BoolArray:
    found: BoolArray = ~np.isfinite(data)
    return found


def rows_of_only(data: NDArray[Any], test: Callable[[NDArray[Any]], BoolArray]) -> BoolArray:
    """Find the rows all of whose elements pass a test, looking at few elements of those that do not.

    Parameters
    ----------
    data : (n, n_elements) array
        Rows; those without elements pass.
    test : callable
        Takes some elements of some rows, and returns which of them pass.

    Returns
    -------
    (n,) bool

    Notes
    -----
    Memory: about 10 bytes for each of `LOOK_ELEMENTS` elements, and for each row.
    """
    rows, seen, wanted = np.arange(len(data)), 0, FIRST_LOOK
    while len(rows) and seen < data.shape[1]:
        stop = seen + max(min(wanted, LOOK_ELEMENTS // len(rows)), 1)
        rows = rows[test(data[rows, seen:stop]).all(axis=1)]
        seen, wanted = stop, LOOK_ELEMENTS
    only = np.zeros(len(data), bool)
    only[rows] = True
    return only
