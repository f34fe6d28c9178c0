"""The tree of an expression: eight kinds of frozen nodes, and the one text that stands for a tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: int | float


@dataclass(frozen=True, slots=True)
class FieldName:
    """A field of the run, or a derived variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x`, `+x`, `~x`, `not x`."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, and `&` and `|`."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison, chained or not: `first op node op node`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Logic:
    """`and` or `or` over two parts or more."""

    op: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A slice of an element axis; `slice` itself cannot be hashed before Python 3.12."""

    start: int | None
    stop: int | None
    step: int | None

    def slice(self) -> slice:
        """Return the slice."""
        return slice(self.start, self.stop, self.step)


@dataclass(frozen=True, slots=True)
class Element:
    """Constant subscripts of element axes; the event axis is not written."""

    value: Node
    index: tuple[int | Span, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A named function."""

    name: str
    arguments: tuple[Node, ...]


Node: TypeAlias = Number | FieldName | Unary | Binary | Compare | Logic | Element | Call


def canonical(node: Node) -> str:
    """Write a tree as text: equal trees, equal texts; parsing the text gives the tree again.

    Operands that are operations themselves stand in parentheses, fields in backticks.
    """
    match node:
        case Number():
            return repr(node.value)
        case FieldName():
            return f"`{node.name}`"
        case Unary():
            return f"{node.op}{' ' if node.op == 'not' else ''}{_operand(node.operand)}"
        case Binary():
            return f"{_operand(node.left)} {node.op} {_operand(node.right)}"
        case Compare():
            return _operand(node.first) + "".join(f" {op} {_operand(part)}" for op, part in node.rest)
        case Logic():
            return f" {node.op} ".join(_operand(part) for part in node.parts)
        case Element():
            return f"{_operand(node.value)}[{', '.join(map(_index_text, node.index))}]"
        case Call():
            return f"{node.name}({', '.join(map(canonical, node.arguments))})"


def field_names(node: Node) -> Iterator[str]:
    """Yield the name of every field of a tree, from left to right, repeats included."""
    if isinstance(node, FieldName):
        yield node.name
    for part in children(node):
        yield from field_names(part)


def constant(node: Node) -> int | float | None:
    """Return the number that a node is, with its sign; None for anything else."""
    match node:
        case Number(value):
            return value
        case Unary("-", Number(value)):
            return -value
    return None


def children(node: Node) -> tuple[Node, ...]:
    """Return the parts of a node."""
    match node:
        case Unary():
            return (node.operand,)
        case Binary():
            return node.left, node.right
        case Compare():
            return node.first, *(part for _, part in node.rest)
        case Logic():
            return node.parts
        case Element():
            return (node.value,)
        case Call():
            return node.arguments
        case _:
            return ()


def _operand(node: Node) -> str:
    text = canonical(node)
    return f"({text})" if isinstance(node, Unary | Binary | Compare | Logic) else text


def _index_text(index: int | Span) -> str:
    if isinstance(index, int):
        return str(index)
    start, stop = ("" if bound is None else str(bound) for bound in (index.start, index.stop))
    return f"{start}:{stop}" + ("" if index.step is None else f":{index.step}")
