"""Selections: what they keep, what stays unknown, and how they are counted."""

from __future__ import annotations

import itertools
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.expressions import Expression
from cubeengine.events.selections import (
    Combine,
    Condition,
    Cut,
    CutRow,
    Interval,
    MaskCache,
    Node,
    OneOf,
    content_key,
    cut_flow,
    describe,
    evaluate,
    fields,
)
from cubeengine.types import Column

NAN = float("nan")
F, T, N, M = (int(code) for code in (states.FALSE, states.TRUE, states.NAN, states.MISSING))
COLUMNS = {
    "ipm2/sum": Column(np.array([0.1, 0.3, 1.0, 2.0, NAN])),
    "laser": Column(np.array([1, 0, -1, 1, 1]), np.array([True, True, True, False, True])),
    "small": Column(np.array([0.02, 0.3, 1.0, 2.0, 3.0], np.float32)),
    "stamp": Column(2**62 + np.arange(5)),
    "unsigned": Column(2**63 + np.arange(5, dtype=np.uint64)),
    "flag": Column(np.array([True, False, True, False, True])),
    "channels": Column(np.zeros((5, 4))),
}


def cut(condition: Condition, label: str = "") -> Cut:
    return Cut(label, condition)


def found(node: Node | Condition) -> list[int]:
    node = node if isinstance(node, Cut | Combine) else cut(node)
    result = evaluate(node, COLUMNS.__getitem__, 5)
    assert result.dtype == np.int8
    return result.tolist()


def expression(text: str) -> Expression:
    return Expression.parse(text)


def test_an_interval_holds_both_its_bounds() -> None:
    assert found(Interval("ipm2/sum", 0.3, 2.0)) == [F, T, T, T, N]


def test_either_side_of_an_interval_may_be_open() -> None:
    assert found(Interval("ipm2/sum", 1)) == [F, F, T, T, N]
    assert found(Interval("ipm2/sum", None, 0.3)) == [T, T, F, F, N]
    assert found(Interval("ipm2/sum", -np.inf, np.inf)) == [T, T, T, T, N]


def test_missing_integers_are_missing_whatever_their_filler() -> None:
    assert found(OneOf("laser", (1,))) == [T, F, F, M, T]
    assert found(Interval("laser", -5, 5)) == [T, T, T, M, T]


def test_the_reason_of_an_unknown_expression_is_found() -> None:
    assert found(expression("ipm2__sum > 0.5 or laser == 0")) == [F, T, T, T, N]
    assert found(expression("ipm2__sum > 5 or laser == 0")) == [F, T, F, M, N]


def test_bounds_are_rounded_to_the_precision_of_the_field() -> None:
    assert found(Interval("small", 0.02, 0.3)) == [T, T, F, F, F]
    assert found(OneOf("small", (0.02, 3))) == [T, F, F, F, T]
    assert found(expression("small >= 0.02 and small <= 0.3")) == [T, T, F, F, F]


@pytest.mark.parametrize(
    ("data", "cut", "kept"),
    [
        (np.array([True, False]), Interval("x", high=2**63), [True, True]),
        (np.array([True, False]), Interval("x", low=-(2**70)), [True, True]),
        (np.array([True, False]), Interval("x", low=0.5), [True, False]),
        (np.array([True, False]), OneOf("x", (2**63, 1.0)), [True, False]),
        (np.array([np.inf, 1.0], np.float32), Interval("x", high=1e39), [False, True]),
        (np.array([-np.inf, 1.0], np.float32), Interval("x", low=-1e39), [False, True]),
        (np.array([np.inf, 1.0], np.float32), OneOf("x", (1e39, 1.0)), [False, True]),
        (np.array([2**63, 5], np.uint64), Interval("x", low=-1, high=2.0**63), [True, True]),
        (np.array([-1, 5], np.int8), Interval("x", low=-300, high=300), [True, True]),
        (np.array([2**53 + 1, 2**53], ">i8"), Interval("x", low=2**53 + 1), [True, False]),
    ],
)
def test_bounds_that_the_type_does_not_hold_are_bounds_all_the_same(data, cut, kept):
    with warnings.catch_warnings(action="error"):
        found = evaluate(Cut("", cut), lambda _: Column(data), 2)
    assert (found == states.TRUE).tolist() == kept


def test_64_bit_integers_are_compared_exactly() -> None:
    assert found(OneOf("stamp", (2**62 + 1, 2**62 + 3))) == [F, T, F, T, F]
    assert found(Interval("stamp", 2**62 + 1, 2**62 + 2)) == [F, T, T, F, F]
    assert found(OneOf("unsigned", (2**63 + 4, -1))) == [F, F, F, F, T]
    assert found(Interval("unsigned", None, float(2**63))) == [T, F, F, F, F]


