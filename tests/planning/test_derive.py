"""Derived variables of a spec on a run: the delay with its laser-off rule, expressions, their units."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine.errors import SpecError
from cubeengine.store.read import cube_facts
from tests.planning.runs import DELAY, bound_of, delay_scan, memory_run, plan_of, warnings_of


def one_of_each():
    """On, off, unknown by -1, unknown by a missing mark, on without time tool, on with an untrusted one."""
    return memory_run(
        {
            "lxt": np.array([1.0, 2, 3, 4, 5, 6, np.nan]) * 1e-12,
            "tt": np.array([0.1, 0.2, 0.3, 0.4, np.nan, 0.6, 0.7]),
            "ampl": np.array([1.0, 0, 1, 1, 1, 0, 1]),
            "lightStatus/laser": np.array([1, 0, -1, 1, 1, 1, 1]),
        },
        valid={"lightStatus/laser": [True, True, True, False, True, True, True]},
    )


def delay_of(recipe, units="{lxt: s, tt: ps}", run=None):
    text = f"units: {units}\nderive: {{d: {{delay: {{nominal: lxt, {recipe}}}}}}}"
    return bound_of(run or one_of_each(), text)


def test_delay_is_corrected_for_laser_on_events_alone():
    bound = delay_of("timetool: tt, valid: ampl > 0.5")
    nan = np.nan
    np.testing.assert_allclose(bound.run.column("d").data, [1.1, 2, nan, nan, nan, nan, nan])
    counts = bound.delays["d"]
    assert (counts.laser_on, counts.laser_off, counts.unknown) == (1, 1, 2)
    assert (counts.no_timetool, counts.no_nominal) == (2, 1)
    assert counts.n_events == 7


def test_laser_none_corrects_every_event():
    bound = delay_of("timetool: tt, laser: none")
    np.testing.assert_allclose(bound.run.column("d").data, [1.1, 2.2, 3.3, 4.4, np.nan, 6.6, np.nan])
    assert bound.delays["d"].laser_on == 5
    assert bound.delays["d"].unknown == 0


def test_sign_and_time_zero_with_their_units():
    bound = delay_of("timetool: tt, sign: -1, t0: 500 fs")
    np.testing.assert_allclose(bound.run.column("d").data[:2], [0.4, 1.5])


def test_delay_without_time_tool_is_the_nominal_one():
    bound = delay_of("t0: 1")
    np.testing.assert_allclose(bound.run.column("d").data, [0, 1, np.nan, np.nan, 4, 5, np.nan])


def test_time_tool_in_another_unit_is_converted():
    bound = delay_of("timetool: tt", units="{lxt: s, tt: fs}")
    np.testing.assert_allclose(bound.run.column("d").data[:2], [1.0001, 2])


def test_seconds_become_ps_by_one_multiplication():
    bound = delay_of("laser: none")
    values = bound.run.column("lxt").data
    np.testing.assert_array_equal(bound.run.column("d").data, values * 1e12)


def test_units_of_a_delay_are_declared_never_guessed():
    with pytest.raises(SpecError, match="the unit of 'tt' is not declared"):
        delay_of("timetool: tt", units="{lxt: s}")


def test_laser_by_an_event_code():
    run = memory_run({"lxt": [1e-12, 2e-12], "tt": [0.5, 0.5], "evr/code_90": [1, 0]})
    text = "run: {laser: '`evr/code_90` == 1'}\nunits: {lxt: s, tt: ps}\n"
    bound = bound_of(run, text + "derive: {d: {delay: {nominal: lxt, timetool: tt}}}")
    np.testing.assert_allclose(bound.run.column("d").data, [1.5, 2])
    assert (bound.delays["d"].laser_on, bound.delays["d"].laser_off) == (1, 1)


def test_cube_says_where_the_state_of_the_laser_came_from():
    bare = memory_run({"lxt": [1e-12], "tt": [0.5]})
    text = "units: {lxt: s, tt: ps}\nderive: {d: {delay: {nominal: lxt, timetool: tt%s}}}"
    for run, more, words in (
        (one_of_each(), "", "lightStatus/laser"),
        (one_of_each(), ", laser: none", "not used: the recipe counts all events as laser-on"),
        (bare, "", "unknown: no field 'lightStatus/laser', so all events count as laser-on"),
    ):
        plan = plan_of(run, text % more)
        assert plan.to_dict()["delays"]["d"]["laser"] == words
        assert cube_facts(plan.compute())["delays"]["d"]["laser"] == words
        assert words in str(plan)


def test_run_without_laser_field_is_warned_of_unless_the_recipe_says_so():
    bare = memory_run({"lxt": [1e-12]})
    text = "units: {lxt: s}\nderive: {d: {delay: {nominal: lxt%s}}}"
    assert any("no field 'lightStatus/laser'" in message for message in warnings_of(bare, text % ""))
    assert not warnings_of(bare, text % ", laser: none")
    assert not warnings_of(one_of_each(), text % "")


def test_laser_that_the_spec_names_must_be_there():
    text = "run: {laser: lightStatus/lazer}\nunits: {lxt: s}\nderive: {d: {delay: {nominal: lxt}}}"
    with pytest.raises(SpecError, match="lightStatus/lazer"):
        bound_of(one_of_each(), text)


def test_derived_variables_build_on_one_another_in_any_order():
    run = memory_run({"a": np.arange(6.0), "b": np.ones((6, 3))})
    text = (
        "derive: {z: y + 1, y: '`a` * 2', w: sum(`b`)}\naxes: [{field: z, edges: [0, 6, 12]}]\nsignals: [w]"
    )
    bound = bound_of(run, text)
    np.testing.assert_array_equal(bound.run.column("z").data, np.arange(6) * 2 + 1)
    np.testing.assert_array_equal(bound.n_events, [[3, 3]])
    np.testing.assert_array_equal(plan_of(run, text).compute().w_mean, [[3, 3]])


def test_arrays_can_be_derived_and_averaged():
    run = memory_run({"b": np.arange(24.0).reshape(6, 4)})
    cube = plan_of(run, "derive: {half: '`b`[1:3] / 2'}\nsignals: [half]").compute()
    np.testing.assert_array_equal(cube.half_mean, [np.arange(24.0).reshape(6, 4)[:, 1:3].mean(0) / 2])


def test_off_counts_are_level_over_the_bins():
    text = DELAY + (
        "select: {good: ['`tt/AMPL` > 0.02'], off: {all: [good], laser: off, without: [tt/*]}}\n"
        "axes: [{field: delay, centers: {start: -1, stop: 3, step: 0.5}, unit: ps}]\ncubes: [off]"
    )
    bound = bound_of(delay_scan(), text)
    assert np.ptp(bound.n_events) <= 1
    assert bound.n_events.sum() == 60
