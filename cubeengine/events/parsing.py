"""Text to expression tree: two white lists, first of characters and words, then of syntax.

The text is never compiled or evaluated by Python: `ast` only cuts it into a tree, which is rebuilt from
nodes of our own. What is on neither list cannot get into it.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from cubeengine.errors import SpecError, nearest_names
from cubeengine.events.eventcodes import MAX_EVENT_CODE
from cubeengine.events.functions import FUNCTIONS
from cubeengine.events.grammar import (
    Binary,
    Call,
    Compare,
    Element,
    FieldName,
    Logic,
    Node,
    Number,
    Span,
    Unary,
)
from cubeengine.events.operators import MAX_POWER
from cubeengine.events.spelling import probable_field, spelled

MAX_LENGTH = 2000
MAX_DEPTH = 50
MAX_NAME = 256

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<field>`[^`\r\n]*`)"
    r"|(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator>\*\*|//|<=|>=|==|!=|[-+*/%<>&|~()\[\],:])"
)
_CALLED = re.compile(r"\.([A-Za-z_0-9]+)\s*\(")
_COMPARED = re.compile(r"[=!]=\s*$")
_BOUND = re.compile(r"(`[^`]+`|\w+)\s*([<>])=?\s*([-+.\deE]+)\s*$")
"""A call of a method; an operator that compares before a text; a field and a number that bounds it."""
_BOUND_KEYS = {"<": "max", ">": "min"}
_WORDS = frozenset({"and", "or", "not"})
_CONSTANTS: Mapping[str, float] = {"pi": math.pi}
_ALONG_EVENTS = frozenset({"median", "std", "rolling", "smooth", "average"})
_HINTS: Mapping[str, str] = {
    "'": "strings are not allowed; write field names in backticks",
    '"': "strings are not allowed; write field names in backticks",
    ".": "attributes are not allowed; write field names in backticks",
    "=": "assignment is not allowed; to compare, write ==",
    "&&": "'&&' is not allowed; write and",
    "||": "'||' is not allowed; write or",
    "!": "'!' is not allowed; write not",
    "^": "'^' is not allowed; for a power, write **",
    "`": "this backtick is not closed",
    "if": "'if' is not allowed; use where(condition, yes, no)",
    "else": "'else' is not allowed; use where(condition, yes, no)",
    "in": "'in' is not allowed; compare with == and join with or",
    "is": "'is' is not allowed; compare with ==",
    "True": "'True' is not allowed; write the condition alone",
    "False": "'False' is not allowed; write not before the condition",
}
_ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Pow: "**", ast.BitAnd: "&", ast.BitOr: "|",
}  # fmt: skip
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_UNARY: Mapping[type[ast.unaryop], str] = {
    ast.USub: "-", ast.UAdd: "+", ast.Invert: "~", ast.Not: "not",
}  # fmt: skip


class ExpressionError(SpecError):
    """An expression that is not one; `column` counts from 1 in the text as the user wrote it."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.column = column


