"""The rules of expressions, stated once more: event by event, with Python's own numbers.

Nothing here calls cubeengine's parser or numpy's arithmetic: the text is cut up by Python's `ast`, whole
numbers are Python's, floats are Python's floats. An unknown value is None.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cubeengine.types import Column

LEAST, GREATEST = -(2**63), 2**63 - 1
FLOAT32_MAX = (2 - 2**-23) * 2.0**127


@dataclass(frozen=True)
class Stated:
    """Values of all events.

    Attributes
    ----------
    kind : str
        "b" condition, "i" whole numbers, "u" those of uint64, "f" floats, "h" those of a float32 field.
    cells : object array of (n_events, ...), or a Python number
        None where unknown.
    """

    kind: str
    cells: Any

    @property
    def is_constant(self) -> bool:
        return not isinstance(self.cells, np.ndarray)


def stated(text: str, columns: Mapping[str, Column]) -> Stated:
    """Return what the rules say of an expression."""
    tree = ast.parse(text.strip(), mode="eval").body
    with np.errstate(all="ignore"):
        return _value(tree, {name: of_column(column) for name, column in columns.items()})


def of_column(column: Column) -> Stated:
    data = column.data
    kind = {"u8": "u", "f4": "h", "f8": "f", "b1": "b"}.get(data.dtype.str[1:], "i")
    cells = np.empty(data.shape, object)
    cells[...] = data.tolist() if data.ndim else data
    cells = _each(lambda cell: None if cell != cell else cell, cells)
    if column.valid is not None:
        cells[~column.valid] = None
    return Stated(kind, cells)


def check_same(found: Column, expected: Stated, *, ulps: int = 0) -> None:
    """Assert that a column is what the rules say; floats may be off by some units in the last place."""
    n_events = len(found)
    cells = expected.cells
    if expected.is_constant:
        cells = np.full(n_events, cells, object)
    assert found.data.shape == cells.shape
    kinds = {"i": "iu", "h": "f"}.get(expected.kind, expected.kind)
    assert found.data.dtype.kind in kinds or _as_floats(found, cells)
    valid = np.ones(n_events, bool) if found.valid is None else found.valid
    for event in range(n_events):
        flat = np.asarray(cells[event], object).ravel().tolist()
        if not valid[event]:
            assert None in flat
            continue
        for got, wanted in zip(found.data[event].ravel().tolist(), flat, strict=True):
            assert _alike(got, wanted, ulps), (event, got, wanted)


def _as_floats(found: Column, cells: Any) -> bool:
    """Return whether whole numbers may be floats: only NaN can say that single elements are unknown."""
    rows = cells.reshape(len(cells), -1).tolist() if cells.ndim > 1 else []
    return found.data.dtype == np.float64 and any(None in row and set(row) != {None} for row in rows)


def _alike(got: Any, wanted: Any, ulps: int) -> bool:
    if wanted is None:
        return bool(got != got)
    if isinstance(got, float) and not math.isinf(got):
        return abs(got - float(wanted)) <= ulps * math.ulp(got) if not math.isinf(wanted) else False
    return bool(got == wanted)


def _each(compute: Callable[..., Any], *cells: Any) -> Any:
    result = np.frompyfunc(compute, len(cells), 1)(*cells)
    return result.astype(object) if isinstance(result, np.ndarray) else result


def _known(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is unknown where any argument is, or where its own result is NaN."""

    def three_valued(*cells: Any) -> Any:
        if any(cell is None for cell in cells):
            return None
        result = compute(*cells)
        return None if result != result else result

    return three_valued


def _aligned(*values: Stated) -> list[Any]:
    n_axes = max(np.ndim(value.cells) for value in values)
    return [
        value.cells.reshape(len(value.cells), *(1,) * (n_axes - value.cells.ndim), *value.cells.shape[1:])
        if np.ndim(value.cells)
        else value.cells
        for value in values
    ]


def _cells(value: Stated) -> Iterator[Any]:
    yield from value.cells.ravel().tolist() if isinstance(value.cells, np.ndarray) else [value.cells]


