"""Every warning: a case where it is given, and one close by where it is not."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import cubeengine as ce
from cubeengine import api
from cubeengine.errors import SpecError
from cubeengine.picking.api import pick
from cubeengine.picking.spec import PickSpec
from tests.makers.marked import wrapped, write_fields
from tests.planning.runs import DELAY, delay_scan, memory_run, plan_of, warnings_of

UNIT = 'units: {x: ""}\n'


def has(messages, *words):
    return any(all(word in message for word in words) for message in messages)


# A selection that loses over 90 % to one cut


@pytest.mark.parametrize(("kept", "warned"), [(9, True), (11, False)])
def test_cut_that_loses_nine_events_in_ten(kept, warned):
    run = memory_run({"x": (np.arange(100) < kept).astype(np.float64)})
    messages = warnings_of(run, "select: {s: [{field: x, min: 0.5}]}\ncubes: [s]")
    assert has(messages, "x >= 0.5 leaves 9 of 100 events") == warned
    assert bool(messages) == warned


def test_loss_is_that_of_one_cut_not_of_all_together():
    run = memory_run({"x": np.arange(1.0, 101.0)})
    cuts = "[{field: x, min: 61}, {field: x, min: 81}, {field: x, min: 96}]"  # leave 40, 20, 5
    assert not warnings_of(run, f"select: {{s: {cuts}}}\ncubes: [s]")


OFF = """
select:
  good: ['{cut}']
  off: {{all: [good], laser: off{without}}}
