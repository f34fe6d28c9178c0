"""What is looked at: some quantities in the events of a run that a selection keeps, window after window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.field import Field, variable
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.events.spelling import spelled
from cubeengine.events.window import Window
from cubeengine.look.selecting import RunLike, Select, kept_events, node_of, origin, run_of, words
from cubeengine.planning.derive import Formula
from cubeengine.schema.texts import kind_of
from cubeengine.types import BoolArray, Column, FieldKind

LARGEST = 1e140
"""Values further from 0 count as infinite: ranges, squares and sums of what is nearer do not overflow."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the selected events."""

    selected: int = 0  # events that the selection keeps
    missing: int = 0  # of these, events without a value: missing, damaged or NaN
    outside: int = 0
    """Of these, events whose value lies outside the bins; infinite ones, and those beyond `LARGEST`, do."""

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
    """Return the tally that data have in their attributes."""
    return Tally(attrs["n_selected"], attrs["n_missing"], attrs["n_outside"])


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A window of events."""

    window: Window  # the events
    kept: BoolArray  # (n,) bool: Which of them the selection keeps
    columns: tuple[Column, ...]  # what is looked at, of all events of the window

    def alone(self, number: int) -> Part:
        """Return the same events with one of the quantities."""
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
        """(n,) kept events that have a finite value of everything, none beyond `LARGEST`."""
        found = self.known
        for column in self.columns:
            found &= in_reach(column.data)
        return found


@dataclass(frozen=True, slots=True)
class Events:
    """Some quantities in the selected events of a run."""

    run: Run  # the run; quantities that are no fields of it have been derived
    names: tuple[str, ...]  # the quantities: one number per event each
    node: Node | None  # the selection; None keeps all events

    @property
    def selection(self) -> str:
        """What the selection is, in words."""
        return words(self.node)

    def parts(self) -> Iterator[Part]:
        """Yield the events, window after window."""
        for window in self.run.windows():
            columns = tuple(map(window.column, self.names))
            yield Part(window, kept_events(window, self.node), columns)

    def attrs(self, name: str) -> dict[str, Any]:
        """Return the attributes of a coordinate or array of one of the quantities."""
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


def has_value(column: Column) -> BoolArray:
    """Tell where a column has a value: neither missing nor NaN."""
    there = np.ones(len(column), bool) if column.valid is None else column.valid.copy()
    if column.damaged is not None:
        there &= ~column.damaged
    if column.data.dtype.kind == "f":
        there &= ~np.isnan(column.data)
    return there


def in_reach(values: NDArray[Any]) -> BoolArray:
    """Tell which values are finite and not beyond `LARGEST`."""
    reaches = values.dtype.kind == "f" and values.dtype.itemsize >= 8  # narrower types do not get so far
    near: BoolArray = np.abs(values) <= LARGEST if reaches else np.isfinite(values)
    return near


def floats(column: Column, where: BoolArray) -> NDArray[np.float64]:
    """Return the values of some events as float64."""
    return column.data[where].astype(np.float64)


def _with_quantity(run: Run, name: str) -> tuple[Run, str]:
    """Return the run with a quantity, and the quantity's name in it."""
    name = _name_of(name)
    if name in run.fields:
        resolved = run.fields.resolve(name)
    elif "`" in name or _is_formula(run, name):
        expression = Expression.parse(name)
        run.fields.infos(expression)
        run, resolved = _derived(run, expression)
    else:
        raise run.fields.not_found(name, spelled(name, run.fields.__contains__))
    _check_number(run, resolved)
    return run, resolved


def _name_of(quantity: object) -> str:
    """Return the name of a field, or the expression, that is looked at; a field stands for its name."""
    if isinstance(quantity, Field):
        return quantity.name
    if isinstance(quantity, str):
        return quantity
    add = "an array gets a name first, as ce.explore(run).add('mine', array)"
    raise SpecError(
        f"a quantity is the name of a field or an expression, as 'ipm2/sum', not {kind_of(quantity)}"
        f"{'; ' + add if hasattr(quantity, '__array__') else ''}"
    )


def _is_formula(run: Run, name: str) -> bool:
    """Return whether a text is an expression, and no field's name that was mistyped."""
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
        run.field(name).require_event()
    if info.shape:
        shape = " x ".join(map(str, info.shape))
        index = ", ".join("i" * len(info.shape))
        raise SpecError(
            f"{name!r} has {shape} elements per event, but one number is needed: choose `{name}`[{index}], "
            f"sum(`{name}`) or max(`{name}`), or look at average_image(run, {name!r})"
        )
    if info.dtype.kind not in "biuf":
        raise SpecError(f"{name!r} holds {info.dtype}, not numbers")


def dim_of(name: str) -> str:
    """Return the name of the dimension of a quantity."""
    return variable(name)
