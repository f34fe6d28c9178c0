"""Who writes event values: every detector segment with every algorithm, and the fields of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cubeengine.sources.xtc2.names import Name, Names
from cubeengine.sources.xtc2.reader import Part
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.sources.xtc2.survey import SILENT_DETECTORS, Seen, Survey

GroupName = tuple[str, str]
"""Detector and algorithm."""


@dataclass(frozen=True, slots=True)
class Contributor:
    """One segment of a detector with one algorithm, as one stream has it."""

    stream: int  # number among the streams of the run
    names: tuple[Names | None, ...]  # per Configure of the stream
    seen: tuple[Seen, ...]  # likewise: what its events were seen to hold
    others: tuple[int, ...] = ()  # other streams that send the same, and are left out
    numbers: tuple[Mapping[str, int], ...] = field(init=False)  # per Configure: name of a field -> its number

    def __post_init__(self) -> None:
        numbers = tuple({} if block is None else _numbers(block) for block in self.names)
        object.__setattr__(self, "numbers", numbers)

    @property
    def count(self) -> int:
        """Contributions that were seen."""
        return sum(seen.count for seen in self.seen)

    @property
    def plain_names(self) -> tuple[str, ...]:
        """Names of its fields, in the order of the file."""
        return tuple(dict.fromkeys(plain for numbers in self.numbers for plain in numbers))

    def describe(self, plain: str) -> SegmentField:
        """Describe one of its fields."""
        places = [numbers.get(plain) for numbers in self.numbers]
        names = [
            block.fields[number]
            for block, number in zip(self.names, places, strict=True)
            if block is not None and number is not None
        ]
        shapes = {
            seen.shapes[number]
            for seen, number in zip(self.seen, places, strict=True)
            if number is not None and number in seen.shapes
        }
        shape = () if names[-1].rank == 0 else next(iter(shapes), None)
        return SegmentField(self, names[-1], shape, tuple(places), _problem(self, names, shapes))


@dataclass(frozen=True, slots=True)
class SegmentField:
    """One field of one contributor."""

    contributor: Contributor
    name: Name  # its type and rank
    shape: tuple[int, ...] | None  # its shape; None where it varies or is not known
    places: tuple[int | None, ...]  # per Configure: its number among the fields
    problem: str  # why it is not an array of one shape and type per event; "" where it is

    @property
    def form(self) -> tuple[np.dtype[Any], tuple[int, ...] | None]:
        """Type and shape: what segments must share to be one field."""
        return self.name.dtype, self.shape

    def part(self, stream: int) -> Part:
        """Return how it is found in datagrams; `stream` is the number of its stream for the reader."""
        tables: dict[tuple[tuple[int, int], ...], int] = {}
        layouts, n_rows = np.full((len(self.places), 4), -1), 0
        for row, block, number in zip(layouts, self.contributor.names, self.places, strict=True):
            if block is None or number is None:
                continue
            table = tuple((name.itemsize, name.rank) for name in block.fields[: number + 1])
            if table not in tables:
                tables[table] = n_rows
                n_rows += len(table)
            row[:] = block.key, tables[table], number, any(rank for _, rank in table)
        fields = [pair for table in tables for pair in table]
        return Part(stream, layouts, np.array(fields, np.int64).reshape(-1, 2))


def find_contributors(
    streams: Sequence[Stream], surveys: Sequence[Survey]
) -> Mapping[GroupName, Mapping[int, Contributor]]:
    """Find the segments of every detector and algorithm: (detector, algorithm) -> segment -> contributor.

    Where several streams or several NamesIds have the same, the one that sends most is taken.
    """
    candidates: dict[tuple[GroupName, int], list[Contributor]] = {}
    for number, (stream, survey) in enumerate(zip(streams, surveys, strict=True)):
        for (detector, segment, alg), contributor in _of_stream(number, stream, survey).items():
            if detector not in SILENT_DETECTORS:
                candidates.setdefault(((detector, alg), segment), []).append(contributor)
    groups: dict[GroupName, dict[int, Contributor]] = {}
    for (group, segment), found in candidates.items():
        groups.setdefault(group, {})[segment] = _most(found, streams)
    return {group: dict(sorted(segments.items())) for group, segments in groups.items()}


def _of_stream(number: int, stream: Stream, survey: Survey) -> Mapping[tuple[str, int, str], Contributor]:
    """Find what one stream declares."""
    nobody: tuple[Names | None, Seen] = (None, Seen())
    found: dict[tuple[str, int, str], list[tuple[Names | None, Seen]]] = {}
    for which, (schema, seen) in enumerate(zip(stream.schemas, survey.seen, strict=True)):
        for names in schema.names.values():
            known = found.setdefault(names.group, [nobody] * len(stream.schemas))
            if known[which][0] is None or seen[names.key].count > known[which][1].count:
                known[which] = names, seen[names.key]
    return {
        group: Contributor(number, tuple(n for n, _ in known), tuple(s for _, s in known))
        for group, known in found.items()
    }


def _most(found: Sequence[Contributor], streams: Sequence[Stream]) -> Contributor:
    best = max(found, key=lambda contributor: contributor.count)
    others = tuple(streams[c.stream].number for c in found if c is not best and c.count)
    return Contributor(best.stream, best.names, best.seen, others)


def _numbers(names: Names) -> dict[str, int]:
    """Return the number of every field; the last one where several have the name."""
    return {name.plain: number for number, name in enumerate(names.fields) if not name.is_label}


def _problem(contributor: Contributor, names: Sequence[Name], shapes: set[tuple[int, ...] | None]) -> str:
    if len({(name.dtype, name.rank, name.is_text) for name in names}) > 1:
        return "its type changes from one Configure of the run to the next"
    if not contributor.count:
        return "it sent nothing in the events that were sampled"
    if names[-1].is_text:
        return "it is text"
    if not names[-1].rank:
        return ""
    if not shapes:
        return "no complete value was in the events that were sampled"
    if None in shapes or len(shapes) > 1:
        return "its shape varies from event to event"
    return ""
