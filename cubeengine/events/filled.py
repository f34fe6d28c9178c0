"""Integers and booleans of which some are missing, as floats with NaN: no filler is taken for a value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.types import Column

EXACT = 2**53
"""Integers up to this size are the same as float64."""


def lacks(column: Column) -> bool:
    """Return whether a column has fillers: where integers or booleans are missing."""
    return column.valid is not None and not bool(column.valid.all())


def is_exact(column: Column) -> bool:
    """Return whether float64 holds all values that are there."""
    if column.data.dtype.itemsize < 8 or column.data.dtype.kind not in "iu":
        return True
    there = column.data if column.valid is None else column.data[column.valid]
    return not there.size or max(abs(int(there.min())), abs(int(there.max()))) <= EXACT


def nan_filled(name: str, column: Column) -> NDArray[Any]:
    """Return the values of a field: as they are where all are there, else as float64 with NaN.

    Parameters
    ----------
    name : str
        The field, for messages.
    column : Column
        Its values.

    Returns
    -------
    (n_events, ...) array
        Of the column's type, or float64.

    Raises
    ------
    SpecError
        If values are missing and others are beyond 2**53, which float64 does not hold.
    """
    if not lacks(column):
        return column.data
    missing = np.zeros(len(column), bool) if column.valid is None else ~column.valid
    if not is_exact(column):
        raise SpecError(
            f"field {name!r} is missing in {np.count_nonzero(missing):,} of {len(column):,} events, and "
            "other events have numbers beyond 2**53, which float64 cannot hold; .read(missing='mask') "
            f"keeps {column.data.dtype} and marks in `valid` the events that have a value"
        )
    filled = column.data.astype(np.float64)
    filled[missing] = np.nan
    return filled
