"""Cuts at settings that are off by rounding: what is warned of, what to write instead, what is equal."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.events import states
from cubeengine.events.selections import evaluate
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import resolve_selection
from cubeengine.types import Column
from tests.planning.runs import bound_of, memory_run, plan_of, warnings_of

EACH = 20
SETTINGS = np.cumsum(np.full(10, 0.1))  # 0.1, 0.2, 0.30000000000000004, ..., 0.7999999999999999, ...
SECONDS = "units: {x: s}\n"


def run_of(settings, dtype="f8"):
    return memory_run({"x": np.repeat(np.asarray(settings, dtype), EACH)})


def kept(run, cut, head=""):
    """Return which settings a cut keeps, and the warnings of rounding."""
    text = f"{head}select: {{s: [{cut}]}}\ncubes: [s]"
    at = np.unique(np.flatnonzero(bound_of(run, text).selections["s"] == states.TRUE) // EACH)
    return at.tolist(), [message for message in warnings_of(run, text) if "rounding" in message]


@pytest.mark.parametrize(
    ("cut", "head", "found", "after"),
    [
        ("{field: x, max: 0.3}", "", [0, 1], [0, 1, 2]),
        ("{field: x, min: 0.8}", "", [8, 9], [7, 8, 9]),
        ("{field: x, min: 0.1, max: 0.3}", "", [0, 1], [0, 1, 2]),
        ("{field: x, equal: 0.3}", "", [], [2]),
        ("{field: x, in: [0.1, 0.8]}", "", [0], [7]),
        ("{field: x, max: 300 ms}", SECONDS, [0, 1], [0, 1, 2]),
        ("{field: x, min: 8e+11 ps}", SECONDS, [8, 9], [7, 8, 9]),
        ('"x <= 0.3"', "", [0, 1], [0, 1, 2]),
        ('"x < 0.8"', "", [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6]),
        ('"x > 0.3"', "", [2, 3, 4, 5, 6, 7, 8, 9], [3, 4, 5, 6, 7, 8, 9]),
        ('"0.8 <= x"', "", [8, 9], [7, 8, 9]),
        ('"0.1 < x <= 0.3"', "", [1], [1, 2]),
        ('"x == 0.3"', "", [], [2]),
        ('"x != 0.3"', "", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1, 3, 4, 5, 6, 7, 8, 9]),
        ('"not (x >= 0.8)"', "", [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_step_that_hangs_on_rounding_is_told_and_the_advice_decides_it(cut, head, found, after):
    run = run_of(SETTINGS)
    steps, (message,) = kept(run, cut, head)

    assert steps == found
    assert re.search(
        r"(leaves out|keeps) 20 of 200 events whose 'x' is \S+( ms| ps)?, equal apart from r", message
    )
    advice = message.split("to keep them, write  ")[-1].split("to leave them out, write  ")[-1]
    if ":" in advice and not advice.startswith("{"):
        key = advice.partition(":")[0]
        advice = re.sub(rf"{key}: [^,}}]+", advice, cut)
    elif not advice.startswith("{"):
        advice = f'"{advice}"' if "`x`" in advice else re.sub(r"0\.[38]", advice, cut)
    assert kept(run, advice, head) == (after, [])


def test_place_of_the_cut_is_told_once_though_many_selections_use_it():
    text = (
        "select:\n  good: [{field: x, min: 0}, {field: x, max: 0.3}]\n  a: [good]\n  b: [good]\ncubes: [a, b]"
    )
    (warning,) = plan_of(run_of(SETTINGS), text).warnings
    assert warning.path == ("select", "good", "all", 1)
    assert warning.message.startswith("x <= 0.3 leaves out 20 of 200 events")


def test_setting_at_zero_is_off_by_what_the_others_are():
    settings = np.arange(-1, 1, 0.1)  # the tenth is -2.2e-16
    assert settings[10] != 0
    steps, (message,) = kept(run_of(settings), "{field: x, min: 0}")
    assert steps == list(range(11, 20))
    assert f"is {float(settings[10])!r}, equal apart from rounding" in message


@pytest.mark.parametrize(
    "cut", ["{field: x, max: 0.35}", "{field: x, max: 0.2}", "{field: x, in: [0.1, 0.5]}", '"x > 0.25"']
)
def test_nothing_is_told_where_no_step_hangs_on_it(cut):
    assert kept(run_of(SETTINGS), cut)[1] == []


def test_continuous_and_whole_numbers_are_not_told_of():
    rng = np.random.default_rng(2)
    for dtype in ("f4", "f8"):
        values = memory_run({"x": rng.normal(0.3, 0.1, 20_000).astype(dtype)})
        assert not warnings_of(values, "select: {s: [{field: x, max: 0.3}]}\ncubes: [s]")
    counts = memory_run({"x": np.arange(100) % 7})
    assert not warnings_of(counts, "select: {s: [{field: x, min: 3}]}\ncubes: [s]")


def test_float32_settings_are_compared_as_float32():
    steps, messages = kept(run_of(np.arange(10) * 0.1, "f4"), "{field: x, min: 0.3, max: 0.7}")
    assert (steps, messages) == ([3, 4, 5, 6, 7], [])
    sums = np.cumsum(np.full(10, 0.1, "f4"))  # the third is 0.3000000119, as 0.3 is; the eighth 0.8000001
    steps, (message,) = kept(run_of(sums, "f4"), "{field: x, max: 0.8}")
    assert steps == [0, 1, 2, 3, 4, 5, 6]
    assert "is 0.80000007" in message


def test_values_in_another_unit_are_found_though_off_by_the_rounding_of_it():
    settings = np.arange(0, 1, 0.1) * 1e-12
    cut = "{field: x, in: [0.2 ps, 0.3 ps, 0.5 ps]}"
    assert kept(run_of(settings), cut, SECONDS) == ([2, 3, 5], [])
    assert kept(run_of(settings), "{field: x, equal: 700 fs}", SECONDS) == ([7], [])


@given(
    st.sampled_from([("s", "ps", 1e-12), ("ps", "fs", 1e-3), ("m", "um", 1e-6), ("eV", "keV", 1e3)]),
    st.sampled_from([0.1, 0.01, 0.25, 0.3, 7.0]),
    st.sets(st.integers(-60, 60), min_size=1, max_size=25),
    st.sampled_from(["f4", "f8"]),
)
def test_settings_are_found_by_the_decimal_numbers_they_were_made_of(units, step, wanted, dtype):
    of_file, of_user, factor = units
    numbers = np.arange(-60, 61)
    column = Column((numbers * step * factor).astype(dtype))
    listed = ", ".join(f"{round(n * step, 6)} {of_user}" for n in sorted(wanted))
    text = f"cube: c\nunits: {{x: {of_file}}}\nselect: {{s: [{{field: x, in: [{listed}]}}]}}"
    node = resolve_selection(CubeSpec.loads(text), "s")
    found = numbers[evaluate(node, lambda _: column, len(column)) == states.TRUE]
    assert found.tolist() == sorted(wanted)


def test_whole_numbers_in_another_unit_are_not_lost_by_its_rounding():
    positions = memory_run({"x": np.repeat([434, 435, 436], EACH)})  # 4.35 * 100 is 434.99999999999994
    for cut, expected in [("equal: 4.35 m", [1]), ("max: 4.35 m", [0, 1]), ("in: [4.35 m, 4.36 m]", [1, 2])]:
        assert kept(positions, f"{{field: x, {cut}}}", "units: {x: cm}\n") == (expected, [])
