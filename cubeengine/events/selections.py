"""Selections: cuts and their combinations, evaluated for all events at once and counted."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock
from typing import TypeAlias

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.conditions import (
    Bound,
    Condition,
    Given,
    Interval,
    OneOf,
    Ranked,
    condition_fields,
    condition_states,
    condition_text,
    given_states,
)
from cubeengine.events.expressions import Columns, Expression
from cubeengine.events.states import States

__all__ = [
    "Bound", "Combine", "Condition", "Cut", "CutRow", "Expression", "Given", "Interval", "MaskCache", "Node",
    "OneOf", "Ranked", "content_key", "cut_flow", "describe", "evaluate", "fields", "given_states", "leaves",
    "needed_fields", "rows",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """One condition, with the name it has in the cut flow."""

    label: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Combine:
    """Several parts as one."""

    how: str  # "all", "any" or "not": All of them, any of them, none of them
    parts: tuple[Node, ...]  # may be empty: all of nothing is every event
    label: str = ""  # its name in the cut flow; made of its parts where empty

    def __post_init__(self) -> None:
        if self.how not in _JOINS:
            raise SpecError(f"selections combine by 'all', 'any' or 'not', not by {self.how!r}")


Node: TypeAlias = Cut | Combine

_JOINS: Mapping[str, Callable[[list[States], int], States]] = {
    "all": states.all_of,
    "any": states.any_of,
    "not": states.none_of,
}


@dataclass(frozen=True, slots=True)
class CutRow:
    """One line of a cut flow: events kept by this cut alone, and after it and all before it."""

    label: str
    alone: int
    after: int


def fields(node: Node) -> frozenset[str]:
    """Return the names of all fields that a selection needs."""
    if isinstance(node, Cut):
        return condition_fields(node.condition)
    return frozenset().union(*map(fields, node.parts))


def leaves(node: Node) -> Iterator[Cut]:
    """Yield all cuts of a selection, however deep they stand."""
    if isinstance(node, Cut):
        yield node
    else:
        for part in node.parts:
            yield from leaves(part)


def needed_fields(node: Node) -> frozenset[str]:
    """Return the same with the fields that percentiles rest on, which `fields` leaves out."""
    if isinstance(node, Combine):
        return frozenset().union(*map(needed_fields, node.parts))
    scope = node.condition.scope if isinstance(node.condition, Ranked) else None
    return fields(node) | (frozenset() if scope is None else needed_fields(scope))


def describe(part: Node | Condition) -> str:
    """Say in words what a selection or a condition asks for."""
    match part:
        case Cut():
            return part.label or describe(part.condition)
        case Combine():
            return part.label or f"{_SPOKEN[part.how]}({', '.join(map(describe, part.parts))})"
        case _:
            return condition_text(part)


_SPOKEN = {"all": "all of", "any": "any of", "not": "none of"}


def evaluate(node: Node, columns: Columns, n_events: int) -> States:
    """Return the state of every event under a selection.

    Parameters
    ----------
    node : Cut or Combine
        The selection.
    columns : callable
        Gives the column of a field.
    n_events : int
        Length of the columns.

    Returns
    -------
    (n_events,) int8
        See `events.states`. A selection keeps the events that are TRUE.

    Raises
    ------
    SpecError
        If a cut does not give one answer per event.
    """
    if isinstance(node, Cut):
        return condition_states(node.condition, columns, n_events)
    return _JOINS[node.how]([evaluate(part, columns, n_events) for part in node.parts], n_events)


def content_key(node: Node) -> str:
    """Return a hash of what a selection asks for; labels do not enter."""
    return hashlib.sha256(_content(node).encode()).hexdigest()


def _content(node: Node) -> str:
    if isinstance(node, Combine):
        return f"{node.how}({';'.join(map(content_key, node.parts))})"
    # Type names and reprs keep 1 and 1.0, or an expression and a field of the same text, apart.
    condition = node.condition
    return f"expression {condition.text!r}" if isinstance(condition, Expression) else repr(condition)


class MaskCache:
    """Keeps states of selections by content, least recently used first out.

    Parameters
    ----------
    max_nbytes : int
        Bytes of states to keep: one per event and distinct part of a selection.
    cut_states : callable
        Computes the states of one cut; `evaluate` unless the caller reads its columns another way.
    """

    def __init__(
        self,
        max_nbytes: int = 256 * 2**20,
        *,
        cut_states: Callable[[Cut, Columns, int], States] = evaluate,
    ) -> None:
        self._max_nbytes = max_nbytes
        self._cut_states = cut_states
        self._nbytes = 0
        self._kept: OrderedDict[tuple[str, str], States] = OrderedDict()
        self._lock = Lock()

    def evaluate(self, node: Node, columns: Columns, n_events: int, identity: str = "") -> States:
        """Return what `evaluate` gives, read-only; `identity` names the events and their values."""
        key = identity, content_key(node)
        found = self._find(key)
        return self._keep(key, self._compute(node, columns, n_events, identity)) if found is None else found

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self._nbytes

    def _compute(self, node: Node, columns: Columns, n_events: int, identity: str) -> States:
        if isinstance(node, Cut):
            return self._cut_states(node, columns, n_events)
        parts = [self.evaluate(part, columns, n_events, identity) for part in node.parts]
        return _JOINS[node.how](parts, n_events)

    def _find(self, key: tuple[str, str]) -> States | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: tuple[str, str], result: States) -> States:
        result.setflags(write=False)
        with self._lock:
            if key not in self._kept and result.nbytes <= self._max_nbytes:
                self._kept[key] = result
                self._nbytes += result.nbytes
                self._drop_oldest()
        return result

    def _drop_oldest(self) -> None:
        while self._nbytes > self._max_nbytes:
            self._nbytes -= self._kept.popitem(last=False)[1].nbytes


def cut_flow(
    node: Node, columns: Columns, n_events: int, *, cache: MaskCache | None = None, identity: str = ""
) -> tuple[CutRow, ...]:
    """Count the events that each cut of a selection keeps.

    Parameters
    ----------
    node : Cut or Combine
        The selection. The parts of an `all`, and of every `all` within it, are one row each;
        any other part is one row as a whole.
    columns, n_events
        As for `evaluate`.
    cache, identity
        Where masks are kept, and the name of the events in it.

    Returns
    -------
    tuple of CutRow
        In the order of the cuts; empty for a selection without cuts.
    """
    cache = MaskCache() if cache is None else cache
    parts = list(rows(node))
    alone = [cache.evaluate(part, columns, n_events, identity) for part in parts]
    after = accumulate(alone, states.kleene_and)
    return tuple(
        CutRow(describe(part), _count(one), _count(together))
        for part, one, together in zip(parts, alone, after, strict=True)
    )


def rows(node: Node) -> Iterator[Node]:
    """Yield the parts of a selection that are a row of its cut flow each."""
    if isinstance(node, Combine) and node.how == "all":
        for part in node.parts:
            yield from rows(part)
    else:
        yield node


def _count(found: States) -> int:
    return int(np.count_nonzero(found == states.TRUE))