cubes: [off]
"""


@pytest.mark.parametrize("cut", ["`tt/AMPL` > 0.02", "tt__AMPL > 0.02 and tt__ttCorr < 5"])
def test_time_tool_cut_on_laser_off_events_gets_the_line_to_add(cut):
    messages = warnings_of(delay_scan(), OFF.format(cut=cut, without=""))
    assert has(messages, "leaves 0 of 60 laser-off events", "without: [tt/*]  to 'off'")
    assert len(messages) == 1  # not a second time, of the cut on the laser


def test_proposed_line_silences_the_warning():
    assert not warnings_of(delay_scan(), OFF.format(cut="`tt/AMPL` > 0.02", without=", without: [tt/*]"))


def test_time_tool_cut_on_laser_on_events_is_no_matter():
    text = OFF.format(cut="`tt/AMPL` > 0.02", without="").replace("off", "on")
    assert not warnings_of(delay_scan(), text)


def test_time_tool_of_any_name_is_known_from_the_recipe():
    rng = np.random.default_rng(1)
    laser = np.arange(60) % 3 != 0
    run = memory_run(
        {
            "scan/lxt": np.repeat(np.arange(3.0), 20) * 1e-12,
            "arrival": np.where(laser, rng.normal(0, 0.1, 60), np.nan),
            "lightStatus/laser": laser.astype(int),
        }
    )
    text = DELAY.replace("tt/ttCorr", "arrival") + (
        "select: {s: {all: ['abs(arrival) < 1'], laser: off}}\ncubes: [s]".replace("arrival", "`arrival`")
    )
    assert has(warnings_of(run, text), "without: [arrival]  to 's'")


# Events on an edge


def test_settings_on_edges_are_warned_of():
    text = "units: {scan/lxt: s}\naxes: [{field: scan/lxt, %s, unit: ps}]"
    edges = "edges: {start: -1, stop: 3, step: 0.5}"
    assert has(warnings_of(delay_scan(), text % edges), "360 of 360 events lie on an edge", "use centers")
    assert not warnings_of(delay_scan(), text % edges.replace("edges", "centers"))


@pytest.mark.parametrize(("n_near", "warned"), [(1, False), (2, True)])
def test_one_percent_of_events_on_an_edge(n_near, warned):
    values = np.linspace(0.1, 0.9, 100)
    values[:n_near] = 0.5 + 0.9e-6
    assert has(warnings_of(memory_run({"x": values}), UNIT + "axes: [{field: x, edges: [-0.5, 0.5, 1.5]}]"),
               "lie on an edge") == warned  # fmt: skip


def test_events_a_little_further_off_are_not_on_the_edge():
    values = np.full(100, 0.5 + 1.1e-6)
    assert not has(
        warnings_of(memory_run({"x": values}), UNIT + "axes: [{field: x, edges: [-0.5, 0.5, 1.5]}]"),
        "on an edge",
    )


def test_whole_numbers_on_edges_are_told_where_they_count():
    run = memory_run({"x": np.arange(100) % 4 + 1})
    messages = warnings_of(run, UNIT + "axes: [{field: x, edges: [1, 2, 3, 4]}]")
    assert has(messages, "100 of 100 events lie on an edge", "count in the bin above that edge")
    assert not has(messages, "chance")
    assert not warnings_of(run, UNIT + "axes: [{field: x, centers: {start: 1, stop: 4, step: 1}}]")


@pytest.mark.parametrize("form", ["quantiles: 5", "steps: auto"])
def test_edges_made_of_the_values_are_not_warned_of(form):
    values = np.random.default_rng(1).normal(size=40)
    assert not warnings_of(memory_run({"x": values}), UNIT + f"axes: [{{field: x, {form}}}]")


# Events outside, or in one bin


@pytest.mark.parametrize(("outside", "warned"), [(99, False), (100, True)])
def test_nearly_all_events_outside(outside, warned):
    values = np.where(np.arange(100) < outside, 7.3, np.linspace(0.1, 1.9, 100))
    messages = warnings_of(memory_run({"x": values}), UNIT + "axes: [{field: x, edges: [0, 1, 2]}]")
    assert has(messages, f"{outside} of 100 events lie outside the bins") == warned


def test_a_selection_with_all_events_outside_is_refused_unless_forced():
    run, text = memory_run({"x": np.linspace(7, 9, 100)}), UNIT + "axes: [{field: x, edges: [0, 1, 2]}]"
    said = r"100 of 100 events lie outside the bins; the values of axis 'x' go from 7 to 9.*bins from 0 to 2"
    with pytest.raises(SpecError, match=said + ".*force=True"):
        plan_of(run, text)
    assert plan_of(run, text, force=True).compute()["n_events"].values.tolist() == [[0, 0]]
    assert plan_of(run, text, events=99).bound.n_events.tolist() == [[0, 0]]  # a quick try
    few = memory_run({"x": np.linspace(7, 9, 99)})
    assert plan_of(few, text).bound.n_events.tolist() == [[0, 0]]


def on_spread_off_at(x):
    """Return a run whose laser-on events fill two bins while the others are at x, and a spec's text."""
    laser = np.arange(600) % 2
    run = memory_run({"x": np.where(laser == 1, np.linspace(0.1, 1.9, 600), x), "lightStatus/laser": laser})
    return run, UNIT + (
        "select: {on: {laser: on}, off: {laser: off}}\ncubes: [%s]\naxes: [{field: x, edges: [0, 1, 2]}]"
    )


def test_all_events_of_one_selection_may_be_outside_where_another_spreads():
    run, text = on_spread_off_at(7)
    assert has(warnings_of(run, text % "on, off"), "selection 'off': 300 of 300 events lie outside the bins")
    assert plan_of(run, text % "on, off").bound.n_events.sum(axis=1).tolist() == [300, 0]
    with pytest.raises(SpecError, match="selection 'off': 300 of 300 events lie outside"):
        plan_of(run, text % "off")


@pytest.mark.parametrize(("together", "warned"), [(98, False), (100, True)])
def test_nearly_all_events_in_one_bin(together, warned):
    run = memory_run({"x": np.where(np.arange(100) < together, 0.3, 1.7)})
    text = UNIT + "axes: [{field: x, edges: [0, 1, 2]}]"
    messages = [warning.message for warning in plan_of(run, text, force=True).warnings]
    assert has(messages, "100 of 100 events are in one bin of 2") == warned
    if not warned:
        return
    with pytest.raises(SpecError, match=r"100 of 100 events are in one bin of 2.*force=True"):
        plan_of(run, text)
    assert plan_of(run, text, force=True).compute()["n_events"].values.tolist() == [[100, 0]]


