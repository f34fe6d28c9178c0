"""The type of frames some of whose elements are missing."""

from __future__ import annotations

from typing import Any

import numpy as np


def with_missing(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the floating type that takes the values of a type, and NaN for what is missing.

    Integers of up to 16 bits become float32 and those of 32 bits float64, both exactly; 64-bit integers
    become float64, which rounds those above 2**53.

    Examples
    --------
    >>> with_missing(np.dtype("uint16")), with_missing(np.dtype("int32"))
    (dtype('float32'), dtype('float64'))
    """
    if dtype.kind == "f":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
