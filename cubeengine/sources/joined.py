"""smallData and raw data of one run as one source: raw values at the events of smallData, joined by time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import FieldNotFound, SourceFormatError
from cubeengine.marks import Marks, check_marks
from cubeengine.schema.texts import counted
from cubeengine.sources.base import Reader, Source, announced_by, doubtful_marks_in
from cubeengine.sources.columns import read_column
from cubeengine.sources.pieces import MatchedReader
from cubeengine.sources.selection import rows_of
from cubeengine.types import Announced, Column, DetectorInfo, FieldInfo, FieldKind, InputFile, IntArray

RAW = "xtc:"
"""Stands before the name of a raw field where smallData has a field of that name."""


@runtime_checkable
class Matching(Protocol):
    """A source that serves the events of another one itself, without a reader around its reader."""

    def matched_reader(self, name: str, match: IntArray) -> Reader:
        """Return a reader whose row i is row `match[i]` of the field; missing where that is -1."""


@dataclass(frozen=True, slots=True)
class Join:
    """How many events of two sources are the same."""

    matched: int  # events of smallData that have raw data
    only_smalldata: int  # events of smallData that have none
    only_raw: int  # raw events that smallData does not have
    ambiguous: int = 0
    """Those `only_smalldata` that share their time with other events, so that it is not known which raw event
    is theirs.
    """

    @property
    def facts(self) -> dict[str, int]:
        """Return the counts as plain data."""
        counts = {"matched": self.matched, "only_smalldata": self.only_smalldata, "only_raw": self.only_raw}
        return counts | ({"ambiguous": self.ambiguous} if self.ambiguous else {})

    def __str__(self) -> str:
        unclear = f", {self.ambiguous:,} of them because several have the same time" if self.ambiguous else ""
        return (
            f"{self.matched:,} events in smallData and raw data, {self.only_smalldata:,} only in "
            f"smallData{unclear}, {self.only_raw:,} only in raw data"
        )


def match_times(wanted: NDArray[np.uint64], there: NDArray[np.uint64]) -> tuple[IntArray, Join]:
    """Find the event of the same time.

    Where several events of both sides share a time, and equally many of each, they belong together in
    their order; where their numbers differ, it is not known which is which, and none is matched. One
    event that is there serves all that want its time.

    Parameters
    ----------
    wanted : (n,) uint64, rising
    there : (m,) uint64, rising

    Returns
    -------
    (n,) int64
        Event of `there`; -1 where there is none.
    Join
        What matched.
    """
    first, n_there = _places(there, wanted)
    own_first, n_own = _places(wanted, wanted)
    clear = (n_there == 1) | (n_there == n_own)
    place = np.where(n_there == 1, 0, np.arange(len(wanted)) - own_first)
    match = np.where(clear & (n_there > 0), first + place, -1)
    found = match[match >= 0]
    used = int(np.count_nonzero(np.diff(found))) + bool(len(found))  # they rise, as the times do
    ambiguous = int(np.count_nonzero((n_there > 0) & ~clear))
    return match, Join(len(found), len(wanted) - len(found), len(there) - used, ambiguous)


def _places(times: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> tuple[IntArray, IntArray]:
    """Return the first place of each wanted time among rising times, and how often it is there."""
    first = np.arange(len(times)) if times is wanted else np.searchsorted(times, wanted, "left")
    if len(times) and bool((times[1:] > times[:-1]).all()):
        return first, (times[np.minimum(first, len(times) - 1)] == wanted).astype(np.int64)
    first = np.searchsorted(times, wanted, "left")
    return first, np.searchsorted(times, wanted, "right") - first


def join_sources(smalldata: Source, raw: Source) -> JoinedSource:
    """Join two sources of one run by the time of their events.

    Raises
    ------
    SourceFormatError
        If smallData has events, and none of them has the time of a raw one.
    """
    event, join = match_times(smalldata.timestamps, raw.timestamps)
    if smalldata.n_events and not join.matched:
        raise SourceFormatError(_no_match(smalldata, raw))
    raw_rows = event if raw.rows is None else np.where(event >= 0, raw.rows[event], -1)
    if smalldata.rows is None:
        return JoinedSource(smalldata, raw, raw_rows, join)
    match = np.full(int(smalldata.rows.max(initial=-1)) + 1, -1)
    match[smalldata.rows] = raw_rows
    return JoinedSource(smalldata, raw, match, join)


@dataclass(frozen=True, eq=False)
class JoinedSource:
    """Events of smallData, with the raw fields of the same time beside its own.

    Attributes
    ----------
    smalldata, raw : Source
        The two; see `join_sources`.
    match : (n_rows,) int64
        Row of the raw data for each row of smallData; -1 where there is none.
    join : Join
        How many events matched.
    """

    smalldata: Source
    raw: Source
    match: IntArray
    join: Join
    _readers: dict[str, Reader] = field(default_factory=dict, repr=False)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Files of both, those of smallData first."""
        return tuple(dict.fromkeys([*self.smalldata.files, *self.raw.files]))

    @cached_property
    def fields(self) -> Mapping[str, FieldInfo]:
        """Fields of both; a raw one whose name smallData has too is `xtc:<name>`."""
        raw = {name: self._as_joined(name, self.raw.fields[own]) for name, own in self.raw_names.items()}
        return {**self.smalldata.fields, **raw}

    @cached_property
    def raw_names(self) -> Mapping[str, str]:
        """Raw fields: name here -> name in the raw data."""
        taken = self.smalldata.fields
        return {(RAW + name if name in taken else name): name for name in self.raw.fields}

    def _as_joined(self, name: str, info: FieldInfo) -> FieldInfo:
        n_rows = self.n_events if info.kind is FieldKind.EVENT else info.n_rows
        return replace(info, name=name, n_rows=n_rows)

    @property
    def announced(self) -> tuple[Announced, ...]:
        """How many events the files of both announce, and how many are read."""
        return (*announced_by(self.smalldata), *announced_by(self.raw))

    @property
    def n_events(self) -> int:
        """Events of smallData."""
        return self.smalldata.n_events

    @property
    def timestamps(self) -> NDArray[np.uint64]:
        """(n_events,) packed times of smallData, rising."""
        return self.smalldata.timestamps

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""
        return self.smalldata.time

    @property
    def rows(self) -> IntArray | None:
        """(n_events,) row of smallData of every event."""
        return self.smalldata.rows

    def read(self, name: str, events: IntArray | slice | None = None) -> Column:
        """Read a field for some events of smallData, or for all; run-level fields whole."""
        if name not in self.raw_names:
            return self._of_smalldata(name).read(name, events)
        if self.fields[name].kind is not FieldKind.EVENT:
            return self.raw.read(self.raw_names[name])
        return read_column(self.reader(name), rows_of(events, self.rows, self.n_events))

    def reader(self, name: str) -> Reader:
        """Return the reader of an event field, whose rows are those of smallData."""
        if name not in self.raw_names:
            return self._of_smalldata(name).reader(name)
        if name not in self._readers:
            self._readers[name] = self._matched(self.raw_names[name])
        return self._readers[name]

    def _matched(self, name: str) -> Reader:
        if isinstance(self.raw, Matching):
            return self.raw.matched_reader(name, self.match)
        return MatchedReader(self.raw.reader(name), self.match)

    def leading_zero_rows(self, name: str) -> int:
        """Count the rows of zeros before a field's first other value."""
        raw = self.raw_names.get(name)
        if raw is None:
            return self._of_smalldata(name).leading_zero_rows(name)
        return self.raw.leading_zero_rows(raw)

    def coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Return the coordinates known for the element dimensions of a field."""
        raw = self.raw_names.get(name)
        return self._of_smalldata(name).coordinates(name) if raw is None else self.raw.coordinates(raw)

    def detector(self, name: str) -> DetectorInfo | None:
        """Describe the detector of a raw field; smallData does not know its detectors."""
        raw = self.raw_names.get(name)
        return self._of_smalldata(name).detector(name) if raw is None else self.raw.detector(raw)

    def aligned(self, group: str) -> JoinedSource:
        """Return the events of an align group of smallData, joined with the raw ones of the same time."""
        return join_sources(self.smalldata.aligned(group), self.raw)

    def doubtful_marks(self, name: str) -> Mapping[int, np.dtype[Any]]:
        """Return the numbers that may mean missing in a field, or be data, and the types they are of."""
        raw = self.raw_names.get(name)
        source, own = (self._of_smalldata(name), name) if raw is None else (self.raw, raw)
        return doubtful_marks_in(source, own)

    def with_missing(self, marks: Mapping[str, Marks]) -> JoinedSource:
        """Return the same source with more values counted as missing: field -> marks."""
        check_marks(marks, self.fields, "the joined run")
        of_raw = {self.raw_names[name]: mark for name, mark in marks.items() if name in self.raw_names}
        others = {name: mark for name, mark in marks.items() if name not in self.raw_names}
        return replace(
            self,
            smalldata=self.smalldata.with_missing(others) if others else self.smalldata,
            raw=self.raw.with_missing(of_raw) if of_raw else self.raw,
            _readers={},
        )

    def _of_smalldata(self, name: str) -> Source:
        if name not in self.smalldata.fields:
            raise FieldNotFound(name, "the joined run", list(self.fields))
        return self.smalldata


def _no_match(smalldata: Source, raw: Source) -> str:
    """Say what times there are on both sides."""
    return (
        f"no event of {_name(smalldata)} ({_span(smalldata)}) has the time of a raw one in {_name(raw)} "
        f"({_span(raw)}); are they from different runs, or is the smallData from LCLS-I? To read only one "
        "of them, leave the other out"
    )


def _name(source: Source) -> str:
    return str(source.files[0].path) if source.files else "the arrays in memory"


def _span(source: Source) -> str:
    if not source.n_events:
        return "no events"
    first, last = (str(time).replace("T", " ") for time in source.time[[0, -1]].astype("datetime64[s]"))
    return f"{counted(source.n_events, 'event')}, {first} to {last} UTC"
