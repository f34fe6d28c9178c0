"""Cuts at percentiles: the numbers are those of plain numpy, among the right events, and are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cubeengine as ce
from cubeengine import look
from cubeengine.errors import PlanError, SpecError
from cubeengine.events import window as windows
from cubeengine.events.run import Run
from cubeengine.planning import distinct
from cubeengine.session.session import Session
from cubeengine.spec.model import CubeSpec
from tests.planning.runs import bound_of, memory_run, plan_of, warnings_of

N = 500
RNG = np.random.default_rng(11)
XRAY = (RNG.random(N) > 0.3).astype(int)
LASER = RNG.integers(-1, 2, N)
I0 = np.where(XRAY == 1, RNG.gamma(9, 1 / 9, N) + 0.2 * (LASER == 1), 0.0)
I0[::17], I0[5], I0[6] = np.nan, np.inf, -np.inf
COUNTS = RNG.integers(0, 40, N)
COUNTED = RNG.random(N) > 0.1
FINITE = np.isfinite(I0)


def shots() -> Run:
    arrays = {
        "ipm2/sum": I0,
        "narrow": I0.astype(np.float32),
        "counts": COUNTS,
        "lightStatus/xray": XRAY,
        "lightStatus/laser": LASER,
        "x": np.arange(N) / N,
    }
    return memory_run(arrays, {"counts": COUNTED})


def kept(text: str, name: str = "m", run: Run | None = None) -> np.ndarray:
    bound = bound_of(run or shots(), f"select:\n  {text}\ncubes: [{name}]")
    return bound.selections[name] == 1


def between(low: float | None, high: float | None, among: np.ndarray, values: np.ndarray = I0) -> np.ndarray:
    """What plain numpy keeps between two percentiles of some values."""
    found = np.ones(N, bool)
    chosen = values[among].astype(np.float64)
    if low is not None:
        found &= values.astype(np.float64) >= np.percentile(chosen, low)
    if high is not None:
        found &= values.astype(np.float64) <= np.percentile(chosen, high)
    return found


@pytest.mark.parametrize(
    ("cut", "low", "high"),
    [
        ("min: 10 %", 10, None),
        ("max: 99%", None, 99),
        ("min: 2.5 %, max: 97.5 %", 2.5, 97.5),
        ("min: 0 %, max: 100 %", 0, 100),
        ("min: 50%, max: 50%", 50, 50),
    ],
)
@pytest.mark.parametrize("window", [10**6, 37])
def test_cut_is_at_the_percentile_of_numpy(
    monkeypatch: pytest.MonkeyPatch, cut: str, low: float | None, high: float | None, window: int
) -> None:
    monkeypatch.setattr(windows, "WINDOW_EVENTS", window)
    monkeypatch.setattr(distinct, "BLOCK_VALUES", 8)

    for name, values in (("ipm2/sum", I0), ("narrow", I0.astype(np.float32))):
        found = kept(f"m: [{{field: {name}, {cut}}}]")
        np.testing.assert_array_equal(found, between(low, high, FINITE, values))


def test_missing_integers_do_not_count() -> None:
    found = kept("m: [{field: counts, min: 20 %, max: 80 %}]")

    np.testing.assert_array_equal(found, between(20, 80, COUNTED, COUNTS) & COUNTED)


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=True, allow_infinity=True) | st.integers(-3, 3).map(float),
        min_size=1,
        max_size=60,
    ).filter(lambda values: np.isfinite(values).any()),
    share=st.floats(0, 100) | st.integers(0, 100),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_number_is_that_of_numpy_to_the_bit(values: list[float], share: float, dtype: Any) -> None:
    array = np.array(values, dtype)
    bound = bound_of(memory_run({"x": array}), f"select: {{m: [{{field: x, min: {share!r} %}}]}}\ncubes: [m]")

    (found,) = bound.percentiles["m"]
    expected = np.percentile(array[np.isfinite(array)].astype(np.float64), share)
    assert found.value == expected
    np.testing.assert_array_equal(bound.selections["m"] == 1, array.astype(np.float64) >= expected)


# Among which events


def test_percentiles_are_those_of_what_the_other_cuts_keep() -> None:
    found = kept('m: [{field: lightStatus/xray, equal: 1}, {field: ipm2/sum, min: 10 %}, "x < 0.5"]')
    others = (XRAY == 1) & (np.arange(N) / N < 0.5)

    np.testing.assert_array_equal(found, others & between(10, None, others & FINITE))


def test_order_and_other_percentiles_make_no_difference() -> None:
    cuts = [
        "{field: counts, max: 90 %}",
        "{field: ipm2/sum, min: 10 %}",
        "{field: lightStatus/xray, equal: 1}",
    ]
    first, second = (kept(f"m: [{', '.join(order)}]") for order in (cuts, cuts[::-1]))

    np.testing.assert_array_equal(first, second)
    xray = XRAY == 1
    expected = xray & between(10, None, xray & FINITE) & between(None, 90, xray & COUNTED, COUNTS) & COUNTED
    np.testing.assert_array_equal(first, expected)


SHARED = """
  good: {all: [{field: ipm2/sum, min: 10 %}], xray: on}
  on: {all: [good], laser: on}
  off: {all: [good], laser: off}
  alone: {all: [{field: ipm2/sum, min: 10 %}], xray: on, laser: off}