def parse(text: str) -> Node:
    """Read an expression.

    Raises
    ------
    ExpressionError
        Naming the column, what is not allowed there, and what to write instead.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"expression of {len(text)} characters; at most {MAX_LENGTH} are allowed")
    if not text.strip():
        raise ExpressionError("the expression is empty")
    return _Parser(text).parse()


class _Parser:
    """One text on its way to a tree."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: dict[int, str] = {}  # where a name in backticks begins -> the name

    def parse(self) -> Node:
        source = self._scan().rstrip()
        self.lead = len(source) - len(source.lstrip())
        try:
            tree = ast.parse(source.lstrip(), mode="eval")
        except SyntaxError as err:
            column = min(max((err.offset or 1) + self.lead, 1), len(self.text))
            raise self._error(column - 1, f"cannot be read ({err.msg})") from None
        except (ValueError, MemoryError, RecursionError):
            raise ExpressionError("the expression is nested too deeply") from None
        return self._node(tree.body, 1)

    def _scan(self) -> str:
        """Check characters and words; give ASCII of the same length with words for backticks."""
        parts, at, last = [], 0, "space"
        while at < len(self.text):
            if (pair := self.text[at : at + 2]) in ("&&", "||"):
                self._refuse(at, pair)
            match = _TOKEN.match(self.text, at)
            if match is None:
                self._refuse(at, self.text[at])
            kind = match.lastgroup or ""
            parts.append(self._token(kind, match[0], at, last))
            at = match.end()
            if kind != "space":
                last = "logic" if match[0] in _WORDS else kind
        return "".join(parts)

    def _token(self, kind: str, token: str, at: int, last: str) -> str:
        if kind == "word" and token not in _WORDS and keyword.iskeyword(token):
            self._refuse(at, token)
        if token not in _WORDS and {kind, last} <= {"field", "number", "word"}:
            unit = _unit_words(self.text[:at], token) if (last, kind) == ("number", "word") else ""
            raise self._error(at, f"{token!r} follows without an operator before it{unit}")
        if kind == "word" and (token.startswith("_") or token.endswith("__")):
            raise self._error(
                at, f"{token!r} is not a field name; write field names with special characters in `"
            )
        if kind == "field":
            self.fields[at] = self._field_name(token[1:-1], at)
            return "f" + "_" * (len(token) - 1)
        return " " * len(token) if kind == "space" else token

    def _field_name(self, name: str, at: int) -> str:
        if not name.strip("/ ") or len(name) > MAX_NAME or not name.isprintable():
            raise self._error(at, f"a field name has 1 to {MAX_NAME} printable characters")
        return name

    def _node(self, node: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(self._at(node), f"nested deeper than {MAX_DEPTH}; use derived variables")
        build = _BUILDERS.get(type(node))
        if build is None:
            raise self._error(self._at(node), f"{_spoken(node)} is not allowed")
        return build(self, node, depth + 1)

    def _constant(self, node: ast.Constant, _: int) -> Node:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(self._at(node), f"{value!r} is not allowed, only numbers are")
        if value >= 2**64 if isinstance(value, int) else not math.isfinite(value):
            raise self._error(self._at(node), "this number is too large")
        return Number(value)

    def _name(self, node: ast.Name, _: int) -> Node:
        at = self._at(node)
        if at in self.fields:
            return FieldName(self.fields[at])
        if node.id in _CONSTANTS:
            return Number(_CONSTANTS[node.id])
        if node.id in FUNCTIONS:
            hint = spelled(self.text, probable_field(FUNCTIONS)) or (
                "if it is a field, write its name in backticks"
            )
            raise self._error(at, f"{node.id!r} is a function; {hint}")
        return FieldName(node.id.replace("__", "/"))

    def _unary(self, node: ast.UnaryOp, depth: int) -> Node:
        return Unary(_UNARY[type(node.op)], self._node(node.operand, depth))

    def _binary(self, node: ast.BinOp, depth: int) -> Node:
        op = _ARITHMETIC.get(type(node.op))
        if op is None:
            raise self._error(self._at(node), f"the operator {type(node.op).__name__} is not allowed")
        result = Binary(op, self._node(node.left, depth), self._node(node.right, depth))
        if op == "**" and _power_of(result.right) > MAX_POWER:
            raise self._error(self._at(node.right), f"a power above {MAX_POWER} is not allowed")
        return result

    def _compare(self, node: ast.Compare, depth: int) -> Node:
        ops = [_COMPARISONS.get(type(op)) for op in node.ops]
        if None in ops:
            raise self._error(self._at(node), "this comparison is not allowed")
        if any(self._is_bare_bitwise(part) for part in node.comparators[:-1]):
            # a > 1 & b > 2 is a > (1 & b) > 2, which nobody means
            raise self._error(self._at(node), "& and | bind before comparisons: write (a > 1) & (b > 2)")
        first, *rest = (self._node(part, depth) for part in (node.left, *node.comparators))
        return Compare(first, tuple((str(op), part) for op, part in zip(ops, rest, strict=True)))

    def _is_bare_bitwise(self, node: ast.expr) -> bool:
        bitwise = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr)
        return bitwise and not self.text[: self._at(node)].rstrip().endswith("(")

    def _logic(self, node: ast.BoolOp, depth: int) -> Node:
        word = "and" if isinstance(node.op, ast.And) else "or"
        return Logic(word, tuple(self._node(part, depth) for part in node.values))

    def _call(self, node: ast.Call, depth: int) -> Node:
        at = self._at(node)
        if not isinstance(node.func, ast.Name) or at in self.fields:
            raise self._error(at, "only the functions of expressions can be called")
        name = node.func.id
        if name not in FUNCTIONS:
            near = nearest_names(name, tuple(FUNCTIONS)) or tuple(sorted(FUNCTIONS))
            running = "; along events there is the recipe  running" if name in _ALONG_EVENTS else ""
            nearest = ", ".join(map(repr, near))
            raise self._error(at, f"there is no function {name!r}; nearest: {nearest}{running}")
        arguments = tuple(self._node(part, depth) for part in node.args)
        self._check_arguments(name, arguments, at)
        return Call(name, arguments)

    def _check_arguments(self, name: str, arguments: tuple[Node, ...], at: int) -> None:
        wanted = FUNCTIONS[name].arguments
        if len(arguments) != len(wanted):
            usage = f"{name}({', '.join(wanted)})"
            raise self._error(at, f"{name}() got {len(arguments)} arguments instead of {usage}")
        if name == "eventcode" and not _is_event_code(arguments[1]):
            raise self._error(at, f"eventcode(field, n) needs a whole number from 0 to {MAX_EVENT_CODE} as n")

    def _subscript(self, node: ast.Subscript, depth: int) -> Node:
        places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not places:
            raise self._error(self._at(node.slice), "an empty subscript is not allowed")
        index = tuple(self._place(place) for place in places)
        return Element(self._node(node.value, depth), index)

    def _place(self, node: ast.expr) -> int | Span:
        if not isinstance(node, ast.Slice):
            return self._whole(node)
        start, stop, step = (
            None if n is None else self._whole(n) for n in (node.lower, node.upper, node.step)
        )
        if step is not None and step < 1:
            raise self._error(self._at(node), "the step of a slice must be at least 1")
        return Span(start, stop, step)

    def _whole(self, node: ast.expr) -> int:
        sign, inner = 1, node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, inner = -1, node.operand
        if not (isinstance(inner, ast.Constant) and type(inner.value) is int and inner.value < 2**31):
            raise self._error(self._at(node), "subscripts must be constant whole numbers, or slices of them")
        return sign * inner.value

    def _at(self, node: ast.expr) -> int:
        return node.col_offset + self.lead

    def _refuse(self, at: int, token: str) -> NoReturn:
        called, compared = _CALLED.match(self.text, at), _COMPARED.search(self.text[:at])
        if called and called[1] in FUNCTIONS:
            raise self._error(at, f"attributes are not allowed; write {called[1]}(x)")
        if token in "'\"" and compared:
            raise self._error(
                at,
                "strings are not allowed; compare a number, as == 1, or ask for the laser with  laser: on,  "
                "in Python laser='on'",
            )
        raise self._error(at, _HINTS.get(token, f"{token!r} is not allowed"))

    def _error(self, at: int, what: str) -> ExpressionError:
        line = re.sub(r"\s", " ", self.text)
        return ExpressionError(f"expression, column {at + 1}: {what}\n  {line}\n  {' ' * at}^", at + 1)


