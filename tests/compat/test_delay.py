"""Delay and scan through the facade; faults of the original's section 5."""

from __future__ import annotations

import numpy as np
import pytest

from tests.compat.files import open_ana, told, write_run

QUIET = pytest.mark.filterwarnings("ignore::cubeengine.compat.differences.SmallDataAnaWarning")


def corrected(truth):
    """Nominal delay, with the time tool where the laser is on."""
    laser = truth.columns["lightStatus/laser"] == 1
    return truth.columns["scan/lxt"] * 1e12 + np.where(laser, truth.columns["tt/ttCorr"], 0)


def test_motion_that_epics_repeats_is_not_added_twice(ana, truth):
    with told("epics/lxt on top, which counts the same motion twice"):
        delay = ana.getDelay()

    np.testing.assert_allclose(delay, corrected(truth), atol=1e-9)
    assert -3.2 < delay.min() < -2
    assert 8 < delay.max() < 9.2


@QUIET
def test_delay_is_a_variable(ana, truth):
    np.testing.assert_allclose(ana.getVar("delay"), corrected(truth), atol=1e-9)
    ana.addCut("delay", 0, 1, "early")
    np.testing.assert_array_equal(ana.getFilter("early"), (corrected(truth) > 0) & (corrected(truth) < 1))
    assert ana.hasKey("delay")
    np.testing.assert_array_equal(ana.xrData.delay, ana.getDelay())


@QUIET
def test_what_is_asked_for_is_what_is_given(ana, truth):
    nominal = truth.columns["scan/lxt"] * 1e12
    ana.getDelay()

    np.testing.assert_allclose(ana.getDelay(use_ttCorr=False), nominal, atol=1e-9)
    np.testing.assert_allclose(ana.getDelay(), nominal, atol=1e-9)  # as it was set
    np.testing.assert_allclose(ana.getDelay(reset=True), corrected(truth), atol=1e-9)
    ana.setDelay(use_ttCorr=False)
    np.testing.assert_allclose(ana.getVar("delay"), nominal, atol=1e-9)


@QUIET
def test_an_encoder_is_added_to_a_scan_where_that_is_asked_for(tmp_path):
    stage = 3 * np.sin(np.arange(420.0))
    truth = write_run(tmp_path, {"enc/lasDelay": stage})

    delay = open_ana(truth).getDelay(use_ttCorr=False, addEnc=True)
    np.testing.assert_allclose(delay, truth.columns["scan/lxt"] * 1e12 + stage, atol=1e-9)


def test_what_moves_alike_is_never_added(ana, truth, tmp_path):
    nominal = truth.columns["scan/lxt"] * 1e12
    with told("enc/lasDelay on top|epics/lxt on top"):
        delay = ana.getDelay(use_ttCorr=False, addEnc=True)
    np.testing.assert_allclose(delay, nominal, atol=1e-9)

    folder = tmp_path / "other"
    folder.mkdir()
    position = np.linspace(-3, 7, 420)
    changes = {"scan/lxt": None, "scan/var0": None, "scan/varStep": None}
    changes |= {"enc/lasDelay": position, "epics/lxt": position * 1e-12}
    other = open_ana(write_run(folder, changes), units={"enc/lasDelay": "ps"})
    with told("the delay is enc/lasDelay alone"):
        delay = other.getDelay(use_ttCorr=False)
    np.testing.assert_allclose(delay, position, atol=1e-9)


def test_a_delay_made_anew_is_told(ana):
    with told("time tool"):
        ana.getDelay()
    with told("computed again"):
        ana.getDelay(use_ttCorr=False)


def test_events_without_laser_have_the_nominal_delay(ana, truth):
    with told("70 events without laser is the nominal delay"):
        delay = ana.getDelay()

    off = truth.columns["lightStatus/laser"] == 0
    assert off.sum() == 70
    np.testing.assert_allclose(delay[off], truth.columns["scan/lxt"][off] * 1e12, atol=1e-9)


