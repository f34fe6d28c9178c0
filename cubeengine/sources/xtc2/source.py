"""A run of raw files as a source of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import FieldNotFound, SourceFormatError, SpecError
from cubeengine.marks import LEADING_ZEROS, Marks, check_marks, declared_values, marks_of
from cubeengine.sources.base import Reader
from cubeengine.sources.columns import read_column
from cubeengine.sources.leading import leading_zeros
from cubeengine.sources.pieces import with_marks, without_rows
from cubeengine.sources.selection import rows_of
from cubeengine.sources.times import EPICS_EPOCH, to_datetime
from cubeengine.sources.xtc2.catalogue import Catalogue, make_catalogue
from cubeengine.sources.xtc2.datagrams import StreamEvents
from cubeengine.sources.xtc2.events import build_events
from cubeengine.sources.xtc2.run_files import find_run
from cubeengine.sources.xtc2.stream import Stream, open_stream
from cubeengine.sources.xtc2.survey import look
from cubeengine.types import Announced, Column, DetectorInfo, FieldInfo, FieldKind, InputFile, IntArray, RunId

_HARMLESS_NBYTES = 256 * 2**20
"""Columns may be larger than the files by this."""


def open_xtc2(paths: Path | Sequence[Path], run: RunId | None = None) -> Xtc2Source:
    """Open a run of raw files: reads where events lie, transitions, and a few events of every stream.

    Parameters
    ----------
    paths : Path, or sequence of Path
        Files, or folders of files.
    run : RunId, optional
        The run that is wanted, where there are several.

    Raises
    ------
    SourceFormatError
        If there is no run, or more than one, or a file is not what it should be.
    """
    files = find_run(paths, run)
    streams = tuple(open_stream(stream) for stream in files.streams)
    table = build_events([stream.events.timestamp for stream in streams])
    events = tuple(map(StreamEvents.of, streams, table.datagrams))
    surveys = [look(stream, its) for stream, its in zip(streams, events, strict=True)]
    catalogue = make_catalogue(streams, surveys, len(table.timestamps))
    return Xtc2Source(files.run_id, streams, events, table.timestamps, catalogue)


def _announced(stream: Stream) -> Announced:
    there = len(stream.events)
    what = f"stream {stream.number} ({stream.files[0].path.name})"
    cause = "still being written, or cut off: copy it again"
    return Announced(what, there + len(stream.left_off), there, f"{'; '.join(stream.notes)}; {cause}")


@dataclass(frozen=True, eq=False)
class Xtc2Source:
    """Events of one run of raw files; rows of storage are event numbers."""

    run_id: RunId | None  # experiment and run number, as the files say
    streams: tuple[Stream, ...]  # what was found in each stream
    events: tuple[StreamEvents, ...]  # the run's events in each of them
    timestamps: NDArray[np.uint64]  # (n_events,) uint64: Packed event times, rising
    catalogue: Catalogue  # all fields
    marks: Mapping[str, Marks] = field(default_factory=dict)
    """Declared marks of missing values: field -> marks."""
    rows: IntArray | None = field(init=False, default=None)  # rows are in time order
    _readers: dict[str, Reader] = field(default_factory=dict, repr=False)
    _matched: dict[int, tuple[IntArray, tuple[StreamEvents, ...]]] = field(default_factory=dict, repr=False)

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """All fields by name."""
        return self.catalogue.fields

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Every file that events or values are read from: small-data files and files of events."""
        files = [file for stream in self.streams for file in (*stream.index_files, *stream.files)]
        return tuple(dict.fromkeys(files))

    @cached_property
    def announced(self) -> tuple[Announced, ...]:
        """How many events smd files announce and how many are there: of the run, then of streams."""
        lacking = [stream for stream in self.streams if len(stream.left_off)]
        if not lacking and not any(stream.index_files for stream in self.streams):
            return ()
        known = np.unique(np.concatenate([self.timestamps, *(stream.left_off for stream in lacking)]))
        why = f"{len(lacking)} of {len(self.streams)} streams lack events" if lacking else ""
        return (
            Announced("raw data", len(known), self.n_events, why if len(known) > self.n_events else ""),
            *map(_announced, lacking),
        )

    @property
    def n_events(self) -> int:
        """Events of the run: the times at which any stream has one."""
        return len(self.timestamps)

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""
        return to_datetime(self.timestamps, EPICS_EPOCH)

    def read(self, name: str, events: IntArray | slice | None = None) -> Column:
        """Read a field for some events (numbers in time order), or for all; run-level fields whole.

        Raises
        ------
        FieldNotFound
            If there is no such field.
        SpecError
            If the field has no value per event of one shape.
        SourceFormatError
            If it cannot be read.
        """
        if self._info(name).kind is FieldKind.RUN:
            return Column(self.catalogue.run_value(name))
        rows = rows_of(events, None, self.n_events)
        self._check_size(name, min(len(rows), self.n_events))
        return read_column(self.reader(name), rows)

    def reader(self, name: str) -> Reader:
        """Return the reader of an event field, to be used by tasks.

        Raises
        ------
        FieldNotFound, SpecError
            As for `read`; SpecError also for what is once per run.
        """
        self._refuse(self._info(name))
        if name not in self._readers:
            reader = self._plain_reader(name)
            if self._zeros_first(name):
                absent = np.array([[0, leading_zeros(reader, self.n_events)]])
                reader = without_rows(reader, absent, self.n_events)
            self._readers[name] = self._marked(name, reader)
        return self._readers[name]

    def matched_reader(self, name: str, match: IntArray) -> Reader:
        """Return a reader whose row i is event `match[i]` of the field; missing where that is -1.

        Its tables hold those rows only: no reader stands around another, unless marks are declared.

        Parameters
        ----------
        name : str
        match : (n_rows,) int64
            Not to be changed afterwards: what is made of it is kept.
        """
        self._refuse(self._info(name))
        if self._zeros_first(name):
            zeros = leading_zeros(self._plain_reader(name), self.n_events)
            match = np.where(match < zeros, -1, match)
        if name in self.catalogue.held:
            return self._marked(name, self.catalogue.held[name].reader(self.timestamps).matched(match))
        return self._marked(name, self.catalogue.event_fields[name].reader(self.for_events(match)))

    def for_events(self, match: IntArray) -> tuple[StreamEvents, ...]:
        """Return the streams' tables for other rows, where `match` gives the event of each, or -1."""
        kept = self._matched.get(id(match))
        if kept is None or kept[0] is not match:
            self._matched.clear()  # one join has one match
            kept = match, tuple(events.matched(match) for events in self.events)
            self._matched[id(match)] = kept
        return kept[1]

    def leading_zero_rows(self, name: str) -> int:
        """Count the events of zeros before an event field's first other value."""
        self._refuse(self._info(name))
        return leading_zeros(self._plain_reader(name), self.n_events)

    def coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Return none: raw files have no coordinates of elements."""
        self._info(name)
        return {}

    def detector(self, name: str) -> DetectorInfo | None:
        """Describe the detector of an event field; None for scan and EPICS variables."""
        self._info(name)
        return self.catalogue.detector(name)

    def aligned(self, group: str) -> Xtc2Source:
        """Raise SpecError: raw files have no align groups."""
        raise SpecError(f"{self._where}: has no align group {group!r}; only smallData files have them")

    def with_missing(self, marks: Mapping[str, Marks]) -> Xtc2Source:
        """Return the same source with more values counted as missing: field -> marks."""
        check_marks(marks, self.fields, self._where)
        return replace(self, marks={**self.marks, **marks}, _readers={}, _matched={})

    def _zeros_first(self, name: str) -> bool:
        return LEADING_ZEROS in marks_of(self.marks.get(name, ()))

    def _marked(self, name: str, reader: Reader) -> Reader:
        return with_marks(reader, declared_values(self.marks.get(name, ())))

    def _check_size(self, name: str, n_events: int) -> None:
        """Raise if a column is much larger than all files: few events have it, or a shape is wrong."""
        wanted = self.fields[name].event_nbytes * n_events
        there = sum(file.size for file in self.files)
        if wanted > there + _HARMLESS_NBYTES:
            raise SourceFormatError(
                f"{self._where}: field {name!r} of {n_events:,} events takes {wanted:,} bytes, but all files "
                f"have {there:,}: most events lack it, or a file is damaged; read fewer events at a time"
            )

    def _plain_reader(self, name: str) -> Reader:
        if name in self.catalogue.held:
            return self.catalogue.held[name].reader(self.timestamps)
        return self.catalogue.event_fields[name].reader(self.events)

    @property
    def _where(self) -> str:
        first = self.streams[0].files[0].path if self.streams else ""
        return f"raw data of {self.run_id or first}"

    def _info(self, name: str) -> FieldInfo:
        if name not in self.fields:
            raise FieldNotFound(name, self._where, list(self.fields))
        return self.fields[name]

    def _refuse(self, info: FieldInfo) -> None:
        """Raise for what is not one value of one shape per event."""
        if info.kind is not FieldKind.EVENT:
            reason = "it is once per run" if info.kind is FieldKind.RUN else info.note
            raise SpecError(f"{self._where}: field {info.name!r} is not one value per event: {reason}")
