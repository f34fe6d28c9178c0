"""Derived variables of a spec, computed on a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.derived import DelayCounts, delay
from cubeengine.events.expressions import Expression
from cubeengine.events.run import Run
from cubeengine.events.selections import Cut, fields
from cubeengine.events.states import States
from cubeengine.planning.units import column_in
from cubeengine.schema.texts import amount_in
from cubeengine.spec.derived import DelayRecipe
from cubeengine.spec.model import CubeSpec, RunSpec
from cubeengine.spec.resolve import resolve_derived, state_cut
from cubeengine.types import Column

DELAY_UNIT = "ps"


def add_derived(run: Run, spec: CubeSpec) -> tuple[Run, dict[str, str], dict[str, DelayCounts]]:
    """Compute all derived variables, in the order of their dependencies.

    Returns
    -------
    run : Run
        With the new variables in memory.
    units : dict
        Field -> unit: what is declared, and ps for delays.
    counts : dict
        Delay -> how its events came about.

    Raises
    ------
    SpecError
        If a recipe's fields have no declared unit, or shapes do not fit.
    """
    units, counts = dict(spec.units), {}
    for name in resolve_derived(spec):
        recipe = spec.derive[name].delay
        if recipe is None:
            column = run.evaluate(Expression.parse(spec.derive[name].expression or ""))
        else:
            column, counts[name] = _delay(run, spec, name, recipe, units)
            units[name] = DELAY_UNIT
        run = run.with_columns({name: column}, {name: units[name]} if name in units else {})
    return run, units, counts


def _delay(
    run: Run, spec: CubeSpec, name: str, recipe: DelayRecipe, units: Mapping[str, str]
) -> tuple[Column, DelayCounts]:
    timetool = recipe.timetool
    return delay(
        column_in(run, recipe.nominal, units, DELAY_UNIT, f"derive.{name}.delay"),
        None if timetool is None else column_in(run, timetool, units, DELAY_UNIT, f"derive.{name}.delay"),
        sign=recipe.sign,
        t0=amount_in(recipe.t0, DELAY_UNIT, "t0"),
        laser=_laser(run, spec, recipe),
        valid=None if recipe.valid is None else run.states(Cut("", Expression.parse(recipe.valid))),
    )


def _laser(run: Run, spec: CubeSpec, recipe: DelayRecipe) -> States | None:
    """State of the laser; None where all events count as laser-on, by the recipe or for want of a field."""
    if recipe.laser == "none" or lacks_laser(run, spec):
        return None
    # A laser that is not on is not therefore off: -1 in its field says that it is unknown.
    on, off = (run.states(state_cut(spec.run.laser, state)) == states.TRUE for state in ("on", "off"))
    return np.select([on, off], [states.TRUE, states.FALSE], states.MISSING).astype(np.int8)


def lacks_laser(run: Run, spec: CubeSpec) -> bool:
    """Tell whether the run does not say when the laser was on.

    Raises
    ------
    SpecError
        If the spec itself says where that stands, and it is not there.
    """
    missing = sorted(name for name in fields(state_cut(spec.run.laser, "on")) if name not in run.fields)
    if missing and spec.run.laser != RunSpec().laser:
        raise SpecError(f"run.laser: field {missing[0]!r} is not in {run.label}")
    return bool(missing)


def delay_facts(run: Run, spec: CubeSpec, counts: Mapping[str, DelayCounts]) -> dict[str, dict[str, Any]]:
    """Tell, for each delay, what the state of the laser was taken from, and how its events came about."""
    return {name: {"laser": _laser_text(run, spec, name), **asdict(found)} for name, found in counts.items()}


def _laser_text(run: Run, spec: CubeSpec, name: str) -> str:
    recipe = spec.derive[name].delay
    if recipe is not None and recipe.laser == "none":
        return "not asked: the recipe counts all events as laser-on"
    if lacks_laser(run, spec):
        return f"unknown: no field {spec.run.laser!r}, so all events count as laser-on"
    return spec.run.laser
