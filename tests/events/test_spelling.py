"""What a field name with a slash is told in an expression: how this very text is written."""

from __future__ import annotations

import re

import numpy as np
import pytest

import cubeengine as ce
from cubeengine import look
from cubeengine.errors import CubeEngineError
from cubeengine.events.expressions import Expression
from cubeengine.events.parsing import ExpressionError
from cubeengine.events.spelling import spelled

FIELDS = {
    "ipm2/sum": np.arange(1.0, 7.0),
    "diode2/channels": np.arange(24.0).reshape(6, 4),
    "enc/lasDelay": np.arange(6.0),
    "evr/code_90": np.array([0, 1, 0, 1, 1, 1]),
    "jungfrau/raw/raw": np.ones((6, 2, 2)),
    "x": np.ones(6),
    "y": np.ones(6),
}
RIGHT = {
    "ipm2/sum > 0.5": "ipm2__sum > 0.5",
    "diode2/channels[3]": "diode2__channels[3]",
    "enc/lasDelay + 1": "enc__lasDelay + 1",
    "diode2/channels[3] / ipm2/sum": "diode2__channels[3] / ipm2__sum",
    "diode2/channels[3]/ipm2/sum": "diode2__channels[3]/ipm2__sum",
    "0.3 < ipm2/sum/enc/lasDelay < x/y": "0.3 < ipm2__sum/enc__lasDelay < x/y",
    "x/enc/lasDelay > 2": "x/enc__lasDelay > 2",
    "max(jungfrau/raw/raw) / `ipm2/sum`": "max(jungfrau__raw__raw) / `ipm2/sum`",
    "not evr/code_90 == 1": "not evr__code_90 == 1",
    "1/ipm2/sum": "1/ipm2__sum",
}  # fmt: skip


@pytest.fixture(scope="module")
def run() -> ce.Run:
    return ce.Run(ce.MemorySource(FIELDS))


@pytest.mark.parametrize(("written", "meant"), RIGHT.items())
def test_text_is_written_as_it_was_meant(written, meant, run):
    told = spelled(written, FIELDS.__contains__)
    assert told.endswith(f"write  {meant}")
    assert Expression.parse(meant).fields <= FIELDS.keys()
    assert spelled(meant, FIELDS.__contains__) == ""
    assert spelled("x/y > 1", FIELDS.__contains__) == ""


def test_name_of_a_function_is_told_though_no_run_is_known():
    for written, meant in RIGHT.items():
        if "sum" in written and "`" not in written and "x/y" not in written:
            with pytest.raises(ExpressionError, match=re.escape(f"write  {meant}") + "\n"):
                Expression.parse(written)
    with pytest.raises(
        ExpressionError, match="'sum' is a function; if it is a field, write its name in backticks"
    ):
        Expression.parse("ipm2 / sum > 1")
    assert Expression.parse("ipm2/sum(x)").fields == {"ipm2", "x"}


def spec_of(**parts):
    return ce.CubeSpec(cube="c", **parts)


PLACES = {
    "a selection": lambda run, text: ce.plan(run, spec_of(select={"s": [text]}, cubes=["s"])),
    "a derived variable": lambda run, text: ce.plan(run, spec_of(derive={"q": text}, signals=["q"])),
    "valid": lambda run, text: ce.plan(
        run,
        spec_of(
            units={"x": "ps", "y": "ps"},
            derive={"d": ce.Derived(delay=ce.DelayRecipe(nominal="x", timetool="y", valid=text))},
            signals=["d"],
        ),
    ),
    "laser": lambda run, text: ce.plan(
        run, spec_of(run={"laser": text}, select={"s": {"laser": "on"}}, cubes=["s"])
    ),
    "the laser of a delay": lambda run, text: ce.plan(
        run,
        spec_of(
            run={"laser": text},
            units={"x": "ps"},
            derive={"d": ce.Derived(delay=ce.DelayRecipe(nominal="x"))},
            signals=["d"],
        ),
    ),
    "Session.add": lambda run, text: ce.Session(run).add("q", text),
    "Session.select": lambda run, text: ce.Session(run).select("s", text),
    "look": lambda run, text: look.cut_flow(run, text),
    "a quantity to look at": lambda run, text: look.histogram(run, text),
    "a formula of the run": lambda run, text: run.evaluate(Expression.parse(text)),
}


@pytest.mark.parametrize("written", ["ipm2/sum > 0.5", "enc/lasDelay + 1 > 2", "diode2/channels[3] > 1"])
@pytest.mark.parametrize("place", PLACES)
def test_right_spelling_is_told_wherever_expressions_are_given(place, written, run):
    meant = {**RIGHT, "enc/lasDelay + 1 > 2": "enc__lasDelay + 1 > 2"}.get(written, "diode2__channels[3] > 1")
    with pytest.raises(CubeEngineError) as caught:
        PLACES[place](run, written)
    assert f"write  {meant}" in str(caught.value)
    PLACES[place](run, meant)
