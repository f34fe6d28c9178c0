"""smallData files of both writers with their marks of missing integers in every type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

MARK = -99999

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def wrapped(code: str) -> int:
    """What -99999 is in an integer type, by the arithmetic of two's complement."""
    bits = 8 * int(code[-1])
    value = MARK % 2**bits
    return value - 2**bits if "i" in code and value >= 2 ** (bits - 1) else value


def write_fields(path: Path, fields: Mapping[str, NDArray[Any]], *, lcls2: bool = True) -> Path:
    """Write a file of one writer, 120 events per second."""
    n_events = len(next(iter(fields.values())))
    seconds, nanoseconds = np.divmod(np.arange(n_events) * 8_333_333, 10**9)
    with h5py.File(path, "w") as file:
        file["timestamp" if lcls2 else "event_time"] = (800_000_000 + seconds) << 32 | nanoseconds
        for name, values in fields.items():
            file[name] = values
    return path
