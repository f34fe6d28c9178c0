"""The delays and the time tool that a run offers: names of all generations, units by convention."""

from __future__ import annotations

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.planning.derive import add_derived
from cubeengine.spec.starter import starter

N_EVENTS = 240
LXT = np.repeat(np.arange(6), 40) * 1e-12


def memory_run(**fields):
    rng = np.random.default_rng(5)
    usual = {
        "lightStatus/laser": (np.arange(N_EVENTS) % 4 > 0).astype(np.int64),
        "tt/ttCorr": rng.normal(0, 0.2, N_EVENTS),
        "tt/FLTPOS": np.where(np.arange(N_EVENTS) % 8 == 1, 0, 300.0),
    }
    arrays = {**usual, **{name.replace("__", "/"): value for name, value in fields.items()}}
    return ce.Run(ce.MemorySource({name: np.asarray(a) for name, a in arrays.items() if a is not None}))


def moving(scale):
    return np.linspace(-2, 8, N_EVENTS) * scale


def delay_of(run, offer):
    """The delay that an offer makes, taken as it is."""
    spec = ce.CubeSpec(cube="c", units=offer.units, derive={"d": offer.recipe})
    return add_derived(run, spec)[0].column("d").data


@pytest.mark.parametrize(
    ("fields", "nominal", "unit"),
    [
        ({"scan__lxt": LXT}, "scan/lxt", "s"),
        ({"scan__lxt_fast_ps": LXT * 1e12}, "scan/lxt_fast_ps", "ps"),
        ({"scan__lasDelay": LXT * 1e12}, "scan/lasDelay", "ps"),
        ({"enc__lasDelay": moving(1)}, "enc/lasDelay", "ps"),
        ({"enc__lasDelay": moving(1e-12)}, "enc/lasDelay", "s"),
        ({"enc__lasDelay2": moving(1)}, "enc/lasDelay2", "ps"),
        ({"enc__ch0": moving(1e-12)}, "enc/ch0", "s"),
        ({"epics__lxt_ttc": LXT, "epics__lxt": LXT[::-1] ** 2}, "epics/lxt_ttc", "s"),
        ({"epics__lxt": LXT}, "epics/lxt", "s"),
    ],
)
def test_each_generation_is_found_with_the_unit_of_its_convention(fields, nominal, unit):
    offer = ce.delay_recipes(memory_run(**fields))[0]
    assert (offer.nominal, offer.unit) == (nominal, unit)
    assert offer.recipe.timetool == "tt/ttCorr"
    assert offer.units["tt/ttCorr"] == "ps"
    assert unit in offer.reason
    assert nominal in starter(memory_run(**fields), smalldata="run.h5")


def test_the_best_comes_first_and_one_motion_is_named():
    run = memory_run(scan__lxt=LXT, enc__lasDelay=moving(1), enc__lasDelay2=moving(-1) ** 2, epics__lxt=LXT)
    offers = ce.delay_recipes(run)
    assert [offer.nominal for offer in offers] == ["scan/lxt", "enc/lasDelay", "enc/lasDelay2", "epics/lxt"]
    assert "the same motion as scan/lxt" in offers[-1].reason
    assert (offers[-1].same_as, offers[2].same_as) == ("scan/lxt", None)
    assert "same motion" not in offers[2].reason


@pytest.mark.parametrize(
    "fields",
    [
        {"epics__lxt": np.full(N_EVENTS, 3e-12), "enc__lasDelay": np.zeros(N_EVENTS)},
        {"enc__lasDelay": np.repeat([1.0, 2.0], 120)},  # two values: no more than a switch
        {"enc__lasDelay": 3 + np.random.default_rng(1).normal(0, 1e-3, N_EVENTS)},  # noise of 1 fs
        {"epics__lxt": 3e-12 + np.random.default_rng(1).normal(0, 1e-16, N_EVENTS)},
        {"enc__lasDelay": np.full(N_EVENTS, np.nan)},
        {"scan__theta": LXT},
    ],
)
def test_what_hardly_moves_is_no_candidate(fields):
    assert ce.delay_recipes(memory_run(**fields)) == ()


def test_nothing_is_counted_twice():
    run = memory_run(scan__lxt=LXT, epics__lxt=LXT)
    on = run.column("lightStatus/laser").data == 1
    fitted = run.column("tt/FLTPOS").data != 0
    for offer in ce.delay_recipes(run):
        delay = delay_of(run, offer)
        np.testing.assert_array_equal(delay[~on], LXT[~on] * 1e12)
        expected = LXT * 1e12 + run.column("tt/ttCorr").data
        np.testing.assert_array_equal(delay[on & fitted], expected[on & fitted])
        assert np.isnan(delay[on & ~fitted]).all()


def test_what_holds_a_run_is_asked_for_it():
    class Holder:
        run = memory_run(scan__lxt=LXT)

    assert ce.delay_recipes(Holder()) == ce.delay_recipes(Holder.run)
    assert ce.timetool_fields(Holder()).correction == "tt/ttCorr"


def test_an_offer_shows_what_to_put_in_a_spec():
    offer = ce.delay_recipes(memory_run(scan__lxt=LXT))[0]
    spec = ce.CubeSpec.loads(f"cube: c\n{offer}")
    assert spec.derive["delay"].delay == offer.recipe
    assert spec.units == offer.units


