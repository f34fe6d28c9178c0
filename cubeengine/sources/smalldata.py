"""smallData HDF5 files as a source: LCLS-I, LCLS-II, and LCLS-II joined from parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import FieldNotFound, SourceFormatError, SpecError
from cubeengine.marks import (
    LEADING_ZEROS,
    Marks,
    certain_marks,
    check_marks,
    declared_values,
    doubtful_mark,
    marks_of,
)
from cubeengine.sources.base import Reader
from cubeengine.sources.build import build_reader, check_size
from cubeengine.sources.catalogue import walk
from cubeengine.sources.columns import read_column
from cubeengine.sources.coordinates import element_coordinates
from cubeengine.sources.fields import describe, is_length
from cubeengine.sources.hdf5 import check_filters, library_errors, opened_hdf5
from cubeengine.sources.layouts import TimeLayout, event_groups, find_layout, read_packed
from cubeengine.sources.leading import leading_zeros
from cubeengine.sources.parts import announced_by_parts
from cubeengine.sources.pieces import MatchedReader, converted, with_marks, without_rows
from cubeengine.sources.selection import rows_of
from cubeengine.sources.stored import OpenFiles, Stored
from cubeengine.sources.times import time_order, to_datetime
from cubeengine.types import (
    Announced,
    Column,
    DetectorInfo,
    FieldInfo,
    FieldKind,
    InputFile,
    IntArray,
    memory_dtype,
)


def open_smalldata(path: Path) -> SmallDataSource:
    """Open a smallData file: lists what is in it and reads the event times, nothing else.

    Raises
    ------
    SourceFormatError
        If it is no smallData file, cut off, still being written, or its event times cannot be read.
    """
    with OpenFiles() as files:
        found = walk(path, files)
        layout = find_layout(found, str(path))
        announced = announced_by_parts(found[layout.field], files)
    packed, _ = read_packed(found[layout.field])
    groups = event_groups(found, packed) if layout.groups else {}
    fields = {name: describe(name, stored, found, groups, len(packed)) for name, stored in found.items()}
    rows = time_order(packed)
    packed = packed if rows is None else packed[rows]
    return SmallDataSource(path, layout, found, fields, packed, rows, announced=announced)


@dataclass(frozen=True, eq=False)
class SmallDataSource:
    """Events of one smallData file, or of one of its align groups."""

    path: Path  # the file
    layout: TimeLayout  # LCLS-I or LCLS-II, and where event time is
    stored: Mapping[str, Stored]  # how every dataset lies
    fields: Mapping[str, FieldInfo]  # all fields
    timestamps: NDArray[np.uint64]  # (n_events,) uint64: Packed event times, rising
    rows: IntArray | None
    """(n_events,) int64, or None: Storage row of every event; None where that is 0, 1, 2, ..."""
    group: str = ""  # the align group whose events these are; "" for the run's own
    marks: Mapping[str, Marks] = field(default_factory=dict)
    """Declared marks of missing values: field -> marks."""
    announced: tuple[Announced, ...] = ()
    """How many events part files of a joined file have, and how many of them the file refers to; in an align
    group, how many of its events are events of the run.
    """
    match: IntArray | None = None
    """(n_rows,) int64, or None: In an align group: the run's row with the time of each of the group's rows,
    -1 where there is none.
    """
    _readers: dict[str, Reader] = field(default_factory=dict, repr=False)

    @property
    def n_events(self) -> int:
        """Events of the run."""
        return len(self.timestamps)

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""
        return to_datetime(self.timestamps, self.layout.epoch)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Every file that holds values: the file itself, its parts, and those that links lead to."""
        files: dict[InputFile, None] = {self.stored[self.layout.field].file: None}
        for stored in self.stored.values():
            files |= dict.fromkeys([stored.file, *(piece.source.file for piece in stored.pieces)])
        return tuple(files)

    def read(self, name: str, events: IntArray | slice | None = None) -> Column:
        """Read a field for some events (numbers in time order), or for all; run-level fields whole.

        Raises
        ------
        FieldNotFound
            If there is no such field.
        SpecError
            If the field is ragged, or of an align group.
        SourceFormatError
            If it cannot be read.
        """
        info = self._info(name)
        if info.kind is FieldKind.RUN:
            return Column(self._read_whole(name))
        reader = self.reader(name)
        rows = rows_of(events, self.rows, self.n_events)
        check_size(self.stored[name], len(rows) * info.event_nbytes)
        column = read_column(reader, rows)
        if is_length(name) and column.valid is not None:
            return replace(column, data=np.where(column.valid, column.data, 0))
        return column

    def reader(self, name: str) -> Reader:
        """Return the reader of an event field, to be used by tasks.

        Raises
        ------
        FieldNotFound, SpecError, SourceFormatError
            As for `read`; SpecError also for what is once per run.
        """
        info = self._info(name)
        self._refuse(info)
        if name not in self._readers:
            self._readers[name] = self._build(name, info)
        return self._readers[name]

    def leading_zero_rows(self, name: str) -> int:
        """Count the zero rows at a field's start, in each part of a joined file; reads no more than these."""
        self.reader(name)
        ranges = self._leading_ranges(name)
        return int((ranges[:, 1] - ranges[:, 0]).sum())

    def coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Return the coordinates the file knows for element dimensions."""
        return element_coordinates(self._info(name), self.fields, self._read_whole)

    def detector(self, name: str) -> DetectorInfo | None:  # noqa: ARG002 - none of its fields has one
        """Return None: only raw data describe their detectors."""
        return None

    def aligned(self, group: str) -> SmallDataSource:
        """Return the events of an align group; rows that are only padding are left out.

        The run's own fields are there too, at the events of the same time.

        Raises
        ------
        SpecError
            If there is no such group.
        """
        names = {info.group for info in self.fields.values()} - {""}
        groups = {name: self.stored[f"{name}/timestamp"] for name in names}
        if group not in groups or self.group:
            known = ", ".join(map(repr, sorted(groups))) or "none"
            raise SpecError(f"{self.path}: has no align group {group!r}; it has {known}")
        packed, there = read_packed(groups[group], padded=True)
        real = np.flatnonzero(there)
        order = time_order(packed[real])
        rows = real if order is None else real[order]
        padding = f"{len(there) - len(real)} padded rows left out" if len(real) < len(there) else ""
        fields = {
            name: replace(info, kind=FieldKind.EVENT, n_rows=len(there), note=padding if info.group else "")
            if info.kind in (FieldKind.ALIGNED, FieldKind.EVENT)
            else info
            for name, info in self.fields.items()
            if info.group in ("", group)
        }
        in_order = order is None and len(real) == len(there)
        match = self._rows_at(packed, there)
        n_matched = int(np.count_nonzero(match[real] >= 0))
        why = (
            ""
            if n_matched == len(real)
            else "the run has no events at their times, so its fields are missing there"
        )
        whole = Announced(f"align group {group!r}", len(real), n_matched, why)
        return replace(
            self,
            fields=fields,
            timestamps=packed[rows],
            rows=None if in_order else rows,
            group=group,
            announced=(whole, *self.announced),
            match=match,
            _readers={},
        )

    def doubtful_marks(self, name: str) -> Mapping[int, np.dtype[Any]]:
        """Return the writers' mark as small integers hold it, those of the parts of a joined field.

        What is declared leaves no doubt, be it the mark itself or that there is none.
        """
        info, stored, declared = self._info(name), self.stored[name], marks_of(self.marks.get(name, ()))
        if info.kind is not FieldKind.EVENT or (name in self.marks and not declared):
            return {}
        found: dict[int, np.dtype[Any]] = {}
        for dtype in stored.written_types:
            mark = doubtful_mark(dtype, info.n_elements)
            if mark is not None:
                found.setdefault(int(converted(np.array([mark], dtype), stored.native)[0]), dtype)
        return {mark: dtype for mark, dtype in found.items() if mark not in declared}

    def with_missing(self, marks: Mapping[str, Marks]) -> SmallDataSource:
        """Return the same source with more values counted as missing: field -> marks."""
        check_marks(marks, self.fields, str(self.path))
        return replace(self, marks={**self.marks, **marks}, _readers={})

    def _info(self, name: str) -> FieldInfo:
        if name not in self.fields:
            raise FieldNotFound(
                name,
                f"{self.path} (smallData)",
                list(self.fields),
                f"list all: run.fields, or  cubeengine fields {self.path}",
            )
        return self.fields[name]

    def _refuse(self, info: FieldInfo) -> None:
        """Raise for what is not one value per event."""
        if self.stored[info.name].problem:
            raise SourceFormatError(self.stored[info.name].problem)
        reasons = {
            FieldKind.RAGGED: f"has a {info.note}",
            FieldKind.RUN: f"is not one value per event{': ' + info.note if info.note else ''}",
            FieldKind.ALIGNED: f"belongs to align group {info.group!r}; ask for its events: {info.group}",
        }
        if info.kind in reasons:
            raise SpecError(f"{self.path}: field {info.name!r} {reasons[info.kind]}")

    def _build(self, name: str, info: FieldInfo) -> Reader:
        declared = marks_of(self.marks.get(name, ()))
        known = bool(declared) or name not in self.marks
        reader = build_reader(self.stored[name], marked=known)
        if LEADING_ZEROS in declared:
            reader = without_rows(reader, self._leading_ranges(name), self.stored[name].n_rows)
        certain = certain_marks(info.dtype, info.n_elements) if known else ()
        reader = with_marks(reader, (*certain, *declared_values(declared)), info.narrow)
        return reader if self.match is None or info.group else MatchedReader(reader, self.match)

    def _rows_at(self, packed: NDArray[np.uint64], there: NDArray[np.bool_]) -> IntArray:
        """Find the row of the event of each time; -1 where there is none."""
        if self.n_events == 0:
            return np.full(len(packed), -1)
        event = np.minimum(np.searchsorted(self.timestamps, packed), self.n_events - 1)
        row = event if self.rows is None else self.rows[event]
        matched: IntArray = np.where(there & (self.timestamps[event] == packed), row, -1)
        return matched

    def _leading_ranges(self, name: str) -> IntArray:
        """Return the ranges of rows that are zero at the start: each part began anew."""
        stored = self.stored[name]
        reader = build_reader(stored)
        parts = [(piece.first, piece.count) for piece in stored.pieces] or [(0, stored.n_rows)]
        ranges = [(first, first + leading_zeros(reader, count, first)) for first, count in parts]
        return np.array(ranges, np.int64).reshape(-1, 2)

    def _read_whole(self, name: str) -> NDArray[Any]:
        """Read a dataset that is once per run."""
        stored = self.stored[name]
        if stored.problem:
            raise SourceFormatError(stored.problem)
        check_size(stored, int(np.prod(stored.shape, dtype=object)) * stored.dtype.itemsize)
        if stored.pieces:
            return _with_nan(read_column(build_reader(stored), np.arange(stored.n_rows)))
        what = f"field {name!r}"
        with opened_hdf5(stored.file.path) as file, library_errors(stored.file.path, what):
            check_filters(stored.file.path, what, stored.filters)
            values = np.asarray(file[stored.name][()])
        return values.astype(memory_dtype(values.dtype), copy=False)


def _with_nan(column: Column) -> NDArray[Any]:
    """Return the rows of a dataset that is once per run; those that no part has are NaN, never a filler."""
    if column.valid is None or column.valid.all():
        return column.data
    filled = column.data.astype(np.float64)
    filled[~column.valid] = np.nan
    return filled
