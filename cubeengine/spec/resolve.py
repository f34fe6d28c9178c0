"""From the names of a spec to what events are asked: selections as trees of cuts, units as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from cubeengine.errors import SpecError, nearest_names
from cubeengine.events.expressions import Expression
from cubeengine.events.selections import (
    Combine,
    Condition,
    Interval,
    Node,
    OneOf,
    Ranked,
    describe,
    fields,
    needed_fields,
)
from cubeengine.events.selections import Cut as ResolvedCut
from cubeengine.schema.texts import Percentile, amount_in
from cubeengine.spec.derived import DelayRecipe, Derived, Neighbours
from cubeengine.spec.selections import Cut, Selection
from cubeengine.units import Quantity

if TYPE_CHECKING:
    from cubeengine.spec.model import CubeSpec

MAX_CONDITIONS = 10_000
MAX_DEPTH = 60  # of references; far below where Python's own stack ends
CONVERSION_ULPS = 4
"""Units in the last place that a setting in a file may be off one in another unit: a few products."""
ALL_EVENTS = "all"
"""Name of the selection that keeps every event, unless the spec defines it otherwise."""

BoundText: TypeAlias = float | Quantity | Percentile | str | None
"""A bound of a cut as it is written: a number, an amount, a percentile, or these in words; None is open."""

_FIELD = re.compile(r"[A-Za-z0-9_.:-]+(?:/[A-Za-z0-9_.:-]+)*")


class SelectionError(SpecError):
    """A selection that cannot be resolved; `selection` names it, `key` the part that is wrong."""

    def __init__(self, message: str, selection: str, key: str = "") -> None:
        super().__init__(message)
        self.selection, self.key = selection, key


def selections_of(spec: CubeSpec) -> tuple[str, ...]:
    """Return the names of the selections to bin, in the order of the store."""
    return spec.cubes or (ALL_EVENTS,)


def resolve_selection(spec: CubeSpec, name: str) -> Node:
    """Return a named selection as a tree of labelled cuts, with numbers in the fields' declared units.

    Parameters
    ----------
    spec : CubeSpec
        The spec.
    name : str
        One of its selections, or "all".

    Returns
    -------
    Node
        Labels are what the cut flow shows: "0.3 <= ipm2/sum <= 2", an expression's text, a name.

    Raises
    ------
    SelectionError
        If there is no such selection, it refers to itself, or a `without` cannot be done.
    """
    return Resolver(spec).resolve(name)


def declared_unit(spec: CubeSpec, field: str) -> str | None:
    """Return the unit of a field or derived variable; None where it is declared nowhere."""
    seen: set[str] = set()
    while (derived := spec.derive.get(field)) is not None and field not in seen:
        if derived.delay is not None:
            return "ps"
        if derived.source is None or field in spec.units:
            break
        seen.add(field)
        field = derived.source
    return spec.units.get(field)


def derived_inputs(spec: CubeSpec, derived: Derived) -> frozenset[str]:
    """Return the fields and derived variables that a derived variable is made of."""
    recipe = derived.recipe
    if recipe is None:
        return Expression.parse(derived.expression or "").fields
    if isinstance(recipe, DelayRecipe):
        names = {name for name in (recipe.nominal, recipe.timetool) if name is not None}
        return frozenset(names) | (Expression.parse(recipe.valid).fields if recipe.valid else frozenset())
    chosen_by = _selected_by(spec, recipe.among) if isinstance(recipe, Neighbours) else frozenset()
    return chosen_by | {recipe.field}


def _selected_by(spec: CubeSpec, selection: str) -> frozenset[str]:
    try:
        return needed_fields(resolve_selection(spec, selection))
    except SpecError:  # is told of where the selections are checked
        return frozenset()


def resolve_derived(spec: CubeSpec, wanted: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return derived variables in an order in which each comes after those it is made of.

    Parameters
    ----------
    spec : CubeSpec
        The spec.
    wanted : names, or None
        Only the derived variables that these fields or variables need; all of them by default.

    Raises
    ------
    SpecError
        If a variable is made of itself.
    """
    order: dict[str, None] = {}
    for name in spec.derive if wanted is None else wanted:
        _visit(spec, name, (), order)
    return tuple(order)


def state_condition(text: str) -> str | Expression:
    """Tell what `run.laser` or `run.xray` says: the name of a field that is 1 or 0, or an expression.

    A text of letters, digits, `_ . : -` and `/` is a field; an expression has its fields in backticks.
    """
    bare = text[1:-1] if len(text) > 2 and text[0] == text[-1] == "`" else text
    return bare if _FIELD.fullmatch(bare) else Expression.parse(text)


