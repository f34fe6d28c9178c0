"""Warnings of formulas that put fields of different units together."""

from __future__ import annotations

from collections.abc import Iterator

from cubeengine.events.expressions import Expression
from cubeengine.events.grammar import Binary, Compare, Element, FieldName, Node, canonical, children
from cubeengine.schema.problems import Problem
from cubeengine.spec.links import is_reference, walk_members, walk_selections
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import declared_unit
from cubeengine.units import convert, same_dimension

_VERBS = {"+": "adds {} and {}", "-": "takes the difference of {} and {}"}


def unit_warnings(spec: CubeSpec) -> Iterator[Problem]:
    """Yield a warning for each formula that adds or compares two fields of different declared units."""
    for name, derived in spec.derive.items():
        for message in unit_words(spec, derived.expression or ""):
            yield Problem(("derive", name), message, severity="warning")
    for path, selection in walk_selections(spec):
        for here, member in walk_members(selection, path):
            if isinstance(member, str) and not is_reference(spec, member):
                for message in unit_words(spec, member):
                    yield Problem(here, message, severity="warning")


def unit_words(spec: CubeSpec, formula: str) -> Iterator[str]:
    """Say which fields of different units a formula adds, subtracts or compares; "" is no formula."""
    for op, left, right in _pairs(Expression.parse(formula).tree) if formula else ():
        names = _field(left), _field(right)
        units = [declared_unit(spec, name) if name else None for name in names]
        if not (units[0] and units[1]) or units[0] == units[1]:
            continue
        some = same_dimension(units[0], units[1])
        factor = convert(1.0, units[0], units[1]) if some else 0.0
        if factor == 1:
            continue
        first, second = (f"{name} ({unit})" for name, unit in zip(names, units, strict=True))
        does = _VERBS.get(op, "compares {} with {}").format(first, second)
        advice = ""
        if some:
            short = f"{factor:g}"
            number = (short if float(short) == factor else repr(factor)).replace("e+", "e")
            advice = f"; write  {_written(left)} * {number} {op} {_written(right)}"
            advice += ",  or use the recipe  delay" if op in "+-" and same_dimension(units[0], "s") else ""
        yield f"{does}; expressions take the numbers as stored{advice}"


def _pairs(node: Node) -> Iterator[tuple[str, Node, Node]]:
    """Yield the two sides of each sum, difference and comparison."""
    if isinstance(node, Binary) and node.op in {"+", "-"}:
        yield node.op, node.left, node.right
    if isinstance(node, Compare):
        left = node.first
        for op, right in node.rest:
            yield op, left, right
            left = right
    for part in children(node):
        yield from _pairs(part)


def _field(node: Node) -> str:
    """Return the field that a node is, or is an element of; "" for anything else."""
    inner = node.value if isinstance(node, Element) else node
    return inner.name if isinstance(inner, FieldName) else ""


def _written(node: Node) -> str:
    """Write a field, or an element of it, as in a spec."""
    return node.name.replace("/", "__") if isinstance(node, FieldName) else canonical(node)
