"""What must hold between the parts of a spec: names that refer to others, units, names in the cube."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from cubeengine.errors import SpecError, nearest_names
from cubeengine.events.expressions import Expression
from cubeengine.schema.problems import SpecPath
from cubeengine.schema.texts import NAME, amount_in, is_variable_name
from cubeengine.spec.axes import MAX_BINS, Axis, axis_unit, edges_of
from cubeengine.spec.conventions import unit_hint
from cubeengine.spec.derived import DelayRecipe
from cubeengine.spec.formulas import formula_words
from cubeengine.spec.resolve import (
    ALL_EVENTS,
    Resolver,
    SelectionError,
    declared_unit,
    resolve_cut,
    resolve_derived,
    state_condition,
)
from cubeengine.spec.selections import Cut, Selection
from cubeengine.units import Quantity, same_dimension

if TYPE_CHECKING:
    from cubeengine.spec.model import CubeSpec

MAX_AXES = 8
MAX_PROBLEMS = 100
Found = Iterator[tuple[SpecPath, str]]


def link_problems(spec: CubeSpec) -> list[tuple[SpecPath, str]]:
    """Return what is wrong between parts that are right by themselves, the first hundred of each kind."""
    members = _first(_member_problems(spec))
    parts = (_run, _derived, _axes, _cubes, _cube_names)
    found = [problem for part in parts for problem in _first(part(spec))]
    return found + (members or _first(_resolution(spec)))


def _first(found: Found) -> list[tuple[SpecPath, str]]:
    return list(islice(found, MAX_PROBLEMS))


def walk_selections(spec: CubeSpec) -> Iterator[tuple[SpecPath, Selection]]:
    """Yield all selections, inner ones included, with their paths."""
    for name, selection in spec.select.items():
        yield from _walk_inner(selection, ("select", name))


def _walk_inner(selection: Selection, path: SpecPath) -> Iterator[tuple[SpecPath, Selection]]:
    yield path, selection
    for key, members in selection.parts:
        for i, member in enumerate(members):
            if isinstance(member, Selection):
                yield from _walk_inner(member, (*path, key, i))


def walk_members(selection: Selection, path: SpecPath) -> Iterator[tuple[SpecPath, Cut | str]]:
    """Yield the cuts and texts that stand directly in a selection, with their paths."""
    for key, members in selection.parts:
        for i, member in enumerate(members):
            if not isinstance(member, Selection):
                yield (*path, key, i), member


def is_reference(spec: CubeSpec, text: str) -> bool:
    """Return whether a text in a selection names another selection."""
    return text in spec.select or text == ALL_EVENTS


def member_fields(spec: CubeSpec, member: Cut | str) -> frozenset[str]:
    """Return the fields of a cut or an expression; those of another selection are not its own."""
    if isinstance(member, Cut):
        return frozenset({member.field})
    return frozenset() if is_reference(spec, member) else Expression.parse(member).fields


def _run(spec: CubeSpec) -> Found:
    for key, text in (("laser", spec.run.laser), ("xray", spec.run.xray)):
        try:
            state_condition(text)
        except SpecError as err:
            yield ("run", key), str(err)


def _member_problems(spec: CubeSpec) -> Found:
    for outer, selection in walk_selections(spec):
        for path, member in walk_members(selection, outer):
            try:
                _check_member(spec, member)
            except SpecError as err:
                yield path, str(err)


def _check_member(spec: CubeSpec, member: Cut | str) -> None:
    if isinstance(member, Cut):
        resolve_cut(spec, member)
        if member.by_percentile and "%" in (declared_unit(spec, member.field) or ""):
            raise SpecError(
                f"{member.field!r} is in %, but a bound in % is a percentile: for a value in % write a "
                "plain number; for a percentile, declare the field without a unit"
            )
    elif not is_reference(spec, member):
        if NAME.fullmatch(member) and "__" not in member and member not in spec.derive:
            near = nearest_names(member, (*spec.select, *spec.derive))
            hint = f"; nearest: {', '.join(map(repr, near))}" if near else ""
            if member in ("laser", "xray"):
                hint = f"; write  {{{member}: on}}"
            raise SpecError(f"{member!r} is neither a selection nor a derived variable{hint}")
        Expression.parse(member)


def _resolution(spec: CubeSpec) -> Found:
    seen: set[str] = set()
    resolver = Resolver(spec)
    for name in spec.select:
        try:
            resolver.resolve(name)
        except SelectionError as err:
            if str(err) not in seen:
                seen.add(str(err))
                yield ("select", err.selection, *([err.key] if err.key else [])), str(err)


def _derived(spec: CubeSpec) -> Found:
    for name, derived in spec.derive.items():
        if derived.delay is not None:
            yield from _delay(spec, name, derived.delay)
        if derived.neighbours is not None and not is_reference(spec, derived.neighbours.among):
            path = ("derive", name, "neighbours", "among")
            yield path, _no_selection(spec, derived.neighbours.among)
        if derived.source is not None:
            yield from _inherited_unit(spec, name, derived.source)
    try:
        resolve_derived(spec)
    except SpecError as err:
        yield ("derive",), str(err)


def _delay(spec: CubeSpec, name: str, recipe: DelayRecipe) -> Found:
    path = ("derive", name, "delay")
    if spec.units.get(name, "ps") != "ps":
        yield ("units", name), f"{name!r} is a delay, always in ps"
    try:
        amount_in(recipe.t0, "ps", "a delay")
    except SpecError as err:
        yield (*path, "t0"), str(err)
    for key, field in (("nominal", recipe.nominal), ("timetool", recipe.timetool)):
        message = None if field is None else _time_unit(spec, field)
        if message:
            yield (*path, key), message


def _inherited_unit(spec: CubeSpec, name: str, source: str) -> Found:
    own, unit = spec.units.get(name), declared_unit(spec, source)
    if own is not None and unit is not None and own != unit:
        yield ("units", name), f"{name!r} is in the unit of {source!r}, {unit!r}"


def _time_unit(spec: CubeSpec, field: str) -> str | None:
    unit = declared_unit(spec, field)
    if unit is None:
        return f"the unit of {field!r} is not declared; {unit_hint(field)}"
    return (
        None
        if same_dimension(unit, "ps")
        else f"{field!r} is in {unit or 'no unit'!r}, not in a unit of time"
    )


def _axes(spec: CubeSpec) -> Found:
    if len(spec.axes) > MAX_AXES:
        yield ("axes",), f"{len(spec.axes)} axes are more than {MAX_AXES}"
    for i, axis in enumerate(spec.axes):
        message = _axis_unit(spec, axis)
        if message:
            yield ("axes", i, *(["unit"] if axis.unit is not None else [])), message
        if message := _tolerance_unit(spec, axis):
            yield ("axes", i, "tolerance"), message
    if (n_bins := math.prod(map(_known_bins, spec.axes))) > MAX_BINS:
        yield ("axes",), f"the axes have {n_bins:,} bins together, more than {MAX_BINS:,}; take larger steps"


def _axis_unit(spec: CubeSpec, axis: Axis) -> str | None:
    unit, declared = axis_unit(axis), declared_unit(spec, axis.field)
    if unit is None or (declared is None and not unit):  # `unit: ""` says that the field has none
        return None
    if declared is None:
        return (
            f"the axis is in {unit!r}, but the unit of {axis.field!r} is not declared; "
            f"{unit_hint(axis.field, unit)}"
        )
    if same_dimension(unit, declared):
        return None
    return f"{axis.field!r} is in {declared!r}, which cannot be converted to {unit!r}"


def _tolerance_unit(spec: CubeSpec, axis: Axis) -> str | None:
    """Tell where a tolerance carries a unit that the readings of its settings do not convert to."""
    if not isinstance(axis.tolerance, Quantity):
        return None
    unit = axis_unit(axis) or declared_unit(spec, axis.field)
    if not unit:
        hint = unit_hint(axis.field, axis.tolerance.unit)
        return f"{axis.tolerance} has a unit, but that of {axis.field!r} is not declared; {hint}"
    if same_dimension(axis.tolerance.unit, unit):
        return None
    return f"{axis.tolerance} is not a number in the axis's unit {unit!r}"


def _known_bins(axis: Axis) -> int:
    edges = edges_of(axis)
    return (axis.quantiles or 1) if edges is None else len(edges) - 1


def _cubes(spec: CubeSpec) -> Found:
    seen: set[str] = set()
    for i, name in enumerate(spec.cubes):
        if not is_reference(spec, name):
            yield ("cubes", i), _no_selection(spec, name)
        elif name in seen:
            yield ("cubes", i), f"{name!r} is already in this list"
        seen.add(name)


def _no_selection(spec: CubeSpec, name: str) -> str:
    near = nearest_names(name, tuple(spec.select))
    hint = f"; nearest: {', '.join(map(repr, near))}" if near else ""
    if not near:
        known = ", ".join(map(repr, islice(spec.select, 20)))
        hint = f"; known: {known}" if known else f"; define it under  select,  as  {name}: {{laser: on}}"
    return f"there is no selection {name!r}{hint}"


def _cube_names(spec: CubeSpec) -> Found:
    taken = Counter({"selection": 1, "n_events": 1, "bnds": 1})
    axes = {axis.variable: axis.field for axis in spec.axes}
    for i, axis in enumerate(spec.axes):
        if axis.variable == "run":
            yield (
                ("axes", i, "name" if axis.name else "field"),
                "'run' is the axis of stacked cubes; give the axis another 'name'",
            )
            continue
        yield from _claim(
            taken, ("axes", i, "name" if axis.name else "field"), axis.variable, ("", "_bnds"), axis.field
        )
    signals: dict[str, str] = {}
    for i, signal in enumerate(spec.signals):
        path, name = ("signals", i, "name" if signal.name else "field"), signal.variable
        if name in signals:
            yield path, f"two signals are called {name!r} in the cube; rename one of them with 'name'"
        elif name in axes and (axes[name] != signal.field or signal.stages):
            yield path, f"an axis in the cube is already called {name!r}; give the signal another 'name'"
        else:
            yield from _claim(taken, path, name, ("_count", "_mean", "_std"), signal.field)
        signals[name] = signal.field


def _claim(taken: Counter[str], path: SpecPath, name: str, endings: tuple[str, ...], field: str) -> Found:
    if not is_variable_name(name):
        hint = formula_words(field) or "give the signal another 'name', or derive a variable"
        yield path, f"{name[:80]!r} cannot be used as a name in the cube; {hint}"
        return
    clash = [name + ending for ending in endings if taken[name + ending]]
    if clash:
        yield path, f"the cube would have two variables called {clash[0]!r}; rename one of them with 'name'"
    taken.update(name + ending for ending in endings)
