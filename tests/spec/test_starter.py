import numpy as np
import pytest

import cubeengine as ce
from cubeengine.spec.axes import edges_of
from cubeengine.spec.check import check_document, check_fields
from cubeengine.spec.nice import centers_of, centers_over, listed_centers
from cubeengine.spec.starter import starter
from tests.makers.marked import wrapped, write_fields

SMALLDATA = [
    "smalldata_lcls1/xpptest01_Run0012.h5",
    "smalldata_lcls1/xpptest01_Run0013.h5",
    "smalldata_lcls2/serial_21.h5",
    "smalldata_lcls2/mpi_22.h5",
    "smalldata_lcls2/real_mixed_rate.h5",
    "smalldata_lcls2/real_intg_det.h5",
]

RAW = ["delayscan", "x21", "chunking", "intg_det", "multi-seg-epics", "single/test_epix_calib.xtc2"]


def checked(run, text):
    """The spec of a text that is right in itself and on the run."""
    found = check_document(text)
    assert found.problems == ()
    assert check_fields(found.spec, found.positions, run.fields) == []
    return found.spec


@pytest.mark.realdata
@pytest.mark.parametrize("name", SMALLDATA)
def test_the_starter_of_a_real_file_is_right_as_it_is(shared_data, name):
    run = ce.open_run(shared_data / name)
    spec = checked(run, starter(run))
    assert ce.plan(run, spec).bound.n_events.sum() > 0


@pytest.mark.realdata
@pytest.mark.parametrize("name", RAW)
def test_the_starter_of_a_raw_run_is_right_as_it_is(shared_data, name):
    run = ce.open_run(shared_data / "xtc2" / name)
    spec = checked(run, starter(run))
    assert spec.run.xtc == str(shared_data.resolve() / "xtc2" / name)
    assert (spec.run.experiment, spec.run.run) == (run.run_id.experiment, run.run_id.run)
    assert ce.plan(run, spec).bound.n_events.sum() > 0


@pytest.mark.realdata
def test_the_starter_of_a_raw_delay_scan_knows_codes_units_and_frames(shared_data):
    run = ce.open_run(shared_data / "xtc2" / "delayscan")
    text = starter(run, xtc=["a/xppx20415-r0057-s000-c000.xtc2", "a/xppx20415-r0057-s001-c000.xtc2"])
    spec = checked(run, text)
    assert spec.run.xtc == tuple(f"a/xppx20415-r{{run:04d}}-s00{n}-c000.xtc2" for n in range(2))
    assert spec.run.laser == "eventcode(`timing/raw/sequenceValues`, 90)"
    assert spec.run.xray == "eventcode(`timing/raw/sequenceValues`, 137)"
    assert spec.units == {"scan/lxt_delay_ps": "ps"}
    assert spec.to_dict()["axes"][0]["centers"] == {"start": -2, "stop": 3.5, "step": 0.5}
    fields = [signal.field for signal in spec.signals]
    assert fields[0] == "ipm2/raw/TotalIntensity"
    assert fields[-2:] == ["epixs/raw/array", "jungfrau/raw/raw"]
    assert "epixs/0/raw/array" not in fields
    assert "stages: [{calibrate: jungfrau.h5}]" in text
    on, off = ce.plan(run, spec).bound.n_events
    assert on.min() > 0
    assert off.min() > 0


@pytest.mark.realdata
def test_the_starter_of_both_names_both(shared_data):
    run = ce.open_run(shared_data / SMALLDATA[2], xtc=shared_data / "xtc2" / "x21")
    spec = checked(run, starter(run))
    assert spec.run.smalldata == str((shared_data / SMALLDATA[2]).resolve())
    assert spec.run.xtc == str(shared_data.resolve() / "xtc2" / "x21")
    assert {"epx/raw/img", "epx/ROI_0_area"} <= {signal.field for signal in spec.signals}


