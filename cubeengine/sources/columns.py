"""Blocks put together to a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.base import Block, Reader
from cubeengine.types import BoolArray, Column, IntArray

READ_NBYTES = 4 * 2**20
"""Block size of reads into memory: fits the cache together with what it is copied to."""


def read_column(reader: Reader, rows: IntArray) -> Column:
    """Read rows in any order.

    Parameters
    ----------
    rows : (n,) int64
        Rows of storage, any order, repeats allowed.

    Returns
    -------
    Column
        One value per requested row; `valid` only where a row is missing, `damaged` only where one is.
    """
    order = None if len(rows) < 2 or bool((rows[1:] >= rows[:-1]).all()) else np.argsort(rows, kind="stable")
    data = np.empty((len(rows), *reader.shape), reader.dtype)
    flat = data.reshape(len(rows), -1) if data.size else data.reshape(len(rows), data[:1].size)
    valid: BoolArray | None = None
    damaged: BoolArray | None = None
    ascending = rows if order is None else rows[order]
    for block in reader.blocks(ascending, elements=slice(None), block_nbytes=READ_NBYTES):
        target = slice(block.start, block.stop) if order is None else order[block.start : block.stop]
        flat[target] = taken(block)
        if block.valid is not None:
            valid = np.ones(len(rows), bool) if valid is None else valid
            valid[target] = block.valid
        if block.damaged is not None and block.damaged.any():
            damaged = np.zeros(len(rows), bool) if damaged is None else damaged
            damaged[target] = block.damaged
    return Column(data, valid, damaged)


def taken(block: Block) -> NDArray[Any]:
    """Give the rows of a block in the order they were asked for; no copy where that is how they lie."""
    n = block.stop - block.start
    if n == len(block.data) and bool((block.take == np.arange(n)).all()):
        return block.data
    rows: NDArray[Any] = block.data[block.take]
    return rows