def test_many_values_are_found_as_few_are() -> None:
    assert found(OneOf("stamp", tuple(range(2**62 - 40, 2**62 + 2)))) == [T, T, F, F, F]
    assert found(OneOf("ipm2/sum", (*range(40), 0.1))) == [T, F, T, T, N]


def test_values_a_field_cannot_hold_equal_nothing() -> None:
    assert found(OneOf("stamp", (0.5, np.inf, 2**80))) == [F] * 5
    assert found(Interval("stamp", 2.0**62 + 0.5, 2**80)) == [T] * 5
    assert found(OneOf("flag", (1,))) == [T, F, T, F, T]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Interval("a"), "needs a lower or an upper bound"),
        (lambda: Interval("a", NAN), "NaN"),
        (lambda: Interval("a", 2, 1), "above the upper"),
        (lambda: OneOf("a", ()), "at least one value"),
        (lambda: OneOf("a", (NAN,)), "isnan"),
        (lambda: Combine("xor", ()), "not by 'xor'"),
        (lambda: found(Interval("channels", 1)), r"shape \(4,\).*sum\(`channels`\)"),
        (lambda: found(expression("channels > 1")), r"shape \(4,\).*any\(\)"),
        (lambda: found(expression("channels[0] + 1")), "gives numbers"),
    ],
)
def test_what_is_no_cut_is_refused(make: object, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make()  # type: ignore[operator]


def test_unknown_stays_unknown_through_not_any_and_all() -> None:
    low, laser = cut(Interval("ipm2/sum", None, 0.5)), cut(OneOf("laser", (1,)))
    assert found(low) == [T, T, F, F, N]
    assert found(laser) == [T, F, F, M, T]
    assert found(Combine("not", (low,))) == [F, F, T, T, N]
    assert found(Combine("not", (low, laser))) == [F, F, T, M, F]
    assert found(Combine("all", (low, laser))) == [T, F, F, F, N]
    assert found(Combine("any", (low, laser))) == [T, T, F, M, T]


def test_nothing_to_combine() -> None:
    assert found(Combine("all", ())) == [T] * 5
    assert found(Combine("any", ())) == [F] * 5
    assert found(Combine("not", ())) == [T] * 5


def test_fields_are_those_of_all_cuts() -> None:
    node = Combine("any", (cut(expression("a > b__c")), Combine("not", (cut(OneOf("d", (1,))),))))
    assert fields(node) == {"a", "b/c", "d"}
    assert fields(Combine("all", ())) == frozenset()


codes = st.sampled_from([states.FALSE, states.TRUE, states.NAN, states.MISSING])


@given(st.lists(st.tuples(codes, codes), min_size=1, max_size=10))
def test_kleene_logic_is_what_all_ways_to_fill_in_the_unknown_agree_on(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs, np.int8).T
    both, either, neither = states.kleene_and(a, b), states.kleene_or(a, b), states.kleene_not(a)
    for x, y, z, o, n in zip(a, b, both, either, neither, strict=True):
        options = [[bool(code)] if code <= T else [False, True] for code in (x, y)]
        worlds = list(itertools.product(*options))
        assert _agrees(z, {p and q for p, q in worlds})
        assert _agrees(o, {p or q for p, q in worlds})
        assert _agrees(n, {not p for p, _ in worlds})


def _agrees(code: int, outcomes: set[bool]) -> bool:
    return outcomes == ({bool(code)} if code <= T else {False, True})


def test_of_two_reasons_the_graver_one_is_kept() -> None:
    nan, missing = np.array([states.NAN]), np.array([states.MISSING])
    assert states.kleene_and(nan, missing) == states.kleene_or(missing, nan) == states.MISSING


bounds = st.one_of(st.none(), st.integers(-3, 3))
conditions = st.one_of(
    st.tuples(st.sampled_from("xy"), st.integers(-3, 3)).map(lambda t: Interval(t[0], t[1])),
    st.tuples(st.sampled_from("xy"), st.integers(-3, 3)).map(lambda t: OneOf(t[0], (t[1],))),
    st.sampled_from(["x > y", "x + y == 0", "isnan(x)", "x < 1 or y > 1"]).map(Expression.parse),
)
nodes = st.recursive(
    conditions.map(cut),
    lambda inner: st.tuples(st.sampled_from(["all", "any", "not"]), st.lists(inner, max_size=3)).map(
        lambda t: Combine(t[0], tuple(t[1]))
    ),
    max_leaves=6,
)
values = st.one_of(st.just(NAN), st.integers(-3, 3).map(float))


@given(nodes, nodes, st.lists(st.tuples(values, values), min_size=1, max_size=15))
def test_adding_a_cut_never_adds_events(first: Node, added: Node, pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    columns = {"x": Column(x), "y": Column(y)}
    before = evaluate(first, columns.__getitem__, len(x)) == T
    after = evaluate(Combine("all", (first, added)), columns.__getitem__, len(x)) == T
    assert not (after & ~before).any()


@given(nodes, st.lists(st.tuples(values, values), min_size=1, max_size=15))
def test_a_selection_and_its_negation_keep_no_event_in_common(
    node: Node, pairs: list[tuple[float, float]]
) -> None:
    x, y = np.array(pairs).T
    columns = {"x": Column(x), "y": Column(y)}
    kept = evaluate(node, columns.__getitem__, len(x))
    dropped = evaluate(Combine("not", (node,)), columns.__getitem__, len(x))
    np.testing.assert_array_equal((kept == T) | (dropped == T), kept <= T)


@given(nodes, st.lists(st.tuples(values, values), min_size=1, max_size=15))
def test_a_cut_flow_ends_at_the_selection(node: Node, pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    columns = {"x": Column(x), "y": Column(y)}
    table = cut_flow(node, columns.__getitem__, len(x))
    kept = int((evaluate(node, columns.__getitem__, len(x)) == T).sum())
    assert kept == (table[-1].after if table else len(x))
    assert all(row.after <= row.alone for row in table)
    assert all(late.after <= early.after for early, late in itertools.pairwise(table))


def test_a_cut_flow_goes_into_nested_alls_and_nothing_else() -> None:
    good = Combine(
        "all", (cut(Interval("ipm2/sum", 0.3), "bright"), cut(OneOf("flag", (1,)), "flagged")), "good"
    )
    either = Combine("any", (cut(OneOf("laser", (0,))), cut(OneOf("laser", (-1,)))), "laser off")
    table = cut_flow(Combine("all", (good, either)), COLUMNS.__getitem__, 5)
    assert table == (CutRow("bright", 3, 3), CutRow("flagged", 3, 1), CutRow("laser off", 2, 1))


def test_a_part_without_a_label_describes_itself() -> None:
    parts = (cut(Interval("a", 1, 2)), cut(OneOf("b", (1, 2))), cut(expression("c__d>1")))
    assert describe(Combine("not", parts)) == "none of(1 <= a <= 2, b in [1, 2], `c/d` > 1)"
    assert [describe(c) for c in (Interval("a", 1), Interval("a", None, 2), OneOf("b", (1,)))] == [
        "a >= 1",
        "a <= 2",
        "b == 1",
    ]


def test_content_keys_ignore_labels_and_see_everything_else() -> None:
    parts = [
        cut(Interval("a", 1)),
        cut(Interval("a", None, 1)),
        cut(Interval("b", 1)),
        cut(OneOf("a", (1,))),
        cut(OneOf("a", (1, 2))),
        cut(expression("a > 1")),
        Combine("all", (cut(Interval("a", 1)),)),
        Combine("any", (cut(Interval("a", 1)),)),
        Combine("all", ()),
    ]
    assert len({content_key(part) for part in parts}) == len(parts)
    assert content_key(Cut("x", Interval("a", 1))) == content_key(Cut("y", Interval("a", 1)))
    assert content_key(cut(expression("a__b>1"))) == content_key(cut(expression("`a/b` > 1")))


def test_masks_are_computed_once_for_each_content_and_run() -> None:
    computed: list[str] = []

    def counted(part: Cut, columns: object, n_events: int) -> states.States:
        computed.append(describe(part))
        return evaluate(part, COLUMNS.__getitem__, n_events)

    cache = MaskCache(cut_states=counted)
    bright = Cut("bright", Interval("ipm2/sum", 0.3))
    for node in (
        bright,
        Combine("all", (bright, cut(OneOf("flag", (1,))))),
        Cut("again", Interval("ipm2/sum", 0.3)),
    ):
        cache.evaluate(node, COLUMNS.__getitem__, 5, "run 1")
    assert computed == ["bright", "flag == 1"]
    cache.evaluate(bright, COLUMNS.__getitem__, 5, "run 2")
    assert len(computed) == 3


def test_kept_masks_cannot_be_changed() -> None:
    result = MaskCache().evaluate(cut(Interval("small", 1)), COLUMNS.__getitem__, 5)
    with pytest.raises(ValueError, match="read-only"):
        result[0] = 1


def test_the_cache_is_bounded() -> None:
    cache = MaskCache(max_nbytes=12)
    for low in range(5):
        cache.evaluate(cut(Interval("small", low)), COLUMNS.__getitem__, 5)
        assert cache.nbytes <= 12
    assert cache.nbytes == 10


def test_the_cache_serves_many_threads() -> None:
    cache = MaskCache(max_nbytes=50)
    wrong: list[int] = []

    def work() -> None:
        for low in range(30):
            result = cache.evaluate(cut(Interval("small", low % 7)), COLUMNS.__getitem__, 5)
            wrong.extend([low] * (result.tolist() != found(Interval("small", low % 7))))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.nbytes <= 50