def test_few_events_and_quick_tries_may_be_in_one_bin():
    text = UNIT + "axes: [{field: x, edges: [0, 1, 2]}]"
    few = memory_run({"x": np.full(99, 0.3)})
    assert has(warnings_of(few, text), "99 of 99 events are in one bin")
    late = memory_run({"x": np.repeat([0.3, 1.7], 200)})
    assert plan_of(late, text, events=150).bound.n_events.tolist() == [[150, 0]]


def test_one_selection_may_be_in_one_bin_where_another_spreads():
    """As laser-off events of a run at one delay, which have no time tool."""
    run, text = on_spread_off_at(0.3)
    assert has(warnings_of(run, text % "on, off"), "selection 'off': 300 of 300 events are in one bin")
    with pytest.raises(SpecError, match="selection 'off'"):
        plan_of(run, text % "off")


def test_picked_events_of_one_bin_alone_are_refused():
    run = memory_run({"x": np.full(200, 0.3)})
    text = "cube: c\n" + UNIT + "axes: [{field: x, edges: [0, 1, 2]}]\npick: {field: x, which: largest}"
    spec = PickSpec.loads(text)
    with pytest.raises(SpecError, match="200 of 200 events are in one bin"):
        pick(run, spec)
    assert pick(run, spec, force=True).picked.n_picked.tolist() == [[1, 0]]


def test_single_bin_may_hold_all_events():
    assert not warnings_of(memory_run({"x": np.full(9, 0.3)}), UNIT + "axes: [{field: x, edges: [0, 1]}]")


# A unit that is not declared


def test_axis_without_a_declared_unit():
    run, axes = memory_run({"x": np.linspace(0.1, 1.9, 50)}), "axes: [{field: x, edges: [0, 1, 2]}]"
    (message,) = warnings_of(run, axes)
    assert "the unit of 'x' is not declared" in message
    assert not warnings_of(run, UNIT + axes)
    assert not warnings_of(run, "units: {x: mJ}\n" + axes)


def test_axis_that_is_said_to_have_no_unit():
    run = memory_run({"x": np.linspace(0.1, 1.9, 50)})
    assert not warnings_of(run, 'axes: [{field: x, edges: [0, 1, 2], unit: ""}]')


def test_delay_is_in_ps_without_being_declared():
    text = DELAY + "axes: [{field: delay, edges: [-1.7, 0.1, 3.9]}]"
    assert not warnings_of(delay_scan(), text)


# Zeros before a field's first value


@pytest.mark.parametrize("kind", ["int64", "uint16", "float64"])
def test_zeros_before_the_first_value(kind):
    run = memory_run({"late": np.where(np.arange(100) < 21, 0, np.arange(100) % 90 + 1).astype(kind)})
    (message,) = warnings_of(run, "signals: [late]")
    assert "'late' is 0 in the first 21 events" in message
    assert "missing: {late: leading_zeros}" in message
    assert not warnings_of(run, "missing: {late: leading_zeros}\nsignals: [late]")


LATE = "axes: [{field: other, quantiles: 2, unit: ''}]\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("signals: [other, late]", ("signals", 1, "field")),
        (LATE.replace("other", "late"), ("axes", 0, "field")),
        (LATE + "derive: {d: '`late` + 1'}\nsignals: [d]", ("derive", "d")),
        ("select: {s: [{field: late, min: 0}]}\ncubes: [s]", ("select", "s", "all", 0)),
        ("select: {s: {any: ['late > 1', 'other > 0']}}\ncubes: [s]", ("select", "s", "any", 0)),
        ("run: {laser: late}\nselect: {s: {laser: on}}\ncubes: [s]", ("select", "s")),
    ],
)
def test_zeros_are_told_where_the_field_is_used(text, path):
    late = np.where(np.arange(100) < 21, 0, 1 + np.arange(100) % 2)
    run = memory_run({"late": late, "other": np.arange(1.0, 101)})
    found = [problem for problem in plan_of(run, text).warnings if "leading_zeros" in problem.message]
    assert [problem.path for problem in found] == [path]


