"""What a plan says of itself, to people and as data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cubeengine.planning.cost import Tuning
from cubeengine.planning.explain import counted
from tests.planning.runs import DELAY, delay_scan, memory_run, plan_of

SPEC = DELAY + (
    "select:\n  good: [{field: ipm2/sum, min: 0.5}]\n  on: {all: [good], laser: on}\n"
    "  off: {all: [good], laser: off}\n"
    "axes: [{field: delay, edges: {start: -0.75, stop: 2.25, step: 0.5}, unit: ps}]\ncubes: [on, off]\n"
    "signals: [ipm2/sum, {field: epix/area, name: roi}]"
)


@pytest.fixture(scope="module")
def plan():
    return plan_of(delay_scan(), SPEC)


def test_cut_flow_is_a_table_with_fates_in_words(plan):
    lines = str(plan).splitlines()
    on = plan.bound.fates["on"]
    start = lines.index(next(line for line in lines if line.startswith("  on ")))
    assert lines[start].split() == ["on", "alone", "after"]
    ends = {len(line) for line in lines[start : start + 3]}
    assert len(ends) == 1  # columns line up
    assert lines[start + 3].strip() == (
        f"{on.binned} in the bins, {on.outside} outside the bins, {on.cut} cut"
    )


def test_ways_that_no_event_went_are_left_out(plan):
    assert "NaN" not in str(plan)
    assert "missing" not in str(plan)
    odd = plan_of(memory_run({"x": np.array([1.0, np.nan])}), "axes: [{field: x, edges: [0, 2]}]")
    assert "1 in the bins, 1 with NaN in a cut or axis" in str(odd)


def test_delay_tells_how_its_events_came_about(plan):
    assert "delay: 300 counted as laser-on, 60 laser-off (nominal delay alone)" in str(plan)


def test_bins_and_their_occupancy(plan):
    text = str(plan)
    assert "delay: 6 from -0.75 to 2.25 ps" in text
    assert "events per bin  min  median  max  empty" in text


def test_scalars_share_a_paragraph_and_frames_have_their_own(plan):
    text = str(plan)
    assert text.count("signals of one number per event: stream") == 1
    assert "delay, ipm2__sum" in text
    assert "signal roi = epix/area, 3 x 4 uint16: stream" in text


def test_heavy_signals_give_the_reason_for_each_strategy(plan):
    paragraph = next(part for part in str(plan).split("\n\n") if part.startswith("signal roi"))
    (roi,) = (signal for signal in plan.work.signals if signal.name == "roi")
    assert f"because {roi.reason}" in paragraph
    for rejection in roi.rejected:
        assert f"not {rejection.strategy}: {rejection.reason}" in paragraph
    assert {roi.strategy, *(rejection.strategy for rejection in roi.rejected)} == {
        "stream",
        "by_bin",
        "by_tile",
    }


def test_sample_is_named():
    assert "360 in the run; looked at: 10 (the first 10 events)" in str(
        plan_of(delay_scan(), SPEC, events=10)
    )


def test_memory_has_units(plan):
    text = str(plan)
    assert "MiB projected" in text
    assert "2 GiB allowed" in text


def test_frames_of_other_events_are_said_to_be_computed_while_planning():
    arrays = {"frame": np.zeros((50, 4, 5), np.uint16), "i0": np.ones(50)}
    text = "derive: {before: {shift: {field: %s, events: 1}}}\nsignals: [before]"
    said = "    computed while planning: 1.95 KiB, kept in TMPDIR where that is much"
    assert said in str(plan_of(memory_run(arrays), text % "frame")).splitlines()
    assert "while planning" not in str(plan_of(memory_run(arrays), text % "i0"))


def test_numbers_agree_with_their_nouns():
    assert [counted(n, "leaf", "leaves") for n in (0, 1, 2)] == ["0 leaves", "1 leaf", "2 leaves"]
    assert counted(1200, "task") == "1,200 tasks"
    text = str(plan_of(delay_scan(), SPEC, tuning=Tuning(leaf_nbytes=10**9)))
    assert "  1 leaf, 5.65 KiB to read; worst task roi/leaf" in text


def test_facts_are_plain_data_and_complete(plan):
    facts = json.loads(json.dumps(plan.to_dict()))
    assert facts["events"] == {"run": 360, "considered": 360, "sample": ""}
    assert facts["cut_flow"]["on"][0]["label"] == "ipm2/sum >= 0.5"
    assert facts["fates"]["on"]["binned"] == sum(facts["n_events"][0])
    assert [axis["name"] for axis in facts["axes"]] == ["delay"]
    assert {signal["name"] for signal in facts["signals"]} == {"delay", "ipm2__sum", "roi"}
    for signal in facts["signals"]:
        assert {"strategy", "reason", "rejected", "leaves", "read_nbytes", "worst_task"} <= set(signal)
    assert facts["memory"]["projected"] < facts["memory"]["per_worker"] == 2 * 2**30
    assert facts["n_tasks"] == plan.work.n_tasks
    assert facts["warnings"] == []


def test_output_size_is_that_of_the_arrays(plan):
    cube = plan.compute()
    statistics = [name for name in cube.data_vars if name != "n_events"]
    assert plan.to_dict()["output_nbytes"] == sum(cube[name].nbytes for name in statistics)
