"""Specs in another shape: the message has the line as it is meant."""

from __future__ import annotations

import pytest

import cubeengine as ce
from cubeengine.errors import SpecError
from cubeengine.spec.check import check_document, check_fields
from cubeengine.types import FieldInfo

HEAD = "cube: delay\nselect: {on: {laser: on}}\n"


def told(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        ce.CubeSpec.loads(HEAD.replace("select: {on: {laser: on}}\n", "") + text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("axes: {field: a, steps: auto}", "axes: [{field: a, steps: auto}]"),
        ("axes: delay", "axes: [{field: delay, steps: auto}]"),
        ("cubes: on", "cubes: [on]"),
        ("signals: ipm2/sum", "signals: [ipm2/sum]"),
        ("signals: {field: ipm2/sum}", "signals: [{field: ipm2/sum}]"),
    ],
)
def test_a_list_without_brackets_is_told_the_line_that_works(text: str, right: str) -> None:
    assert told(text).endswith(f"; write  {right}")
    assert ce.CubeSpec.loads(HEAD + right)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("axes: [delay]", "write  {field: delay, steps: auto}"),
        ("missing: [tt/ttCorr]", "write  missing: {tt/ttCorr: ...}"),
        ("select: {a: {without: tt/*}}", 'write  without: ["tt/*"]'),
        ("select: {a: laser}", "write  {laser: on}"),
        ("select: {pumped: {laser: on}}\ncubes: [laser_on]", "no selection 'laser_on'; known: 'pumped'"),
        ("cubes: [off]", "define it under  select,  as  off: {laser: on}"),
        ("signals: [`ipm2/sum`]", "quote the text"),
        ("axes:\n\t- {field: a}", "indent with spaces, not with tabs"),
        ("signals: [ipm2/sum", "close the bracket"),
        ("missing: {ipm2/sum: nan}", "NaN and infinities are always missing: leave this out"),
        ("missing: {ipm2/sum: .nan}", "NaN and infinities are always missing: leave this out"),
        ("signals: [{field: a, stages: [{roi: [0, 8, 0, 16]}]}]", "write [[0, 8], [0, 16]]"),
        ("signals: [{field: a, stages: [mean]}]", "write  {sum: {how: mean}}"),
        ("axes: [{field: a, centers: [0]}]", "for one bin use  edges: [LOW, HIGH]"),
        (
            "axes: [{field: a, edges: {start: 0, stop: 100000000, step: 1}}]",
            "100,000,000 bins are more than 10,000,000 bins; take a larger step, or another unit",
        ),
    ],
)
def test_other_shapes_are_told_what_to_write(text: str, advice: str) -> None:
    assert advice in told(text)


@pytest.mark.parametrize(
    ("missing", "wanted"),
    [
        ("{FIELD: VALUE}", ["must be a number", "field 'FIELD' is not in the run"]),
        ("{tt/*: 0}", ["patterns are not read here, name each field: tt/AMPL, tt/FLTPOS"]),
    ],
)
def test_declared_fields_are_checked_beside_their_marks(missing: str, wanted: list[str]) -> None:
    checked = check_document(f"cube: delay\nmissing: {missing}\n")
    fields = {name: FieldInfo(name, (), "f8") for name in ("tt/AMPL", "tt/FLTPOS", "ipm2/sum")}
    assert checked.remains is not None
    found = [*checked.problems, *check_fields(checked.remains, checked.positions, fields)]

    assert [text in problem.message for text, problem in zip(wanted, found, strict=True)] == [True] * len(
        wanted
    )


def test_parts_in_python_are_short() -> None:
    assert ce.Selection("x > 1") == ce.Selection(["x > 1"])
    assert repr(ce.Axis("a", steps="auto")) == "Axis(field='a', steps='auto')"


AXIS = HEAD + "axes: [{field: a, centers: {start: 0, stop: 1, step: 0.5}}]\n"


@pytest.mark.parametrize("key", ["axes[0].step", "axes[0].centers.step"])
def test_brackets_in_what_is_set_are_told_as_dots(key: str) -> None:
    with pytest.raises(SpecError, match=r"write 'axes\.0\.centers\.step'"):
        ce.CubeSpec.loads(AXIS, overrides={key: 0.25})
    spec = ce.CubeSpec.loads(AXIS, overrides={"axes.0.centers.step": 0.25})
    assert spec.axes[0].centers.step == 0.25


def test_problems_that_what_is_set_makes_say_so() -> None:
    with pytest.raises(SpecError, match=r"miss 'stop' 1.*\(axes\[0\]\.centers\.step set outside the file\)"):
        ce.CubeSpec.loads(AXIS, overrides={"axes.0.centers.step": 0.3})