@QUIET
@pytest.mark.parametrize("name", ["enc/lasDelay", "enc/lasDelay2", "enc/ch0"])
def test_encoders_come_after_the_scan_and_the_phase_is_added_to_them(tmp_path, name):
    position = np.linspace(-3, 7, 420)
    changes = {"scan/lxt": None, "scan/var0": None, "scan/varStep": None, "enc/lasDelay": None}
    changes |= {"epics/lxt": np.full(420, 2e-12), name: position}
    truth = write_run(tmp_path, changes)
    on = truth.columns["lightStatus/laser"] == 1
    correction = np.where(on, truth.columns["tt/ttCorr"], 0)

    np.testing.assert_allclose(open_ana(truth).getDelay(), position + 2 + correction, atol=1e-9)
    np.testing.assert_allclose(open_ana(truth).getDelay(addLxt=False), position + correction, atol=1e-9)


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "ps"), (1e-12, "s")])
def test_the_unit_of_an_encoder_is_declared_or_told(tmp_path, factor, unit):
    position = np.linspace(-3, 7, 420)
    gone = {"scan/lxt": None, "scan/var0": None, "scan/varStep": None, "epics/lxt": None}
    truth = write_run(tmp_path, {**gone, "enc/lasDelay": position * factor})
    with told(f"unit of enc/lasDelay is not declared: by convention it is {unit}"):
        by_convention = open_ana(truth).getDelay(use_ttCorr=False)
    declared = open_ana(truth, units={"enc/lasDelay": unit}).getDelay(use_ttCorr=False)

    np.testing.assert_allclose(by_convention, position, atol=1e-9)
    np.testing.assert_array_equal(declared, by_convention)
    wrong = open_ana(truth, units={"enc/lasDelay": "fs"}).getDelay(use_ttCorr=False)
    np.testing.assert_allclose(wrong, position * factor / 1000, atol=1e-12)  # what is declared counts


@QUIET
def test_declared_units_of_time_tool_and_phase_count(tmp_path):
    position = np.linspace(-3, 7, 420)
    changes = {"scan/lxt": None, "scan/var0": None, "scan/varStep": None, "enc/lasDelay": position}
    truth = write_run(tmp_path, {**changes, "epics/lxt": np.full(420, 2.0)})
    ana = open_ana(truth, units={"enc/lasDelay": "ps", "tt/ttCorr": "fs", "epics/lxt": "ps"})

    on = truth.columns["lightStatus/laser"] == 1
    correction = np.where(on, truth.columns["tt/ttCorr"] / 1000, 0)
    np.testing.assert_allclose(ana.getDelay(), position + 2 + correction, atol=1e-9)


@QUIET
@pytest.mark.parametrize("base", ["tt/XPP_TIMETOOL_", "tt/TIMETOOL_", "tt/TTSPEC_"])
def test_older_names_of_the_time_tool(tmp_path, base):
    shift = np.sin(np.arange(420.0))
    changes = {"tt/ttCorr": None, "tt/AMPL": None, "tt/FLTPOS_PS": None, "ttCorr/tt": np.zeros(420)}
    truth = write_run(tmp_path, {**changes, f"{base}AMPL": np.ones(420), f"{base}FLTPOS_PS": shift})
    ana = open_ana(truth)

    on = truth.columns["lightStatus/laser"] == 1
    wanted = truth.columns["scan/lxt"] * 1e12 + np.where(on, shift, 0)
    np.testing.assert_allclose(ana.getDelay(), wanted, atol=1e-9)
    assert (ana.ttCorr, ana.ttBaseStr) == ("ttCorr/tt", base)


@QUIET
def test_scan(ana, truth, tmp_path):
    assert ana.getScanName() == "lxt"
    name, values = ana.getScanValues()
    assert name == "lxt"
    np.testing.assert_allclose(values, corrected(truth), atol=1e-9)

    folder = tmp_path / "other"
    folder.mkdir()
    motor = np.resize(np.repeat([0.0, 1.0, 2.0], 140), 420)
    gone = {"scan/lxt": None, "scan/var0": None, "scan/varStep": None}
    other = open_ana(write_run(folder, {**gone, "scan/motor": motor}))
    assert other.getScanName() == "motor"
    np.testing.assert_array_equal(other.getScanValues()[1], motor)
    other = open_ana(write_run(folder, {**gone, "scan/motor": np.ones(420)}))
    assert other.getScanName() == ""
    assert other.getScanValues()[0] == "delay (tt corrected) [ps]"
    many = open_ana(write_run(folder, {"scan/motor": motor}))
    assert many.getScanName() == ["lxt", "motor"]
    assert len(many.getScanValues()[1]) == 2
