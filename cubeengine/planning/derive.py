"""Derived variables of a spec, computed on a run."""

from __future__ import annotations

from collections.abc import Mapping

from cubeengine.events.derived import DelayCounts, delay
from cubeengine.events.expressions import Expression
from cubeengine.events.run import Run
from cubeengine.events.selections import Cut, fields
from cubeengine.events.states import States
from cubeengine.planning.units import column_in
from cubeengine.spec.derived import DelayRecipe
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import resolve_derived, state_cut
from cubeengine.spec.texts import amount_in
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
    if recipe.laser == "none":
        return None
    cut = state_cut(spec.run.laser, "on")
    return run.states(cut) if all(name in run.fields for name in fields(cut)) else None
