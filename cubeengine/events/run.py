"""A run: its fields, its events in time order, and what can be asked of them."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from os import PathLike
from typing import Any, NoReturn, Protocol, TypeAlias, runtime_checkable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.events.blocks import chosen, joined
from cubeengine.events.content import ContentDigest
from cubeengine.events.expressions import Expression
from cubeengine.events.field import EVENT_COORDS, Field, event_coords, variable
from cubeengine.events.filled import is_exact, lacks, nan_filled
from cubeengine.events.group import FieldGroup
from cubeengine.events.scan import STEP_INDEX, Scan, candidates, find_scan, step_counter
from cubeengine.events.selections import CutRow, Node
from cubeengine.events.states import States
from cubeengine.events.streamed import FormulaReader, Streamed, is_streamed, streamed_info
from cubeengine.events.table import FieldTable
from cubeengine.events.window import Variable, Window, column_nbytes, frozen, windows
from cubeengine.marks import Marks
from cubeengine.schema.calls import as_mapping, given_words, no_attribute, told_methods
from cubeengine.schema.texts import check_unit, counted
from cubeengine.sources.base import Reader, Source, announced_by
from cubeengine.sources.joined import RAW, Join, JoinedSource
from cubeengine.sources.memory import ArrayReader
from cubeengine.types import (
    Announced,
    Column,
    DetectorInfo,
    FieldInfo,
    FieldKind,
    InputFile,
    IntArray,
    RunId,
    Storage,
    widened,
)

_LOG = logging.getLogger(__name__)

TIMES_NBYTES = 3 * 8
"""Per event: time stamps packed and as dates, and the rows they lie in."""

Derived: TypeAlias = Column | Variable
"""What is not in the source: values of all events, or how to compute those of any window."""


@runtime_checkable
class Weighed(Protocol):
    """A source that knows what it holds in memory for its events."""

    @property
    def held_nbytes(self) -> int:
        """Bytes of times, rows and whatever else grows with the events."""


@told_methods("run")
class Run:
    """One run, open for reading. Opening is cheap; values are read only on request.

    Parameters
    ----------
    source : Source
        Where events and values come from.
    run_id : RunId, optional
        Experiment and run number, where they are known.
    units : mapping of field name to unit, optional
        Units of fields, as declared; files carry none.
    derived : mapping of name to Column or Variable, optional
        Variables beside the source's: in time order, or computed when asked for; see `with_columns`.
    variant : str, optional
        Tells apart runs that are made of the same files but hold other events or values.
    digests : mapping of name to str, optional
        Hashes of the values of computed variables, where they are known.
    inputs : sequence of InputFile, optional
        Files beside the source's that variables were read from.
    """

    def __init__(
        self,
        source: Source,
        run_id: RunId | None = None,
        *,
        units: Mapping[str, str] | None = None,
        derived: Mapping[str, Derived] | None = None,
        variant: str = "",
        digests: Mapping[str, str] | None = None,
        inputs: Sequence[InputFile] = (),
    ) -> None:
        if isinstance(source, str | PathLike):
            raise SpecError(
                f"a Run is made of a source, as ce.MemorySource({{...}}), not of {given_words(source)}; "
                "ce.open_run(path) opens a file"
            )
        self.source, self.run_id, self._inputs = source, run_id, tuple(inputs)
        # Arrays in memory have no name of their own: each run that is opened on them gets one.
        self._variant = variant or ("" if source.files else uuid.uuid4().hex)
        self.derived: Mapping[str, Derived] = {
            name: _kept(item) if isinstance(item, Column) else item for name, item in (derived or {}).items()
        }
        _check_lengths(self.derived, source.n_events)
        self._units, self._digests = dict(units or {}), dict(digests or {})

    def __reduce__(self) -> tuple[Callable[..., Run], tuple[Any, ...]]:
        # Locks and what was read stay behind.
        parts = self.source, self.run_id, self._units, self.derived, self._variant, self._digests
        return _rebuild, (*parts, self._inputs)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Every file that events, values or variables are read from."""
        return (*self.source.files, *self._inputs)

    @property
    def announced(self) -> tuple[Announced, ...]:
        """How many events the files announce and how many are read; empty where none announces any."""
        return announced_by(self.source)

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
        infos = {**self.source.fields, **{name: self._describe(name) for name in self.derived}}
        address = _address(self.source)
        hint = f"list all: run.fields, or  cubeengine fields {address}" if address else "list all: run.fields"
        return FieldTable(infos, self._units, where=f"run {self.label}", hint=hint, aliases=self._aliases)

    @cached_property
    def identity(self) -> str:
        """Hash that names these events and their values: files with size and time, derived content."""
        files = [f"{file.path}:{file.size}:{file.mtime_ns}" for file in self.source.files]
        derived = [f"{name}:{self._digests.get(name) or self._digest(name)}" for name in self.derived]
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

    def __getitem__(self, name: str) -> Field | FieldGroup:
        """Return a field; of a name that several fields begin with, as that of a detector, all of these.

        Raises
        ------
        FieldNotFound
            If there is neither, with the nearest names.
        SpecError
            If it is no name.
        """
        if not isinstance(name, str):
            raise SpecError(_no_name(name))
        below = {} if name in self.fields else self.fields.below(name)
        if len(below) > 1:
            return FieldGroup(self, name.replace("__", "/").rstrip("/"))
        return self.field(next(iter(below), name))

    def field(self, name: str) -> Field:
        """Return one field by its whole name; `__` may stand for `/`.

        Raises
        ------
        FieldNotFound
            If there is none, with the fields below that name, or the nearest ones.
        """
        return Field(self, self.fields.resolve(name))

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.fields)

    def column(self, name: str) -> Column:
        """Return the values of a field for all events, in time order; read-only.

        Raises
        ------
        FieldNotFound
            If the run has no such field.
        SpecError
            If the field has not one value per event.
        """
        return self.whole.column(name)

    @cached_property
    def whole(self) -> Window:
        """All events: what `column` and `states` found is kept here."""
        return Window(self, slice(0, self.n_events))

    @cached_property
    def notes(self) -> dict[Hashable, Any]:
        """What computed variables have found out of events beyond their windows, and will ask for again."""
        return {}

    def windows(self) -> Iterator[Window]:
        """Return the events window after window; see `events.window.windows`."""
        return windows(self)

    def some(self, name: str, events: IntArray) -> Column:
        """Return a field or variable for some events, in any order; what is computed is so for windows.

        Parameters
        ----------
        name : str
            The field.
        events : (n,) int64
            Numbers of events, in time order, repeats allowed.
        """
        found = self.derived.get(name, self.kept(name))
        if isinstance(found, Column):
            return chosen(found, events)
        order = np.argsort(events, kind="stable")
        rising, parts = events[order], []
        for window in self.windows():
            low, high = np.searchsorted(rising, [window.events.start, window.events.stop])
            if low < high:
                parts.append(chosen(window.column(name), rising[low:high] - window.events.start))
        if not parts:
            return chosen(self.column(name), events)
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return chosen(joined(parts), back)

    def kept(self, name: str) -> Column | None:
        """Return the column of a field if all its events are in memory."""
        return self.whole.kept(name)

    def _digest(self, name: str, dtype: np.dtype[Any] | None = None) -> str:
        item = self.derived[name]
        if isinstance(item, Streamed) and is_streamed(item):
            return f"formula {item.expression.text}"  # its fields are named beside it, or lie in the files
        digest = ContentDigest(self.n_events, dtype)
        for window in self.windows():
            digest.add(window.column(name))
        return self._digest(name, digest.dtype) if digest.is_mixed else digest.text

    def reader(self, name: str) -> Reader:
        """Return the reader of a field, to be used by tasks; its rows are `run.rows`."""
        name = self.fields.resolve(name)
        if name not in self.derived:
            self.field(name).require_event()
            return self.source.reader(name)
        item = self.derived[name]
        if isinstance(item, Streamed) and is_streamed(item):
            return self._formula_reader(item, self.fields[name])
        column = self.column(name)
        valid = None if column.valid is None else self._in_storage_order(column.valid)
        return ArrayReader(self._in_storage_order(column.data), valid)

    def _formula_reader(self, item: Streamed, info: FieldInfo) -> Reader:
        names = tuple(sorted(item.expression.fields))
        readers = tuple(map(self.reader, names))
        return FormulaReader(
            item.expression,
            names,
            readers,
            info.dtype,
            info.shape,
            info.storage.chunk_events,
            tuple(self.fields[name].narrow for name in names),
        )

    def detector(self, name: str) -> DetectorInfo | None:
        """Describe the detector that a field comes from; None where that is not known."""
        name = self.fields.resolve(name)
        return None if name in self.derived else self.source.detector(name)

    def _in_storage_order(self, data: NDArray[Any]) -> NDArray[Any]:
        if self.rows is None:
            return data
        stored = np.zeros((int(self.rows.max(initial=-1)) + 1, *data.shape[1:]), data.dtype)
        stored[self.rows] = data
        return stored

    def element_coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Return the coordinates that the source knows for the element dimensions of a field."""
        name = self.fields.resolve(name)
        return {} if name in self.derived else self.source.coordinates(name)

    @property
    def held_nbytes(self) -> int:
        """Bytes of the columns and masks that are in memory, what the source holds included."""
        columns = [item for item in self.derived.values() if isinstance(item, Column)]
        times = TIMES_NBYTES * self.n_events
        held = self.source.held_nbytes if isinstance(self.source, Weighed) else times
        return sum(map(column_nbytes, columns)) + self.whole.held_nbytes + held

    @cached_property
    def data(self) -> xr.Dataset:
        """What is in memory: all fields of one value per event, read on first use, and derived variables.

        Names have `__` for `/`. What is missing is NaN, so integers and booleans of which some are missing
        are float64; those with numbers beyond 2**53, which float64 does not hold, keep their type, and the
        coordinate `<name>_valid` is False where one is missing. Fields that cannot be read are named in the
        attribute `left_out`.
        """
        dataset = xr.Dataset(coords=event_coords(self), attrs={"run": self.label})
        variables: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        for name in self._names_in_memory():
            try:
                column = self.column(name)
            except SourceFormatError as err:
                _LOG.warning("left out of run.data of run %s: %s", self.label, err)
                dataset.attrs.setdefault("left_out", []).append(name)
                continue
            coords |= self.field(name).element_coords()
            if lacks(column) and is_exact(column):
                column = Column(nan_filled(name, column))
            elif lacks(column):
                coords[f"{variable(name)}_valid"] = ("event", column.valid)
            variables[variable(name)] = self.field(name).as_variable(column)
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
        return self.whole.evaluate(expression)

    def states(self, node: Node) -> States:
        """Return the state of every event under a selection; see `events.states`. Kept by content."""
        return self.whole.states(node)

    def cut_flow(self, node: Node) -> tuple[CutRow, ...]:
        """Count the events that each cut of a selection keeps; see `selections.cut_flow`."""
        return self.whole.cut_flow(node)

    def with_columns(self, columns: Mapping[str, Derived], units: Mapping[str, str] | None = None) -> Run:
        """Return the same run with further variables, one value or array per event in time order.

        Parameters
        ----------
        columns : mapping of name to Column or Variable
            The values; or how to compute them, which is done when they are asked for.
        units : mapping of name to unit, optional
            Their units.

        Raises
        ------
        SpecError
            If the run has a field of that name already, or a column has another number of events.
        """
        for name in columns:
            if name in self.fields:
                raise SpecError(f"derived variable {name!r}: {self.label} already has a field of that name")
        return self._with({**self.derived, **columns}, {**self._units, **(units or {})}, self._digests)

    def with_values(self, columns: Mapping[str, Column], digests: Mapping[str, str]) -> Run:
        """Return the same run with values of computed variables in place of how to compute them.

        Parameters
        ----------
        columns : mapping of name to Column
            Values of some of them.
        digests : mapping of name to str
            Hashes of the values, of these or others; see `ContentDigest`.
        """
        return self._with({**self.derived, **columns}, self._units, {**self._digests, **digests})

    def _with(
        self, derived: Mapping[str, Derived], units: Mapping[str, str], digests: Mapping[str, str]
    ) -> Run:
        return self._made(units=units, derived=derived, digests=digests)

    def _made(self, **changed: Any) -> Run:
        """Return a run of the same events and values with some parts of it changed."""
        parts: dict[str, Any] = {
            "units": self._units, "derived": self.derived, "variant": self._variant,
            "digests": self._digests, "inputs": self._inputs,
        }  # fmt: skip
        run = Run(self.source, self.run_id, **{**parts, **changed})
        run.whole.share_columns(self.whole)
        run.notes.update(self.notes)
        return run

    def with_inputs(self, files: Sequence[InputFile]) -> Run:
        """Return the same run with further files that its variables were read from."""
        return self._made(inputs=(*self._inputs, *files))

    def with_units(self, units: Mapping[str, str]) -> Run:
        """Return the same run with declared units: field -> unit, as ``{"scan/lxt": "s"}``.

        Raises
        ------
        FieldNotFound
            If the run has no such field, with the nearest names.
        SpecError
            If a unit is not known, with the nearest ones.
        """
        given = as_mapping(units, "units", "{'scan/lxt': 's'}")
        return self.with_columns({}, {self.fields.resolve(name): _unit(name, given[name]) for name in given})

    def with_missing(self, marks: Mapping[str, Marks]) -> Run:
        """Return the same run with more values counted as missing: field -> marks.

        Raises
        ------
        FieldNotFound
            If no file of the run has such a field.
        SpecError
            If a mark does not fit its field; or variables are computed already: they rest on the values as
            they were. Given arrays stay.
        """
        if not all(isinstance(item, Column) for item in self.derived.values()):
            raise SpecError("declare missing marks before deriving variables")
        return Run(
            self.source.with_missing(marks),
            self.run_id,
            units=self._units,
            derived=self.derived,
            variant=f"{self._variant} missing {sorted(marks.items())}",
            inputs=self._inputs,
        )

    def aligned(self, group: str) -> Run:
        """Return the events of an align group as a run of its own."""
        variant = f"{self._variant} aligned {group!r}"
        return Run(self.source.aligned(group), self.run_id, units=self._units, variant=variant)

    def _info_of(self, name: str) -> FieldInfo:
        """Describe a field or variable without the table of all."""
        name = self._aliases.get(name, name)
        return self._describe(name) if name in self.derived else self.source.fields[name]

    @cached_property
    def _aliases(self) -> dict[str, str]:
        """Further names of the source's fields."""
        raw = self.source.raw_names if isinstance(self.source, JoinedSource) else {}
        counter = step_counter(candidates(self.source.fields))
        steps = {} if counter is None else {STEP_INDEX: counter}
        return {RAW + own: name for name, own in raw.items()} | steps

    def _describe(self, name: str) -> FieldInfo:
        item = self.derived[name]
        if isinstance(item, Streamed) and is_streamed(item):
            return streamed_info(name, item, self._info_of, self.n_events)
        shape, dtype = (
            (item.data.shape[1:], item.data.dtype) if isinstance(item, Column) else (item.shape, item.dtype)
        )
        return FieldInfo(name, shape, dtype, FieldKind.EVENT, Storage("memory"), "derived", self.n_events)

    def __getattr__(self, name: str) -> NoReturn:
        # A property that is there and failed comes here too: asked again, it raises its own error.
        if name.startswith("_") or hasattr(type(self), name):
            object.__getattribute__(self, name)
        no_attribute("a run", name, [*dir(type(self)), *self.fields], attribute_hint(self, name))

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
        lines.append(("fields", f"{per_event} per event, {counted(others, 'other')}; list all: run.fields"))
        return lines


