import numpy as np
import pytest

from cubeengine.errors import SpecError
from cubeengine.events.selections import Combine, Interval, OneOf, describe, evaluate, rows
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import resolve_derived, resolve_selection, selections_of
from cubeengine.types import Column

from .texts import DELAY


def labels(spec, name):
    return [describe(row) for row in rows(resolve_selection(spec, name))]


def test_labels_are_what_a_user_reads_in_the_cut_flow():
    spec = CubeSpec.loads(DELAY)
    assert labels(spec, "on") == [
        "lightStatus/xray == 1",
        "0.3 <= ipm2/sum <= 2",
        "`tt/AMPL` > 0.02",
        "lightStatus/laser == 1",
    ]
    assert labels(spec, "off") == ["lightStatus/xray == 1", "0.3 <= ipm2/sum <= 2", "lightStatus/laser == 0"]


@pytest.mark.parametrize(
    ("cut", "label", "condition"),
    [
        ({"min": 1}, "f >= 1", Interval("f", 1, None)),
        ({"min": 0}, "f >= 0", Interval("f", 0, None)),
        ({"max": "3 keV"}, "f <= 3 keV", Interval("f", None, 3000)),
        ({"in": [1, 2.5]}, "f in [1, 2.5]", OneOf("f", (1, 2.5))),
        ({"equal": 4.0}, "f == 4", OneOf("f", (4.0,))),
    ],
)
def test_numbers_become_those_of_the_declared_unit(cut, label, condition):
    spec = CubeSpec(cube="x", units={"f": "eV"}, select={"s": [{"field": "f", **cut}]})
    (part,) = resolve_selection(spec, "s").parts
    assert (part.label, part.condition) == (label, condition)


def test_without_selections_all_events_are_binned():
    spec = CubeSpec(cube="x")
    assert selections_of(spec) == ("all",)
    assert resolve_selection(spec, "all") == Combine("all", (), "all")
    with pytest.raises(SpecError, match="there is no selection 'good'"):
        resolve_selection(spec, "good")


def states(spec, name, **columns):
    found = {key: Column(np.asarray(value)) for key, value in columns.items()}
    node = resolve_selection(spec, name)
    return evaluate(node, lambda field: found[field], len(next(iter(columns.values())))) == 1


def test_unknown_laser_is_neither_on_nor_off():
    spec = CubeSpec(cube="x", run={"laser": "laser"}, select={"on": {"laser": "on"}, "off": {"laser": "off"}})
    assert states(spec, "on", laser=[-1, 0, 1]).tolist() == [False, False, True]
    assert states(spec, "off", laser=[-1, 0, 1]).tolist() == [False, True, False]


def test_an_expression_may_say_what_laser_means():
    spec = CubeSpec(
        cube="x", run={"laser": "`volt` > 2"}, select={"on": {"laser": "on"}, "off": {"laser": "off"}}
    )
    volt = [3.0, 1.0, np.nan]
    assert states(spec, "on", volt=volt).tolist() == [True, False, False]
    assert states(spec, "off", volt=volt).tolist() == [False, True, False]
    assert labels(spec, "off") == ["not (`volt` > 2)"]


def test_all_any_and_not_combine():
    spec = CubeSpec(
        cube="x",
        select={
            "s": {"all": ["`a` > 0"], "any": ["`a` == 1", "`a` == 2"], "not": [{"field": "a", "equal": 2}]}
        },
    )
    assert states(spec, "s", a=[0, 1, 2, 3]).tolist() == [False, True, False, False]


def resolved(select, **more):
    return labels(CubeSpec(cube="x", select=select, **more), "s")


def test_without_reaches_through_references_and_inner_selections():
    select = {
        "a": ["`tt/AMPL` > 1", "`b` > 1"],
        "s": {"all": ["a", {"all": ["`tt/x` > tt__y", "`c` > 1"]}], "without": ["tt/*"]},
    }
    assert resolved(select) == ["`b` > 1", "`c` > 1"]


def test_without_drops_the_laser_of_what_it_refers_to_but_not_its_own():
    select = {"a": {"laser": "on"}, "s": {"all": ["a"], "laser": "off", "without": ["lightStatus/*"]}}
    assert resolved(select) == ["lightStatus/laser == 0"]
    assert resolved(select, run={"laser": "`lightStatus/x` > 1"}) == ["not (`lightStatus/x` > 1)"]


def test_without_drops_a_shorthand_that_is_an_expression():
    select = {"a": {"laser": "off"}, "s": {"all": ["a", "`b` > 1"], "without": ["volt"]}}
    assert resolved(select, run={"laser": "`volt` > 1"}) == ["`b` > 1"]


def test_without_matches_derived_variables_by_name():
    select = {"s": {"all": [{"field": "hot", "min": 1}, "`b` > 1"], "without": ["hot"]}}
    assert resolved(select, derive={"hot": "`tt/AMPL` * 2"}) == ["`b` > 1"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"all": ["`tt/x` > `b`"]}, "also uses 'b'"),
        ({"any": ["`tt/x` > 1", "`b` > 1"]}, "is under 'any'"),
        ({"any": ["`tt/x` > 1"]}, "is under 'any'"),
        ({"not": ["`tt/x` > 1"]}, "is under 'not'"),
        ({"all": ["ref"]}, "is under 'not'"),
    ],
)
def test_without_refuses_what_it_cannot_do_cleanly(part, message):
    with pytest.raises(SpecError, match=rf"select\.s\.without|{message}") as caught:
        resolved({"ref": {"not": ["`tt/x` > 1"]}, "s": {**part, "without": ["tt/*"]}})
    assert message in str(caught.value)


def test_references_that_multiply_are_stopped():
    select = {"s0": ["`a` > 1"] * 10} | {f"s{i + 1}": [f"s{i}"] * 10 for i in range(30)}
    with pytest.raises(SpecError, match="more than 10,000 conditions"):
        CubeSpec(cube="x", select=select)


def test_long_chains_are_stopped_before_the_stack_ends():
    chain = {"s0": ["`a` > 1"]} | {f"s{i + 1}": [f"s{i}"] for i in range(500)}
    with pytest.raises(SpecError, match="more than 60 levels deep"):
        CubeSpec(cube="x", select=dict(reversed(chain.items())))
    derive = {"d0": "`a`"} | {f"d{i + 1}": f"d{i} + 1" for i in range(500)}
    with pytest.raises(SpecError, match="more than 60 levels deep"):
        CubeSpec(cube="x", derive=dict(reversed(derive.items())))


def test_derived_variables_come_after_what_they_are_made_of():
    spec = CubeSpec(cube="x", derive={"a": "b + c", "b": "c * 2", "c": "`f`", "d": "`f` + 1"})
    assert resolve_derived(spec) == ("c", "b", "a", "d")
    assert resolve_derived(spec, ["b", "f"]) == ("c", "b")
