"""The stated rule of every operator and function: every type, missing, NaN, infinity, no elements."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.functions import FUNCTIONS
from cubeengine.types import Column, FieldInfo
from tests.events import stated_rule
from tests.events.stated_rule import check_same, stated

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", ">i2", ">u8", ">f4", ">f8"]
INTEGERS = [code for code in DTYPES if np.dtype(code).kind in "iu"]
WHOLE = [0, 1, 3, 63, 300, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -1, -129, -(2**63)]
NUMBERS = [*map(str, WHOLE), "0.5", "2.0", "0.1", "-2.5", "1e39", "-1e300", str(2.0**63)]
EXPONENTS = ["0", "1", "2", "3", "40", "63", "64", "-1", "0.5", "2.0", "0.0", "-2.0"]
ARITHMETIC = ["+", "-", "*", "/", "//", "%", "**"]
COMPARISONS = ["<", "<=", ">", ">=", "==", "!="]
ULPS = {"**": 2, "log": 2, "log10": 2, "exp": 2, "sin": 2, "cos": 2, "tan": 2}
OF_ONE = ["abs", "sqrt", "log", "log10", "exp", "sin", "cos", "tan", "floor", "ceil", "round", "sign",
          "isfinite", "isnan"]  # fmt: skip
OF_ELEMENTS = ["sum", "mean", "max", "min"]


def values(code: str) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of a type that are likely to go wrong, and which of them are there."""
    dtype = np.dtype(code)
    if dtype.kind == "b":
        return np.array([True, False, True]), np.array([True, True, False])
    if dtype.kind == "f":
        top = float(np.finfo(dtype).max)
        found = [np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 0.1, -2.5, 7.0, 2.0**24 + 2, 2.0**63, top]
        return np.array(found, dtype), np.ones(len(found), bool)
    limits = np.iinfo(dtype)
    found = [limits.min, limits.max, limits.max, 0, 1, 2, 7, limits.max // 2 + 1, limits.min // 3]
    return np.array([found[1], *found[3:], found[0], *found[1:2]], dtype), np.arange(9) > 0


def crossed(*codes: str) -> dict[str, Column]:
    """Every combination of the values of some types, one an event; what is missing is some odd number."""
    parts = [values(code) for code in codes]
    places = np.array(list(product(*(range(len(data)) for data, _ in parts)))).T
    return {
        name: Column(data[at], None if data.dtype.kind == "f" else there[at])
        for name, (data, there), at in zip("xyz", parts, places, strict=False)
    }


def check(text: str, columns: dict[str, Column], ulps: int = 0) -> None:
    expression, n_events = Expression.parse(text), len(columns["x"])
    found = expression.evaluate(columns.__getitem__, n_events)
    try:
        check_same(found, stated(text, columns), ulps=ulps)
    except AssertionError as err:
        types = {name: column.data.dtype.str for name, column in columns.items()}
        raise AssertionError(f"{text} of {types}: {err}") from err
    fields = {name: FieldInfo(name, c.data.shape[1:], c.data.dtype) for name, c in columns.items()}
    shape, dtype = expression.result(fields)
    assert shape == found.data.shape[1:]
    same = dtype.newbyteorder("=") == found.data.dtype.newbyteorder("=")
    assert same or found.data.dtype == np.float64, (text, dtype, found.data.dtype)


def test_every_function_has_its_rule():
    assert set(stated_rule.FUNCTIONS) | {"eventcode"} == set(FUNCTIONS)


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic(op):
    for left, right in product(DTYPES, DTYPES):
        check(f"x {op} y", crossed(left, right), ULPS.get(op, 0))


@pytest.mark.parametrize("op", ARITHMETIC)
def test_arithmetic_with_a_number_as_written(op):
    for code in DTYPES:
        for constant in EXPONENTS if op == "**" else NUMBERS:
            check(f"x {op} ({constant})", crossed(code), ULPS.get(op, 0))
            check(f"({constant}) {op} x", crossed(code), ULPS.get(op, 0))


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparisons(op):
    for left, right in product(DTYPES, DTYPES):
        check(f"x {op} y", crossed(left, right))


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparisons_with_a_number_as_written(op):
    for code, constant in product(DTYPES, NUMBERS):
        check(f"x {op} ({constant})", crossed(code))
        check(f"({constant}) {op} x", crossed(code))
        check(f"({constant}) {op} x {op} 1", crossed(code))


@pytest.mark.parametrize("op", "&|")
def test_bits(op):
    for left, right in product(INTEGERS, INTEGERS):
        check(f"x {op} y", crossed(left, right))
    for code, constant in product(INTEGERS, WHOLE):
        check(f"x {op} ({constant})", crossed(code))


def test_signs_and_inverted_bits():
    for code in DTYPES:
        check("-x", crossed(code))
        check("+x", crossed(code))
        if np.dtype(code).kind != "f":
            check("~x", crossed(code))


@pytest.mark.parametrize("text", ["x and y", "x or y", "x & y", "x | y", "x and y or not z", "~x | y & z"])
def test_logic(text):
    check(text, crossed("?", "?", "?"))
    for code in DTYPES:
        columns = crossed(code, code, "?")
        check(text.replace("x", "(x > 1)").replace("y", "(y != 0)"), columns)


@pytest.mark.parametrize("name", OF_ONE)
def test_functions_of_one_number(name):
    for code in DTYPES:
        check(f"{name}(x)", crossed(code), ULPS.get(name, 0))


@pytest.mark.parametrize("name", ["minimum", "maximum"])
def test_the_lesser_and_the_greater(name):
    for left, right in product(DTYPES, DTYPES):
        check(f"{name}(x, y)", crossed(left, right))
    for code, constant in product(DTYPES, NUMBERS):
        check(f"{name}(x, {constant})", crossed(code))


def test_clip():
    for code, other in product(DTYPES, ["i1", "u8", "f4"]):
        check("clip(x, y, 5)", crossed(code, other))
        check("clip(x, -1, y)", crossed(code, other))
        check("clip(0.5, y, x)", crossed(code, other))


def test_where():
    for code, other in product(DTYPES, DTYPES):
        check("where(x > 1, x, y)", crossed(code, other))
        check("where(y != 0, 1, x)", crossed(code, other))
    for code in DTYPES:
        check("where(z, x, y)", crossed(code, "f4", "?"))
        check("where(z, x > 0, y)", crossed(code, "?", "?"))
        check("where(1 < 2, x, y)", crossed(code, "f8"))
        check("where(x > 1, 1 < 2, 2 < 1)", crossed(code))


def elements(code: str, shape: tuple[int, ...]) -> dict[str, Column]:
    """Arrays of the values of a type, in turn."""
    data, there = values(code)
    size = 40 * int(np.prod(shape))
    at = np.random.default_rng(5).integers(0, len(data), size).reshape(40, *shape)
    missing = None if data.dtype.kind == "f" else there[np.arange(40) % len(there)]
    return {"x": Column(data[at], missing), "y": Column(np.arange(40.0))}


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_functions_over_elements(name):
    for code, shape in product(DTYPES, [(1,), (3,), (2, 2)]):
        check(f"{name}(x)", elements(code, shape), ulps=1 if name == "mean" else 0)
    for code in INTEGERS:
        check(f"{name}(where(x > 1, x, 0))", elements(code, (3,)), ulps=1 if name == "mean" else 0)


@pytest.mark.parametrize("name", ["any", "all"])
def test_any_and_all(name):
    for code, shape in product(DTYPES, [(0,), (1,), (3,), (2, 2)]):
        check(f"{name}(x > 1)", elements(code, shape))
    check(f"{name}(x)", elements("?", (3,)))


def test_elements_of_elements():
    for code in DTYPES:
        for text in ("x[1]", "x[-1] + 1", "x[1:] > 2", "-x[::2]", "x * y", "x[0] == x"):
            check(text, elements(code, (3,)))


@pytest.mark.parametrize("code", DTYPES)
def test_no_elements_have_a_sum_but_no_greatest(code):
    none = elements(code, (0,))
    check("sum(x)", none)
    check("x", none)
    for name in ("max", "min", "mean"):
        wanted = rf"expression {name}\(x\): {name}\(\) needs elements, but its argument has shape \(0,\)"
        with pytest.raises(SpecError, match=wanted):
            Expression.parse(f"{name}(x)").evaluate(none.__getitem__, 40)
        with pytest.raises(SpecError, match=wanted):
            Expression.parse(f"{name}(x)").result({"x": FieldInfo("x", (0,), np.dtype(code))})


def test_whole_numbers_stay_exact_beside_others_that_do_not_fit():
    """What one event has does not depend on the others that are looked at with it."""
    x = np.array([2**62, 2**62 + 1, 2**53 + 1, -(2**63)])
    y = np.array([2**62, 2**62, 0, 1])
    found = Expression.parse("x - y").evaluate({"x": Column(x), "y": Column(y)}.__getitem__, 4).data
    assert found.tolist() == [0.0, 1.0, float(2**53 + 1), -(2.0**63)]
    stamps = np.array([6_442_450_944_000_000_123, 6_442_450_944_000_000_456])
    text = "x - 6442450944000000000"
    assert Expression.parse(text).evaluate(lambda _: Column(stamps), 2).data.tolist() == [123, 456]
    missing = Column(stamps, np.array([True, False]))
    found = Expression.parse(text).evaluate(lambda _: missing, 2)
    assert (found.data[0], found.valid.tolist()) == (123, [True, False])