def test_event_codes_that_tell_the_laser_are_to_be_said():
    words = np.zeros((N_EVENTS, 18), np.uint16)
    words[:, 90 // 16] = np.where(np.arange(N_EVENTS) % 4 > 0, 1 << 90 % 16, 1 << 91 % 16)
    run = memory_run(scan__lxt=LXT, lightStatus__laser=None, timing__raw__sequenceValues=words)
    offer = ce.delay_recipes(run)[0]
    spec = ce.CubeSpec.loads(f"cube: c\n{offer}")
    assert (offer.recipe.laser, spec.run.laser) == (None, "eventcode(`timing/raw/sequenceValues`, 90)")


def test_without_a_laser_state_all_events_count_as_pumped():
    offer = ce.delay_recipes(memory_run(scan__lxt=LXT, lightStatus__laser=None))[0]
    assert offer.recipe.laser == "none"


def test_without_a_time_tool_the_delay_is_the_nominal_one():
    offer = ce.delay_recipes(memory_run(scan__lxt=LXT, tt__ttCorr=np.zeros(N_EVENTS)))[0]
    assert (offer.recipe.timetool, offer.recipe.valid, dict(offer.units)) == (None, None, {"scan/lxt": "s"})


def test_a_scanned_motor_is_not_given_up_for_a_slow_control():
    text = starter(memory_run(scan__theta=LXT * 1e12, epics__lxt=LXT), smalldata="run.h5")
    assert ce.CubeSpec.loads(text).axes[0].field == "scan/theta"


@pytest.mark.parametrize("prefix", ["", "XPP_TIMETOOL_", "TIMETOOL_", "TTSPEC_", "lower"])
def test_time_tools_of_all_generations_are_found(prefix):
    names = {
        "position": "FLTPOS", "position_ps": "FLTPOS_PS", "amplitude": "AMPL", "next_amplitude": "AMPLNXT",
        "fwhm": "FLTPOSFWHM", "ref_amplitude": "REFAMPL",
    }  # fmt: skip
    spelled = {kind: f"tt/{n.lower() if prefix == 'lower' else prefix + n}" for kind, n in names.items()}
    rng = np.random.default_rng(2)
    run = ce.Run(ce.MemorySource({name: rng.uniform(1, 2, 9) for name in spelled.values()}))
    tool = ce.timetool_fields(run)
    assert tool.names == spelled
    assert tool.timetool == spelled["position_ps"]
    assert tool.valid == f"`{spelled['position']}` != 0"
    assert f"`{spelled['amplitude']}` >= 0." in tool.quality
    assert f"<= `{spelled['fwhm']}` <=" in str(tool)


def test_the_correction_of_the_oldest_generation_goes_before_the_position():
    values = np.linspace(1, 2, 9)
    fields = {"ttCorr/tt": values, "tt/XPP_TIMETOOL_FLTPOS_PS": values, "tt/XPP_TIMETOOL_AMPL": values}
    tool = ce.timetool_fields(ce.Run(ce.MemorySource(fields)))
    assert (tool.timetool, tool.amplitude) == ("ttCorr/tt", "tt/XPP_TIMETOOL_AMPL")
    assert tool.valid == "`ttCorr/tt` != 0"


def test_a_run_without_time_tool_has_none():
    tool = ce.timetool_fields(memory_run(tt__ttCorr=None, tt__FLTPOS=None))
    assert (tool.timetool, tool.valid, tool.quality, dict(tool.names)) == (None, None, None, {})
    assert str(tool) == "no time tool"


def test_the_usual_fit_is_that_of_pumped_events_with_an_edge():
    laser = np.tile([1, 1, 1, 0], 60)
    position = np.tile([300.0, 300, 0, 0], 60)
    run = memory_run(
        lightStatus__laser=laser,
        tt__FLTPOS=position,
        tt__AMPL=np.where(position, 0.1, 0.001),
        tt__FLTPOSFWHM=np.where(position, 100.0, 0),
    )
    assert ce.timetool_fields(run).quality == "`tt/AMPL` >= 0.03 and 50 <= `tt/FLTPOSFWHM` <= 200"


@pytest.mark.realdata
@pytest.mark.parametrize(("run", "nominal", "scale"), [(12, "scan/lxt", 1e12), (13, "enc/lasDelay", 1)])
def test_the_delay_of_a_real_file_is_what_its_truth_says(shared_data, run, nominal, scale):
    opened = ce.open_run(shared_data / f"smalldata_lcls1/xpptest01_Run00{run}.h5")
    offers = ce.delay_recipes(opened)
    assert offers[0].nominal == nominal
    assert [offer.nominal for offer in offers[1:]] == (["epics/lxt"] if run == 12 else [])
    read = {
        name: opened.column(name).data for name in (nominal, "tt/ttCorr", "tt/FLTPOS", "lightStatus/laser")
    }
    on, fitted = read["lightStatus/laser"] == 1, read["tt/FLTPOS"] != 0
    for offer in offers:
        delay = delay_of(opened, offer)
        np.testing.assert_allclose(
            delay[on & fitted], (read[nominal] * scale + read["tt/ttCorr"])[on & fitted], rtol=0, atol=1e-9
        )
        assert np.isnan(delay[on & ~fitted]).all()
        assert np.nanmin(delay) > -3  # the original's double counting makes it -4.6 to 16.5
        assert np.nanmax(delay) < 9
