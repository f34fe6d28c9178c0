"""Event time: the facility's packed numbers, and what they are in UTC."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import IntArray

SECOND = 1_000_000_000
"""Nanoseconds of a second."""

UNIX_EPOCH = 0
"""LCLS-I counts seconds from 1970."""

EPICS_EPOCH = 631_152_000
"""LCLS-II counts seconds from 1990-01-01; this is that moment in Unix seconds."""


def pack(seconds: NDArray[Any], nanoseconds: NDArray[Any]) -> NDArray[np.uint64]:
    """Put seconds and nanoseconds in one number, as the facility does.

    Parameters
    ----------
    seconds, nanoseconds : (n,) integers
    """
    high = seconds.astype(np.uint64) << np.uint64(32)
    packed: NDArray[np.uint64] = high | (nanoseconds.astype(np.uint64) & np.uint64(0xFFFFFFFF))
    return packed


def to_datetime(packed: NDArray[np.uint64], epoch: int) -> NDArray[np.datetime64]:
    """Turn packed times into datetime64[ns], UTC.

    The packed number is not linear: a second is 2**32 units of which 10**9 are used.

    Parameters
    ----------
    packed : (n,) uint64
        Seconds << 32 | nanoseconds.
    epoch : int
        Unix time in seconds of the packed number's second 0.

    Returns
    -------
    (n,) datetime64[ns]
    """
    return (to_nanoseconds(packed) + epoch * SECOND).astype("datetime64[ns]")


def to_nanoseconds(packed: NDArray[np.uint64]) -> IntArray:
    """Turn packed times into nanoseconds since the packed number's second 0."""
    seconds, nanoseconds = packed >> np.uint64(32), packed & np.uint64(0xFFFFFFFF)
    return seconds.astype(np.int64) * SECOND + nanoseconds.astype(np.int64)


def from_nanoseconds(nanoseconds: IntArray) -> NDArray[np.uint64]:
    """Pack nanoseconds since second 0; times beyond the packed numbers become the first or last of them."""
    return pack(*np.divmod(np.clip(nanoseconds, 0, 2**32 * SECOND - 1), SECOND))


def time_order(packed: NDArray[np.uint64]) -> IntArray | None:
    """Return the storage row of every event in time order; equal times stay as they lie; None if all do."""
    if len(packed) < 2 or bool((packed[1:] >= packed[:-1]).all()):
        return None
    return np.argsort(packed, kind="stable")