def test_zeros_before_the_first_frame():
    frames = np.full((50, 3, 4), 7, np.uint16)
    frames[:5] = 0
    assert has(warnings_of(memory_run({"f": frames}), "signals: [f]"), "first 5 events")


def test_frames_with_a_dead_pixel_have_no_leading_zeros():
    frames = np.ones((50, 3, 4), np.uint16)
    frames[:, 1, 1] = 0
    assert not warnings_of(memory_run({"f": frames}), "signals: [f]")


def test_zeros_are_looked_for_in_what_is_cut_on_and_derived_from():
    values = np.where(np.arange(100) < 21, 0, 3)
    run = memory_run({"a": values, "b": values, "c": values, "other": values})
    text = "derive: {d: '`a` + 1'}\nselect: {s: ['`b` >= 0']}\ncubes: [s]\nsignals: [d]"
    messages = warnings_of(run, text)
    assert [message.split("'")[1] for message in messages] == ["a", "b"]


@pytest.mark.parametrize(
    "values",
    [
        np.arange(100) % 2,  # a flag: its first zero may be chance
        np.zeros(100, int),  # nothing comes after
        np.arange(1, 101),
        (np.arange(100) > 20).astype(np.uint8),  # the flag of an event code that is sent from event 21 on
        np.arange(100) > 20,
        np.arange(100),  # counters
        np.repeat(np.arange(5), 20),
        (np.arange(100 * 9).reshape(100, 9) > 300).astype(np.uint8),  # the flags of nine event codes
    ],
)
def test_zeros_that_a_field_may_begin_with_are_not_warned_of(values):
    assert not warnings_of(memory_run({"x": values}), "signals: [x]")


def test_a_counter_that_jumps_from_zero_has_zeros_for_what_is_missing():
    late = np.where(np.arange(100) < 21, 0, 72_000 + 3 * np.arange(100))
    assert has(warnings_of(memory_run({"fiducials": late}), "signals: [fiducials]"), "first 21 events")


def test_nearly_all_events_in_one_bin_are_told_with_values_range_and_unit():
    run = memory_run({"scan/lxt": np.linspace(1e-12, 8e-12, 200)})
    text = "units: {scan/lxt: ps}\naxes: [{field: scan/lxt, edges: {start: -2, stop: 8, bins: 5}, unit: fs}]"
    wanted = r"from 1e-09 to 8e-09 fs \('scan/lxt' is declared in ps\), its bins from -2 to 8 fs"
    with pytest.raises(SpecError, match=wanted):
        plan_of(run, text)


# The writers' mark in integers so small that it may be data


def marked_run(tmp_path, **fields):
    return api.open_run(write_fields(tmp_path / "run.h5", fields))


USUAL = np.random.default_rng(2).integers(0, 60, 400)


def test_a_number_that_is_probably_the_mark_is_told_with_the_line_to_add(tmp_path):
    lacking = np.arange(400) % 9 == 4
    values = np.where(lacking, wrapped("u1"), USUAL).astype("u1")
    run = marked_run(tmp_path, det=values)
    (message,) = warnings_of(run, "signals: [det]")
    assert f"'det' is 97 in {lacking.sum()} of 400 events" in message
    assert "declare  missing: {det: 97}" in message
    assert plan_of(run, "signals: [det]").compute().det_count == 400
    declared = "missing: {det: 97}\nsignals: [det]"
    assert not warnings_of(run, declared)
    cube = plan_of(run, declared).compute()
    assert cube.det_count == (~lacking).sum()
    np.testing.assert_allclose(cube.det_mean, [USUAL[~lacking].mean()])
    assert not warnings_of(run, "missing: {det: []}\nsignals: [det]")
    (message,) = warnings_of(run, "missing: {det: [1, 2]}\nsignals: [det]")
    assert "missing: {det: [1, 2, 97]}" in message


