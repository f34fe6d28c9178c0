"""What is looked at: some quantities in the events of a run that a selection keeps, window after window."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.expressions import Expression
from cubeengine.events.field import variable
from cubeengine.events.run import Run
from cubeengine.events.selections import Combine, Node, describe, fields
from cubeengine.events.selections import Cut as ResolvedCut
from cubeengine.events.window import Window
from cubeengine.planning.derive import Formula
from cubeengine.spec.model import CubeSpec, RunSpec
from cubeengine.spec.resolve import resolve_selection
from cubeengine.spec.selections import Cut, Selection
from cubeengine.spec.shots import LASER, laser_shots
from cubeengine.types import BoolArray, Column, FieldKind

ALL_EVENTS = "all events"

_BRACKETED = re.compile(r"(^|[<>=] )\((-[0-9.e+-]+)\)(?= [<>=]|$)")
"""A negative number at a comparison, which needs no brackets to be read."""

Select: TypeAlias = str | Cut | Selection | Mapping[str, Any] | Sequence[Any] | Node | None
"""Which events: all (None), an expression, a cut or selection (as the class, or as it stands in YAML), or
what these were resolved to."""


@runtime_checkable
class HasRun(Protocol):
    """What holds a run and knows selections by name, as a session does."""

    @property
    def run(self) -> Run:
        """The run, with what was derived."""

    def node(self, select: Any) -> Node:
        """Give a selection, named or not, as a tree of cuts."""


RunLike: TypeAlias = Run | HasRun
"""A run, or what holds one."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the selected events.

    Attributes
    ----------
    selected : int
        Events that the selection keeps.
    missing : int
        Of these, events without a value: missing, damaged or NaN.
    outside : int
        Of these, events whose value lies outside the bins; infinite ones do.
    """

    selected: int = 0
    missing: int = 0
    outside: int = 0

    @property
    def n_events(self) -> int:
        """Events that are shown."""
        return self.selected - self.missing - self.outside

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.selected + other.selected, self.missing + other.missing, self.outside + other.outside
        )

    def __str__(self) -> str:
        named = (("missing", self.missing), ("outside", self.outside))
        return ", ".join([f"n = {self.n_events:,}", *(f"{value:,} {name}" for name, value in named if value)])

    @property
    def attrs(self) -> dict[str, int]:
        """The numbers, as attributes of data."""
        return {
            "n_events": self.n_events,
            "n_selected": self.selected,
            "n_missing": self.missing,
            "n_outside": self.outside,
        }


def tally_of(attrs: Mapping[str, Any]) -> Tally:
    """Give the tally that data have in their attributes."""
    return Tally(attrs["n_selected"], attrs["n_missing"], attrs["n_outside"])


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A window of events.

    Attributes
    ----------
    window : Window
        The events.
    kept : (n,) bool
        Which of them the selection keeps.
    columns : tuple of Column
        What is looked at, of all events of the window.
    """

    window: Window
    kept: BoolArray
    columns: tuple[Column, ...]

    def alone(self, number: int) -> Part:
        """Give the same events with one of the quantities."""
        return Part(self.window, self.kept, (self.columns[number],))

    @property
    def known(self) -> BoolArray:
        """(n,) kept events that have a value of everything; infinite ones count."""
        found = self.kept.copy()
        for column in self.columns:
            found &= has_value(column)
        return found

    @property
    def finite(self) -> BoolArray:
        """(n,) kept events that have a finite value of everything."""
        found = self.known
        for column in self.columns:
            found &= np.isfinite(column.data)
        return found


@dataclass(frozen=True, slots=True)
class Events:
    """Some quantities in the selected events of a run.

    Attributes
    ----------
    run : Run
        The run; quantities that are no fields of it have been derived.
    names : tuple of str
        The quantities: one number per event each.
    node : Node, or None
        The selection; None keeps all events.
    """

    run: Run
    names: tuple[str, ...]
    node: Node | None

    @property
    def selection(self) -> str:
        """What the selection is, in words."""
        return words(self.node)

    def parts(self) -> Iterator[Part]:
        """Give the events, window after window."""
        for window in self.run.windows():
            columns = tuple(map(window.column, self.names))
            yield Part(window, kept_events(window, self.node), columns)

    def attrs(self, name: str) -> dict[str, Any]:
        """Give the attributes of a coordinate or array of one of the quantities."""
        unit = self.run.fields.unit(name)
        return {"long_name": name, "field": name} | ({"units": unit} if unit else {})

    @property
    def origin(self) -> dict[str, Any]:
        """Where data come from: run and selection."""
        return origin(self.run, self.node)


def look_at(source: RunLike, names: Sequence[str], select: Select = None) -> Events:
    """Prepare to look at quantities.

    Parameters
    ----------
    source : Run, or what holds one
        The run.
    names : sequence of str
        Fields with one number per event, or expressions, as "diode2__channels[3] / ipm2__sum".
    select : Select
        Which events.

    Raises
    ------
    FieldNotFound
        If the run has no such field.
    SpecError
        If an expression or selection is wrong, or a quantity is not one number per event.
    """
    run = run_of(source)
    found = []
    for name in names:
        run, resolved = _with_quantity(run, name)
        found.append(resolved)
    return Events(run, tuple(found), node_of(source, select))


