"""The values of a range of events: columns, computed variables and states, each found once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cubeengine.events import selections
from cubeengine.events.blocks import as_stored, in_blocks, joined, part_of
from cubeengine.events.derived import Counts
from cubeengine.events.expressions import Columns, Expression
from cubeengine.events.selections import Cut, MaskCache, Node
from cubeengine.events.states import States
from cubeengine.events.streamed import is_streamed
from cubeengine.types import BoolArray, Column, FieldInfo, FieldKind

if TYPE_CHECKING:
    from cubeengine.events.run import Run

WINDOW_EVENTS = 2**20
"""Most events that are looked at together: some tens of columns, masks and temporaries of so many events
are 200 to 300 MB, and what is done once per window (reading, some 100 numpy calls) is small beside it."""

WINDOW_NBYTES = 64 * 2**20
"""Windows are smaller where a computed variable is an array, so that it takes no more than this."""

KEEP_NBYTES = 64 * 2**20
"""Columns up to this size stay in memory once read; larger ones only if they are one value per event."""


@dataclass(frozen=True, slots=True)
class Computed:
    """Values of a variable for the events of a window."""

    column: Column  # the values
    counts: Counts | None = None  # for a recipe: how the values came about


class Variable(Protocol):
    """A variable that is computed from fields and other variables: frozen, and the same for any window."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's value."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, as far as it is known without the values."""

    def compute(self, window: Window) -> Computed:
        """Compute the values of the events of a window."""


class Window:
    """A range of the events of a run.

    Parameters
    ----------
    run : Run
        The run.
    events : slice
        The events, in time order.
    """

    def __init__(self, run: Run, events: slice) -> None:
        self.run, self.events = run, events
        self._columns: dict[str, Column] = {}
        self._computed: dict[str, Computed] = {}
        self._lock = Lock()
        # Nothing that a window keeps may lead back to it: it would stay until garbage is collected.
        self._masks = MaskCache(cut_states=partial(_cut_states, run, events.start))

    @property
    def n_events(self) -> int:
        """Events of the window."""
        return int(self.events.stop - self.events.start)

    def column(self, name: str) -> Column:
        """Return the values of a field or variable, read-only; see `Run.column`."""
        name = self.run.fields.resolve(name)
        found = self.run.derived.get(name)
        if isinstance(found, Column):
            return found if self._is_whole else part_of(found, self.events)
        if found is not None:
            return self.computed(name).column
        with self._lock:
            kept = self._columns.get(name)
        return self._keep(name, self._read(name)) if kept is None else kept

    def computed(self, name: str) -> Computed:
        """Return the values of a variable that is computed, with what was counted on the way."""
        variable = self.run.derived[name]
        if isinstance(variable, Column):
            return Computed(self.column(name))
        with self._lock:
            kept = self._computed.get(name)
        if kept is None:
            made = variable.compute(self)
            with self._lock:
                kept = self._computed.setdefault(name, Computed(frozen(made.column), made.counts))
        return kept

    def column_of(self, name: str, events: slice) -> Column:
        """Return a field or variable for a range of the run's events that may lie beyond the window."""
        first, stop = self.events.start, self.events.stop
        inside = slice(max(events.start, first), min(events.stop, stop))
        if inside.start >= inside.stop:
            parts = _beyond(self.run, name, events)
        else:
            own = part_of(self.column(name), slice(inside.start - first, inside.stop - first))
            before = _beyond(self.run, name, slice(events.start, inside.start))
            parts = [*before, own, *_beyond(self.run, name, slice(inside.stop, events.stop))]
        return joined(parts) if parts else part_of(self.column(name), slice(0, 0))

    def states(self, node: Node) -> States:
        """Return the state of every event under a selection; see `events.states`. Kept by content."""
        return self._masks.evaluate(node, self.column, self.n_events)

    def cut_flow(self, node: Node) -> tuple[selections.CutRow, ...]:
        """Count the events that each cut of a selection keeps."""
        return selections.cut_flow(node, self.column, self.n_events, cache=self._masks)

    def evaluate(self, expression: Expression) -> Column:
        """Compute an expression for every event; arrays it reduces are read block by block."""
        wide = _wide(self.run, expression)
        part = partial(_part, self.run, self.events.start, self.column)
        return joined(list(in_blocks(wide, part, self.n_events, expression.evaluate)))

    @property
    def held_nbytes(self) -> int:
        """Bytes of the columns and masks that are in memory."""
        computed = (computed.column for computed in self._computed.values())
        return self.fields_nbytes + sum(map(column_nbytes, computed)) + self._masks.nbytes

    @property
    def fields_nbytes(self) -> int:
        """Bytes of the columns of fields, which runs with further variables share."""
        return sum(map(column_nbytes, self._columns.values()))

    def share_columns(self, other: Window) -> None:
        """Take over the columns of fields that another window of the same events has read."""
        with self._lock:
            self._columns.update(other._columns)

    def share_computed(self, other: Window) -> None:
        """Take over the values of variables that another window of the same events has computed.

        To be asked for only where each of these variables is made of the same values here.
        """
        with self._lock:
            self._computed.update(
                {name: found for name, found in other._computed.items() if name in self.run.derived}
            )

    @property
    def _is_whole(self) -> bool:
        return self.n_events == self.run.n_events

    def _read(self, name: str) -> Column:
        self.run.field(name).require_event()
        if self._is_whole:
            return frozen(self.run.source.read(name))
        kept = self.run.kept(name)
        return frozen(self.run.source.read(name, self.events)) if kept is None else part_of(kept, self.events)

    def _keep(self, name: str, column: Column) -> Column:
        if column.data.ndim > 1 and column.data.nbytes > KEEP_NBYTES:
            return column
        with self._lock:
            return self._columns.setdefault(name, column)

    def kept(self, name: str) -> Column | None:
        """Return the column of a field if it is in memory."""
        with self._lock:
            return self._columns.get(name)