SESSION_ONLY = (
    "add", "average_image", "close", "correlate", "cube", "declare", "deselect", "greeting", "hist", "hist2d",
    "is_saved", "loaded_from", "mask", "node", "overview", "pick", "plot_cut_flow", "prepared", "remarks",
    "remove", "run", "save", "scan_plot", "select", "spec", "to_yaml", "trace",
)  # fmt: skip
"""Names that a session has and a run has not."""


def attribute_hint(run: Run, name: str) -> str:
    """Say what to write instead of an attribute that a run, or a session, does not have; "" if unknown."""
    if name in SESSION_ONLY:
        return f"a session has it: run = ce.explore(run), then run.{name}"
    if name in ("read", "values", "dask"):
        return f"fields are read one by one, as run['ipm2/sum'].{name}{'' if name == 'values' else '()'}"
    if name in ("plot", "show"):
        return "pictures are drawn by ce.look, as ce.look.plot_histogram(run, 'ipm2/sum')"
    if name in run.fields or run.fields.below(name):
        names = list(run.fields.below(name))[:3] or [name]
        return f"a field is an item, by its whole name: {', '.join(f'run[{field!r}]' for field in names)}"
    return ""


def _unit(name: str, unit: object) -> str:
    try:
        return check_unit(unit)
    except SpecError as err:
        raise SpecError(f"the unit of {name!r}: {err}") from err


