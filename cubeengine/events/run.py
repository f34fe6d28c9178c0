"""A run: its fields, its events in time order, and what can be asked of them."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from html import escape
from threading import Lock
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.events import selections
from cubeengine.events.blocks import in_blocks, joined, part_of
from cubeengine.events.expressions import Columns, Expression
from cubeengine.events.field import EVENT_COORDS, Field, content_token, event_coords, variable
from cubeengine.events.scan import Scan, find_scan
from cubeengine.events.selections import Cut, CutRow, MaskCache, Node
from cubeengine.events.states import States
from cubeengine.events.table import FieldTable
from cubeengine.sources.base import Reader, Source
from cubeengine.sources.joined import RAW, Join, JoinedSource
from cubeengine.sources.memory import ArrayReader
from cubeengine.types import BoolArray, Column, DetectorInfo, FieldInfo, FieldKind, IntArray, RunId, Storage

KEEP_NBYTES = 64 * 2**20
"""Columns up to this size stay in memory once read; larger ones only if they are one value per event."""


_LOG = logging.getLogger(__name__)


class Run:
    """One run, open for reading. Cheap to make; nothing is read before it is asked for.

    Parameters
    ----------
    source : Source
        Where events and values come from.
    run_id : RunId, optional
        Experiment and run number, where they are known.
    units : mapping of field name to unit, optional
        Units of fields, as declared; files carry none.
    derived : mapping of name to Column, optional
        Variables that were computed, in time order; see `with_columns`.
    variant : str, optional
        Tells apart runs that are made of the same files but hold other events or values.
    """

    def __init__(
        self,
        source: Source,
        run_id: RunId | None = None,
        *,
        units: Mapping[str, str] | None = None,
        derived: Mapping[str, Column] | None = None,
        variant: str = "",
    ) -> None:
        self.source, self.run_id = source, run_id
        # Arrays in memory have no name of their own: each run that is opened on them gets one.
        self._variant = variant or ("" if source.files else uuid.uuid4().hex)
        self._derived = {name: _frozen(column) for name, column in (derived or {}).items()}
        _check_lengths(self._derived, source.n_events)
        self._units = dict(units or {})
        self._columns: dict[str, Column] = {}
        self._lock = Lock()
        self._masks = MaskCache(cut_states=self._cut_states)

    def __reduce__(self) -> tuple[Callable[..., Run], tuple[Any, ...]]:
        # Locks and what was read stay behind.
        return _rebuild, (self.source, self.run_id, self._units, self._derived, self._variant)

    @property
    def n_events(self) -> int:
        """Events of the run."""
        return self.source.n_events

    @property
    def timestamps(self) -> NDArray[np.uint64]:
        """(n_events,) packed time as the facility writes it, rising."""
        return self.source.timestamps

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""
        return self.source.time

    @property
    def rows(self) -> IntArray | None:
        """(n_events,) storage row of every event; None where that is 0, 1, 2, ..."""
        return self.source.rows

    @cached_property
    def fields(self) -> FieldTable:
        """All fields by name; a table when shown."""
        infos = {**self.source.fields, **{name: self._describe(name) for name in self._derived}}
        hint = f"list all: cubeengine fields {self._address}" if self._address else ""
        raw = self.source.raw_names if isinstance(self.source, JoinedSource) else {}
        aliases = {RAW + own: name for name, own in raw.items()}
        return FieldTable(infos, self._units, where=f"run {self.label}", hint=hint, aliases=aliases)

    @cached_property
    def identity(self) -> str:
        """Hash that names these events and their values: files with size and time, derived content."""
        files = [f"{file.path}:{file.size}:{file.mtime_ns}" for file in self.source.files]
        derived = [f"{name}:{_content(column)}" for name, column in self._derived.items()]
        text = "\n".join([self._variant, *files, *derived])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def join(self) -> Join | None:
        """How many events of smallData and of the raw data matched; None where there is but one of them."""
        return self.source.join if isinstance(self.source, JoinedSource) else None

    @property
    def label(self) -> str:
        """How messages name the run."""
        files = [file.path.name for file in self.source.files]
        name = str(self.run_id or "")
        if not files:
            return name or "in memory"
        beside = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        return f"{name} ({beside})" if name else beside

    @property
    def _address(self) -> str:
        files = self.source.files
        return str(files[0].path) if files else ""

    def __getitem__(self, name: str) -> Field:
        return Field(self, self.fields.find(name))

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.fields)

    def column(self, name: str) -> Column:
        """Give the values of a field for all events, in time order; read-only.

        Raises
        ------
        FieldNotFound
            If the run has no such field.
        SpecError
            If the field has not one value per event.
        """
        name = self.fields.resolve(name)
        if name in self._derived:
            return self._derived[name]
        with self._lock:
            found = self._columns.get(name)
        if found is not None:
            return found
        self[name].require_event()
        return self._keep(name, _frozen(self.source.read(name)))

    def _keep(self, name: str, column: Column) -> Column:
        if column.data.ndim > 1 and column.data.nbytes > KEEP_NBYTES:
            return column
        with self._lock:
            return self._columns.setdefault(name, column)

    def reader(self, name: str) -> Reader:
        """Give the reader of a field, to be used by tasks; its rows are `run.rows`."""
        name = self.fields.resolve(name)
        if name not in self._derived:
            self[name].require_event()
            return self.source.reader(name)
        column = self._derived[name]
        valid = None if column.valid is None else self._in_storage_order(column.valid)
        return ArrayReader(self._in_storage_order(column.data), valid)

    def detector(self, name: str) -> DetectorInfo | None:
        """Describe the detector that a field comes from; None where that is not known."""
        name = self.fields.resolve(name)
        return None if name in self._derived else self.source.detector(name)

    def _in_storage_order(self, data: NDArray[Any]) -> NDArray[Any]:
        if self.rows is None:
            return data
        stored = np.zeros((int(self.rows.max(initial=-1)) + 1, *data.shape[1:]), data.dtype)
        stored[self.rows] = data
        return stored

    def element_coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Give the coordinates that the source knows for the element dimensions of a field."""
        return {} if name in self._derived else self.source.coordinates(name)

    @property
    def held_nbytes(self) -> int:
        """Bytes of the columns and masks that are in memory, event times included."""
        columns = [*self._columns.values(), *self._derived.values()]
        known = [mark.nbytes for column in columns for mark in _marks(column)]
        times = 3 * 8 * self.n_events  # time stamps packed and as dates, and the rows they lie in
        return sum(column.data.nbytes for column in columns) + sum(known) + self._masks.nbytes + times

    @cached_property
    def data(self) -> xr.Dataset:
        """What is in memory: all fields of one value per event, read on first use, and derived variables.

        Names have `__` for `/`. Where an integer or boolean is missing, the coordinate `<name>_valid`
        is False. Fields that cannot be read are named in the attribute `left_out`.
        """
        dataset = xr.Dataset(coords=event_coords(self), attrs={"run": self.label})
        variables: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        for name in self._names_in_memory():
            try:
                column = self.column(name)
            except SourceFormatError as err:
                _LOG.warning("left out of the data of run %s: %s", self.label, err)
                dataset.attrs.setdefault("left_out", []).append(name)
                continue
            variables[variable(name)] = self[name].variable(column)
            coords |= self[name].element_coords()
            if column.valid is not None and not column.valid.all():
                coords[f"{variable(name)}_valid"] = ("event", column.valid)
        return dataset.assign(variables).assign_coords(coords)

    def _names_in_memory(self) -> list[str]:
        events = {name: info for name, info in self.fields.items() if info.kind is FieldKind.EVENT}
        return [
            name
            for name, info in events.items()
            if name not in EVENT_COORDS and (not info.shape or info.storage.layout == "memory")
        ]

    @cached_property
    def scan(self) -> Scan:
        """What the scan of this run moved; reads the fields under `scan/`."""
        return find_scan(self.fields, self.column, self.n_events)

    def evaluate(self, expression: Expression) -> Column:
        """Compute an expression for every event; arrays it reduces are read block by block."""
        wide = self._wide(expression.fields)
        return joined(list(in_blocks(wide, self._window, self.n_events, expression.evaluate)))

    def states(self, node: Node) -> States:
        """Give the state of every event under a selection; see `events.states`. Kept by content."""
        return self._masks.evaluate(node, self.column, self.n_events)

    def cut_flow(self, node: Node) -> tuple[CutRow, ...]:
        """Count the events that each cut of a selection keeps; see `selections.cut_flow`."""
        return selections.cut_flow(node, self.column, self.n_events, cache=self._masks)

    def _cut_states(self, cut: Cut, columns: Columns, n_events: int) -> States:
        if not isinstance(cut.condition, Expression):
            return selections.evaluate(cut, columns, n_events)
        wide = self._wide(cut.condition.fields)
        parts = in_blocks(wide, self._window, n_events, partial(selections.evaluate, cut))
        return np.concatenate(list(parts))

    def _wide(self, names: Iterable[str]) -> list[FieldInfo]:
        infos = (self.fields[name] for name in names)
        return [info for info in infos if info.shape and info.kind is FieldKind.EVENT]

    def _window(self, name: str, events: slice) -> Column:
        name = self.fields.resolve(name)
        info = self.fields[name]
        if name in self._derived or not info.shape or info.kind is not FieldKind.EVENT:
            return part_of(self.column(name), events)
        return self.source.read(name, events)

    def with_columns(self, columns: Mapping[str, Column], units: Mapping[str, str] | None = None) -> Run:
        """Give the same run with further variables, one value or array per event in time order.

        Raises
        ------
        SpecError
            If the run has a field of that name already, or a column has another number of events.
        """
        for name in columns:
            if name in self.fields:
                raise SpecError(f"derived variable {name!r}: {self.label} has a field of that name")
        derived = {**self._derived, **columns}
        declared = {**self._units, **(units or {})}
        run = Run(self.source, self.run_id, units=declared, derived=derived, variant=self._variant)
        with self._lock:
            run._columns.update(self._columns)
        return run

    def with_units(self, units: Mapping[str, str]) -> Run:
        """Give the same run with declared units."""
        return self.with_columns({}, units)

    def with_missing(self, marks: Mapping[str, str]) -> Run:
        """Give the same run with more events counted as missing: field -> "leading_zeros".

        Raises
        ------
        SpecError
            If variables were derived already: they rest on the values as they were.
        """
        if self._derived:
            raise SpecError("missing marks must be declared before variables are derived")
        variant = f"{self._variant} missing {sorted(marks.items())}"
        return Run(self.source.with_missing(marks), self.run_id, units=self._units, variant=variant)

    def aligned(self, group: str) -> Run:
        """Give the events of an align group as a run of its own."""
        variant = f"{self._variant} aligned {group!r}"
        return Run(self.source.aligned(group), self.run_id, units=self._units, variant=variant)

    def _describe(self, name: str) -> FieldInfo:
        data = self._derived[name].data
        return FieldInfo(
            name, data.shape[1:], data.dtype, FieldKind.EVENT, Storage("memory"), "derived", len(data)
        )

    def __repr__(self) -> str:
        return "\n".join(f"{key:<8}{value}" for key, value in self._summary())

    def _repr_html_(self) -> str:
        lines = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in self._summary())
        return f"<table>{lines}</table>"

    def _summary(self) -> list[tuple[str, str]]:
        kinds = [info.kind for info in self.fields.values()]
        per_event = kinds.count(FieldKind.EVENT)
        lines = [("run", self.label), ("events", f"{self.n_events:,}")]
        if self.n_events:
            lines.append(("time", f"{_second(self.time[0])} to {_second(self.time[-1])} UTC"))
        if self.join:
            lines.append(("joined", str(self.join)))
        others = len(kinds) - per_event
        lines.append(("fields", f"{per_event} per event, {others} others; list them: run.fields"))
        return lines


def _rebuild(
    source: Source,
    run_id: RunId | None,
    units: Mapping[str, str],
    derived: Mapping[str, Column],
    variant: str,
) -> Run:
    return Run(source, run_id, units=units, derived=derived, variant=variant)


def _check_lengths(derived: Mapping[str, Column], n_events: int) -> None:
    for name, column in derived.items():
        if len(column) != n_events:
            raise SpecError(f"derived variable {name!r} has {len(column)} values for {n_events} events")


def _frozen(column: Column) -> Column:
    """Give a column whose arrays cannot be written to, as many will share them."""
    marks = (None if mark is None else _read_only(mark) for mark in (column.valid, column.damaged))
    return Column(_read_only(column.data), *marks)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


def _marks(column: Column) -> list[BoolArray]:
    return [mark for mark in (column.valid, column.damaged) if mark is not None]


def _content(column: Column) -> str:
    return "".join(map(content_token, [column.data, *_marks(column)]))


def _second(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")).replace("T", " ")