def state_cut(text: str, state: str) -> Node:
    """Return the cut that keeps events whose laser, or X-rays, are surely "on" or surely "off"."""
    condition = state_condition(text)
    if isinstance(condition, str):
        value = 1 if state == "on" else 0
        return ResolvedCut(f"{condition} == {value}", OneOf(condition, (value,), known=(0, 1)))
    cut = ResolvedCut(condition.text, condition)
    return cut if state == "on" else Combine("not", (cut,), f"not ({condition.text})")


def resolve_cut(spec: CubeSpec, cut: Cut, scope: Sequence[Node] = ()) -> ResolvedCut:
    """Return a cut with its numbers in the declared unit of its field, labelled as it was written.

    Percentiles are those of the events that `scope` keeps; their numbers are found later.
    """
    unit = declared_unit(spec, cut.field)
    number = partial(amount_in, unit=unit, what=f"field {cut.field!r}")
    if cut.equal is not None:
        values: tuple[float | Quantity, ...] = (cut.equal,)
    else:
        values = cut.in_ or ()
    if values:
        converted = any(isinstance(value, Quantity) and value.unit != unit for value in values)
        ulps = CONVERSION_ULPS if converted else 0
        condition: Condition = OneOf(cut.field, tuple(map(number, values)), ulps=ulps)
        written = f"== {_written(values[0])}" if cut.in_ is None else f"in {_listed(values)}"
        return ResolvedCut(f"{cut.field} {written}", condition)
    low, high = (
        bound if bound is None or isinstance(bound, Percentile) else number(bound)
        for bound in (cut.min, cut.max)
    )
    if isinstance(low, Percentile) or isinstance(high, Percentile):
        among = Combine("all", tuple(scope))
        return ResolvedCut(interval_label(cut.field, cut.min, cut.max), Ranked(cut.field, low, high, among))
    return ResolvedCut(interval_label(cut.field, cut.min, cut.max), Interval(cut.field, low, high))


