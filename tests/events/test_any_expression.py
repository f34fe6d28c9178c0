"""Expressions made at random against the stated rule, on columns of every type."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.types import Column, FieldInfo
from tests.events.stated_rule import check_same, stated

N_EVENTS = 40
RNG = np.random.default_rng(8)
FLOATS = [np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 0.5, 2.0, 3.25, -7.5, 1e10, 0.1]
LARGE = [-(2**63), -(2**62), -(2**53) - 1, -1, 0, 1, 2, 2**31, 2**53 + 1, 2**62, 2**63 - 1]


def column(values: list[float], dtype: str, *shape: int, missing: bool = False) -> Column:
    data = RNG.choice(np.array(values, dtype), (N_EVENTS, *shape))
    return Column(data, RNG.random(N_EVENTS) > 0.2 if missing else None)


COLUMNS = {
    "b": column([True, False], "?", missing=True),
    "c": column([True, False], "?"),
    "u": column([0, 1, 2, 7, 255], "u1", missing=True),
    "i": column([-128, -1, 0, 1, 3, 127], "i1"),
    "h": column([-(2**15), -5, 0, 2, 2**15 - 1], ">i2", missing=True),
    "l": column(LARGE, "i8", missing=True),
    "m": column([-3, 0, 1, 5, 2**40], "i8"),
    "w": column([0, 1, 5, 2**63 - 1, 2**63, 2**64 - 1], "u8", missing=True),
    "x": column(FLOATS, "f8"),
    "y": column(FLOATS, "f4"),
    "A": column([0, 1, 5, 65535], "u2", 3, missing=True),
    "B": column(FLOATS, "f4", 3),
    "C": column([True, False], "?", 3, missing=True),
    "D": column([-(2**63), 2**62, 1, 0], "i8", 2, 3),
}
FIELDS = {name: FieldInfo(name, c.data.shape[1:], c.data.dtype) for name, c in COLUMNS.items()}
WHOLE = ["u", "i", "h", "l", "m", "w", "A[1]", "D[1, -1]"]
WRITTEN = ["0", "1", "2", "7", "64", "256", str(2**53 + 1), str(2**63), str(2**64 - 1), "0.5", "2.0", "0.1"]
REFUSALS = (
    "constant part", "do not match", "over the elements of an event", "needs two conditions",
    "joins conditions", "a power above", "needs a condition", "bind before",
)  # fmt: skip


def written(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda texts: form.format(*texts))


def numbers(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from([*WHOLE, "x", "y", "B[-1]", "A", "B", "D[0]", "A[::2]", *WRITTEN])
    if not depth:
        return leaf
    of, whole = numbers(depth - 1), st.sampled_from(WHOLE)
    return st.one_of(
        leaf,
        written("({} {} {})", of, st.sampled_from(["+", "-", "*", "/", "//", "%"]), of),
        written("({}) ** {}", of, st.sampled_from(["0", "1", "2", "3", "(-1)", "m"])),
        written("({} {} {})", whole, st.sampled_from("&|"), st.sampled_from([*WHOLE, "~i", "~w", "7"])),
        written("{}({})", st.sampled_from(["-", "+", "abs", "floor", "ceil", "round", "sign", "sqrt"]), of),
        written("{}({}, {})", st.sampled_from(["minimum", "maximum"]), of, of),
        written("clip({}, {}, {})", of, of, of),
        written("where({}, {}, {})", conditions(depth - 1), of, of),
        written("{}({})", st.sampled_from(["sum", "mean", "max", "min"]), of),
    )


def conditions(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["b", "c", "C", "C[0]"])
    if not depth:
        return leaf
    of, number = conditions(depth - 1), numbers(depth - 1)
    op = st.sampled_from(["<", "<=", "==", "!=", ">", ">="])
    return st.one_of(
        written("({} {} {})", number, op, number),
        written("({} {} {} {} {})", number, op, number, op, number),
        written("({} {} {})", of, st.sampled_from(["and", "or", "&", "|"]), of),
        written("({}({}))", st.sampled_from(["not ", "~"]), of),
        written("{}({})", st.sampled_from(["isnan", "isfinite"]), number),
        written("{}({})", st.sampled_from(["any", "all"]), of),
    )


@given(numbers(3) | conditions(3))
def test_any_expression_is_what_the_rule_says_or_refused_before_a_run(text):
    try:
        expression = Expression.parse(text)
        shape, dtype = expression.result(FIELDS)
    except SpecError as err:
        assert any(reason in str(err) for reason in REFUSALS), err  # noqa: PT017 - both ways are right
        return
    found = expression.evaluate(COLUMNS.__getitem__, N_EVENTS)
    assert shape == found.data.shape[1:]
    assert dtype == found.data.dtype or found.data.dtype == np.float64
    expected = stated(text, COLUMNS)
    if not any(op in text for op in ("/", "(-1)")):  # by 0 they have the sign of that 0, which has no rule
        check_same(found, expected, ulps=4)
