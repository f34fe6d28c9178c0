"""Expressions: what they say, what they compute, and what they refuse."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.parsing import MAX_LENGTH, ExpressionError
from cubeengine.types import Column, FieldInfo
from tests.events.escapes import PYTHON

NAN = float("nan")
VALUES: dict[str, Column] = {
    "a": Column(np.array([1.0, NAN, 3.0, 4.0])),
    "b": Column(np.array([2.0, 2.0, 0.0, -1.0])),
    "i": Column(np.array([1, 2, 3, 4], np.uint8), np.array([True, False, True, True])),
    "j": Column(np.array([4, 3, 2, 1], np.int16)),
    "small": Column(np.array([0.02, 0.3, 1.0, 2.0], np.float32)),
    "diode/channels": Column(np.arange(12.0).reshape(4, 3)),
    "frame": Column(np.arange(24).reshape(4, 2, 3).astype(np.uint16)),
    "holes": Column(np.array([[NAN, 1.0], [NAN, 9.0], [1.0, 1.0], [9.0, 9.0]])),
    "name": Column(np.array(["x", "y", "z", "w"])),
}


def compute(text: str, values: Mapping[str, Column] = VALUES) -> Column:
    return Expression.parse(text).evaluate(values.__getitem__, len(next(iter(values.values()))))


def answers(text: str) -> list[bool | None]:
    """The answer for every event; None where unknown."""
    column = compute(text)
    assert column.data.dtype == bool
    known = np.ones(4, bool) if column.valid is None else column.valid
    return [bool(value) if there else None for value, there in zip(column.data, known, strict=True)]


def whole(text: str) -> list[int | None]:
    """The whole number of every event; None where unknown."""
    column = compute(text)
    assert column.data.dtype == np.int64
    known = np.ones(4, bool) if column.valid is None else column.valid
    return [int(value) if there else None for value, there in zip(column.data, known, strict=True)]


def numbers(text: str) -> list[Any]:
    column = compute(text)
    assert column.valid is None
    return column.data.tolist()


# --- text ---------------------------------------------------------------------------------------------


def test_backticks_and_double_underscores_name_the_same_field() -> None:
    assert Expression.parse("ipm2__sum>1") == Expression.parse("`ipm2/sum` > 1")
    assert Expression.parse("(ipm2__sum)>1").text == "`ipm2/sum` > 1"


def test_fields_are_listed_once() -> None:
    assert Expression.parse("a + `b/c d` * a > log(e__f)").fields == {"a", "b/c d", "e/f"}


def test_canonical_text_keeps_precedence() -> None:
    assert Expression.parse("a + b * c ** 2").text == "`a` + (`b` * (`c` ** 2))"
    assert Expression.parse("-a ** 2").text == "-(`a` ** 2)"
    assert Expression.parse("not a > 1 and b < 2 or c == 3").text == (
        "((not (`a` > 1)) and (`b` < 2)) or (`c` == 3)"
    )


def test_names_in_backticks_may_hold_anything_printable() -> None:
    assert Expression.parse("`XPP:USR:PRT.VAL and 'x'` > 1").fields == {"XPP:USR:PRT.VAL and 'x'"}


def test_expressions_survive_pickling() -> None:
    expression = Expression.parse("diode__channels[0:2, 1] > pi")
    copy = pickle.loads(pickle.dumps(expression))
    assert copy == expression
    assert copy.tree == expression.tree


names = st.sampled_from(["a", "b", "`ipm2/sum`", "diode2__channels", "`odd name`"])
atoms = st.one_of(
    names, st.integers(0, 2**64 - 1).map(str), st.floats(0, 1e300, allow_nan=False).map(repr), st.just("pi")
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = ["+", "-", "*", "/", "//", "%", "&", "|", "<", "<=", "==", "!=", ">", "and", "or"]
    binary = st.tuples(inner, st.sampled_from(operators), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})")
    unary = st.tuples(st.sampled_from(["-", "+", "~", "not "]), inner).map(lambda t: f"{t[0]}({t[1]})")
    calls = st.tuples(st.sampled_from(["abs", "sqrt", "isnan", "mean"]), inner).map(
        lambda t: f"{t[0]}({t[1]})"
    )
    index = st.tuples(inner, st.sampled_from(["0", "-1", "1:3", ":", "::2", "1, 2:", "0, :, -3"]))
    chained = st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) < ({t[1]}) <= (-({t[2]}))")
    return st.one_of(binary, unary, calls, chained, index.map(lambda t: f"({t[0]})[{t[1]}]"))


@given(st.recursive(atoms, _larger, max_leaves=12))
def test_canonical_text_parses_to_the_same_expression(text: str) -> None:
    expression = Expression.parse(text)
    again = Expression.parse(expression.text)
    assert again == expression
    assert again.tree == expression.tree
    assert again.text == expression.text


# --- refusals -----------------------------------------------------------------------------------------


def test_there_are_many_escapes_to_refuse() -> None:
    assert len(set(PYTHON)) >= 250


@pytest.mark.parametrize("text", PYTHON)
def test_escapes_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        Expression.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        Expression.parse(text)
    except ExpressionError as err:
        assert 0 <= err.column <= max(len(text), 1)  # noqa: PT017 - both ways are right


@given(st.text(alphabet="ab1.`_()[]:, +-*/%<>=!&|~'\"\\andortfeil0", max_size=40))
def test_text_of_likely_characters_is_an_expression_or_refused(text: str) -> None:
    try:
        Expression.parse(text)
    except ExpressionError:
        return


def test_errors_point_at_the_column() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.parse("  `ipm2/sum` > 'x'")
    assert caught.value.column == 16
    first, line, caret = str(caught.value).splitlines()
    assert "column 16" in first
    assert "strings are not allowed" in first
    assert line.index("'") == caret.index("^")


def test_syntax_errors_point_at_the_column_too() -> None:
    with pytest.raises(ExpressionError, match="column 8"):
        Expression.parse("   a + * b")


def test_an_unknown_function_gets_the_nearest_one() -> None:
    with pytest.raises(ExpressionError, match=r"no function 'sqr'; nearest: 'sqrt'"):
        Expression.parse("sqr(a)")


def test_a_wrong_number_of_arguments_shows_the_usage() -> None:
    with pytest.raises(ExpressionError, match=r"2 arguments instead of where\(condition, yes, no\)"):
        Expression.parse("where(a, b)")


def test_errors_survive_pickling() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.parse("a.b")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.column == 2


def test_length_is_capped() -> None:
    Expression.parse("a".ljust(MAX_LENGTH))
    with pytest.raises(ExpressionError, match="2001 characters"):
        Expression.parse("a".ljust(MAX_LENGTH + 1))


def test_towers_of_powers_do_no_work() -> None:
    with pytest.raises(SpecError, match="constant part"):
        compute("9 ** 9 ** 9 ** 9")
    assert numbers("((j ** 64) ** 64) ** 64") == [np.inf, np.inf, np.inf, 1.0]


# --- what is unknown ----------------------------------------------------------------------------------


def test_nan_and_missing_compare_as_unknown() -> None:
    assert answers("a > 2") == [False, None, True, True]
    assert answers("a != 2") == [True, None, True, True]
    assert answers("i == 2") == [False, None, False, False]


def test_unknown_survives_negation() -> None:
    assert answers("not a > 2") == [True, None, False, False]
    assert answers("~(a > 2)") == [True, None, False, False]


def test_unknown_gives_way_to_what_decides() -> None:
    assert answers("a > 2 and b > 9") == [False, False, False, False]
    assert answers("a > 2 or b < 9") == [True, True, True, True]
    assert answers("(a > 2) & (b == 2)") == [False, None, False, False]


def test_chained_comparisons_need_all_links() -> None:
    assert answers("0 < a < 3.5") == [True, None, True, False]
    assert answers("5 < a < b") == [False, None, False, False]


def test_isfinite_knows_that_nan_is_not() -> None:
    assert answers("isfinite(a)") == [True, False, True, True]
    assert answers("isnan(a)") == [False, True, False, False]
    assert answers("isfinite(i)") == [True, False, True, True]
    assert answers("isfinite(b / 0)") == [False, False, False, False]


def test_missing_integers_stay_missing_in_arithmetic() -> None:
    assert whole("i + 1") == [2, None, 4, 5]
    assert whole("j + 1") == [5, 4, 3, 2]
    np.testing.assert_array_equal(compute("i + 0.5").data, [1.5, NAN, 3.5, 4.5])


def test_missing_integers_pass_through_untouched() -> None:
    column = compute("i")
    assert column.data.dtype == np.uint8
    assert column.valid is not None
    assert column.valid.tolist() == [True, False, True, True]


def test_where_with_an_unknown_condition_is_unknown() -> None:
    assert whole("where(a > 2, 1, 0)") == [0, None, 1, 1]
    np.testing.assert_array_equal(compute("where(a > 2, 1, 0.5)").data, [0.5, NAN, 1.0, 1.0])
    assert answers("where(a > 2, b > 0, i > 0)") == [True, None, False, False]
    assert compute("where(j > 2, 1, 0)").data.dtype == np.int64


def test_elements_that_are_unknown_leave_any_and_all_unknown_unless_decided() -> None:
    assert answers("any(holes > 5)") == [None, True, False, True]
    assert answers("all(holes > 5)") == [False, None, False, True]


# --- numbers ------------------------------------------------------------------------------------------


def test_subscripts_leave_out_the_event_axis() -> None:
    assert numbers("diode__channels[1]") == [1.0, 4.0, 7.0, 10.0]
    assert numbers("frame[1, -1]") == [5, 11, 17, 23]
    assert compute("frame[:, 1:]").data.shape == (4, 2, 2)


def test_a_scalar_field_meets_every_element_of_an_array_field() -> None:
    np.testing.assert_array_equal(
        compute("diode__channels * b").data, VALUES["diode/channels"].data * VALUES["b"].data[:, None]
    )
    assert numbers("sum(frame > j)") == [1, 6, 6, 6]


def test_element_functions_work_over_all_element_axes() -> None:
    assert numbers("sum(frame)") == [15, 51, 87, 123]
    assert numbers("max(frame) - min(frame)") == [5, 5, 5, 5]
    assert numbers("mean(frame)") == [2.5, 8.5, 14.5, 20.5]
    np.testing.assert_array_equal(compute("sum(holes)").data, [NAN, NAN, 2.0, 18.0])


def test_division_of_integers_is_true_division() -> None:
    assert numbers("j / 2") == [2.0, 1.5, 1.0, 0.5]


def test_small_unsigned_integers_do_not_wrap() -> None:
    assert numbers("-frame[0, 1] * 70000") == [-70000, -490000, -910000, -1330000]


def test_results_beyond_64_bits_become_floats() -> None:
    large = {"x": Column(np.array([2**62, 1]))}
    assert compute("x * 4", large).data.tolist() == [2.0**64, 4.0]
    assert compute("x + x + x", large).data.tolist() == [3 * 2.0**62, 3.0]
    lowest = {"x": Column(np.array([-(2**63)]))}
    assert compute("abs(x)", lowest).data.tolist() == [2.0**63]
    assert compute("-x", lowest).data.tolist() == [2.0**63]
    assert compute("x // -1", lowest).data.tolist() == [2.0**63]


def test_64_bit_integers_compare_exactly() -> None:
    stamps = {
        "t": Column(np.array([2**62, 2**62 + 1, 2**62 + 2])),
        "u": Column(np.full(3, 2**62 + 1, np.uint64)),
    }
    assert compute(f"t == {2**62 + 1}", stamps).data.tolist() == [False, True, False]
    assert compute(f"t > {float(2**62)!r}", stamps).data.tolist() == [False, True, True]
    assert compute("t == u", stamps).data.tolist() == [False, True, False]
    assert compute(f"u < {2**64 - 1}", stamps).data.tolist() == [True, True, True]


def test_whole_division_by_zero_gives_floats() -> None:
    np.testing.assert_array_equal(compute("j // (j - 4)").data, [np.inf, -3.0, -1.0, -1.0])
    np.testing.assert_array_equal(compute("j % (j - 4)").data, [NAN, 0.0, 0.0, -2.0])


def test_constants_alone_must_be_finite() -> None:
    with pytest.raises(SpecError, match="constant part"):
        compute("a > 1 / 0")


def test_a_constant_expression_has_one_value_per_event() -> None:
    assert numbers("2 ** 3 + 1") == [9, 9, 9, 9]
    assert answers("1 < 2") == [True] * 4


def test_bits_of_integers() -> None:
    assert numbers("j & 1") == [0, 1, 0, 1]
    assert numbers("(j | 8) - ~j") == [17, 15, 13, 11]


def test_conditions_count_as_numbers_in_arithmetic() -> None:
    assert numbers("(j > 1) + (j > 2)") == [2, 2, 1, 0]
    assert numbers("sum(frame > 8)") == [0, 3, 6, 6]


floats = st.one_of(st.floats(-1e6, 1e6), st.just(NAN))


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=20), st.sampled_from("+-*/%"))
def test_arithmetic_is_that_of_numpy(pairs: list[tuple[float, float]], op: str) -> None:
    x, y = np.array(pairs).T
    ufunc = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "%": np.remainder}[op]
    with np.errstate(all="ignore"):
        expected = np.sqrt(ufunc(np.abs(x), y)) - 1
    found = compute(f"sqrt(abs(x) {op} y) - 1", {"x": Column(x), "y": Column(y)})
    np.testing.assert_array_equal(found.data, expected)


@given(st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=20), st.integers(-(2**31), 2**31))
def test_integers_compute_as_in_python(values: list[int], other: int) -> None:
    columns = {"x": Column(np.array(values))}
    constant = f"({other})"
    assert compute(f"x * {constant} - x", columns).data.tolist() == [
        value * other - value for value in values
    ]
    if other:
        assert compute(f"x // {constant}", columns).data.tolist() == [value // other for value in values]
        assert compute(f"x % {constant}", columns).data.tolist() == [value % other for value in values]


truth = st.sampled_from([0.0, 1.0, NAN])


@given(st.lists(st.tuples(truth, truth, truth), min_size=1, max_size=12))
def test_logic_is_that_of_kleene(rows: list[tuple[float, float, float]]) -> None:
    columns = {name: Column(values) for name, values in zip("xyz", np.array(rows).T, strict=True)}
    result = compute("(x > 0 and not y > 0) or z > 0", columns)
    known = np.ones(len(rows), bool) if result.valid is None else result.valid
    for row, value, there in zip(rows, result.data, known, strict=True):
        # Kleene: what is unknown may turn out either way; the answer is known if both ways agree.
        options = [[0, 1] if entry != entry else [int(entry)] for entry in row]
        worlds = {bool((x and not y) or z) for x in options[0] for y in options[1] for z in options[2]}
        assert worlds == {bool(value)} if there else len(worlds) == 2


# --- what does not fit --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a and 1 < 2", "'and' joins conditions"),
        ("not j", "'not' joins conditions"),
        ("(a > 1) & b", "write .a > 1. &"),
        ("a & 1", "write .a > 1. &"),
        ("~a", "'~' negates"),
        ("sum(a)", "one value per event"),
        ("any(frame)", "needs a condition"),
        ("where(a, 1, 2)", "needs a condition"),
        ("a[0]", "leave out the event axis"),
        ("frame[0, 0, 0]", "leave out the event axis"),
        ("frame[2]", "element 2 is outside an axis of 2"),
        ("frame[1:1]", "selects nothing"),
        ("frame + diode__channels[0:2]", "do not match"),
        ("name > 1", "field 'name' holds"),
    ],
)
def test_what_does_not_fit_is_named(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        compute(text)


def test_unknown_fields_are_the_callers_error() -> None:
    def columns(name: str) -> Column:
        raise FieldNotFound(name, "the run", ["ipm2/sum"])

    with pytest.raises(FieldNotFound, match="nearest: 'ipm2/sum'"):
        Expression.parse("ipm2__summ > 1").evaluate(columns, 4)


def test_every_field_is_asked_for_once() -> None:
    asked: list[str] = []

    def columns(name: str) -> Column:
        asked.append(name)
        return VALUES[name]

    Expression.parse("a > 1 and a < 3 and b > a").evaluate(columns, 4)
    assert asked == ["a", "b"]


def test_shape_and_type_are_known_without_reading() -> None:
    fields = {name: FieldInfo(name, c.data.shape[1:], c.data.dtype) for name, c in VALUES.items()}
    assert Expression.parse("frame[0] / j").result(fields) == ((3,), np.dtype(float))
    assert Expression.parse("sum(frame) > 3").result(fields) == ((), np.dtype(bool))
    with pytest.raises(SpecError, match="axis of 2"):
        Expression.parse("frame[7]").result(fields)


def test_no_events_give_no_values() -> None:
    none = {"frame": Column(np.empty((0, 2, 3))), "a": Column(np.empty(0))}
    for text in ("mean(frame)", "max(frame) > a", "any(frame > 1)", "frame[0] * a", "round(a)"):
        assert len(compute(text, none)) == 0


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("a > 1 && b > 1", "'&&' is not allowed; write and"),
        ("a > 1 || b > 1", "'||' is not allowed; write or"),
        ("!a", "'!' is not allowed; write not"),
        ("scan__lxt > 1 ps", "belongs in a cut:  {field: scan/lxt, min: 1 ps}"),
        ("`ipm2/sum` <= 3keV", "belongs in a cut:  {field: ipm2/sum, max: 3 keV}"),
        ("laser == 'on'", "compare a number, as == 1, or ask for the laser with  laser: on"),
        ("np.abs(x) > 1", "write abs(x)"),
        ("x.mean() > 1", "write mean(x)"),
        ("median(x) > 1", "the recipe  running"),
        ("a b", "'b' follows without an operator before it"),
        ("a if b else c", "use where(condition, yes, no)"),
    ],
)
def test_what_other_languages_write_is_told_in_ours(text: str, advice: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression.parse(text)
    assert advice in str(caught.value)


def test_words_of_logic_stand_beside_names() -> None:
    assert Expression.parse("not a and b or not 1 < c").fields == {"a", "b", "c"}


def test_errors_of_values_quote_the_text_as_written() -> None:
    text = "x[0,1]>2"
    with pytest.raises(SpecError) as caught:
        Expression.parse(text).result({"x": FieldInfo("x", (3,), np.dtype(float))})
    assert f"expression {text}: 2 subscripts on values of shape (3,)" in str(caught.value)
    assert str(caught.value).endswith(": write [1]")