# --- numbers ------------------------------------------------------------------------------------------


def number(value: Stated) -> Stated:
    if value.kind in "fh":
        return Stated("f", value.cells)
    if any(cell is not None and cell > GREATEST for cell in _cells(value)):
        return as_floats(value)
    return Stated("i", _each(_known(int), value.cells))


def as_floats(value: Stated) -> Stated:
    return Stated("f", _each(_known(float), value.cells))


def _divided(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _floor_divided(a: float, b: float) -> float:
    return _divided(a, b) if b == 0 else a // b


def _remainder(a: float, b: float) -> float:
    return math.nan if b == 0 or math.isinf(a) else a % b


def _power(a: float, b: float) -> float:
    if a < 0 and math.isfinite(b) and b % 1:
        return math.nan
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:  # 0 to a negative power
        return math.copysign(math.inf, a) if b % 2 == 1 else math.inf


FLOAT_OPS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": _divided, "//": _floor_divided, "%": _remainder, "**": _power,
}  # fmt: skip
WHOLE_OPS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
}  # fmt: skip


def arithmetic(op: str, left: Stated, right: Stated) -> Stated:
    if left.is_constant and right.is_constant:
        return _constants(op, left.cells, right.cells)
    a, b = number(left), number(right)
    whole = a.kind == b.kind == "i" and op != "/"
    if whole and (op != "**" or (b.is_constant and b.cells >= 0)):
        cells = _each(lambda x, y: None if None in (x, y) else _whole(op, x, y), *_aligned(a, b))
        held = not any(isinstance(cell, float) for cell in cells.ravel().tolist())
        return Stated("i", cells) if held else as_floats(Stated("i", cells))
    return Stated("f", _each(_known(FLOAT_OPS[op]), *_aligned(as_floats(a), as_floats(b))))


def _whole(op: str, a: int, b: int) -> float:
    """Return the exact result, or what floats give where 64 bits do not hold it."""
    if op in {"//", "%"} and b == 0:
        return FLOAT_OPS[op](float(a), float(b))
    exact = WHOLE_OPS[op](a, min(b, 10**4) if op == "**" and abs(a) > 1 else b)
    return exact if LEAST <= exact <= GREATEST else FLOAT_OPS[op](float(a), float(b))


def _constants(op: str, a: float, b: float) -> Stated:
    if isinstance(a, int) and isinstance(b, int) and op != "/" and not (op == "**" and b < 0):
        exact = WHOLE_OPS[op](a, b)
        return Stated("i", exact) if LEAST <= exact < 2**64 else Stated("f", float(exact))
    return Stated("f", FLOAT_OPS[op](float(a), float(b)))


def negative(value: Stated) -> Stated:
    if value.kind not in "fh":
        return arithmetic("-", Stated("i", 0), value)
    return Stated("f", _each(_known(operator.neg), value.cells))


# --- comparisons, bits, logic -------------------------------------------------------------------------

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def compare(op: str, left: Stated, right: Stated) -> Stated:
    a, b = left, right
    if not (a.is_constant or b.is_constant) and ("f" in a.kind + b.kind or "h" in a.kind + b.kind):
        a, b = as_floats(a), as_floats(b)
    a, b = _in_type_of(b, a), _in_type_of(a, b)
    return Stated("b", _each(_known(COMPARISONS[op]), *_aligned(a, b)))


def _in_type_of(field: Stated, constant: Stated) -> Stated:
    """Round a constant to the type of the float field it stands beside."""
    if field.is_constant or not constant.is_constant or field.kind not in "fh":
        return constant
    narrow = field.kind == "h" and abs(constant.cells) <= FLOAT32_MAX
    return Stated("f", float(np.float32(constant.cells)) if narrow else float(constant.cells))


