"""Which datagrams of which streams make an event: those of equal time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import BoolArray, IntArray

Stamps = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class EventTable:
    """The events of a run."""

    timestamps: Stamps  # (n_events,) uint64: Packed times, rising
    datagrams: tuple[IntArray | None, ...]
    """Tuple of (n_events,) int64, or None: Per stream: number of each event's datagram, -1 where the stream
    has none; None where every event's datagram has its number.
    """


def build_events(streams: Sequence[Stamps]) -> EventTable:
    """Join the events of all streams by time: an event is there if any stream has it.

    Parameters
    ----------
    streams : sequence of (n,) uint64, strictly rising

    Notes
    -----
    Memory: 8 bytes per event and stream that differs from the others, beside a few temporary arrays of
    one stream. Cost: O(n_events log n_events) per stream, O(n_events) for streams that are alike.
    """
    union: Stamps = np.zeros(0, np.uint64)
    for stamps in streams:
        union = _union(union, stamps)
    return EventTable(union, tuple(_numbers(union, stamps) for stamps in streams))


def _union(known: Stamps, more: Stamps) -> Stamps:
    if len(known) == 0 or np.array_equal(known, more):
        return more
    new = more[~_found(known, more)]
    # Two rising runs: the stable sort merges them.
    return np.sort(np.concatenate([known, new]), kind="stable") if len(new) else known


def _numbers(events: Stamps, stamps: Stamps) -> IntArray | None:
    if len(stamps) == len(events):  # every time of a stream is an event, so they are all there
        return None
    numbers = np.full(len(events), -1)
    numbers[np.searchsorted(events, stamps)] = np.arange(len(stamps))
    return numbers


def _found(known: Stamps, wanted: Stamps) -> BoolArray:
    """Tell which of the wanted times are known."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: BoolArray = known[place] == wanted
    return found


def compose(numbers: IntArray | None, match: IntArray) -> IntArray:
    """Return each row's datagram, where `match` gives its event, or -1 for none."""
    if numbers is None:
        return match
    if len(numbers) == 0:
        return np.full(len(match), -1)
    return np.where(match >= 0, numbers[match], -1)
