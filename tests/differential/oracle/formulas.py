"""Formulas, value by value: what is unknown stays unknown, whole numbers are exact, floats have 64 bits."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.differential.oracle.events import Column, Single, by_event, unknown

NAN = float("nan")
LARGEST = 2**63
KEEP_WHOLE = {"abs", "sign", "floor", "ceil", "round", "minimum", "maximum", "clip", "sum", "max", "min"}
BINARY = {
    ast.Add: (operator.add, np.add),
    ast.Sub: (operator.sub, np.subtract),
    ast.Mult: (operator.mul, np.multiply),
    ast.Div: (None, np.true_divide),
    ast.FloorDiv: (operator.floordiv, np.floor_divide),
    ast.Mod: (operator.mod, np.remainder),
    ast.Pow: (operator.pow, np.power),
}
COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def parse(text: str) -> tuple[ast.expr, dict[str, str]]:
    """Return the tree of a formula, and the field of every name in it."""
    names: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        return names.setdefault(match[1], f"field_{len(names)}_")

    tree = ast.parse(re.sub("`([^`]*)`", placeholder, text), mode="eval").body
    known = {name: field for field, name in names.items()}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)}  # type: ignore[attr-defined]
    plain = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {*known, *called, "pi"}
    return tree, known | {name: name.replace("__", "/") for name in plain}


def fields(text: str) -> set[str]:
    """Return the fields of a formula."""
    return set(parse(text)[1].values())


def evaluate(text: str, columns: Callable[[str], Column], n_events: int) -> Column:
    """Return the value of a formula for every event: of conditions and whole numbers None where unknown."""
    tree, names = parse(text)
    with np.errstate(all="ignore"):
        value = _value(tree, {name: columns(field) for name, field in names.items()})
    if not isinstance(value, np.ndarray):
        return np.full(n_events, value, object)
    # An event lacks a condition of which it lacks an element; of whole numbers NaN can say which is unknown.
    for event in value if value.ndim > 1 else ():
        lacking = [element is None for element in event.flat]
        if any(lacking) and not all(lacking):
            event[np.reshape(lacking, event.shape)] = NAN
            if any(isinstance(element, bool) for element in event.flat):
                event[...] = None
    return value


def variable(text: str, columns: Any, n_events: int) -> Column:
    """Return a variable: of whole numbers and conditions an event lacks what is unknown, floats are NaN.

    `columns` gives fields and variables by name, and tells by `whole` which of them hold whole numbers.
    """
    value = evaluate(text, columns, n_events)
    marked = None if whole(text, columns.whole) else NAN
    for event in by_event(value):
        if all(map(unknown, event)):
            event[...] = marked
    return value


def whole(text: str, fields: Callable[[str], bool]) -> bool:
    """Return whether a formula gives whole numbers or conditions, where 64 bits hold them."""
    tree, names = parse(text)

    def of(node: ast.expr) -> bool:
        match node:
            case ast.Constant():
                return isinstance(node.value, int)
            case ast.Name():
                return node.id != "pi" and fields(names[node.id])
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.BoolOp() | ast.Compare():
                return True
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return True
            case ast.UnaryOp():
                return of(node.operand)
            case ast.BinOp(op=ast.Div()):
                return False
            case ast.BinOp(op=ast.Pow()):
                fixed = not any(isinstance(part, ast.Name) for part in ast.walk(node.right))
                return of(node.left) and fixed and of(node.right)
            case ast.BinOp():
                return of(node.left) and of(node.right)
            case ast.Subscript():
                return of(node.value)
            case ast.Call(func=ast.Name(id="where")):
                return all(map(of, node.args[1:]))
            case ast.Call(func=ast.Name(id="any" | "all" | "isnan" | "isfinite" | "eventcode")):
                return True
            case ast.Call(func=ast.Name(id=name)):
                return name in KEEP_WHOLE and all(map(of, node.args))
        raise NotImplementedError(ast.dump(node))

    return of(tree)


def lift(function: Callable[..., Any], *values: Any) -> Any:
    """Apply a function of elements to columns and constants: event by event, elements as numpy broadcasts."""
    depth = max((value.ndim for value in values if isinstance(value, np.ndarray)), default=0)
    spread = [
        value.reshape(len(value), *(1,) * (depth - value.ndim), *value.shape[1:])
        if isinstance(value, np.ndarray)
        else value
        for value in values
    ]
    return np.frompyfunc(function, len(values), 1)(*spread)


def _value(node: ast.expr, columns: Mapping[str, Column]) -> Any:
    def value(inner: ast.expr) -> Any:
        return _value(inner, columns)

    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id="pi"):
            return math.pi
        case ast.Name():
            return columns[node.id]
        case ast.BinOp(op=ast.BitAnd()):
            return lift(_and, value(node.left), value(node.right))
        case ast.BinOp(op=ast.BitOr()):
            return lift(_or, value(node.left), value(node.right))
        case ast.BinOp():
            return lift(_arithmetic(type(node.op)), value(node.left), value(node.right))
        case ast.UnaryOp(op=ast.USub()):
            return lift(
                lambda x: x if unknown(x) else _whole(-x) if _is_whole(x) else -x, value(node.operand)
            )
        case ast.UnaryOp(op=ast.UAdd()):
            return lift(_number, value(node.operand))
        case ast.UnaryOp():
            return lift(_inverted, value(node.operand))
        case ast.BoolOp():
            join = kleene_and if isinstance(node.op, ast.And) else kleene_or
            return lift(lambda *parts: join(parts), *map(value, node.values))
        case ast.Compare():
            sides = [value(node.left), *map(value, node.comparators)]
            links = map(_compare, map(type, node.ops), sides[:-1], sides[1:])
            return lift(lambda *parts: kleene_and(parts), *links)
        case ast.Subscript():
            place = _place(node.slice)
            return value(node.value)[(slice(None), *(place if isinstance(place, tuple) else (place,)))]
        case ast.Call(func=ast.Name(id=name)):
            return FUNCTIONS[name](*map(value, node.args))
    raise NotImplementedError(ast.dump(node))


def _place(node: ast.expr) -> Any:
    match node:
        case ast.Tuple():
            return tuple(map(_place, node.elts))
        case ast.Slice():
            return slice(*(part and _place(part) for part in (node.lower, node.upper, node.step)))
    return ast.literal_eval(node)


# --- conditions -------------------------------------------------------------------------------------------


def kleene_and(parts: Any) -> bool | None:
    """Return False if any part is, else None if any part is unknown, else True."""
    parts = list(parts)
    return False if any(part is False for part in parts) else None if any(map(unknown, parts)) else True


def kleene_or(parts: Any) -> bool | None:
    """Return True if any part is, else None if any part is unknown, else False."""
    parts = list(parts)
    return True if any(part is True for part in parts) else None if any(map(unknown, parts)) else False


def _and(a: Any, b: Any) -> Any:
    if isinstance(a, bool) or isinstance(b, bool):
        return kleene_and((a, b))
    return None if a is None or b is None else a & b


def _or(a: Any, b: Any) -> Any:
    if isinstance(a, bool) or isinstance(b, bool):
        return kleene_or((a, b))
    return None if a is None or b is None else a | b


def _inverted(x: Any) -> Any:
    return (not x) if isinstance(x, bool) else None if x is None else ~x


def _compare(op: type[ast.cmpop], a: Any, b: Any) -> Any:
    def answer(x: Any, y: Any) -> bool | None:
        if unknown(x) or unknown(y):
            return None
        x = x if isinstance(a, np.ndarray) else as_written(x, y)
        y = y if isinstance(b, np.ndarray) else as_written(y, x)
        exact = _is_whole(x) and _is_whole(y)
        return bool(COMPARISONS[op](x, y) if exact else COMPARISONS[op](float(x), float(y)))

    return lift(answer, a, b)


def as_written(constant: Any, value: Any) -> Any:
    """Return a constant as it is compared: rounded to the type of a float, whole beside whole numbers."""
    if isinstance(value, Single):
        return float(np.float32(constant))
    whole = isinstance(value, int) and isinstance(constant, float) and constant.is_integer()
    return int(constant) if whole else constant


# --- numbers ----------------------------------------------------------------------------------------------


def _is_whole(x: Any) -> bool:
    """Whether a number is whole: an integer or condition, also one that is missing."""
    return x is None or isinstance(x, int)


def _number(x: Any) -> Any:
    return int(x) if isinstance(x, int) else x if x is None else float(x)


def _float(x: Any) -> np.float64:
    return np.float64(NAN if x is None else x)


def _whole(result: int) -> Any:
    """Return a whole result; as a float where 64 bits do not hold it."""
    return result if -LARGEST <= result < LARGEST else float(result)


def _arithmetic(op: type[ast.operator]) -> Callable[[Any, Any], Any]:
    exact, ufunc = BINARY[op]

    def compute(a: Any, b: Any) -> Any:
        defined = {ast.FloorDiv: b != 0, ast.Mod: b != 0, ast.Pow: b is not None and 0 <= b <= 64}.get(
            op, True
        )
        if exact and _is_whole(a) and _is_whole(b) and defined:
            return None if a is None or b is None else _whole(exact(int(a), int(b)))
        a, b = _float(a), _float(b)
        if unknown(a) or unknown(b) or (op is ast.Pow and a < 0 and b != np.floor(b)):
            return NAN
        return float(ufunc(a, b))

    return compute


def _of_floats(ufunc: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: lift(lambda v: float(ufunc(_float(v))), x)


def _rounded(ufunc: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: lift(lambda v: _number(v) if _is_whole(v) else float(ufunc(_float(v))), x)


def _absolute(x: Any) -> Any:
    return None if x is None else _whole(abs(x)) if _is_whole(x) else float(abs(x))


def _sign(x: Any) -> Any:
    return None if x is None else (x > 0) - (x < 0) if _is_whole(x) else float(np.sign(x))


def _one_of(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def chosen(a: Any, b: Any) -> Any:
        if unknown(a) or unknown(b):
            return _as_kind(None, a, b)
        return _as_kind(choose(_number(a), _number(b)), a, b)

    return chosen


def _where(test: Any, yes: Any, no: Any) -> Any:
    chosen = None if test is None else yes if test else no
    return _as_kind(chosen, yes, no)


def _as_kind(x: Any, *operands: Any) -> Any:
    """Return a whole number where all operands are whole, else a float."""
    return x if all(map(_is_whole, operands)) else NAN if unknown(x) else float(x)


def _over_elements(reduce: Callable[[list[Any]], Any]) -> Callable[[Column], Column]:
    def compute(column: Column) -> Column:
        result = np.empty(len(column), object)
        result[:] = [reduce(list(row)) for row in by_event(column)]
        return result

    return compute


def _of_known(reduce: Callable[[list[Any]], Any]) -> Callable[[Column], Column]:
    def compute(row: list[Any]) -> Any:
        if any(map(unknown, row)):
            return None if all(map(_is_whole, row)) else NAN
        return reduce([_number(v) for v in row])

    return _over_elements(compute)


def _sum(row: list[Any]) -> Any:
    return _whole(sum(row)) if all(map(_is_whole, row)) else total(row)


def _mean(row: list[Any]) -> float:
    return total(row) / len(row)


def total(row: list[Any]) -> float:
    """Return the sum of floats."""
    try:
        return math.fsum(map(float, row))
    except (ValueError, OverflowError):  # infinities of both signs, or sums beyond the largest float
        return float(np.sum(np.array(row, float)))


def _eventcode(column: Column, code: int) -> Column:
    """Return whether a code was sent: a flag for each of 256 codes or more, else a bit of words of 16."""
    word, bit = (code, 0) if column.shape[1] >= 256 else divmod(code, 16)
    return lift(lambda x: None if x is None else bool(int(x) >> bit & 1), column[:, word])


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: _of_floats(getattr(np, name)) for name in ("sqrt", "log", "log10", "exp", "sin", "cos", "tan")},
    **{name: _rounded(getattr(np, name)) for name in ("floor", "ceil", "round")},
    "abs": lambda x: lift(_absolute, x),
    "sign": lambda x: lift(_sign, x),
    "minimum": lambda a, b: lift(_one_of(min), a, b),
    "maximum": lambda a, b: lift(_one_of(max), a, b),
    "clip": lambda x, low, high: lift(_one_of(min), lift(_one_of(max), x, low), high),
    "isfinite": lambda x: lift(lambda v: not unknown(v) and math.isfinite(v), x),
    "isnan": lambda x: lift(unknown, x),
    "where": lambda test, yes, no: lift(_where, test, yes, no),
    "sum": _of_known(_sum),
    "mean": lambda x: lift(lambda v: NAN if v is None else v, _of_known(_mean)(x)),
    "max": _of_known(max),
    "min": _of_known(min),
    "any": _over_elements(kleene_or),
    "all": _over_elements(kleene_and),
    "eventcode": _eventcode,
}
