"""Which events are looked at: all, or a quick try."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.schema.calls import check_whole_number
from cubeengine.types import BoolArray


@dataclass(frozen=True, slots=True)
class Sample:
    """Which events are looked at: all, or a quick try."""

    events: int | None = None  # only the first so many
    every: int | None = None  # only every n-th of them

    def __post_init__(self) -> None:
        for name, value in (("events", self.events), ("every", self.every)):
            check_whole_number(value, name)
            if value is not None and value < 1:
                raise SpecError(f"{name} must be at least 1, got {value}")

    def mask(self, events: slice) -> BoolArray:
        """Tell which of a range of events are looked at."""
        numbers = np.arange(events.start, events.stop)
        chosen: BoolArray = numbers % (self.every or 1) == 0
        if self.events is not None:
            chosen &= numbers < self.events
        return chosen

    def __str__(self) -> str:
        first = "" if self.events is None else f"{self.events:,} events" if self.events > 1 else "event"
        every = "" if self.every in (None, 1) else f"every {_ordinal(self.every or 1)} event"
        return ", ".join([f"the first {first}"] * bool(first) + [every] * bool(every))


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
