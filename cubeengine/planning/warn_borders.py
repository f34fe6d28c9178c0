"""Warnings of cuts that decide many events by rounding, with what to write instead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from cubeengine.events.expressions import Expression
from cubeengine.planning.borders import Beside, Border, borders
from cubeengine.schema.problems import SpecPath
from cubeengine.spec.links import is_reference, walk_members, walk_selections
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import declared_unit, resolve_cut
from cubeengine.spec.selections import Cut
from cubeengine.spec.writing import flow
from cubeengine.units import Quantity, convert_written

SHARE = 1e-3
"""Of the events with a value: each of a thousand settings has as many."""


def rounding_warnings(spec: CubeSpec, counted: Mapping[Border, Beside]) -> Iterator[tuple[SpecPath, str]]:
    """Yield the numbers of cuts beside which many events lie, as far as rounding goes, and their places."""
    told = set()
    for outer, selection in walk_selections(spec):
        for path, member in walk_members(selection, outer):
            if isinstance(member, str) and is_reference(spec, member):
                continue
            for border, unit in _written_borders(spec, member):
                beside = counted.get(border, Beside(0, 0))
                if beside.n_events > SHARE * beside.n_values and border not in told:
                    told.add(border)
                    yield path, _message(spec, member, border, beside, unit)


def _written_borders(spec: CubeSpec, member: Cut | str) -> Iterator[tuple[Border, str | None]]:
    """Yield the numbers of a cut or an expression, and the unit that each is written in."""
    if isinstance(member, str):
        yield from ((border, None) for border in borders(Expression.parse(member)))
        return
    if member.by_percentile:  # the number is found in the values, and is one of them or between two
        return
    amounts = (member.min, member.max, member.equal, *(member.in_ or ()))
    units = (a.unit if isinstance(a, Quantity) else None for a in amounts if a is not None)
    yield from zip(borders(resolve_cut(spec, member).condition), units, strict=True)


def _message(spec: CubeSpec, member: Cut | str, border: Border, beside: Beside, unit: str | None) -> str:
    declared = declared_unit(spec, border.field)
    limits = (beside.low, -math.inf), (beside.high, math.inf)
    low, high = (_written(value, unit, declared, toward) for value, toward in limits)
    lying = low if beside.low == beside.high else f"{low} to {high}"
    label = resolve_cut(spec, member).label if isinstance(member, Cut) else member
    done, wanted = ("leaves out", "to keep them") if border.keeps_equal else ("keeps", "to leave them out")
    n_events = f"{beside.n_events:,} of {beside.n_values:,} events"
    return (
        f"{label} {done} {n_events} whose {border.field!r} is {lying}, equal apart from rounding; to "
        f"{wanted}, write  {_instead(member, border, low, high)}"
    )


def _written(value: float, unit: str | None, declared: str | None, toward: float) -> str:
    """Write a value in a unit, so that it is not on the other side of it once it is converted back."""
    if unit is None or declared is None:
        return repr(value)
    number = convert_written(value, declared, unit)
    while math.copysign(1, toward) * (convert_written(number, unit, declared) - value) < 0:
        number = math.nextafter(number, toward)
    return flow(f"{number!r} {unit}")


def _instead(member: Cut | str, border: Border, low: str, high: str) -> str:
    """Say what to write for a number so that it decides about events beside it as about those on it."""
    is_cut = isinstance(member, Cut)
    match border.op:
        case "<=" | ">":
            return f"max: {high}" if is_cut else high
        case ">=" | "<":
            return f"min: {low}" if is_cut else low
        case "==" if is_cut:
            return f"{{field: {flow(border.field)}, min: {low}, max: {high}}}"
        case op:
            between = f"{low} <= `{border.field}` <= {high}"
            return between if op == "==" else f"not ({between})"