@pytest.mark.parametrize(
    ("code", "values", "warned"),
    [
        ("u1", np.append(USUAL, [97] * 3), True),
        ("u1", np.append(USUAL, [97] * 2), False),  # outliers
        ("i1", np.append(USUAL, [97] * 3), True),
        ("u2", np.append(USUAL, [31073] * 3), True),
        ("i2", np.append(USUAL * 1000, [31073] * 3), True),
        ("u1", np.random.default_rng(1).poisson(97, 400), False),  # counts about it
        ("u1", np.append(USUAL, [97] * 5 + [88, 90, 95, 99, 107]), False),  # as many near it
        ("u1", np.append(USUAL, [97] * 5 + [86, 90, 95, 99, 108]), True),  # not all of these are near
        ("u1", np.full(400, 97), False),  # a constant
        ("u2", np.random.default_rng(1).integers(0, 2**16, 20000), False),
        ("i4", np.append(USUAL, [31073] * 30), False),  # there it is not the mark
    ],
)
def test_a_mark_is_conspicuous_where_it_stands_alone(tmp_path, code, values, warned):
    run = marked_run(tmp_path, det=values.astype(code))
    assert has(warnings_of(run, "signals: [det]"), "missing: {det: ") == warned


def joined_run(folder, dtype, parts):
    """A run joined from parts that hold one field in types of their own."""
    n = sum(map(len, parts))
    times, values = h5py.VirtualLayout((n,), "i8"), h5py.VirtualLayout((n,), dtype)
    for number, part in enumerate(parts):
        own = write_fields(folder / f"part{number}.h5", {"det": part})
        with h5py.File(own, "r+") as file:
            file["timestamp"][:] += number << 40
        rows = slice(number * len(parts[0]), number * len(parts[0]) + len(part))
        times[rows] = h5py.VirtualSource(own.name, "timestamp", part.shape)
        values[rows] = h5py.VirtualSource(own.name, "det", part.shape)
    with h5py.File(folder / "run.h5", "w") as file:
        file.create_virtual_dataset("timestamp", times)
        file.create_virtual_dataset("det", values)
    return api.open_run(folder / "run.h5")


@pytest.mark.parametrize(
    ("dtype", "codes"),
    [("i4", ("i2", "i4")), ("i8", ("u1", "i4")), ("f8", ("u2", "f8")), ("f4", ("f4", "i1")),
     ("u8", ("u1", "u8")), ("i4", ("u1", "i2")), ("i2", ("i1", "i2"))],
)  # fmt: skip
def test_marks_of_small_parts_are_told_whatever_the_joined_type(tmp_path, dtype, codes):
    lacking = np.arange(200) % 9 == 4
    marks = [np.nan if "f" in code else wrapped(code) for code in codes]
    parts = [np.where(lacking, mark, 0).astype(code) for code, mark in zip(codes, marks, strict=True)]
    for part in parts:
        part[~lacking] = USUAL[:200][~lacking]
    run = joined_run(tmp_path, dtype, parts)
    small = [code for code in codes if code[1] in "12"]
    text = "signals: [det]"
    for left in range(len(small), 0, -1):
        (message,) = warnings_of(run, text)
        mark = next(wrapped(code) for code in small if f"'det' is {wrapped(code)} in " in message)
        assert f"in {lacking.sum()} of 400 events" in message
        text = message.partition("declare  ")[2].partition(";")[0] + "\nsignals: [det]"
        assert str(mark) in text, left
    assert not warnings_of(run, text)
    cube = plan_of(run, text).compute()
    assert cube.det_count == 2 * (~lacking).sum()
    np.testing.assert_allclose(cube.det_mean, [USUAL[:200][~lacking].mean()])


def test_fractions_near_a_mark_are_not_the_mark(tmp_path):
    parts = [np.full(200, 5, "u1"), np.linspace(96.5, 97.4, 200)]
    parts[0][:3] = 97
    assert not has(warnings_of(joined_run(tmp_path, "f8", parts), "signals: [det]"), "missing:")


def test_a_few_values_per_event_are_marks_together(tmp_path):
    values = np.repeat(USUAL[:, None], 4, axis=1).astype("u2")
    values[3:9], values[20:40, 0] = wrapped("u2"), wrapped("u2")
    run = marked_run(tmp_path, det=values)
    assert has(warnings_of(run, "signals: [det]"), "31073 in 6 of 400 events")