class Resolver:
    """Resolves the selections of one spec, each once."""

    def __init__(self, spec: CubeSpec) -> None:
        self._spec = spec
        self._done: dict[str, tuple[Node, int]] = {}
        self._size = self._depth = 0

    def resolve(self, name: str) -> Node:
        """Return a named selection as `resolve_selection` does."""
        self._size = self._depth = 0
        return self._named(name, ())

    def fields(self, selection: Selection) -> frozenset[str]:
        """Return the fields that the conditions in a selection use, laser and X-rays beside them left out."""
        self._size = self._depth = 0
        bare = selection.model_copy(update={"without": (), "laser": None, "xray": None})
        return fields(self._selection(bare, "", ()))

    def _named(self, name: str, through: tuple[str, ...]) -> Node:
        if name in through:
            chain = " -> ".join((*through[through.index(name) :], name))
            raise SelectionError(f"selection {name!r} refers to itself: {chain}", name)
        if name not in self._done:
            self._done[name] = self._measured(name, through)
        node, size = self._done[name]
        self._grow(size, name)
        return node

    def _measured(self, name: str, through: tuple[str, ...]) -> tuple[Node, int]:
        before = self._size
        node = self._selection(self._find(name), name, (*through, name), label=name)
        size, self._size = self._size - before, before
        return node, size

    def _find(self, name: str) -> Selection:
        if name in self._spec.select or name == ALL_EVENTS:
            return self._spec.select.get(name, Selection())
        near = nearest_names(name, tuple(self._spec.select))
        hint = f"; nearest: {', '.join(map(repr, near))}" if near else ""
        raise SelectionError(f"there is no selection {name!r}{hint}", name)

    def _selection(
        self,
        selection: Selection,
        name: str,
        through: tuple[str, ...],
        label: str = "",
        scope: tuple[Node, ...] = (),
    ) -> Node:
        """Resolve a selection; `scope` is what the selections ask in which it stands."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SelectionError(f"selections refer to each other more than {MAX_DEPTH} levels deep", name)
        if _has_percentiles(selection):
            scope += self._scope(selection, name, through)
        nodes = {
            key: tuple(self._member(member, name, through, scope) for member in members)
            for key, members in selection.parts
        }
        self._depth -= 1
        parts = [*nodes["all"]]
        parts += [Combine(how, nodes[how]) for how in ("any", "not") if nodes[how]]
        if selection.without:
            parts = [kept for part in parts for kept in _without(part, selection.without, name)]
        run = self._spec.run
        states = ((run.xray, selection.xray), (run.laser, selection.laser))
        parts += [state_cut(text, state) for text, state in states if state is not None]
        return Combine("all", tuple(parts), label)

    def _scope(self, selection: Selection, name: str, through: tuple[str, ...]) -> tuple[Node, ...]:
        """Return what percentiles in a selection are taken among: all that it asks but for other percentiles.

        The laser is left out: on and off have the same numbers then.
        """
        plain = (member for member in selection.all if not _has_percentiles(member))
        among = tuple(self._member(member, name, through) for member in plain)
        xray = () if selection.xray is None else (state_cut(self._spec.run.xray, selection.xray),)
        return (*among, *xray)

    def _member(
        self,
        member: Cut | Selection | str,
        name: str,
        through: tuple[str, ...],
        scope: tuple[Node, ...] = (),
    ) -> Node:
        if isinstance(member, Selection):
            return self._selection(member, name, through, scope=scope)
        if isinstance(member, str) and (member in self._spec.select or member == ALL_EVENTS):
            return self._named(member, through)
        self._grow(1, name)
        if isinstance(member, Cut):
            return resolve_cut(self._spec, member, scope)
        expression = Expression.parse(member)
        return ResolvedCut(expression.text, expression)

    def _grow(self, size: int, name: str) -> None:
        self._size += size
        if self._size > MAX_CONDITIONS:
            raise SelectionError(f"selections have more than {MAX_CONDITIONS:,} conditions", name)


def _has_percentiles(member: Cut | Selection | str) -> bool:
    """Return whether a part of a selection has percentiles, the selections that it refers to left out."""
    if isinstance(member, Selection):
        return any(_has_percentiles(part) for _, parts in member.parts for part in parts)
    return isinstance(member, Cut) and member.by_percentile


def left_out(node: Node, patterns: tuple[str, ...]) -> tuple[Node, ...]:
    """Return what remains of a selection without the cuts of which all fields match, as `without` does.

    Raises
    ------
    SelectionError
        If a cut mixes fields that match with others, or stands under `any` or `not`.
    """
    return tuple(_without(node, patterns, describe(node)))


def _without(node: Node, patterns: tuple[str, ...], name: str) -> list[Node]:
    """Return what remains of a part of an `all`: nothing, or the part with fewer parts of its own."""
    if isinstance(node, Combine) and node.how == "all":
        kept = [part for inner in node.parts for part in _without(inner, patterns, name)]
        return [Combine("all", tuple(kept), node.label)]
    used = fields(node)
    matching = {field for field in used if any(fnmatchcase(field, pattern) for pattern in patterns)}
    if not matching:
        return [node]
    what, listed = _described(node), ", ".join(map(repr, sorted(matching)))
    if isinstance(node, Combine) and not node.label:  # one with a label is the shorthand `laser: off`
        message = f"cannot leave out {listed}: {what} is under {node.how!r}"
        raise SelectionError(message, name, "without")
    if matching != used:
        others = ", ".join(map(repr, sorted(used - matching)))
        message = f"cannot leave out {listed}: {what} also uses {others}"
        raise SelectionError(message, name, "without")
    return []


def _described(node: Node) -> str:
    if isinstance(node, ResolvedCut):
        return f"the cut {node.label!r}"
    return node.label or f"a condition on {', '.join(map(repr, sorted(fields(node))))}"


def _visit(spec: CubeSpec, name: str, through: tuple[str, ...], order: dict[str, None]) -> None:
    if name not in spec.derive or name in order:
        return
    if name in through:
        chain = " -> ".join((*through[through.index(name) :], name))
        raise SpecError(f"{name!r} is computed from itself: {chain}")
    if len(through) >= MAX_DEPTH:
        raise SpecError(f"derived variables depend on each other more than {MAX_DEPTH} levels deep")
    for field in sorted(derived_inputs(spec, spec.derive[name])):
        _visit(spec, field, (*through, name), order)
    order[name] = None


def interval_label(field: str, low: BoundText, high: BoundText) -> str:
    """Write a cut between two bounds, of which one may be left out, as a formula."""
    if high is None:
        return f"{field} >= {_written(low or 0)}"
    upper = f"{field} <= {_written(high)}"
    return upper if low is None else f"{_written(low)} <= {upper}"


def _listed(values: Iterable[float | Quantity]) -> str:
    return f"[{', '.join(map(_written, values))}]"


def _written(value: float | Quantity | Percentile | str) -> str:
    if isinstance(value, Percentile | str):
        return str(value)
    if isinstance(value, Quantity):
        return f"{_written(value.value)} {value.unit}"
    return repr(value).removesuffix(".0")
