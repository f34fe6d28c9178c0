"""Expressions over the fields of an event: Python's arithmetic and comparisons, three-valued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events import grammar, parsing
from cubeengine.events.functions import FUNCTIONS
from cubeengine.events.logic import bitwise, conjunction, disjunction, negation
from cubeengine.events.operators import arithmetic, compare, inverted, negative
from cubeengine.events.values import Value, blame, element, from_column, number, to_column
from cubeengine.types import BoolArray, Column, FieldInfo

Columns = Callable[[str], Column]


@dataclass(frozen=True, slots=True)
class Expression:
    """A formula of per-event fields, checked when it is made.

    Examples
    --------
    >>> Expression.parse("0.3 < ipm2__sum < 2.0").text
    '0.3 < `ipm2/sum` < 2.0'
    """

    text: str  # the canonical text: equal expressions have equal texts, however they were written
    fields: frozenset[str]  # names of the fields and derived variables it needs
    tree: grammar.Node = field(repr=False, compare=False)  # what the text says
    written: str = field(default="", repr=False, compare=False)  # the text as the user wrote it, for messages

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Read an expression as users write it.

        Fields stand in backticks, or as identifiers with `__` for `/`.

        Raises
        ------
        ExpressionError
            A SpecError that names the column, what is not allowed and the nearest name.
        """
        tree = parsing.parse(text)
        return cls(grammar.canonical(tree), frozenset(grammar.field_names(tree)), tree, text)

    @property
    def as_written(self) -> str:
        """The text as the user wrote it, in one line; the canonical one where that is not known."""
        return " ".join((self.written or self.text).split())

    def evaluate(self, columns: Columns, n_events: int) -> Column:
        """Compute the value of every event.

        Parameters
        ----------
        columns : callable
            Gives the column of a field; called once for each field that is used.
        n_events : int
            Length of the columns.

        Returns
        -------
        Column
            Booleans with `valid` False where the answer is unknown, or numbers: NaN where unknown, with
            `valid` False for integers that are passed through. Shape (n_events, ...). `damaged` where that
            is so because a field is damaged.

        Raises
        ------
        SpecError
            If shapes or types do not fit the operations.
        """
        evaluator = _Evaluator(columns)
        try:
            with np.errstate(all="ignore"):
                return evaluator.blamed(to_column(evaluator.value(self.tree), n_events))
        except SpecError as err:
            raise SpecError(f"expression {self.as_written}: {err}") from err

    def result(self, fields: Mapping[str, FieldInfo]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and type of one event's value, by computing it for no events: reads nothing.

        Raises
        ------
        SpecError
            If shapes or types do not fit the operations.
        """

        def empty(name: str) -> Column:
            info = fields[name]
            return Column(np.empty((0, *info.shape), info.dtype))

        data = self.evaluate(empty, 0).data
        return data.shape[1:], data.dtype


class _Evaluator:
    """Walks a tree; remembers columns, so that a field used twice is asked for once."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._fields: dict[str, Value] = {}
        self._damaged: list[BoolArray] = []

    def value(self, node: grammar.Node) -> Value:
        match node:
            case grammar.Number():
                return Value(node.value)
            case grammar.FieldName():
                return self._field(node.name)
            case grammar.Unary():
                return _unary(node.op, self.value(node.operand))
            case grammar.Binary():
                compute = bitwise if node.op in {"&", "|"} else arithmetic
                return compute(node.op, self.value(node.left), self.value(node.right))
            case grammar.Compare():
                return self._compare(node)
            case grammar.Logic():
                join = conjunction if node.op == "and" else disjunction
                return join([self.value(part) for part in node.parts])
            case grammar.Element():
                index = tuple(part if isinstance(part, int) else part.slice() for part in node.index)
                return element(self.value(node.value), index)
            case grammar.Call():
                return FUNCTIONS[node.name].compute(*map(self.value, node.arguments))

    def _field(self, name: str) -> Value:
        if name not in self._fields:
            column = self._columns(name)
            self._fields[name] = from_column(name, column)
            self._damaged += [] if column.damaged is None else [column.damaged]
        return self._fields[name]

    def blamed(self, result: Column) -> Column:
        """Return the result, marked where it is unknown and a field that was used is damaged."""
        return replace(result, damaged=blame(result, self._damaged)) if self._damaged else result

    def _compare(self, node: grammar.Compare) -> Value:
        left, results = self.value(node.first), []
        for op, part in node.rest:
            right = self.value(part)
            results.append(compare(op, left, right))
            left = right
        return results[0] if len(results) == 1 else conjunction(results)


def _unary(op: str, value: Value) -> Value:
    if op == "not" or (op == "~" and value.kind == "b"):
        return negation(value, op)
    if op == "~":
        return inverted(value)
    return number(value) if op == "+" else negative(value)
