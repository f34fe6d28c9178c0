"""Times, event codes and names that the makers of xtc2 runs share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

EXPERIMENT, RUN = "xpptest24", 31
EPICS_START = 1_078_500_000
"""Seconds of the first event, counted from 1990: 2024-03-05."""

LASER_ON, LASER_OFF, XRAY = 90, 91, 137


def packed_times(n: int, *, first: int = 0, rate: int = 120) -> NDArray[np.uint64]:
    """Return n packed times at a fixed rate, from the `first` tick on."""
    seconds, ticks = np.divmod(np.arange(first, first + n, dtype=np.uint64), np.uint64(rate))
    return (seconds + np.uint64(EPICS_START) << np.uint64(32)) | ticks * np.uint64(10**9 // rate)


def event_codes(*codes: NDArray[np.bool_] | tuple[int, NDArray[np.bool_]]) -> NDArray[np.uint16]:
    """Return (n, 18) words with bit n % 16 of word n // 16 set where event code n was sent."""
    words = np.zeros((len(codes[0][1]), 18), np.uint16)
    for code, sent in codes:
        words[:, code // 16] |= sent.astype(np.uint16) << np.uint16(code % 16)
    return words


class Clock:
    """Gives rising times."""

    def __init__(self) -> None:
        self.tick = 0

    def now(self) -> int:
        self.tick += 1
        return int(packed_times(1, first=self.tick - 1)[0])