def bits(op: str, left: Stated, right: Stated) -> Stated:
    unsigned = any(v.kind == "u" or (v.is_constant and v.cells > GREATEST) for v in (left, right))

    def of(a: int, b: int) -> int:
        x, y = a % 2**64, b % 2**64
        result = x & y if op == "&" else x | y
        return result if unsigned or result <= GREATEST else result - 2**64

    return Stated("u" if unsigned else "i", _each(_known(of), *_aligned(left, right)))


def inverted(value: Stated) -> Stated:
    unsigned = value.kind == "u" or (value.is_constant and value.cells > GREATEST)
    cells = _each(_known(lambda cell: 2**64 - 1 - cell if unsigned else -1 - cell), value.cells)
    return Stated("u" if unsigned else "i", cells)


def both(a: Any, b: Any) -> Any:
    return False if a is False or b is False else None if a is None or b is None else True


def either(a: Any, b: Any) -> Any:
    return True if a is True or b is True else None if a is None or b is None else False


def opposite(value: Stated) -> Stated:
    return Stated("b", _each(_known(operator.not_), value.cells))


def joined(join: Callable[[Any, Any], Any], left: Stated, right: Stated) -> Stated:
    return Stated("b", _each(join, *_aligned(left, right)))


# --- functions ----------------------------------------------------------------------------------------


def _math(compute: Callable[[float], float], at_zero: float = math.nan) -> Callable[[Stated], Stated]:
    def of(x: float) -> float:
        try:
            return compute(x)
        except ValueError:
            return at_zero if x == 0 else math.nan
        except OverflowError:
            return math.inf

    return lambda value: Stated("f", _each(_known(of), as_floats(value).cells))


def _rounding(compute: Callable[[float], int]) -> Callable[[Stated], Stated]:
    def of(x: float) -> float:
        return x if math.isinf(x) else math.copysign(float(compute(x)), x)

    def rounded(value: Stated) -> Stated:
        value = number(value)
        return value if value.kind == "i" else Stated("f", _each(_known(of), value.cells))

    return rounded


def absolute(value: Stated) -> Stated:
    value = number(value)
    cells = _each(_known(abs), value.cells)
    held = all(cell is None or cell <= GREATEST for cell in _cells(Stated(value.kind, cells)))
    return Stated(value.kind, cells) if value.kind == "f" or held else as_floats(Stated("i", cells))


def sign(value: Stated) -> Stated:
    value = number(value)
    kind = int if value.kind == "i" else float
    return Stated(value.kind, _each(_known(lambda x: kind((x > 0) - (x < 0))), value.cells))


def chosen(choose: Callable[[Any, Any], Any], left: Stated, right: Stated) -> Stated:
    a, b = number(left), number(right)
    if "f" in a.kind + b.kind:
        a, b = as_floats(a), as_floats(b)
    return Stated(a.kind, _each(_known(choose), *_aligned(a, b)))


def where(test: Stated, yes: Stated, no: Stated) -> Stated:
    if not yes.kind == no.kind == "b":
        yes, no = number(yes), number(no)
        if "f" in yes.kind + no.kind:
            yes, no = as_floats(yes), as_floats(no)
    if test.is_constant:
        return yes if test.cells else no
    cells = _each(lambda t, y, n: None if t is None else y if t else n, *_aligned(test, yes, no))
    return Stated(yes.kind, cells)


def _reduced(compute: Callable[[list[Any]], Any], value: Stated, kind: str) -> Stated:
    cells = np.empty(len(value.cells), object)
    for event, row in enumerate(value.cells):
        flat = row.ravel().tolist()
        cells[event] = None if None in flat else compute(flat)
    if kind == "i" and any(cell is not None and not LEAST <= cell <= GREATEST for cell in cells):
        return as_floats(Stated("i", cells))
    return Stated(kind, _each(_known(lambda cell: cell), cells))


def of_elements(name: str, value: Stated) -> Stated:
    whole = value.kind not in "fh"
    if name == "mean":
        return _reduced(lambda flat: sum(flat) / len(flat), value, "f")
    compute: Callable[[list[Any]], Any] = {"sum": sum, "max": max, "min": min}[name]
    return _reduced(lambda flat: (int if whole else float)(compute(flat)), value, "i" if whole else "f")