def test_marks_are_looked_for_in_what_the_spec_uses_and_not_in_memory(tmp_path):
    values = np.append(USUAL, [97] * 9).astype("u1")
    run = marked_run(tmp_path, a=values, b=values, c=values, other=values.astype(float))
    text = "derive: {d: '`a` + 1'}\nselect: {s: ['`b` >= 0']}\ncubes: [s]\nsignals: [d, other]"
    places = [problem.path for problem in plan_of(run, text).warnings if "missing:" in problem.message]
    assert places == [("derive", "d"), ("select", "s", "all", 0)]
    assert not warnings_of(memory_run({"a": values}), "signals: [a]")


def test_scan_may_begin_at_zero():
    run = memory_run({"scan/m": np.repeat([0.0, 1, 2], 20)})
    assert not warnings_of(run, "units: {scan/m: mm}\naxes: [{field: scan/m, steps: auto}]")


def test_warnings_name_their_place_in_the_spec():
    warnings = plan_of(delay_scan(), OFF.format(cut="`tt/AMPL` > 0.02", without="")).warnings
    assert [(warning.path, warning.severity) for warning in warnings] == [(("select", "off"), "warning")]


def test_plan_without_oddities_has_no_warnings():
    text = DELAY + (
        "select: {on: {laser: on}, off: {laser: off}}\ncubes: [on, off]\n"
        "axes: [{field: delay, centers: {start: -1, stop: 3, step: 0.5}, unit: ps}]\nsignals: [epix/area]"
    )
    plan = plan_of(delay_scan(), text)
    assert plan.warnings == ()
    assert "warning" not in str(plan)


def test_large_arrays_are_not_looked_through(monkeypatch):
    frames = np.ones((50, 3, 4), np.uint16)
    frames[:5] = 0
    monkeypatch.setattr("cubeengine.planning.warn.MOST_LOOKED_AT", frames.nbytes - 1)
    assert not warnings_of(memory_run({"f": frames}), "signals: [f]")


# Units of the fields of a formula

SUM = "units: {scan/lxt: s, tt/ttCorr: ps, i0: mJ}\nderive: {d: '%s'}\nsignals: [d]"


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("scan__lxt + tt__ttCorr", "adds scan/lxt (s) and tt/ttCorr (ps); expressions take the numbers"),
        ("1 * (tt__ttCorr - scan__lxt)", "takes the difference of tt/ttCorr (ps) and scan/lxt (s)"),
        ("scan__lxt > tt__ttCorr", "compares scan/lxt (s) with tt/ttCorr (ps)"),
        ("scan__lxt + i0", "adds scan/lxt (s) and i0 (mJ)"),
        ("scan__lxt * 1e12 + tt__ttCorr", ""),
        ("scan__lxt * tt__ttCorr", ""),
        ("scan__lxt + scan__lxt", ""),
    ],
)
def test_fields_of_different_units_in_one_sum_are_told(formula, said):
    run = memory_run({name: np.linspace(0.1, 1.9, 20) for name in ("scan/lxt", "tt/ttCorr", "i0")})
    messages = warnings_of(run, SUM % formula)
    assert has(messages, said) if said else not has(messages, "as stored")
    if formula == "scan__lxt + tt__ttCorr":
        assert has(messages, "write  scan__lxt * 1e12 + tt__ttCorr,  or use the recipe  delay")


def test_a_condition_and_a_session_tell_of_units_too(caplog):
    run = memory_run({name: np.linspace(0.1, 1.9, 20) for name in ("scan/lxt", "tt/ttCorr", "i0")})
    text = "units: {scan/lxt: s, tt/ttCorr: ps}\nselect: {on: ['scan__lxt < tt__ttCorr']}\nsignals: [i0]"
    assert has(warnings_of(run, text + "\ncubes: [on]"), "compares scan/lxt (s) with tt/ttCorr (ps)")
    session = ce.explore(run, saved=None)
    session.declare({"scan/lxt": "s", "tt/ttCorr": "ps"})
    session.add("d", "scan__lxt + tt__ttCorr")
    assert "d: adds scan/lxt (s) and tt/ttCorr (ps)" in caplog.text
