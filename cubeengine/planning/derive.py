"""Derived variables of a spec: how they are computed for any window of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.derived import DelayCounts, delay
from cubeengine.events.expressions import Expression
from cubeengine.events.neighbours import ANY_TIME
from cubeengine.events.run import Run
from cubeengine.events.selections import Cut, Node, fields
from cubeengine.events.spelling import spelled
from cubeengine.events.states import States
from cubeengine.events.values import of_kind
from cubeengine.events.window import Computed, Variable, Window
from cubeengine.planning.nearby import NeighbourValue, RunningValue, ShiftedValue
from cubeengine.planning.units import FieldIn, field_in
from cubeengine.schema.texts import amount_in
from cubeengine.spec.derived import DelayRecipe, Neighbours, Running
from cubeengine.spec.model import CubeSpec, RunSpec
from cubeengine.spec.resolve import declared_unit, resolve_derived, resolve_selection, state_cut
from cubeengine.units import Quantity, convert

DELAY_UNIT = "ps"


@dataclass(frozen=True, slots=True)
class Formula:
    """A variable by expression.

    Attributes
    ----------
    expression : Expression
        The formula.
    shape, dtype
        Of one event's value; integers become floats in a window that holds larger ones than int64 does.
    """

    expression: Expression
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def compute(self, window: Window) -> Computed:
        """Compute the values of the events of a window."""
        return Computed(of_kind(window.evaluate(self.expression), self.dtype))


@dataclass(frozen=True, slots=True)
class Delay:
    """A pump-probe delay, in ps.

    Attributes
    ----------
    nominal, timetool : FieldIn
        Delay as set, and its correction, None where there is none.
    sign, t0
        As for `events.derived.delay`.
    laser : (Node, Node), or None
        Cuts that hold where the laser is on, and where it is off; None where all events count as laser-on.
    valid : Node, or None
        Where the time tool can be trusted.
    """

    nominal: FieldIn
    timetool: FieldIn | None
    sign: int
    t0: float
    laser: tuple[Node, Node] | None
    valid: Node | None

    @property
    def shape(self) -> tuple[int, ...]:
        """One number per event."""
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float64."""
        return np.dtype(np.float64)

    def compute(self, window: Window) -> Computed:
        """Compute the delay of the events of a window, and count how it came about."""
        column, counts = delay(
            self.nominal.column(window),
            None if self.timetool is None else self.timetool.column(window),
            sign=self.sign,
            t0=self.t0,
            laser=None if self.laser is None else _laser_states(window, *self.laser),
            valid=None if self.valid is None else window.states(self.valid),
        )
        return Computed(column, counts)


def _laser_states(window: Window, on: Node, off: Node) -> States:
    # A laser that is not on is not therefore off: -1 in its field says that it is unknown.
    is_on, is_off = (window.states(node) == states.TRUE for node in (on, off))
    return np.select([is_on, is_off], [states.TRUE, states.FALSE], states.MISSING).astype(np.int8)


def add_derived(run: Run, spec: CubeSpec) -> tuple[Run, dict[str, str]]:
    """Add all derived variables, in the order of their dependencies. Computes nothing.

    Returns
    -------
    run : Run
        With the new variables.
    units : dict
        Field -> unit: what is declared, ps for delays, and what variables have from those they are made of.

    Raises
    ------
    SpecError
        If a recipe's fields have no declared unit, or shapes do not fit.
    """
    units = dict(spec.units)
    for name in resolve_derived(spec):
        unit = declared_unit(spec, name)
        if unit is not None:
            units[name] = unit
        variable = _variable(run, spec, name, units)
        run = run.with_columns({name: variable}, {name: units[name]} if name in units else {})
    return run, units


def _variable(run: Run, spec: CubeSpec, name: str, units: Mapping[str, str]) -> Variable:
    recipe = spec.derive[name].recipe
    match recipe:
        case None:
            return _formula(run, spec.derive[name].expression or "")
        case DelayRecipe():
            return _delay(run, spec, name, recipe, units)
        case Running():
            return _running(recipe)
        case Neighbours():
            return _neighbours(run, spec, recipe)
    info = run.fields[recipe.field]
    return ShiftedValue(recipe.field, recipe.events, _nanoseconds(recipe.within), info.shape, info.dtype)


def _running(recipe: Running) -> RunningValue:
    in_time = isinstance(recipe.window, Quantity)
    length = _nanoseconds(recipe.window) if isinstance(recipe.window, Quantity) else recipe.window
    return RunningValue(recipe.field, recipe.statistic, recipe.at, length, in_time=in_time)


def _neighbours(run: Run, spec: CubeSpec, recipe: Neighbours) -> NeighbourValue:
    return NeighbourValue(
        recipe.field,
        resolve_selection(spec, recipe.among),
        recipe.n,
        _nanoseconds(recipe.within),
        difference=recipe.give == "difference",
        shape=run.fields[recipe.field].shape,
    )


def _nanoseconds(duration: Quantity | None) -> int:
    return ANY_TIME if duration is None else round(convert(float(duration.value), duration.unit, "ns"))


def _formula(run: Run, text: str) -> Formula:
    expression = Expression.parse(text)
    shape, dtype = expression.result(run.fields)
    return Formula(expression, shape, dtype)


def _delay(run: Run, spec: CubeSpec, name: str, recipe: DelayRecipe, units: Mapping[str, str]) -> Delay:
    timetool, where = recipe.timetool, f"derive.{name}.delay"
    return Delay(
        field_in(recipe.nominal, units, DELAY_UNIT, where),
        None if timetool is None else field_in(timetool, units, DELAY_UNIT, where),
        sign=recipe.sign,
        t0=amount_in(recipe.t0, DELAY_UNIT, "t0"),
        laser=_laser(run, spec, recipe),
        valid=None if recipe.valid is None else Cut("", Expression.parse(recipe.valid)),
    )


def _laser(run: Run, spec: CubeSpec, recipe: DelayRecipe) -> tuple[Node, Node] | None:
    """Cuts on the laser; None where all events count as laser-on, by the recipe or for want of a field."""
    if recipe.laser == "none" or lacks_laser(run, spec):
        return None
    return state_cut(spec.run.laser, "on"), state_cut(spec.run.laser, "off")


def lacks_laser(run: Run, spec: CubeSpec) -> bool:
    """Return whether the run does not say when the laser was on.

    Raises
    ------
    SpecError
        If the spec itself says where that stands, and it is not there.
    """
    missing = sorted(name for name in fields(state_cut(spec.run.laser, "on")) if name not in run.fields)
    if missing and spec.run.laser != RunSpec().laser:
        hint = spelled(spec.run.laser, run.fields.__contains__)
        raise SpecError(f"run.laser: {run.fields.not_found(missing[0], hint)}")
    return bool(missing)


def delay_facts(run: Run, spec: CubeSpec, counts: Mapping[str, DelayCounts]) -> dict[str, dict[str, Any]]:
    """Tell, for each delay, what the state of the laser was taken from, and how its events came about."""
    return {
        name: {"laser": _laser_text(run, spec, name), **asdict(found)}
        for name, found in counts.items()
        if name in spec.derive  # others the run came with
    }


def _laser_text(run: Run, spec: CubeSpec, name: str) -> str:
    recipe = spec.derive[name].delay
    if recipe is not None and recipe.laser == "none":
        return "not used: the recipe counts all events as laser-on"
    if lacks_laser(run, spec):
        return f"unknown: no field {spec.run.laser!r}, so all events count as laser-on"
    return spec.run.laser
