"""A spec bound to a run: selections, cut flows, signals, marks of missing values, names of answers."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import api
from cubeengine.errors import SpecError
from cubeengine.planning.sample import Sample
from tests.makers.smalldata import write_lcls1, write_lcls2
from tests.planning.runs import DELAY, bound_of, delay_scan, memory_run, plan_of

GOOD = """
select:
  good: [{field: lightStatus/xray, equal: 1}, {field: ipm2/sum, min: 0.5, max: 1.5}]
  pumped: [good, '`tt/AMPL` > 0.02']
  on: {all: [pumped], laser: on}
  off: {all: [pumped], laser: off, without: [tt/*]}
  blind: {all: [pumped], laser: off}
cubes: [on, off, blind]
"""


def test_selections_keep_what_plain_numpy_keeps():
    run = delay_scan()
    i0, laser = run.column("ipm2/sum").data, run.column("lightStatus/laser").data
    good = (i0 >= 0.5) & (i0 <= 1.5)
    bound = bound_of(run, GOOD)
    on, off, blind = (bound.selections[name] == 1 for name in ("on", "off", "blind"))
    np.testing.assert_array_equal(on, good & (laser == 1))
    np.testing.assert_array_equal(off, good & (laser == 0))
    assert not blind.any()
    assert tuple(bound.selections) == ("on", "off", "blind")


def test_cut_flow_counts_each_cut_alone_and_after_those_before():
    run = delay_scan()
    i0, laser = run.column("ipm2/sum").data, run.column("lightStatus/laser").data
    inside = (i0 >= 0.5) & (i0 <= 1.5)
    flow = bound_of(run, GOOD).cut_flows["on"]
    assert [row.label for row in flow] == [
        "lightStatus/xray == 1", "0.5 <= ipm2/sum <= 1.5", "`tt/AMPL` > 0.02", "lightStatus/laser == 1",
    ]  # fmt: skip
    assert [row.alone for row in flow] == [360, inside.sum(), 300, 300]
    assert [row.after for row in flow] == [360, inside.sum()] + [(inside & (laser == 1)).sum()] * 2


def test_without_leaves_the_time_tool_out_of_the_cut_flow():
    labels = [row.label for row in bound_of(delay_scan(), GOOD).cut_flows["off"]]
    assert labels == ["lightStatus/xray == 1", "0.5 <= ipm2/sum <= 1.5", "lightStatus/laser == 0"]


def test_without_cubes_all_events_are_binned():
    bound = bound_of(delay_scan(), "signals: [ipm2/sum]")
    assert tuple(bound.selections) == ("all",)
    assert bound.cut_flows["all"] == ()
    np.testing.assert_array_equal(bound.n_events, [[360]])


def test_cut_numbers_are_in_the_declared_unit():
    run = memory_run({"t": np.array([1e-12, 3e-12])})
    bound = bound_of(run, "units: {t: s}\nselect: {late: [{field: t, min: 2 ps}]}\ncubes: [late]")
    np.testing.assert_array_equal(bound.selections["late"], [0, 1])


def test_every_problem_of_names_is_in_one_error():
    text = "select: {a: ['`ipm2/summ` > 1']}\naxes: [{field: dealy, edges: [0, 1]}]\nsignals: [epix/aera]"
    with pytest.raises(SpecError) as caught:
        bound_of(delay_scan(), text)
    assert all(near in str(caught.value) for near in ("'ipm2/sum'", "'epix/area'", "'dealy'"))


def test_frame_is_no_axis_and_the_error_proposes_one():
    with pytest.raises(SpecError, match=r"axes\[0\].*has shape \(3, 4\) per event.*sum\(`epix/area`\)"):
        bound_of(delay_scan(), "axes: [{field: epix/area, edges: [0, 1]}]")


def test_axes_are_signals_too_before_the_others():
    text = DELAY + "axes: [{field: delay, edges: [-1, 1, 3]}, {field: ipm2/sum, edges: [0, 1, 2]}]\n"
    signals = bound_of(delay_scan(), text + "signals: [epix/area]").signals
    assert [signal.name for signal in signals] == ["delay", "ipm2__sum", "epix__area"]
    assert [signal.unit for signal in signals] == ["ps", "", ""]


def test_axis_that_is_asked_for_as_a_signal_comes_once():
    text = "axes: [{field: ipm2/sum, edges: [0, 1, 2]}]\nsignals: [ipm2/sum, {field: ipm2/sum, name: i0}]"
    assert [signal.name for signal in bound_of(delay_scan(), text).signals] == ["ipm2__sum", "i0"]


def test_axis_in_another_unit_is_averaged_in_that_unit():
    text = "units: {scan/lxt: s}\naxes: [{field: scan/lxt, edges: [-1.25, 0.25, 3.25], unit: ps}]"
    cube = plan_of(delay_scan(), text).compute()
    np.testing.assert_allclose(cube.scan__lxt_mean, [[-0.5, 1.75]])
    assert cube.scan__lxt_mean.attrs["units"] == cube.scan__lxt.attrs["units"] == "ps"
    assert cube.scan__lxt_mean.attrs["field"] == "scan/lxt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("signals: [a/b, {field: c, name: a__b}]", r"signals\[1\].name: two signals are called 'a__b'"),
        ("signals: [a/b, a/b]", r"signals\[1\].*: two signals are called 'a__b'"),
        (
            "axes: [{field: c, edges: [0, 1]}]\nsignals: [{field: a/b, name: c}]",
            "an axis in the cube is already called 'c'",
        ),
        ("axes: [{field: c, edges: [0, 1]}, {field: c, edges: [0, 2]}]", r"axes\[1\]"),
        ("signals: [{field: c, name: n_events}, {field: a/b, name: selection}]", None),
    ],
)
def test_two_things_of_one_name_are_an_error(text, message):
    run = memory_run({"a/b": [1.0], "c": [1.0]})
    if message is None:  # `n_events_mean` and `selection_mean` are names of their own
        assert len(bound_of(run, text).signals) == 2
        return
    with pytest.raises(SpecError, match=message):
        bound_of(run, text)


def test_leading_zeros_are_missing_where_declared(tmp_path):
    truth = write_lcls2(tmp_path / "run.h5", n_events=60, late=21)
    run = api.open_run(truth.path)
    signals = "signals: [late/anint, late/afloat]"
    raw = plan_of(run, signals).compute()
    assert raw.late__anint_count == raw.late__afloat_count == 60
    declared = plan_of(run, f"missing: {{late/anint: leading_zeros, late/afloat: leading_zeros}}\n{signals}")
    cube = declared.compute()
    assert cube.late__anint_count == cube.late__afloat_count == 39
    np.testing.assert_allclose(cube.late__anint_mean, [truth.columns["late/anint"][21:].mean()])
    assert declared.bound.run.column("late/anint").valid.sum() == 39


def test_missing_images_are_left_out_for_that_signal_only(tmp_path):
    truth = write_lcls2(tmp_path / "run.h5", n_events=60)
    cube = plan_of(api.open_run(truth.path), "signals: [epx/ROI_0_area, epx/npix, fim/pulse]").compute()
    there = ~truth.missing["epx/ROI_0_area"]
    assert cube.n_events.item() == cube.fim__pulse_count.item() == 60
    assert (cube.epx__ROI_0_area_count == there.sum()).all()
    assert cube.epx__npix_count.item() == there.sum()
    np.testing.assert_allclose(cube.epx__npix_mean.item(), truth.columns["epx/npix"][there].mean())


def test_events_are_those_of_the_align_group(tmp_path):
    truth = write_lcls2(tmp_path / "run.h5", n_events=120)
    text = "run: {events: intg}\naxes: [{field: intg/slow/temp, quantiles: 2}]\nsignals: [intg/slow/frame]"
    cube = plan_of(api.open_run(truth.path), text).compute()
    np.testing.assert_array_equal(cube.n_events, [[6, 6]])
    assert cube.attrs["n_events_total"] == 12
    temperature = np.sort(truth.aligned["intg/slow/temp"])
    np.testing.assert_allclose(cube.intg__slow__temp_mean[0, 0], temperature[:6].mean())


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("time_layout", ["event_time", "EvtID"])
def test_file_out_of_time_order_gives_the_same_cube(tmp_path, shuffled, time_layout):
    truth = write_lcls1(tmp_path / "run.h5", n_events=84, shuffled=shuffled, time_layout=time_layout)
    text = DELAY + "axes: [{field: delay, steps: scan/lxt}]\nsignals: [epix/ROI_0_area, jungfrau/ROI_0_area]"
    cube = plan_of(api.open_run(truth.path), text, events=40).compute()
    columns = {name: values[:40] for name, values in truth.columns.items()}
    first = columns["scan/varStep"]
    delay = columns["scan/lxt"] * 1e12 + columns["tt/ttCorr"] * columns["lightStatus/laser"]
    for step, mean in enumerate(cube.jungfrau__ROI_0_area_mean[0].values):
        frames = truth.columns["jungfrau/ROI_0_area"][:40][first == step]
        if len(frames):
            np.testing.assert_allclose(cube.delay_mean[0, step], delay[first == step].mean(), rtol=1e-12)
            np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-14)
        else:
            assert np.isnan(mean).all()


def test_content_names_the_answer():
    run = delay_scan()
    base = bound_of(run, DELAY)
    assert base.content == bound_of(run, DELAY).content
    others = [
        bound_of(run, DELAY + "signals: [ipm2/sum]"),
        bound_of(run, DELAY, events=10),
        bound_of(run, DELAY, every=2),
        bound_of(delay_scan(seed=6), DELAY),
    ]
    assert len({base.content, *(other.content for other in others)}) == 5


@pytest.mark.parametrize("sample", [{"events": 0}, {"every": -1}])
def test_sample_of_nothing_is_refused(sample):
    with pytest.raises(SpecError, match="must be at least 1"):
        Sample(**sample)


def test_sample_is_told_in_words():
    assert str(Sample()) == str(Sample(every=1)) == ""
    assert str(Sample(5, 2)) == "the first 5 events, every 2nd event"
    assert str(Sample(every=3)) == "every 3rd event"
    assert str(Sample(every=12)) == "every 12th event"
    assert str(Sample(events=1)) == "the first event"


def test_signal_without_elements_is_refused():
    run = memory_run({"frame": np.ones((5, 0, 4))})
    with pytest.raises(SpecError, match=r"signal 'frame': holds no values, its shape is \(0, 4\)"):
        bound_of(run, "signals: [frame]")


@pytest.mark.parametrize("cubes", ["[all]", "[a, b]", "[a, b, c]"])
def test_plan_counts_each_selected_event_once(cubes):
    run = memory_run({"x": np.arange(100.0)})
    cuts = {"a": "max: 59", "b": "min: 20, max: 79", "c": "min: 50, max: 89"}
    select = ", ".join(f"{name}: [{{field: x, {cut}}}]" for name, cut in cuts.items())
    plan = plan_of(run, f"select: {{{select}}}\ncubes: {cubes}\nsignals: [x]")
    assert plan.work.n_selected == {"[all]": 100, "[a, b]": 80, "[a, b, c]": 90}[cubes]


def test_unknown_laser_is_neither_on_nor_off_nor_not_on():
    run = memory_run({"lightStatus/laser": np.array([1, 0, -1])})
    select = "select: {on: {laser: on}, off: {laser: off}, other: {not: [on]}}\ncubes: [on, off, other]"
    bound = bound_of(run, select)
    np.testing.assert_array_equal(bound.n_events, [[1], [1], [1]])
    assert [fates.missing for fates in bound.fates.values()] == [1, 1, 1]


@pytest.mark.parametrize("dtype", ["complex128", "longdouble"])
def test_numbers_that_no_kernel_adds_are_refused_before_anything_is_read(dtype):
    run = memory_run({"x": np.ones((4, 2)).astype(dtype)})
    with pytest.raises(SpecError, match="not numbers of at most 64 bits"):
        bound_of(run, "signals: [x]")