"""


@pytest.mark.parametrize(("name", "laser"), [("on", 1), ("off", 0), ("alone", 0)])
def test_laser_on_and_off_are_cut_at_one_number(name: str, laser: int) -> None:
    good = (XRAY == 1) & between(10, None, (XRAY == 1) & FINITE)

    np.testing.assert_array_equal(kept(SHARED, name), good & (laser == LASER))


def test_cut_that_is_left_out_of_a_selection_still_counts_for_its_percentiles() -> None:
    text = """
  good: [{field: ipm2/sum, min: 10 %}, "x < 0.5"]
  all_x: {all: [good], without: [x]}"""
    early = np.arange(N) / N < 0.5

    np.testing.assert_array_equal(kept(text, "all_x"), between(10, None, early & FINITE))


def test_percentiles_under_any_and_not_are_among_what_stands_beside_them() -> None:
    xray = XRAY == 1
    extremes = "{any: [{field: ipm2/sum, max: 5 %}, {field: counts, min: 95 %}]}"
    either = f"m: [{{field: lightStatus/xray, equal: 1}}, {extremes}]"
    low, high = between(None, 5, xray & FINITE), between(95, None, xray & COUNTED, COUNTS) & COUNTED
    np.testing.assert_array_equal(kept(either), xray & (low | high))

    neither = "m: {all: [{field: lightStatus/xray, equal: 1}], not: [{field: ipm2/sum, max: 5 %}]}"
    np.testing.assert_array_equal(kept(neither), xray & ~low & ~np.isnan(I0))


def test_percentiles_of_a_selection_of_percentiles() -> None:
    text = """
  bright: {all: [{field: ipm2/sum, min: 50 %}], xray: on}
  m: [bright, {field: counts, min: 50 %}]"""
    bright = (XRAY == 1) & between(50, None, (XRAY == 1) & FINITE)

    np.testing.assert_array_equal(kept(text), bright & COUNTED & between(50, None, bright & COUNTED, COUNTS))


def test_percentiles_of_derived_variables_and_of_neighbours() -> None:
    text = """select:
  bright: [{field: twice, min: 80 %}]
derive:
  twice: 2 * ipm2__sum
  near: {neighbours: {field: x, among: bright, n: 1}}
signals: [near]
"""
    bound = bound_of(shots(), text)
    bright = np.flatnonzero(between(80, None, FINITE))
    places = np.arange(N)
    apart = np.abs(places[:, None] - bright[None, :]).astype(float)
    apart[apart == 0] = np.inf
    expected = bright[apart.argmin(axis=1)] / N  # of two that are equally far argmin takes the earlier

    np.testing.assert_allclose(bound.run.column("near").data, expected, rtol=1e-15)


def test_quick_try_has_the_numbers_of_the_whole_run() -> None:
    text = "select: {m: [{field: ipm2/sum, min: 10 %}]}\ncubes: [m]"

    few, whole = bound_of(shots(), text, events=20, every=3), bound_of(shots(), text)

    assert few.percentiles == whole.percentiles


# What is recorded


def test_numbers_stand_in_the_cut_flow_the_plan_and_the_cube(tmp_path: Path) -> None:
    cuts = "{field: lightStatus/xray, equal: 1}, {field: ipm2/sum, min: 10 %, max: 3.5}"
    text = f"select: {{m: [{cuts}]}}\ncubes: [m]"
    plan = plan_of(shots(), text)
    among = (XRAY == 1) & FINITE
    value = np.percentile(I0[among], 10)

    label = f"10 % ({value:.6g}) <= ipm2/sum <= 3.5"
    assert [row.label for row in plan.bound.cut_flows["m"]] == ["lightStatus/xray == 1", label]
    assert label in str(plan)
    plan.to_zarr(tmp_path / "cube.zarr")
    facts = ce.cube_facts(ce.open_cube(tmp_path / "cube.zarr"))
    expected = {
        "field": "ipm2/sum",
        "percentile": 10.0,
        "value": value,
        "n_values": among.sum(),
        "among": "lightStatus/xray == 1",
    }
    assert facts["percentiles"] == plan.to_dict()["percentiles"] == {"m": [expected]}
    assert facts["cut_flow"]["m"][1][0] == label
    assert "percentiles" not in ce.cube_facts(plan_of(shots(), "signals: [x]").compute())


def test_numbers_that_differ_between_selections_bring_a_warning() -> None:
    text = (
        "select:"
        + """
  on: [{field: lightStatus/laser, equal: 1}, {field: ipm2/sum, min: 60 %}]
  off: [{field: lightStatus/laser, equal: 0}, {field: ipm2/sum, min: 60 %}]
