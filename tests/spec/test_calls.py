"""Parts of a spec as they are written first in Python: each is taken, or answered with the right call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import cubeengine as ce
from cubeengine.errors import SpecError


def test_one_value_may_stand_without_its_name() -> None:
    assert ce.Axis("scan/lxt", steps="auto") == ce.Axis(field="scan/lxt", steps="auto")
    assert ce.Cut("ipm2/sum", min=0.3) == ce.Cut(field="ipm2/sum", min=0.3)
    assert ce.DelayRecipe("scan/lxt", timetool="tt/ttCorr").nominal == "scan/lxt"
    assert ce.Running("ipm2/sum", window=5).field == "ipm2/sum"
    assert ce.Neighbours("ipm2/sum", among="off").field == "ipm2/sum"
    assert ce.Shift("ipm2/sum", events=1).field == "ipm2/sum"
    assert ce.Signal("ipm2/sum", name="i0").variable == "i0"
    assert ce.Derived("a / b").expression == "a / b"
    assert ce.Resources("2 GiB").memory == 2 * 2**30


def test_several_conditions_may_stand_without_a_name() -> None:
    both = ce.Selection(all=["x > 1", ce.Cut("y", max=2)], laser="on")

    assert ce.Selection("x > 1", ce.Cut("y", max=2), laser="on") == both
    assert ce.Selection(["x > 1", ce.Cut("y", max=2)], laser="on") == both


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ce.Cut("ipm2/sum", 0.3, 2.0), r"write Cut\('ipm2/sum', min=0.3, max=2.0\)"),
        (lambda: ce.Axis("delay", [0, 1, 2]), r"write Axis\('delay', edges=\[0, 1, 2\]\)"),
        (lambda: ce.Axis("delay", -2, 8, 20), r"write Axis\('delay', \.\.\.\); name its bins"),
        (lambda: ce.Axis("delay", step="auto"), "step: must be written  steps: auto"),
        (lambda: ce.Signal("jungfrau/raw/raw", "frame"), r"write Signal\('jungfrau/raw/raw', name='frame'\)"),
        (lambda: ce.Running("x", 5, at="trailing"), r"write Running\('x', window=5, at='trailing'\)"),
        (lambda: ce.Cut("x", field="y", min=1), "'field' is given twice"),
        (lambda: ce.CubeSpec("delay.yaml"), r"to read a spec from a file, use CubeSpec.load\(path\)"),
        (lambda: ce.RunSpec("xpptut15", 252), r"write RunSpec\(experiment='xpptut15', run=252\)"),
    ],
)
def test_further_values_are_answered_with_the_right_call(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_bins_and_limits_are_answered_with_the_right_axis() -> None:
    with pytest.raises(SpecError) as caught:
        ce.Axis("delay", bins=20)
    edges = '{"start": LOW, "stop": HIGH, "bins": 20}'
    assert str(caught.value) == (
        f"Axis: bins: bins need a lower and an upper edge:  edges: {edges},  in Python "
        f"ce.Axis('delay', edges={edges}); or, for equally many events in each bin:  quantiles: 20"
    )
    with pytest.raises(SpecError) as caught:
        ce.CubeSpec.loads("cube: x\naxes:\n  - {field: delay, bins: 20, range: [-2, 8]}")
    assert 'edges: {"start": -2, "stop": 8, "bins": 20}' in str(caught.value)
    assert str(caught.value).count("3:") == 2  # the line of each
    for text in ('{"start": -2, "stop": 8, "bins": 20}', '{"start": "-2 ps", "stop": 8, "step": 0.5}'):
        spec = ce.CubeSpec.loads(
            f"cube: x\naxes: [{{field: delay, edges: {text}, unit: ps}}]\nunits: {{delay: ps}}"
        )
        assert spec.axes[0].form == "edges"  # what the messages write is YAML


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ce.Axis("delay", bins=[0, 1, 2]),
            r"bins: write edges as 'edges', in Python ce.Axis\('delay'",
        ),
        (lambda: ce.Axis("delay", start=-2, stop=8, step=0.5), '{"start": -2, "stop": 8, "step": 0.5}'),
        (lambda: ce.Axis("delay", steps=True), r"write  steps: auto,  in Python steps='auto'"),
        (lambda: ce.Axis("delay"), "for a step scan  steps: auto"),
        (lambda: ce.Axis("delay", centres={"start": 0}), "unknown key 'centres'; nearest: 'centers'"),
    ],
)
def test_wrong_axis_is_answered(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        call()


def test_numbers_and_arrays_of_numpy_and_xarray_are_taken() -> None:
    edges = np.arange(4, dtype=np.float32)
    array = xr.DataArray(edges, dims="x")

    assert ce.Axis("x", edges=array) == ce.Axis("x", edges=[0, 1, 2, 3]) == ce.Axis("x", edges=edges)
    assert ce.Axis("x", centers=range(3)) == ce.Axis("x", centers=(0, 1, 2))
    assert ce.Axis("x", quantiles=np.int64(3)) == ce.Axis("x", quantiles=3)
    assert (
        ce.Axis("x", edges={"start": np.int16(0), "stop": array.max(), "bins": np.int64(3)}).edges.stop == 3
    )
    assert ce.Cut("x", min=array.mean(), max=np.float32(2.5)) == ce.Cut("x", min=1.5, max=2.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ce.Cut("x", low=1), "low: write a lower bound as 'min'"),
        (lambda: ce.Cut("x", upper=1), "upper: write an upper bound as 'max'"),
        (lambda: ce.Cut("x", values=[1, 2]), r"values: write several values as 'in', in Python in_=\[...\]"),
        (lambda: ce.Cut("x", minn=1), "unknown key 'minn'; nearest: 'min'"),
        (lambda: ce.Cut("x > 1"), "is an expression; write it in the selection on its own"),
        (lambda: ce.Selection(cuts=["x > 1"]), "cuts: put conditions that must all hold under 'all'"),
        (
            lambda: ce.Selection(or_=["x > 1"]),
            "or_: put conditions of which at least one must hold under 'any'",
        ),
    ],
)
def test_other_names_are_answered_with_ours(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        call()