def _no_name(key: object) -> str:
    """Say what to write where a run is asked for something that is no name."""
    if isinstance(key, list | tuple) and key and all(isinstance(name, str) for name in key):
        names = [variable(name) for name in key]
        return (
            f"a run returns one field, e.g. run[{key[0]!r}]; for a table of several use run.data[{names!r}]"
        )
    return (
        f"index a run with the name of a field, not with {key!r}; choose events on a field, e.g. "
        "run['ipm2/sum'][:10]"
    )


def _rebuild(
    source: Source,
    run_id: RunId | None,
    units: Mapping[str, str],
    derived: Mapping[str, Derived],
    variant: str,
    digests: Mapping[str, str],
    inputs: Sequence[InputFile],
) -> Run:
    return Run(source, run_id, units=units, derived=derived, variant=variant, digests=digests, inputs=inputs)


def _address(source: Source) -> str:
    """Return the arguments that open a source on the command line; "" for arrays in memory."""
    if isinstance(source, JoinedSource):
        return " --xtc ".join(filter(None, map(_address, (source.smalldata, source.raw))))
    if not source.files:
        return ""
    path = source.files[-1].path  # of raw data the files of events come last, in the folder of the run
    return str(path.parent if path.suffix == ".xtc2" else path)


def _kept(column: Column) -> Column:
    return frozen(replace(column, data=widened(column.data)))


def _check_lengths(derived: Mapping[str, Derived], n_events: int) -> None:
    for name, item in derived.items():
        if isinstance(item, Column) and len(item) != n_events:
            values, events = counted(len(item), "value"), counted(n_events, "event")
            raise SpecError(f"derived variable {name!r} has {values} for {events}")


def _second(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")).replace("T", " ")
