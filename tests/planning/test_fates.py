"""What becomes of every event: the numbers always add up."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planning.runs import bound_of, memory_run

ODD = [np.nan, np.inf, -np.inf]
CUTS = [
    "{field: f, min: 0}",
    "{field: f, max: 1}",
    "{field: n, equal: 1}",
    "{field: n, in: [0, 2]}",
    "'`f` > `g`'",
    "{any: [{field: g, min: 0}, {field: n, min: 1}]}",
    "{not: [{field: g, min: 0}]}",
    "{not: ['`n` == 1 or `f` > 0']}",
]
AXES = [
    "{field: f, edges: [-1, 0, 1]}",
    "{field: g, edges: {start: -2, stop: 2, bins: 5}}",
    "{field: n, centers: {start: 0, stop: 2, step: 1}}",
    "{field: n, steps: auto}",
    "{field: f, steps: n}",
]


@st.composite
def specs_and_runs(draw):
    n_events = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    columns = {name: rng.normal(0, 1.5, n_events) for name in "fg"}
    for values in columns.values():
        odd = rng.random(n_events) < 0.3
        values[odd] = rng.choice(ODD, odd.sum())
    columns["n"] = rng.integers(-1, 4, n_events)
    valid = rng.random(n_events) < 0.8
    valid[0] = True
    cuts = draw(st.lists(st.sampled_from(CUTS), max_size=4))
    axes = draw(st.lists(st.sampled_from(AXES), max_size=3, unique_by=lambda axis: axis[8]))
    sample = draw(st.sampled_from([{}, {"events": 20}, {"every": 3}, {"events": 30, "every": 4}]))
    text = f"select: {{some: [{', '.join(cuts)}]}}\ncubes: [all, some]\naxes: [{', '.join(axes)}]"
    return memory_run(columns, {"n": valid}), text, sample


@given(specs_and_runs())
def test_fates_add_up_and_agree_with_the_bins(case):
    run, text, sample = case
    bound = bound_of(run, text, **sample)
    for (name, fates), counts in zip(bound.fates.items(), bound.n_events, strict=True):
        assert fates.n_events == sum(asdict(fates).values()) == bound.considered
        assert min(asdict(fates).values()) >= 0
        assert fates.binned == counts.sum()
        kept = bound.cut_flows[name][-1].after if bound.cut_flows[name] else bound.considered
        assert fates.binned + fates.outside <= kept <= bound.considered - fates.cut
    assert bound.fates["all"].cut == 0
    assert bound.fates["some"].binned <= bound.fates["all"].binned


def test_each_fate_is_told_from_the_others():
    run = memory_run(
        {
            "x": np.array([0.5, 5.0, 0.5, np.nan, np.inf, 0.5, 0.5]),
            "good": np.array([1, 1, 0, 1, 1, 1, -99999]),
            "f": np.array([1.0, 1, 1, 1, 1, np.nan, 1]),
        },
        valid={"good": [True] * 6 + [False]},
    )
    select = "select: {s: [{field: good, equal: 1}, {field: f, min: 0}]}\ncubes: [s]\n"
    bound = bound_of(run, select + "axes: [{field: x, edges: [0, 1]}]")
    found = {name: n for name, n in asdict(bound.fates["s"]).items() if n}
    assert found == {"binned": 1, "outside": 1, "cut": 1, "nan": 3, "missing": 1}


def test_event_certainly_cut_counts_as_cut_whatever_else_is_unknown():
    run = memory_run({"x": np.array([np.nan]), "good": np.array([0])})
    bound = bound_of(
        run, "select: {s: [{field: good, equal: 1}]}\ncubes: [s]\naxes: [{field: x, edges: [0, 1]}]"
    )
    assert bound.fates["s"].cut == 1


@pytest.mark.parametrize(
    ("sample", "chosen"),
    [
        ({"events": 4}, [0, 1, 2, 3]),
        ({"every": 3}, [0, 3, 6, 9]),
        ({"events": 8, "every": 3}, [0, 3, 6]),
        ({"events": 99}, list(range(10))),
    ],
)
def test_sample_looks_at_part_of_the_events(sample, chosen):
    run = memory_run({"x": np.arange(10.0)})
    bound = bound_of(run, "axes: [{field: x, centers: {start: 0, stop: 9, step: 1}}]", **sample)
    assert bound.considered == len(chosen)
    np.testing.assert_array_equal(np.flatnonzero(bound.n_events[0]), chosen)


def test_cut_flow_of_a_sample_counts_the_sample():
    run = memory_run({"x": np.arange(10.0)})
    bound = bound_of(run, "select: {s: [{field: x, min: 2}, {field: x, max: 8}]}\ncubes: [s]", events=5)
    assert [(row.alone, row.after) for row in bound.cut_flows["s"]] == [(3, 3), (5, 3)]