def run_of(source: RunLike) -> Run:
    """Give the run."""
    return source if isinstance(source, Run) else source.run


def node_of(source: RunLike, select: Select) -> Node | None:
    """Resolve a selection; None stays None, for all events.

    Raises
    ------
    SpecError
        If it cannot be resolved.
    FieldNotFound
        If it asks for a field that the run does not have.
    """
    if select is None:
        return None
    if isinstance(select, ResolvedCut | Combine):
        node: Node = select
    else:
        node = _resolved(source, select) if isinstance(source, Run) else source.node(select)
    run = run_of(source)
    for name in sorted(fields(node)):
        run.fields.resolve(name)
    return node


def _resolved(run: Run, select: Any) -> Node:
    """Resolve a selection that refers to no other, with the units that the run declares."""
    selection = Selection.model_validate(select)
    units = {name: unit for name in run.fields if (unit := run.fields.unit(name)) is not None}
    states_in = RunSpec(laser=laser_text(run)) if selection.laser else RunSpec()
    spec = CubeSpec(cube="look", run=states_in, units=units, select={"selected": selection})
    node = resolve_selection(spec, "selected")
    return _only(node)


def _only(node: Node) -> Node:
    """Give a selection of one part as that part, so that it is named by what it asks."""
    if isinstance(node, Combine) and node.how == "all":
        return _only(node.parts[0]) if len(node.parts) == 1 else Combine("all", node.parts)
    return node


def words(node: Node | None) -> str:
    """Say what a selection asks for: its name, or its conditions."""
    if node is None:
        return ALL_EVENTS
    if isinstance(node, Combine) and node.how == "all" and not node.label:
        return " and ".join(map(words, node.parts)) or ALL_EVENTS
    return _BRACKETED.sub(r"\1\2", describe(node).replace("`", ""))


def origin(run: Run, node: Node | None) -> dict[str, Any]:
    """Give where data come from, as attributes: run and selection."""
    return {"run": str(run.run_id or run.label), "selection": words(node)}


def laser_text(run: Run) -> str:
    """Give what tells the state of the laser, a field or an expression; the usual field if nothing does."""
    return LASER if LASER in run.fields else laser_shots(run).text or LASER


def kept_events(window: Window, node: Node | None) -> BoolArray:
    """Tell which events of a window a selection keeps."""
    if node is None:
        return np.ones(window.n_events, bool)
    kept: BoolArray = window.states(node) == states.TRUE
    return kept


def has_value(column: Column) -> BoolArray:
    """Tell where a column has a value: neither missing nor NaN."""
    there = np.ones(len(column), bool) if column.valid is None else column.valid.copy()
    if column.damaged is not None:
        there &= ~column.damaged
    if column.data.dtype.kind == "f":
        there &= ~np.isnan(column.data)
    return there


def floats(column: Column, where: BoolArray) -> NDArray[np.float64]:
    """Give the values of some events as float64."""
    return column.data[where].astype(np.float64)


def _with_quantity(run: Run, name: str) -> tuple[Run, str]:
    """Give the run with a quantity, and the quantity's name in it."""
    if name in run.fields:
        resolved = run.fields.resolve(name)
    elif "`" in name or _is_formula(run, name):
        expression = Expression.parse(name)
        for field in expression.fields:
            run.fields.resolve(field)
        run, resolved = _derived(run, expression)
    else:
        resolved = run.fields.resolve(name)  # says what is near
    _check_number(run, resolved)
    return run, resolved


def _is_formula(run: Run, name: str) -> bool:
    """Tell whether a text is an expression, and no field's name that was mistyped."""
    try:
        names = Expression.parse(name).fields
    except SpecError:
        return False
    return any(field in run.fields for field in names) or not set("/-.:").issuperset(
        character for character in name if not (character.isalnum() or character == "_")
    )


def _derived(run: Run, expression: Expression) -> tuple[Run, str]:
    name = expression.text.replace("`", "")
    if name in run.fields:
        return run, name
    formula = Formula(expression, *expression.result(run.fields))
    return run.with_columns({name: formula}), name


def _check_number(run: Run, name: str) -> None:
    info = run.fields[name]
    if info.kind is not FieldKind.EVENT:
        run[name].require_event()
    if info.shape:
        shape = " x ".join(map(str, info.shape))
        index = ", ".join("i" * len(info.shape))
        raise SpecError(
            f"{name!r} has {shape} elements per event; look at one number of it, as `{name}`[{index}], "
            f"sum(`{name}`) or max(`{name}`), or at average_image(run, {name!r})"
        )
    if info.dtype.kind not in "biuf":
        raise SpecError(f"{name!r} holds {info.dtype}, which are no numbers")


def dim_of(name: str) -> str:
    """Give the name of the dimension of a quantity."""
    return variable(name)