cubes: [on, off]"""
    )
    told = [warning for warning in warnings_of(shots(), text) if "%" in warning]

    assert len(told) == 1
    assert "60 % of 'ipm2/sum' is" in told[0]
    assert "move the cut to a selection that both refer to" in told[0]
    shared = f"select:{SHARED}cubes: [on, off]"
    assert not [warning for warning in warnings_of(shots(), shared) if "%" in warning]


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"'ipm2/sum': 10 % of no values: .* \(`x` > 2\) has a finite value"):
        kept('m: ["x > 2", {field: ipm2/sum, min: 10 %}]')


# Elsewhere


def test_spec_comes_back_as_it_was_written() -> None:
    spec = CubeSpec(cube="t", select={"m": [ce.Cut("ipm2/sum", min="10 %", max="99.5 %")]})

    assert "{field: ipm2/sum, min: 10 %, max: 99.5 %}" in spec.to_yaml()
    assert CubeSpec.loads(spec.to_yaml()) == spec


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("min: 101 %", r"min: a percentile must be between 0 % and 100 %, not 101 %"),
        ("max: -1 %", "between 0 % and 100 %"),
        ("min: 90 %, max: 10 %", "is below 'min': no value is between 90 % and 10 %"),
        ("min: 10 ps %", "has a unit beside the percent"),
        ("min: ten %", "ten"),
    ],
)
def test_wrong_percentile_is_told(cut: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        CubeSpec.loads(f"cube: t\nselect: {{m: [{{field: x, {cut}}}]}}")


def test_field_in_percent_has_no_percentiles_by_chance() -> None:
    text = "cube: t\nunits: {x: '%'}\nselect: {m: [{field: x, min: 10 %}]}"

    with pytest.raises(
        SpecError,
        match=r"'x' is in %, but a bound in % is a percentile: for a value in % write a plain number",
    ):
        CubeSpec.loads(text)


def test_pictures_and_sessions_cut_at_percentiles() -> None:
    select = [{"field": "lightStatus/xray", "equal": 1}, {"field": "ipm2/sum", "min": "10 %", "max": "90 %"}]
    expected = (XRAY == 1) & between(10, 90, (XRAY == 1) & FINITE)
    low, high = np.percentile(I0[(XRAY == 1) & FINITE], [10, 90])

    assert look.histogram(shots(), "x", select=select).attrs["n_selected"] == expected.sum()
    found = look.cut_histograms(shots(), select)
    (lines,) = [counts.attrs["lines"] for cut, counts in found.items() if "%" in cut]
    assert lines == [low, high]
    session = Session(shots())
    session.select("m", select)
    np.testing.assert_array_equal(session.mask("m"), expected)
    np.testing.assert_array_equal(
        session.mask({"field": "ipm2/sum", "min": "10 %"}), between(10, None, FINITE)
    )
    assert session.cut_flow("m")[1].label == f"10 % ({low:.6g}) <= ipm2/sum <= 90 % ({high:.6g})"
    plan = session.cube("x", edges=[0, 0.5, 1], unit="", select="m")
    assert plan.bound.n_events.sum() == expected.sum()


def test_picked_events_may_be_cut_so_too() -> None:
    session = Session(shots())
    session.select("m", {"field": "ipm2/sum", "min": "10 %"})

    picked = session.pick(
        "x", edges=[0, 1], unit="", which="smallest", field="ipm2/sum", select="m"
    ).compute()

    assert picked["event"].values.ravel() == [np.where(between(10, None, FINITE), I0, np.inf).argmin()]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("window", [10**6, 3])
def test_whole_numbers_that_float64_does_not_hold_are_cut_exactly(
    monkeypatch: pytest.MonkeyPatch, dtype: type, window: int
) -> None:
    monkeypatch.setattr(windows, "WINDOW_EVENTS", window)
    values = np.array([5, 1, 3, 7, 9], dtype) + dtype(2**62)
    run = memory_run({"n": values, "x": np.arange(5.0)})
    cuts = {
        "min: 0 %, max: 100 %": [0, 1, 2, 3, 4],
        "max: 100 %": [0, 1, 2, 3, 4],
        "min: 25 %": [1, 2, 3, 4],
        "min: 50 %, max: 50 %": [2],
        "max: 75 %": [0, 1, 2, 3],
    }
    for cut, ranks in cuts.items():
        wanted = np.isin(values, np.sort(values)[ranks])
        np.testing.assert_array_equal(kept(f"m: [{{field: n, {cut}}}]", run=run), wanted, err_msg=cut)