def quantified(join: Callable[[Any, Any], Any], start: bool, value: Stated) -> Stated:
    cells = np.empty(len(value.cells), object)
    for event, row in enumerate(value.cells):
        result: Any = start
        for cell in row.ravel().tolist():
            result = join(result, cell)
        cells[event] = result
    return Stated("b", cells)


FUNCTIONS: Mapping[str, Callable[..., Stated]] = {
    "abs": absolute,
    "sqrt": _math(math.sqrt),
    "log": _math(math.log, -math.inf),
    "log10": _math(math.log10, -math.inf),
    "exp": _math(math.exp),
    "sin": _math(math.sin),
    "cos": _math(math.cos),
    "tan": _math(math.tan),
    "floor": _rounding(math.floor),
    "ceil": _rounding(math.ceil),
    "round": _rounding(round),
    "sign": sign,
    "minimum": lambda a, b: chosen(min, a, b),
    "maximum": lambda a, b: chosen(max, a, b),
    "isfinite": lambda x: Stated("b", _each(lambda c: c is not None and math.isfinite(c), x.cells)),
    "isnan": lambda x: Stated("b", _each(lambda c: c is None, x.cells)),
    "where": where,
    "clip": lambda x, low, high: chosen(min, chosen(max, x, low), high),
    "sum": lambda x: of_elements("sum", x),
    "mean": lambda x: of_elements("mean", x),
    "max": lambda x: of_elements("max", x),
    "min": lambda x: of_elements("min", x),
    "any": lambda x: quantified(either, False, x),
    "all": lambda x: quantified(both, True, x),
}

# --- text ---------------------------------------------------------------------------------------------

_TEXT = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitAnd: "&", ast.BitOr: "|", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==",
    ast.NotEq: "!=",
}  # fmt: skip


def _value(node: ast.expr, fields: Mapping[str, Stated]) -> Stated:
    def of(part: ast.expr) -> Stated:
        return _value(part, fields)

    match node:
        case ast.Constant(value):
            return Stated("f" if isinstance(value, float) else "i", value)
        case ast.Name(name):
            return Stated("f", math.pi) if name == "pi" else fields[name]
        case ast.UnaryOp(op, operand):
            return _unary(op, of(operand))
        case ast.BinOp(left, op, right):
            return _binary(_TEXT[type(op)], of(left), of(right))
        case ast.Compare(left, ops, comparators):
            return _chain([of(left), *map(of, comparators)], [_TEXT[type(op)] for op in ops])
        case ast.BoolOp(op, values):
            result, *rest = map(of, values)
            for part in rest:
                result = joined(both if isinstance(op, ast.And) else either, result, part)
            return result
        case ast.Call(ast.Name(name), args):
            return FUNCTIONS[name](*map(of, args))
        case ast.Subscript(value, index):
            parts = ", ".join(map(ast.unparse, index.elts if isinstance(index, ast.Tuple) else [index]))
            return Stated(of(value).kind, eval(f"lambda cells: cells[:, {parts}]")(of(value).cells))
    raise TypeError(ast.dump(node))


def _unary(op: ast.unaryop, value: Stated) -> Stated:
    if isinstance(op, ast.Not) or (isinstance(op, ast.Invert) and value.kind == "b"):
        return opposite(value)
    if isinstance(op, ast.Invert):
        return inverted(value)
    return negative(value) if isinstance(op, ast.USub) else number(value)


def _binary(op: str, left: Stated, right: Stated) -> Stated:
    if op in "&|":
        if left.kind == right.kind == "b":
            return joined(both if op == "&" else either, left, right)
        return bits(op, left, right)
    return arithmetic(op, left, right)


def _chain(values: list[Stated], ops: list[str]) -> Stated:
    result = compare(ops[0], *values[:2])
    for op, left, right in zip(ops[1:], values[1:-1], values[2:], strict=True):
        result = joined(both, result, compare(op, left, right))
    return result
