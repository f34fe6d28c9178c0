"""Selections: three-valued, with the reason where an answer is unknown; cut flows; fates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from tests.differential.oracle import formulas
from tests.differential.oracle.events import Single, missing, unknown
from tests.differential.oracle.units import amount, own_unit

FALSE, TRUE, NAN, MISSING = 0, 1, 2, 3
"""Answers; of two reasons for not knowing the higher is kept."""


class Refused(Exception):
    """The contract makes an error of this."""


@dataclass(frozen=True)
class Node:
    """A condition with its answers, or several selections as one.

    Attributes
    ----------
    how : "cut", "all", "any" or "not"
    fields : frozenset of str
        Fields of a condition.
    answers : list of int
        Of a condition, event by event.
    parts : tuple of Node
    state : bool
        Whether it is the state of laser or X-rays, which `without` leaves alone as any part of a selection.
    """

    how: str
    parts: tuple[Node, ...] = ()
    fields: frozenset[str] = frozenset()
    answers: tuple[int, ...] = ()

    @property
    def all_fields(self) -> frozenset[str]:
        return self.fields.union(*(part.all_fields for part in self.parts))


def both(*answers: int) -> int:
    """False if any is false, else unknown if any is unknown."""
    return FALSE if FALSE in answers else max(answers, default=TRUE)


def either(*answers: int) -> int:
    """True if any is true, else unknown if any is unknown."""
    return TRUE if TRUE in answers else max(answers, default=FALSE)


def inverse(answer: int) -> int:
    """True for false and false for true; unknown stays."""
    return {FALSE: TRUE, TRUE: FALSE}.get(answer, answer)


class Selections:
    """The selections of a spec on the columns of a run."""

    def __init__(self, spec: dict[str, Any], columns: Any, n_events: int) -> None:
        self.spec, self.columns, self.n_events = spec, columns, n_events

    def named(self, name: str) -> Node:
        return self.selection(self.spec.get("select", {}).get(name, []))

    def answers(self, node: Node) -> list[int]:
        if node.how == "cut":
            return list(node.answers)
        parts = [self.answers(part) for part in node.parts]
        rows = list(zip(*parts, strict=True)) if parts else [()] * self.n_events
        join = both if node.how == "all" else either
        return [inverse(join(*row)) if node.how == "not" else join(*row) for row in rows]

    def cut_flow(self, node: Node, events: Iterable[int]) -> list[tuple[int, int]]:
        """Return how many of some events each cut keeps alone, and after those before it."""
        after = [TRUE] * self.n_events
        flow = []
        for row in _rows(node):
            alone = self.answers(row)
            after = [both(*pair) for pair in zip(after, alone, strict=True)]
            flow.append(tuple(sum(each[event] == TRUE for event in events) for each in (alone, after)))
        return flow

    def selection(self, written: Any) -> Node:
        """Return a selection: a list means `all`; a text or a cut stands alone."""
        if isinstance(written, str) or (isinstance(written, dict) and "field" in written):
            written = [written]
        if isinstance(written, list):
            written = {"all": written}
        parts = [self.member(member) for member in written.get("all", [])]
        parts += [
            Node(how, tuple(map(self.member, written[how]))) for how in ("any", "not") if how in written
        ]
        if "without" in written:
            parts = [kept for part in parts for kept in _without(part, written["without"])]
        parts += [self.state(key, written[key]) for key in ("xray", "laser") if key in written]
        return Node("all", tuple(parts))

    def member(self, written: Any) -> Node:
        if isinstance(written, str):
            if written == "all" or written in self.spec.get("select", {}):
                return self.named(written)
            return self.condition(written)
        return (
            self.cut(written) if isinstance(written, dict) and "field" in written else self.selection(written)
        )

    def condition(self, text: str) -> Node:
        """Return an expression as a condition."""
        fields = formulas.fields(text)
        found = formulas.evaluate(text, self.columns, self.n_events)
        lacking = np.zeros(self.n_events, bool)
        for field in fields:
            lacking |= missing(self.columns(field))
        answers = [
            (MISSING if lacks else NAN) if unknown(value) else int(value)
            for value, lacks in zip(found, lacking, strict=True)
        ]
        return Node("cut", (), frozenset(fields), tuple(answers))

    def state(self, key: str, wanted: str) -> Node:
        """Return where laser or X-rays are surely on, or off; a field is 1 or 0, anything else unknown."""
        written = self.spec.get("run", {}).get(key, f"lightStatus/{key}")
        if written in self.columns:
            on = [
                {1: TRUE, 0: FALSE}.get(value, NAN if value != value else MISSING)
                for value in self.columns(written)
            ]
            node = Node("cut", (), frozenset({written}), tuple(on))
        else:
            node = self.condition(written)
        return node if wanted == "on" else Node("cut", (), node.fields, tuple(map(inverse, node.answers)))

    def cut(self, written: dict[str, Any]) -> Node:
        name = written["field"]
        unit = self.columns.unit(name)

        def answer(value: Any) -> int:
            if unknown(value):
                return MISSING if value is None else NAN
            value = int(value) if isinstance(value, int) else value
            if "min" in written or "max" in written:
                low, high = (
                    amount(written.get(side, limit), unit)
                    for side, limit in (("min", -np.inf), ("max", np.inf))
                )
                return int(formulas.as_written(low, value) <= value <= formulas.as_written(high, value))
            wanted = written["in"] if "in" in written else [written["equal"]]
            return int(any(_equals(value, amount(each, unit), ulps) for each in wanted))

        listed = written.get("in", [written.get("equal")])
        ulps = 4 if any(isinstance(each, str) and own_unit(each) != unit for each in listed) else 0
        return Node("cut", (), frozenset({name}), tuple(map(answer, self.columns(name))))


def _equals(value: Any, wanted: Any, ulps: int) -> bool:
    """Return whether a value is the one wanted; where it was converted, within units in the last place."""
    wanted = formulas.as_written(wanted, value)
    if not ulps or not isinstance(value, float):
        return bool(value == wanted)
    spacing = np.spacing(np.float32(wanted) if isinstance(value, Single) else wanted)
    return abs(value - wanted) <= ulps * abs(float(spacing))


def _rows(node: Node) -> list[Node]:
    """Return the lines of a cut flow: the parts of `all`, and of any `all` in it."""
    return [row for part in node.parts for row in _rows(part)] if node.how == "all" else [node]


def _without(node: Node, patterns: list[str]) -> list[Node]:
    """Return a part of a selection without the conditions of which all fields match."""
    if node.how == "all":
        return [Node("all", tuple(kept for part in node.parts for kept in _without(part, patterns)))]
    matching = {field for field in node.all_fields if any(fnmatchcase(field, each) for each in patterns)}
    if not matching:
        return [node]
    if node.how != "cut" or matching != node.fields:
        raise Refused("without: a condition mixes fields, or stands under any or not")
    return []


def fates(selected: list[int], on_axes: list[int]) -> dict[str, int]:
    """Count what became of the events: the unknown by its reason, what is kept by where it falls."""
    fate = [axis if kept == TRUE else -1 - kept for kept, axis in zip(selected, on_axes, strict=True)]
    return {
        "binned": fate.count(TRUE),
        "cut": fate.count(-1 - FALSE),
        "outside": fate.count(FALSE),
        "nan": fate.count(NAN) + fate.count(-1 - NAN),
        "missing": fate.count(MISSING) + fate.count(-1 - MISSING),
        "damaged": 0,
    }