def words(*codes):
    """Event codes of 240 events, each given with the events that have it."""
    found = np.zeros((240, 18), np.uint16)
    for code, events in codes:
        found[events, code // 16] |= 1 << (code % 16)
    return {"timing__raw__sequenceValues": found}


EVERY = np.arange(240)


@pytest.mark.parametrize(
    ("codes", "laser", "xray"),
    [
        ([(90, EVERY % 3 > 0), (91, EVERY % 3 == 0), (137, EVERY > 4)], 90, "eventcode(`{}`, 137)"),
        ([(90, EVERY % 3 > 0), (91, EVERY % 2 == 0), (162, EVERY == 4)], None, "not eventcode(`{}`, 162)"),
        ([(90, EVERY >= 0)], None, None),
    ],
)
def test_event_codes_tell_laser_and_xrays_where_they_are_consistent(codes, laser, xray):
    run = memory_run(**words(*codes))
    run = ce.Run(ce.MemorySource({n: a for n, a in run.source.arrays.items() if n != "lightStatus/xray"}))
    spec = spec_of(run)
    name = "timing/raw/sequenceValues"
    expected = f"eventcode(`{name}`, {laser})" if laser else "lightStatus/laser"
    assert spec.run.laser == expected
    assert spec.run.xray == (xray.format(name) if xray else "lightStatus/xray")
    assert spec.cubes == (("on", "off") if laser else ("good",))


@pytest.mark.realdata
def test_a_stepped_scan_gets_a_bin_per_setting_and_level_off_counts(shared_data):
    run = ce.open_run(shared_data / SMALLDATA[0])
    spec = checked(run, starter(run))
    assert spec.units == {"scan/lxt": "s", "tt/ttCorr": "ps"}
    assert spec.axes[0].centers is not None
    np.testing.assert_array_equal(edges_of(spec.axes[0]), np.linspace(-2.25, 8.25, 22))
    on, off = ce.plan(run, spec).bound.n_events
    assert off.min() >= 7
    assert off.max() <= 9
    assert on.sum() > 780


@pytest.mark.realdata
def test_a_fast_scan_gets_round_bins_over_its_range(shared_data):
    run = ce.open_run(shared_data / SMALLDATA[1])
    spec = checked(run, starter(run))
    assert spec.derive["delay"].delay.nominal == "enc/lasDelay"
    assert spec.to_dict()["axes"][0]["centers"] == {"start": -2, "stop": 8, "step": 0.5}


def memory_run(n=240, **fields):
    rng = np.random.default_rng(5)
    usual = {"ipm2/sum": rng.normal(1, 0.2, n), "lightStatus/xray": np.ones(n, np.int64)}
    return ce.Run(ce.MemorySource({name.replace("__", "/"): v for name, v in {**usual, **fields}.items()}))


def spec_of(run):
    text = starter(run, smalldata="run.h5")
    return checked(run, text)


def test_a_run_that_is_no_scan_gets_one_bin():
    spec = spec_of(memory_run())
    assert (spec.axes, spec.cubes) == ((), ("good",))


def test_a_run_without_laser_off_events_gets_no_on_and_off():
    spec = spec_of(memory_run(lightStatus__laser=np.ones(240, np.int64)))
    assert spec.cubes == ("good",)


def test_a_motor_scan_gets_a_bin_per_setting():
    spec = spec_of(memory_run(scan__theta=np.repeat([1.0, 2.0, 4.0], 80)))
    assert spec.to_dict()["axes"] == [{"field": "scan/theta", "steps": "auto"}]
    assert spec.cube == "theta"


def test_a_motor_that_never_rests_gets_quantiles():
    spec = spec_of(memory_run(scan__theta=np.linspace(0, 1, 240)))
    assert spec.axes[0].quantiles == 25


def test_a_delay_scan_without_laser_field_counts_all_as_pumped():
    spec = spec_of(memory_run(scan__lxt_fast=np.repeat([0.0, 1e-12, 5e-12], 80)))
    assert spec.derive["delay"].delay.laser == "none"
    assert spec.to_dict()["axes"][0]["centers"] == [0, 1, 5]


def test_uneven_settings_are_the_labels_of_the_bins():
    settings = np.array([-10, -1, 0, 0.1, 0.3, 1, 3, 10, 30, 100])
    run = memory_run(
        scan__lxt=np.repeat(settings, 24) * 1e-12, lightStatus__laser=np.tile([1, 1, 1, 0], 60),
        signal=np.repeat(settings + 1000.0, 24),
    )  # fmt: skip
    spec = spec_of(run)
    assert spec.to_dict()["axes"] == [{"field": "delay", "centers": settings.tolist(), "unit": "ps"}]
    cube = ce.plan(run, spec.model_copy(update={"signals": (ce.Signal("signal"),)})).compute()
    assert cube["delay"].values.tolist() == settings.tolist()
    np.testing.assert_allclose(cube["signal_mean"], [settings + 1000] * 2, rtol=1e-14)


def test_frames_that_would_make_a_huge_cube_are_left_to_the_user():
    run = ce.Run(ce.MemorySource({"cam/big": np.zeros((2, 7000, 7000), np.uint8)}))
    text = starter(run, smalldata="run.h5")
    assert "  # - cam/big  # 7000 x 7000; 1.1 GiB in the cube" in text
    assert checked(run, text).signals == ()


def test_time_tools_of_an_older_generation_are_found():
    rng = np.random.default_rng(1)
    run = memory_run(
        scan__lxt=np.repeat(np.arange(3) * 1e-12, 80),
        lightStatus__laser=np.tile([1, 1, 0], 80),
        tt__TIMETOOL_FLTPOS_PS=rng.normal(0, 0.1, 240),
        tt__TIMETOOL_AMPL=np.full(240, 0.05),
    )
    spec = spec_of(run)
    assert spec.derive["delay"].delay.timetool == "tt/TIMETOOL_FLTPOS_PS"
    assert spec.select["pumped"].all[1].min == 0.015
    assert spec.select["off"].without == ("tt/*",)


def test_a_time_tool_without_a_single_good_event_is_no_obstacle():
    run = memory_run(
        scan__lxt=np.repeat(np.arange(3) * 1e-12, 80),
        lightStatus__laser=np.tile([-1, 0, 0], 80),
        lightStatus__xray=np.tile([1, 0, 0], 80),
        tt__ttCorr=np.where(np.arange(240) % 3 == 0, np.nan, np.arange(240)),
        tt__AMPL=np.full(240, np.nan),
    )
    assert spec_of(run).units["tt/ttCorr"] == "ps"


def test_settings_with_rounding_errors_become_round_centers():
    settings = np.array([-2e-12, -1.5e-12, -1e-12, 5.4999999999999996e-12 - 6e-12]) * 1e12
    assert centers_of(settings) == {"start": -2, "stop": -0.5, "step": 0.5}
    assert centers_of(np.array([0.0, 1.0, 3.0])) is None
    assert centers_of(np.array([9.1, 9.2, 9.3])) == {"start": 9.1, "stop": 9.3, "step": 0.1}
    assert listed_centers(np.array([-10.0, 3e-17, 0.1, 0.30000000000000004])) == [-10, 0, 0.1, 0.3]


def test_ranges_become_round_steps():
    assert centers_over(np.array([-0.013, 0.988]), 20) == {"start": 0, "stop": 1, "step": 0.1}
    spacing = centers_over(np.array([3e-5, 8e-5]), 25)
    assert spacing == {"start": 3e-5, "stop": 8e-5, "step": 2e-6}


def test_marks_that_stand_alone_are_declared_and_left_out_of_what_is_proposed(tmp_path):
    rng = np.random.default_rng(4)
    lacking = np.arange(600) % 10 == 3
    intensity = np.where(lacking, wrapped("u2"), rng.integers(800, 1200, 600)).astype("u2")
    flags = np.where(lacking, wrapped("u1"), 1).astype("u1")
    counts = np.where(lacking, wrapped("u1"), rng.poisson(97, 600)).astype("u1")
    fields = {"ipm2/sum": intensity, "evr/code_90": flags, "diode2/counts": counts}
    run = ce.open_run(write_fields(tmp_path / "run.h5", fields))
    text = starter(run)
    spec = checked(run, text)
    assert spec.missing == {"ipm2/sum": 31073, "evr/code_90": 97}
    assert "  ipm2/sum: 31073  # in 60 of 600 events" in text
    cut = next(member for member in spec.select["good"].all if getattr(member, "field", "") == "ipm2/sum")
    assert cut.max == pytest.approx(np.quantile(intensity[~lacking], 0.98), rel=0.01)
    cube = ce.plan(run, spec).compute()
    kept = ~lacking & (intensity >= cut.min) & (intensity <= cut.max)
    np.testing.assert_allclose(cube["ipm2__sum_mean"].values.ravel(), [intensity[kept].mean()])