def _cut_states(run: Run, first: int, cut: Cut, columns: Columns, n_events: int) -> States:
    """Return the states of a cut for `n_events` events from `first` on."""
    if isinstance(cut.condition, selections.Given):
        return selections.given_states(cut.condition, slice(first, first + n_events))
    if not isinstance(cut.condition, Expression):
        return selections.evaluate(cut, lambda name: _as_stored(run, name, columns(name)), n_events)
    part = partial(_part, run, first, columns)
    evaluated = partial(selections.evaluate, cut)
    return np.concatenate(list(in_blocks(_wide(run, cut.condition), part, n_events, evaluated)))


def _wide(run: Run, expression: Expression) -> list[FieldInfo]:
    infos = run.fields.infos(expression)
    return [info for info in infos if info.shape and info.kind is FieldKind.EVENT]


def _part(run: Run, first: int, columns: Columns, name: str, events: slice) -> Column:
    """Return a field for a range of the events of a window that begins at `first`."""
    return _as_stored(run, name, _part_of(run, first, columns, run.fields.resolve(name), events))


def _as_stored(run: Run, name: str, column: Column) -> Column:
    return as_stored(column, run.fields[run.fields.resolve(name)].narrow)


def _part_of(run: Run, first: int, columns: Columns, name: str, events: slice) -> Column:
    info = run.fields[name]
    if is_streamed(run.derived.get(name)):
        return Window(run, slice(first + events.start, first + events.stop)).column(name)
    if name in run.derived or not info.shape or info.kind is not FieldKind.EVENT:
        return part_of(columns(name), events)
    return run.source.read(name, slice(first + events.start, first + events.stop))


def _beyond(run: Run, name: str, events: slice) -> list[Column]:
    starts = range(events.start, events.stop, WINDOW_EVENTS)
    parts = (slice(start, min(start + WINDOW_EVENTS, events.stop)) for start in starts)
    return [Window(run, part).column(name) for part in parts]


def windows(run: Run) -> Iterator[Window]:
    """Yield the events of a run window after window; those of a small run are one window, kept by the run.

    Parameters
    ----------
    run : Run
        The run.
    """
    derived = run.derived.values()
    computed = [item for item in derived if not (isinstance(item, Column) or is_streamed(item))]
    widest = max((int(np.prod(item.shape)) * item.dtype.itemsize for item in computed), default=1)
    step = max(min(WINDOW_EVENTS, WINDOW_NBYTES // max(widest, 1)), 1)
    if run.n_events <= step:
        yield run.whole
        return
    for start in range(0, run.n_events, step):
        yield Window(run, slice(start, min(start + step, run.n_events)))


def frozen(column: Column) -> Column:
    """Return a column whose arrays cannot be written to, as many will share them."""
    marks = (None if mark is None else _read_only(mark) for mark in (column.valid, column.damaged))
    return Column(_read_only(column.data), *marks)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


def column_arrays(column: Column) -> list[NDArray[Any]]:
    """Return the arrays of a column: its data, and the marks that it has."""
    return [column.data, *marks_of(column)]


def marks_of(column: Column) -> list[BoolArray]:
    """Return the marks that a column has."""
    return [mark for mark in (column.valid, column.damaged) if mark is not None]


def column_nbytes(column: Column) -> int:
    """Return the bytes of a column that are in memory, and not mapped from a file."""
    return sum(array.nbytes for array in column_arrays(column) if not isinstance(array, np.memmap))