_BUILDERS: Mapping[type[ast.expr], Callable[..., Node]] = {
    ast.Constant: _Parser._constant,
    ast.Name: _Parser._name,
    ast.UnaryOp: _Parser._unary,
    ast.BinOp: _Parser._binary,
    ast.Compare: _Parser._compare,
    ast.BoolOp: _Parser._logic,
    ast.Call: _Parser._call,
    ast.Subscript: _Parser._subscript,
}


def _unit_words(before: str, unit: str) -> str:
    """Say where a number with a unit belongs, after the text up to the unit."""
    bound = _BOUND.search(before)
    field, sign, number = bound.groups() if bound else ("FIELD", ">", "1")
    name = field.strip("`").replace("__", "/")
    return (
        f"; a number with a unit belongs in a cut:  {{field: {name}, {_BOUND_KEYS[sign]}: {number} {unit}}}"
    )


def _power_of(node: Node) -> float:
    if isinstance(node, Unary) and node.op in {"-", "+"}:
        return _power_of(node.operand)
    return abs(node.value) if isinstance(node, Number) else 0


def _is_event_code(node: Node) -> bool:
    return isinstance(node, Number) and isinstance(node.value, int) and node.value <= MAX_EVENT_CODE


def _spoken(node: ast.expr) -> str:
    return {"Tuple": "a tuple", "List": "a list", "Starred": "a star"}.get(
        type(node).__name__, type(node).__name__.lower()
    )
