"""Every form of an axis on events: edges, and the bin of each event, as numpy.histogram has it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import cubeengine as ce
from cubeengine.errors import PlanError, SpecError
from cubeengine.spec.axes import middles
from tests.planning.runs import DELAY, DELAYS_PS, bound_of, delay_scan, memory_run, plan_of, warnings_of

FORMS = [
    ("edges: [0, 1, 2.5, 4]", [0, 1, 2.5, 4]),
    ("edges: {start: 0, stop: 4, step: 0.5}", np.arange(0, 4.1, 0.5)),
    ("edges: {start: 0, stop: 4, bins: 5}", np.linspace(0, 4, 6)),
    ("centers: {start: 0, stop: 4, step: 1}", np.arange(-0.5, 5)),
]


def only_axis(run, text):
    return bound_of(run, text).axes[0]


@pytest.mark.parametrize(("form", "edges"), FORMS)
@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "uint8", "bool"])
def test_bins_are_those_of_numpy_histogram(form, edges, kind):
    rng = np.random.default_rng(1)
    # Many values lie on edges, the last one included.
    values = rng.choice([-1.0, 0, 0.5, 1, 2, 2.5, 3, 4, 4.5], 300)
    values = np.abs(values).astype(kind)
    bound = bound_of(memory_run({"x": values}), f"axes: [{{field: x, {form}}}]")
    np.testing.assert_allclose(bound.axes[0].axis.edges, edges, rtol=1e-15)
    np.testing.assert_array_equal(bound.n_events, [np.histogram(values.astype(float), edges)[0]])


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 200))
def test_random_edges_agree_with_numpy_histogram(seed, n_bins, n_events):
    rng = np.random.default_rng(seed)
    edges = np.unique(rng.integers(-20, 20, n_bins + 1) / 4)
    if len(edges) < 2:
        edges = np.array([0.0, 1.0])
    values = rng.integers(-22, 22, n_events) / 4
    bound = bound_of(memory_run({"x": values}), f"axes: [{{field: x, edges: {edges.tolist()}}}]")
    np.testing.assert_array_equal(bound.n_events, [np.histogram(values, edges)[0]])


def test_quantiles_hold_equally_many_selected_events():
    values = np.random.default_rng(2).normal(size=1000)
    text = "select: {upper: ['x > 0']}\nderive: {x: '`v`'}\naxes: [{field: x, quantiles: 4}]\ncubes: [upper]"
    bound = bound_of(memory_run({"v": values}), text)
    counts = bound.n_events[0]
    assert counts.sum() == (values > 0).sum()
    assert counts.max() - counts.min() <= 1


def test_quantiles_leave_nan_out():
    values = np.where(np.arange(100) % 4 == 0, np.nan, np.arange(100.0))
    bound = bound_of(memory_run({"v": values}), "axes: [{field: v, quantiles: 5}]")
    np.testing.assert_array_equal(bound.n_events, [[15] * 5])
    assert bound.fates["all"].nan == 25


def test_quantiles_of_few_distinct_values_say_how_many_bins_are_possible():
    run = memory_run({"v": np.repeat([1.0, 2.0, 3.0], 10)})
    with pytest.raises(PlanError, match=r"6 quantiles give equal edges.*use quantiles: 2"):
        bound_of(run, "axes: [{field: v, quantiles: 6}]")
    np.testing.assert_array_equal(bound_of(run, "axes: [{field: v, quantiles: 2}]").n_events, [[10, 20]])


def test_quantiles_without_values_are_an_error():
    with pytest.raises(PlanError, match="quantiles need at least 2 selected events"):
        bound_of(memory_run({"v": np.full(5, np.nan)}), "axes: [{field: v, quantiles: 2}]")


@pytest.mark.parametrize("kind", ["float64", "float32", "int32"])
def test_steps_make_one_bin_for_each_setting(kind):
    settings = np.array([3, -1, 7, 8], kind)
    values = np.repeat(settings, [5, 6, 7, 8])
    bound = bound_of(memory_run({"m": values}), "axes: [{field: m, steps: auto}]")
    np.testing.assert_array_equal(bound.n_events, [[6, 5, 7, 8]])
    np.testing.assert_allclose(bound.axes[0].axis.edges, [-3, 1, 5, 7.5, 8.5])


def test_steps_within_the_tolerance_are_one_setting():
    rng = np.random.default_rng(3)
    values = np.repeat([0.0, 1.0, 2.0], 20) + rng.uniform(-0.01, 0.01, 60)
    exact = only_axis(memory_run({"m": values}), "axes: [{field: m, steps: auto}]")
    loose = only_axis(memory_run({"m": values}), "axes: [{field: m, steps: auto, tolerance: 0.05}]")
    assert exact.axis.n_bins == 60
    np.testing.assert_allclose(loose.axis.centers, [0, 1, 2], atol=0.02)
    np.testing.assert_array_equal(np.bincount(loose.index), [20, 20, 20])


def test_tolerance_may_carry_a_unit():
    values = np.repeat([0.0, 1.0], 20) + np.tile([-0.01, 0.01], 20)
    text = "units: {m: ps}\naxes: [{field: m, steps: auto, tolerance: 50 fs, unit: ps}]"
    assert only_axis(memory_run({"m": values}), text).axis.n_bins == 2
    declared = only_axis(memory_run({"m": values}), text.replace(", unit: ps", "")).axis
    assert (declared.n_bins, declared.unit) == (2, "ps")  # not that of the tolerance
    for wrong, message in (("units: {m: ps}\n", "is not declared"), ("50 fs", "not a number in the axis's")):
        other = text.replace(wrong, "" if "units" in wrong else "50 eV").replace(", unit: ps", "")
        with pytest.raises(SpecError, match=message):
            bound_of(memory_run({"m": values}), other)


def test_whole_numbers_that_no_formula_computes_with_exactly_are_no_steps():
    values = np.repeat(np.array([0, 100, 200, 300], np.uint64) + np.uint64(2**63), 20)
    run = memory_run({"n": values})
    with pytest.raises(PlanError, match=r"2\*\*63 and more cannot be steps") as caught:
        bound_of(run, "axes: [{field: n, steps: auto}]")
    assert "derive" not in str(caught.value)
    text = f"derive: {{off: '`n` - {2**63}'}}\naxes: [{{field: off, steps: auto}}]"
    with pytest.raises(PlanError, match=r"'off' is computed of 'n', whose whole numbers of 2\*\*63"):
        bound_of(run, text)
    near = memory_run({"n": values - np.uint64(2**62)})
    bound = bound_of(near, text.replace(str(2**63), str(2**62)))
    assert bound.n_events.ravel().tolist() == [20] * 4
    bits = bound_of(run, "derive: {low: '`n` & 1023'}\naxes: [{field: low, steps: auto}]")
    assert bits.n_events.ravel().tolist() == [20] * 4
    far = bound_of(run, text.replace("steps: auto", "edges: [-1e5, 1e5]"))
    assert far.n_events.sum() == 80


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("first", [2**53, 2**62, -(2**62)])
def test_whole_numbers_that_float64_joins_are_refused(first, missing):
    values = np.repeat([first, first + 1, first + 2], 5)
    run = memory_run({"pulse": values}, {"pulse": np.arange(15) > 0} if missing else None)
    with pytest.raises(PlanError, match=rf"{first} and {first + 2 - (first == 2**53)} differ, .* derive: "):
        bound_of(run, "axes: [{field: pulse, steps: auto}]")
    text = f"derive: {{p: '`pulse` - {abs(first)}'}}" if first > 0 else f"derive: {{p: '`pulse` + {-first}'}}"
    assert only_axis(run, text + "\naxes: [{field: p, steps: auto}]").axis.centers.tolist() == [0, 1, 2]


def test_whole_numbers_are_settings_however_far_they_reach():
    values = np.array([0, 1, 2, 2**40])
    axis = only_axis(memory_run({"n": values}), "axes: [{field: n, steps: auto}]").axis
    assert axis.centers.tolist() == values.tolist()


@pytest.mark.parametrize("form", ["steps: auto", "quantiles: 1"])
def test_a_range_beyond_the_largest_float_is_refused(form):
    run = memory_run({"v": np.array([-1e308, 0.0, 1.0, 1e308])})
    with pytest.raises(PlanError, match=r"wider together than the largest float64; .* missing"):
        bound_of(run, f"axes: [{{field: v, {form}}}]")
    with pytest.raises(SpecError, match="wider together"):
        bound_of(run, "axes: [{field: v, edges: [-1e308, 0, 1e308]}]")
    assert ce.Axis("v", edges=[1e308, 1.5e308]).edges == (1e308, 1.5e308)
    assert middles(np.array([1e308, 1.5e308])).tolist() == [1.25e308]  # though their sum is beyond


@pytest.mark.parametrize("wide", [3, 3.5, 100])
def test_a_tolerance_as_wide_as_all_steps_is_warned_of(wide):
    values = np.repeat([1.0, 1.5, 4.0], 10)
    text = "units: {m: mm}\naxes: [{field: m, steps: auto, tolerance: %s}]\nsignals: [m]"
    (found,) = warnings_of(memory_run({"m": values}), text % wide)
    assert "1 to 4 mm, are one setting" in found
    assert "smallest distance of two readings is 0.5 mm" in found
    assert warnings_of(memory_run({"m": np.full(30, 2.0)}), text % wide) == []
    assert not any("one setting" in each for each in warnings_of(memory_run({"m": values}), text % 1))


READINGS = st.one_of(st.integers(-12, 12).map(lambda n: n * 0.1), st.floats(-2, 2), st.just(float("nan")))


@given(st.lists(st.tuples(READINGS, st.booleans()), min_size=1, max_size=30), st.floats(0, 1.5))
def test_settings_of_selected_events_are_no_wider_than_the_tolerance(events, tolerance):
    """By plain Python: each bin is one of the windows that no denser one overlaps; all others are outside."""
    assume(any(cut and reading == reading for reading, cut in events))
    readings, cuts = zip(*events, strict=True)
    run = memory_run({"m": readings, "good": np.array(cuts, int)})
    steps = f"axes: [{{field: m, steps: auto, tolerance: {tolerance!r}}}]"
    bound = bound_of(run, "select: {good: [{field: good, equal: 1}]}\ncubes: [good]\n" + steps)
    kept = sorted(reading for reading, cut in events if cut and reading == reading)
    windows = [[x for x in kept if low <= x <= low + tolerance] for low in sorted(set(kept))]
    denser = [
        w for w in windows if not any(len(o) > len(w) and o[0] <= w[-1] and w[0] <= o[-1] for o in windows)
    ]
    bins = []
    for window in denser:  # of equals that overlap the lowest
        bins += [] if bins and window[0] <= bins[-1][-1] else [window]
    labels = [window[(len(window) - 1) // 2] for window in bins]
    assert bound.axes[0].axis.centers.tolist() == labels
    assert bound.n_events.tolist() == [list(map(len, bins))]
    fates = bound.fates["good"]
    assert (fates.binned, fates.outside) == (sum(map(len, bins)), len(kept) - sum(map(len, bins)))
    assert fates.nan == sum(cut and reading != reading for reading, cut in events)


def test_readings_that_never_repeat_are_no_steps():
    with pytest.raises(PlanError, match=r"the 200 readings have 200 values .* give  tolerance: WIDTH"):
        bound_of(memory_run({"m": np.arange(200.0)}), "axes: [{field: m, steps: auto}]")


@pytest.mark.parametrize("value", [0.0, -5e-12, 41, 1e9])
@pytest.mark.parametrize("form", ["steps: auto", "quantiles: 10"])
def test_run_that_is_no_scan_gives_one_bin(value, form):
    axis = only_axis(memory_run({"m": np.full(20, value)}), f"axes: [{{field: m, {form}}}]")
    assert axis.axis.n_bins == 1
    low, high = axis.axis.edges
    assert low < value < high
    assert (axis.index == 0).all()


UNEVEN = [-10, -1, 0, 0.1, 0.3, 1, 3, 10, 30, 100.0]


@pytest.mark.parametrize(
    ("form", "unit"), [("steps: auto", "ps"), (f"centers: {UNEVEN}", "ps"), ("steps: auto", "fs")]
)
def test_bins_of_uneven_settings_are_labelled_by_the_settings(form, unit):
    run = memory_run({"scan/lxt": np.repeat(UNEVEN, 20) * 1e-12})
    text = f"units: {{scan/lxt: s}}\naxes: [{{field: scan/lxt, {form}, unit: {unit}}}]"
    plan = plan_of(run, text)
    wanted = np.array(UNEVEN) * (1 if unit == "ps" else 1000)
    cube = plan.compute()
    np.testing.assert_allclose(cube["scan__lxt"], wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(cube["scan__lxt"], cube["scan__lxt_mean"][0], rtol=1e-12, atol=1e-12)
    middle = (wanted[1:] + wanted[:-1]) / 2
    np.testing.assert_allclose(cube["scan__lxt_bnds"][:-1, 1], middle, rtol=1e-12)
    np.testing.assert_allclose(cube["scan__lxt_bnds"][1:, 0], middle, rtol=1e-12)
    nearest = cube["scan__lxt_mean"].sel(scan__lxt=wanted[3], method="nearest").item()
    assert nearest == pytest.approx(wanted[3])


def test_steps_say_of_what_field_and_how_wide_they_are():
    run = memory_run({"m": np.repeat([1.0, 2.0], 20)})
    cube = plan_of(run, "axes: [{field: m, steps: auto, tolerance: 0.25, unit: ''}]").compute()
    assert (cube["m"].attrs["steps"], cube["m"].attrs["tolerance"]) == ("m", 0.25)
    plain = plan_of(run, "axes: [{field: m, centers: [1, 2], unit: ''}]").compute()
    assert not {"steps", "tolerance"} & plain["m"].attrs.keys()


MOVING = """
units: {x: mm}
select: {still: ['moving == 0'], first: ['moving == 0 and x < 2.5']}
axes: [{field: x, steps: auto, tolerance: %s}]
"""


def moving_motor():
    """Five settings, read with noise, and readings in transit between the first two."""
    true = np.repeat(np.arange(5.0), 80)
    readings = true + np.random.default_rng(1).uniform(-0.004, 0.004, 400)
    readings[75:80] = np.linspace(0.1, 0.9, 5)
    return memory_run({"x": readings, "moving": np.isin(np.arange(400), np.arange(75, 80)).astype(int)})


@pytest.mark.parametrize("tolerance", [0.05, 0.3])
def test_settings_come_from_the_selected_events(tolerance):
    bound = bound_of(moving_motor(), MOVING % tolerance + "cubes: [still]")
    assert bound.n_events.tolist() == [[75, 80, 80, 80, 80]]
    np.testing.assert_allclose(bound.axes[0].axis.centers, np.arange(5), atol=0.004)


def test_settings_come_from_all_selections_that_are_binned():
    assert bound_of(moving_motor(), MOVING % 0.05 + "cubes: [first]").n_events.tolist() == [[75, 80, 80]]
    both = bound_of(moving_motor(), MOVING % 0.05 + "cubes: [first, still]")
    assert both.n_events.tolist() == [[75, 80, 80, 0, 0], [75, 80, 80, 80, 80]]


def test_what_lies_between_settings_is_outside_counted_and_told():
    plan = plan_of(moving_motor(), MOVING % 0.3)
    assert plan.bound.n_events.tolist() == [[76, 81, 80, 80, 80]]  # 0.1 is within 0.3 of 0, 0.9 of 1
    assert plan.bound.fates["all"].outside == 3
    assert plan.warnings == ()  # less than 1 %
    wide = np.repeat(np.arange(5.0), 80) + np.random.default_rng(1).normal(0, 0.05, 400)
    (warning,) = plan_of(memory_run({"x": wide}), MOVING.replace("moving == 0", "x > -9") % 0.1).warnings
    assert "events lie between the settings of 'x', in no bin" in warning.message


def test_a_quick_try_has_the_settings_of_the_whole_run():
    bound = bound_of(moving_motor(), MOVING % 0.05 + "cubes: [still]", events=100)
    assert bound.n_events.tolist() == [[75, 20, 0, 0, 0]]


def test_steps_without_a_selected_event_are_an_error():
    with pytest.raises(PlanError, match="no selected event has a value of 'x'"):
        bound_of(memory_run({"x": [np.nan, 1.0], "moving": [0, 1]}), MOVING % 1 + "cubes: [still]")


def test_steps_of_another_field_in_the_unit_of_the_axis():
    bound = bound_of(delay_scan(), DELAY + "axes: [{field: delay, steps: scan/lxt}]")
    axis = bound.axes[0].axis
    assert (axis.name, axis.unit) == ("delay", "ps")
    np.testing.assert_allclose(axis.centers, DELAYS_PS, atol=1e-12)
    np.testing.assert_array_equal(bound.n_events, [[40] * 9])  # the correction moves no event
    assert [signal.source for signal in bound.signals] == ["delay"]


def test_axis_in_another_unit_is_converted_exactly():
    run = delay_scan()
    text = "units: {scan/lxt: s}\naxes: [{field: scan/lxt, edges: [-1, 0, 1.5, 3], unit: ps}]"
    bound = bound_of(run, text)
    values = run.column("scan/lxt").data * 1e12
    np.testing.assert_array_equal(bound.axes[0].values.data, values)
    np.testing.assert_array_equal(bound.n_events, [np.histogram(values, [-1, 0, 1.5, 3])[0]])
    assert bound.axes[0].axis.unit == "ps"


def test_numbers_with_units_give_the_axis_its_unit():
    text = "units: {scan/lxt: s}\naxes: [{field: scan/lxt, edges: [-1000 fs, 0 fs, 3000 fs]}]"
    axis = only_axis(delay_scan(), text).axis
    assert axis.unit == "fs"
    assert axis.edges == (-1000, 0, 3000)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ("", r"axes\[0\].*'scan/lxt' is not declared.*scan/lxt: s"),
        ("units: {scan/lxt: eV}\n", "'scan/lxt' is in 'eV', which cannot be converted to 'ps'"),
    ],
)
def test_axis_unit_needs_a_declared_one_that_fits(units, message):
    with pytest.raises(SpecError, match=message):
        bound_of(delay_scan(), units + "axes: [{field: scan/lxt, edges: [-1, 3], unit: ps}]")


def test_steps_of_a_field_without_a_declared_unit_are_refused():
    text = "units: {a: ps}\naxes: [{field: a, steps: b}]"
    with pytest.raises(SpecError, match=r"axis 'a'.*'b'.*not declared"):
        bound_of(memory_run({"a": [1.0, 2.0], "b": [1.0, 2.0]}), text)


def test_steps_of_a_field_in_another_dimension_are_refused():
    text = "units: {a: ps, b: mm}\naxes: [{field: a, steps: b}]"
    with pytest.raises(SpecError, match="axis 'a': 'b': cannot convert 'mm' to 'ps'"):
        bound_of(memory_run({"a": [1.0, 2.0], "b": [1.0, 2.0]}), text)


@pytest.mark.parametrize("n_axes", [0, 1, 2, 3])
def test_any_number_of_axes(n_axes):
    rng = np.random.default_rng(4)
    columns = {name: rng.uniform(-0.5, 3.5, 500) for name in "xyz"}
    edges = {"x": [0, 1, 2, 3], "y": [0.5, 1, 3], "z": [0, 0.25, 1, 2, 3]}
    names = "xyz"[:n_axes]
    axes = ", ".join(f"{{field: {name}, edges: {edges[name]}}}" for name in names)
    bound = bound_of(memory_run(columns), f"axes: [{axes}]")
    expected = np.array(500)
    if names:
        sample = np.stack([columns[name] for name in names], axis=1)
        expected = np.histogramdd(sample, [edges[name] for name in names])[0]
    np.testing.assert_array_equal(bound.n_events, [expected.ravel()])
    assert bound.grouping.n_bins == expected.size


def test_missing_integers_fall_in_no_bin():
    run = memory_run({"n": np.array([1, 1, 2, -99999])}, valid={"n": [True, False, True, False]})
    bound = bound_of(run, "axes: [{field: n, edges: [0, 1.5, 3]}]")
    np.testing.assert_array_equal(bound.n_events, [[1, 1]])
    assert bound.fates["all"].missing == 2


def test_missing_integers_make_no_setting():
    run = memory_run({"n": np.array([1, 1, 2, -99999])}, valid={"n": [True, True, True, False]})
    bound = bound_of(run, "axes: [{field: n, steps: auto}]")
    np.testing.assert_array_equal(bound.n_events, [[2, 1]])


def test_readings_of_a_single_setting_lie_in_its_bin():
    values = 1.0 + np.linspace(-0.04, 0.04, 50)
    axis = only_axis(memory_run({"m": values}), "axes: [{field: m, steps: auto, tolerance: 0.1}]").axis
    assert axis.n_bins == 1
    assert axis.edges[0] <= values.min()
    assert values.max() <= axis.edges[1]


def test_rounding_of_single_precision_makes_no_settings():
    settings = np.repeat(np.array([0.1, 0.2, 0.3], np.float32), 20)
    settings[::3] = np.nextafter(settings[::3], np.float32(1))
    bound = bound_of(memory_run({"m": settings}), "axes: [{field: m, steps: auto}]")
    np.testing.assert_array_equal(bound.n_events, [[20, 20, 20]])
