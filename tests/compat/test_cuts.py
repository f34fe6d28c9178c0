"""Selections through the facade; faults of the original's section 4."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import FieldNotFound, SpecError
from tests.compat.files import open_ana, told, write_run


def define(ana):
    ana.addCut("lightStatus/xray", 0.5, 1.5, "good")
    ana.addCut("ipm2/sum", 0.5, 2.0, "good")
    ana.addCut("tt/AMPL", 0.02, 1.0, "good")


def good(truth, *, timetool=True):
    columns = truth.columns
    kept = (columns["lightStatus/xray"] == 1) & (columns["ipm2/sum"] > 0.5) & (columns["ipm2/sum"] < 2.0)
    return kept & (columns["tt/AMPL"] > 0.02) if timetool else kept


def test_off_calls_leave_no_trace_in_later_calls(ana, truth, tmp_path):
    define(ana)
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other_truth = write_run(other_folder, seed=5)
    other = open_ana(other_truth)
    define(other)
    ignored = ["tt/AMPL"]

    for _ in range(3):
        off = ana.getFilter("good__off")
        ana.getFilter("good", ignored)
        on, _ = ana.getFilterLaser("good")
        laser = truth.columns["lightStatus/laser"]
        np.testing.assert_array_equal(off, good(truth, timetool=False) & (laser == 0))
        np.testing.assert_array_equal(on, good(truth) & (laser == 1))
        np.testing.assert_array_equal(ana.getFilter("good"), good(truth))
        np.testing.assert_array_equal(other.getFilter("good"), good(other_truth))
    assert ignored == ["tt/AMPL"]


def test_cuts_are_open_intervals_and_nan_fails_them(ana, truth):
    ipm3 = truth.columns["ipm3/sum"]
    low, high = np.nanmin(ipm3), np.nanmax(ipm3)
    ana.addCut("ipm3/sum", low, high, "open")

    np.testing.assert_array_equal(ana.getFilter("open"), (ipm3 > low) & (ipm3 < high))
    assert not ana.getFilter("open")[np.isnan(ipm3)].any()
    assert not ana.getFilter("open")[np.nanargmin(ipm3)]


def test_a_cut_takes_the_place_of_one_on_the_same_variable(ana, truth):
    ana.addCut("ipm2/sum", 0.5, 2.0, "good")
    ana.addCut("ipm2/sum", 1.0, 2.0, "good")

    assert ana.Sels["good"].cuts == [["ipm2/sum", 1.0, 2.0]]
    ana.removeCut("ipm2/sum", "good")
    assert ana.getFilter("good").all()


def test_cuts_on_arrays_are_on_their_sum(ana, truth):
    total = truth.columns["ipm2/channels"].sum(axis=1)
    ana.addCut("ipm2/channels", 0.8, 1.2, "sum")
    ana.addCut(["diode2/channels", 3], 0.5, np.inf, "one")

    np.testing.assert_array_equal(ana.getFilter("sum"), (total > 0.8) & (total < 1.2))
    np.testing.assert_array_equal(ana.getFilter("one"), truth.columns["diode2/channels"][:, 3] > 0.5)


def test_a_selection_follows_those_in_it_and_says_so(ana, truth):
    ana.addCut("ipm2/sum", 0.5, 2.0, "good")
    ana.addCut("good", useFilter="pumped")
    ana.addCut("tt/AMPL", 0.02, 1.0, "pumped")
    with told("'pumped' contains 'good', and changes with it"):
        ana.addCut("ipm2/sum", 1.0, 2.0, "good")

    assert ana.Sels["pumped"].cuts == [["ipm2/sum", 1.0, 2.0], ["tt/AMPL", 0.02, 1.0]]
    ana.removeCut("ipm2/sum", "pumped")
    assert ana.Sels["pumped"].cuts == [["tt/AMPL", 0.02, 1.0]]
    assert ana.Sels["good"].cuts == [["ipm2/sum", 1.0, 2.0]]
    with pytest.raises(SpecError, match="would contain itself"):
        ana.addCut("pumped", useFilter="good")


def test_off_leaves_out_all_cuts_that_need_the_laser(ana, truth):
    ana.addCut("ipm2/sum", 0.5, 2.0, "good")
    ana.addCut("tt/FLTPOSFWHM", 90, 110, "good")
    with told("laser is the nominal delay"):
        ana.addCut("delay", -1, 5, "good")

    with told("'good' for laser off skips its cuts on delay"):
        off = ana.getFilter("good__off")
    ipm2 = truth.columns["ipm2/sum"]
    np.testing.assert_array_equal(
        off, (ipm2 > 0.5) & (ipm2 < 2.0) & (truth.columns["lightStatus/laser"] == 0)
    )


def test_an_unknown_laser_is_neither_on_nor_off(tmp_path):
    laser = np.resize([1, 0, -1, 1], 420)
    ana = open_ana(write_run(tmp_path, {"lightStatus/laser": laser}))
    ana.addCut("ipm2/sum", -1, 100, "good")

    on, off = ana.getFilterLaser("good")
    np.testing.assert_array_equal(on, laser == 1)
    np.testing.assert_array_equal(off, laser == 0)


def test_laser_states_without_a_laser_field_are_an_error(tmp_path):
    ana = open_ana(write_run(tmp_path, {"lightStatus/laser": None}))
    ana.addCut("ipm2/sum", 0.5, 2.0, "good")

    with pytest.raises(FieldNotFound, match=r"'lightStatus/laser' is not in .*'good__on' needs it"):
        ana.getFilter("good__on")


def test_what_makes_no_selection_is_an_error(ana):
    ana.addCut("ipm2/sum", 0.5, 2.0, "good")
    with pytest.raises(SpecError, match="there is no selection 'goood'; nearest: 'good'"):
        ana.getFilter("goood")
    with pytest.raises(SpecError, match="useFilter='good'"):
        ana.addCut("ipm2/sum", 0.5, 2.0)
    with pytest.raises(SpecError, match="swap the limits"):
        ana.addCut("ipm2/sum", 2.0, 0.5, "good")
    with pytest.raises(SpecError, match="equal limits"):
        ana.addCut("ipm2/sum", 1.0, 1.0, "good")
    with pytest.raises(SpecError, match="'laser on' is not a name"):
        ana.addCut("ipm2/sum", 0.5, 2.0, "laser on")
    assert ana.getFilter(None).all()


def test_listings(ana, truth, tmp_path, capsys, monkeypatch):
    define(ana)
    kept = good(truth)
    ana.printSelections()
    assert capsys.readouterr().out == "good\n"
    ana.printCuts("good")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Cut 1: 0.5 < ipm2/sum < 2"
    assert lines[-1] == f"of 420 events {kept.sum()} pass filter"

    ana.getFilter("good__on", debug=True)
    assert "0.5 < ipm2/sum < 2" in capsys.readouterr().out.replace("`", "")

    first = ana.getSelIdx("good")[0]
    event = int(np.flatnonzero(kept)[0])
    assert first == ((event * 3 + 99_900) % 131_040, int(truth.timestamps[event]))
    monkeypatch.chdir(tmp_path)
    ana.saveFilter("chosen", "good")
    np.testing.assert_array_equal(np.loadtxt("chosen_Run012.txt"), kept)
