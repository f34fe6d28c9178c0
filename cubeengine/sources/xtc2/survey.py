"""A look at some events of every stream: what they carry decides which fields a run has."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.datagrams import OpenEvents, StreamEvents
from cubeengine.sources.xtc2.dgram import MAX_DEPTH
from cubeengine.sources.xtc2.faults import fault
from cubeengine.sources.xtc2.gather import WINDOW_NBYTES
from cubeengine.sources.xtc2.names import MAX_RANK, Names, Schema
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.sources.xtc2.walk import VARYING, survey
from cubeengine.sources.xtc2.window import DESCRIPTOR, N_STATE
from cubeengine.types import IntArray

LOOK_ALL = 2048
"""Events of a stream that are all looked at."""
LOOK_FIRST, LOOK_SPACED = 256, 768
"""Of longer streams, these; the spaced ones only if something that was announced has not come by then."""

SILENT_DETECTORS = ("epics", "epicsinfo", "scan", "runinfo", "chunkinfo", "smdinfo")
SILENT_ALGS = ("config",)
"""What events do not carry: it comes with transitions."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one NamesId in the events of its Configure."""

    count: int = 0  # contributions, damaged ones included
    shapes: Mapping[int, tuple[int, ...] | None] = field(default_factory=dict)
    """Number of a field -> its shape, of arrays in whole contributions; None where it varies."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen of a stream."""

    seen: tuple[Mapping[int, Seen], ...]  # per Configure: NamesId -> what was seen
    n_looked: int  # events that were looked at


def look(stream: Stream, events: StreamEvents) -> Survey:
    """Look at the first events of a stream, and at more of them if something is still to come.

    Raises
    ------
    SourceFormatError
        If all of these contradict themselves, or a file cannot be read.
    """
    n = len(stream.events)
    tallies = [_Tally.of(schema) for schema in stream.schemas]
    wanted = np.arange(n if n <= LOOK_ALL else LOOK_FIRST)
    _look_at(wanted, events, tallies)
    if n > LOOK_ALL and any(tally.waiting for tally in tallies):
        more = np.unique(np.linspace(LOOK_FIRST, n - 1, LOOK_SPACED).astype(np.int64))
        _look_at(more, events, tallies)
        wanted = np.append(wanted, more)
    return Survey(tuple(tally.seen() for tally in tallies), len(wanted))


def _look_at(numbers: IntArray, events: StreamEvents, tallies: list[_Tally]) -> None:
    schema = events.schema.load()[numbers]
    for which, tally in enumerate(tallies):
        with ExitStack() as stack:
            tally.add(numbers[schema == which], OpenEvents(events, stack))


@dataclass(frozen=True, slots=True, eq=False)
class _Tally:
    """Counts and shapes of the contributions of one Configure; see `walk.survey`."""

    names: tuple[Names, ...]
    keys: IntArray
    first_array: IntArray
    arrays: IntArray
    shapes: IntArray
    counts: IntArray

    @classmethod
    def of(cls, schema: Schema) -> _Tally:
        names = tuple(sorted(schema.names.values(), key=lambda names: names.key))
        arrays = [(name.itemsize, name.rank, 0) for block in names for name in block.fields if name.rank]
        return cls(
            names,
            np.array([block.key for block in names], np.int64),
            np.array([0, *accumulate(block.n_arrays for block in names)]),
            np.array(arrays, np.int64).reshape(-1, 3),
            np.zeros((len(arrays), MAX_RANK), np.int64),
            np.zeros((len(names), 2), np.int64),
        )

    @property
    def waiting(self) -> bool:
        """Whether something has not come that events usually carry."""
        return any(
            count == 0 and block.detector not in SILENT_DETECTORS and block.alg not in SILENT_ALGS
            for block, count in zip(self.names, self.counts[:, 0].tolist(), strict=True)
        )

    def add(self, numbers: IntArray, opened: OpenEvents) -> None:
        """Look at datagrams; those that contradict themselves are left for the reading to complain of.

        Raises
        ------
        SourceFormatError
            If all of them do.
        """
        places = opened.places(numbers)
        state, stack = np.zeros(N_STATE, np.int64), np.zeros((MAX_DEPTH, 2), np.int64)
        state[DESCRIPTOR] = -1
        window: NDArray[np.uint8] = np.empty(WINDOW_NBYTES, np.uint8)
        tables = self.keys, self.first_array, self.arrays, self.shapes, self.counts
        first, faults = 0, []
        while first < len(places):
            first += survey(state, window, stack, places[first:], *tables)
            if first < len(places):
                number = int(numbers[first])
                faults.append(fault(opened.path(number), state, f"event datagram {number:,} of the stream"))
                first += 1
        if faults and len(faults) == len(places):
            raise faults[0]

    def seen(self) -> dict[int, Seen]:
        """Return what was seen so far."""
        return {block.key: self._seen(nth, block) for nth, block in enumerate(self.names)}

    def _seen(self, nth: int, block: Names) -> Seen:
        count, whole = self.counts[nth].tolist()
        if not whole:
            return Seen(count)
        arrays = [number for number, name in enumerate(block.fields) if name.rank]
        rows = zip(arrays, range(self.first_array[nth], self.first_array[nth + 1]), strict=True)
        return Seen(count, {number: self._shape(row) for number, row in rows})

    def _shape(self, row: int) -> tuple[int, ...] | None:
        if self.arrays[row, 2] == VARYING:
            return None
        return tuple(self.shapes[row, : self.arrays[row, 1]].tolist())
