"""Recipes in specs: what they may say, in YAML and in Python, and what is told of mistakes."""

from __future__ import annotations

import pytest

import cubeengine as ce
from cubeengine.spec.check import check_spec
from cubeengine.spec.resolve import declared_unit, derived_inputs, resolve_derived

SPEC = """\
cube: c
units: {ipm2/sum: mJ}
derive:
  slow: {running: {field: ipm2/sum, statistic: median, window: 101, at: center}}
  recent: {running: {field: ipm2/sum, statistic: mean, window: 2 s, at: trailing}}
  off_near: {neighbours: {field: slow, among: off, n: 3, give: mean}}
  before: {shift: {field: off_near, events: -1, within: 20 ms}}
select:
  off: {laser: off, all: [good, {field: slow, max: 0.5}]}
  good: [recent > 0.3]
"""


def test_the_classes_mirror_the_text():
    built = ce.CubeSpec(
        cube="c",
        units={"ipm2/sum": "mJ"},
        derive={
            "slow": ce.Running(field="ipm2/sum", window=101),
            "recent": ce.Derived(
                running=ce.Running(field="ipm2/sum", statistic="mean", window="2 s", at="trailing")
            ),
            "off_near": ce.Neighbours(field="slow", among="off", n=3),
            "before": {"shift": ce.Shift(field="off_near", events=-1, within="20 ms")},
        },
        select={
            "off": ce.Selection(laser="off", all=["good", ce.Cut(field="slow", max=0.5)]),
            "good": ["recent > 0.3"],
        },
    )
    assert built == ce.CubeSpec.loads(SPEC)
    assert ce.CubeSpec.loads(built.to_yaml()) == built
    assert built.to_dict()["derive"]["recent"]["running"]["window"] == "2 s"


def test_neighbours_rest_on_what_their_selection_asks_for():
    spec = ce.CubeSpec.loads(SPEC)
    assert derived_inputs(spec, spec.derive["off_near"]) == {"slow", "recent", "lightStatus/laser"}
    order = resolve_derived(spec, ["before"])
    assert sorted(order[:2]) == ["recent", "slow"]
    assert order[2:] == ("off_near", "before")


def test_units_come_from_the_field_through_several_recipes():
    spec = ce.CubeSpec.loads(SPEC)
    assert declared_unit(spec, "before") == "mJ"
    ce.CubeSpec.loads(SPEC.replace("max: 0.5", "max: 500 uJ"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "window: 101",
            "window: 100",
            "a centred window has as many events before as after: window 99 or 101",
        ),
        ("window: 101", "window: 0", "must be a number of events, or a time such as '2 s', but is 0"),
        ("window: 101", "window: 2.5", "must be a number of events"),
        ("window: 2 s", "window: 2 mm", "must be a time with its unit"),
        ("window: 2 s", "window: -2 s", "must be a time from 1 ns"),
        ("within: 20 ms", "within: 20", "must be a time with its unit, such as '2 s', but is 20"),
        ("at: center", "at: middle", "center"),
        ("statistic: mean", "statistic: meen", "mean"),
        ("among: off", "among: offf", "there is no selection 'offf'; nearest: 'off'"),
        ("n: 3", "n: 0", "greater than or equal to 1"),
        ("give: mean", "giv: mean", "unknown key 'giv'; nearest: 'give'"),
        ("events: -1", "event: -1", "unknown key 'event'; nearest: 'events'"),
        ("shift:", "shfit:", "unknown key 'shfit'; nearest: 'shift'"),
        ("recent > 0.3", "before > 0.3", "is computed from itself: "),
        ("field: off_near", "field: before", "'before' is computed from itself: before -> before"),
        ("units: {", "units: {slow: uJ, ", "'slow' is in the unit of 'ipm2/sum', 'mJ'"),
    ],
)
def test_mistakes_are_told(before, after, said):
    spec, problems = check_spec(SPEC.replace(before, after))
    assert spec is None
    assert any(said in problem.message for problem in problems), problems
    assert len(problems) == 1


def test_a_wrong_selection_is_told_once():
    _, problems = check_spec(SPEC.replace("good: [recent > 0.3]", "good: [off]"))
    assert [problem.message for problem in problems if "refers to itself" not in problem.message] == []


def test_one_way_to_be_derived():
    with pytest.raises(ce.SpecError, match="one of the recipes 'delay', 'running', 'neighbours', 'shift'"):
        ce.Derived(expression="x", shift=ce.Shift(field="x", events=1))
