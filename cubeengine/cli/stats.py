"""What one needs to know of a scalar to choose cuts: range, median, parts that are missing or zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cubeengine.types import Column, FieldInfo, FieldKind


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """Summary of one value per event.

    Attributes
    ----------
    min, median, max : float or int, or None
        Of the values that are there; None where there are none.
    missing, zero : float
        Parts of all events, 0 to 1: without a value (NaN included), and with the value 0.
    """

    min: float | int | None
    median: float | None
    max: float | int | None
    missing: float
    zero: float


def has_stats(info: FieldInfo) -> bool:
    """Return whether a field has one number per event."""
    return info.kind is FieldKind.EVENT and not info.shape and info.dtype.kind in "biuf"


def column_stats(column: Column) -> ColumnStats:
    """Summarise a column of one number per event.

    Examples
    --------
    >>> column_stats(Column(np.array([0.0, np.nan, 3.0, 5.0])))
    ColumnStats(min=0.0, median=3.0, max=5.0, missing=0.25, zero=0.25)
    """
    there = np.ones(len(column), bool) if column.valid is None else column.valid
    if column.data.dtype.kind == "f":
        there = there & ~np.isnan(column.data)
    values = column.data[there]
    n_events = max(len(column), 1)
    missing, zero = 1 - len(values) / n_events, int(np.count_nonzero(values == 0)) / n_events
    if not len(values):
        return ColumnStats(None, None, None, missing if len(column) else 0.0, zero)
    median = float(np.median(values))
    return ColumnStats(values.min().item(), median, values.max().item(), missing, zero)
