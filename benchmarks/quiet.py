"""Keeps other work on the machine out of the figures: waits for it to end, notices it, tries again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

IDLE_SHARE = 0.05
"""Others use less of all cores than this when the machine counts as idle."""

DISTURBED_SHARE = 0.08
"""A measurement during which others used more of all cores than this is made again."""

TRIES = 4
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Usage:
    """Processor seconds so far: of everyone, and of this process and its finished children."""

    when: float
    everyone: float
    own: float

    @classmethod
    def now(cls) -> _Usage:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        ticks = [int(value) for value in fields]
        busy = sum(ticks) - ticks[3] - ticks[4]  # without idle and waiting for disk
        return cls(time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]))

    def others_since(self, before: _Usage) -> float:
        """Return the share of all cores that others used."""
        spent = (self.everyone - before.everyone) - (self.own - before.own)
        return max(spent, 0.0) / ((self.when - before.when) * (os.cpu_count() or 1))


def undisturbed(make: Callable[[], T], *, patience: float) -> tuple[T, float]:
    """Measure while others leave the machine alone.

    Parameters
    ----------
    make : callable
        Measures once.
    patience : float
        Seconds to wait for an idle machine, before each of at most `TRIES` tries; 0 takes it as it is.

    Returns
    -------
    object, float
        The least disturbed one, and the share of all cores that others used meanwhile.
    """
    tries: list[tuple[T, float]] = []
    while len(tries) < (TRIES if patience else 1):
        _wait(patience)
        before = _Usage.now()
        measurement = make()
        tries.append((measurement, _Usage.now().others_since(before)))
        if tries[-1][1] <= DISTURBED_SHARE:
            break
    return min(tries, key=lambda one: one[1])


def _wait(patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = _Usage.now()
        time.sleep(_PAUSE_SECONDS)
        if _Usage.now().others_since(before) <= IDLE_SHARE:
            return
