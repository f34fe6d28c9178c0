"""Fields through the facade; faults of the original's sections 1 and 2."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeengine import FieldNotFound, SourceFormatError, SpecError
from cubeengine.compat import SmallDataAna
from tests.compat.files import open_ana, told, write_run
from tests.makers.smalldata import write_joined, write_lcls2


def test_fields_of_different_lengths_are_not_padded(ana, truth):
    data = ana.xrData

    assert data.ipm2__channels.shape == (420, 4)
    assert data.diode2__channels.shape == (420, 16)
    np.testing.assert_array_equal(data.ipm2__channels, truth.columns["ipm2/channels"])


def test_threshold_does_not_change_the_data(ana, truth):
    above = ana.getRedVar("ipm2/channels", threshold=0.3)

    wanted = truth.columns["ipm2/channels"]
    np.testing.assert_array_equal(above, np.where(wanted < 0.3, 0, wanted))
    assert (above == 0).any()
    np.testing.assert_array_equal(ana.getVar("ipm2/channels"), wanted)
    np.testing.assert_allclose(ana.get1dVar("ipm2/channels", 0.3), above.sum(axis=1))
    np.testing.assert_allclose(ana.get1dVar("ipm2/channels"), wanted.sum(axis=1))


def test_lcls2_has_filters_and_events(tmp_path):
    truth = write_lcls2(tmp_path / "tmox42_Run0007.h5")
    ana = SmallDataAna("tmox42", 7, str(tmp_path), saved=None)
    ana.addCut("fim/pulse", 60, 100, "good")

    pulse = truth.columns["fim/pulse"]
    wanted = (pulse > 60) & (pulse < 100)
    np.testing.assert_array_equal(ana.getFilter("good"), wanted)
    on, off = ana.getFilterLaser("good")
    np.testing.assert_array_equal(on, wanted & (truth.columns["lightStatus/laser"] == 1))
    np.testing.assert_array_equal(off, wanted & (truth.columns["lightStatus/laser"] == 0))
    assert ana.nEvts() == 240
    assert ana.getSelIdx("good")[0] == (int(truth.timestamps[wanted][0]),)
    assert ana.xrData.time[0].dt.year == 2024  # the seconds count from 1990


def test_lcls2_without_a_delay_says_so_and_with_a_scan_has_one(tmp_path):
    path = write_lcls2(tmp_path / "tmox42_Run0007.h5").path
    ana = SmallDataAna("tmox42", 7, str(tmp_path), saved=None)
    with pytest.raises(SpecError, match="has no delay: no scan of lxt"):
        ana.getDelay()
    assert ana.getScanName() == "motor1"

    with h5py.File(path, "r+") as file:
        file["scan/lxt"] = file["scan/motor1"][:] * 1e-12
        del file["scan/motor1"]
    ana = SmallDataAna("tmox42", 7, str(tmp_path), saved=None)
    np.testing.assert_allclose(ana.getDelay(), np.arange(240) * 6 // 240 * 0.5 - 1.0, atol=1e-12)


def test_joined_files_of_lcls2_are_read_in_time_order(tmp_path):
    truth = write_joined(tmp_path, name="tmox42_Run0008")
    with told("not in time order; here all values are"):
        ana = SmallDataAna("tmox42", 8, str(tmp_path), saved=None)

    np.testing.assert_array_equal(ana.getVar("fim/pulse"), truth.columns["fim/pulse"])
    assert (np.diff(ana.xrData.time.values.astype(np.int64)) > 0).all()


@pytest.mark.realdata
def test_joined_files_of_the_newest_hdf5_are_read(shared_data):
    folder = shared_data / "smalldata_lcls2"
    with told("in time order"):
        newest = SmallDataAna(dirname=str(folder / "hdf5v2"), filename="mpi_22.h5", saved=None)
        older = SmallDataAna(dirname=str(folder), filename="mpi_22.h5", saved=None)

    pulse = newest.getVar("fim/pulse")
    assert pulse.shape == (240,)
    np.testing.assert_array_equal(pulse, older.getVar("fim/pulse"))


def test_missing_integers_are_nan_and_pass_no_cut(tmp_path):
    truth = write_lcls2(tmp_path / "tmox42_Run0007.h5")
    ana = SmallDataAna("tmox42", 7, str(tmp_path), saved=None)
    ana.addCut("epx/npix", -1e6, 1e6, "any")

    missing = truth.missing["epx/npix"]
    with told(r"missing values of epx/npix are NaN"):
        npix = ana.getVar("epx/npix")
    np.testing.assert_array_equal(np.isnan(npix), missing)
    np.testing.assert_array_equal(ana.getFilter("any"), ~missing)
    np.testing.assert_array_equal(np.isnan(ana.xrData.epx__npix), missing)
    np.testing.assert_array_equal(ana.xrData.epx__ROI_0_counts_valid, ~missing)
    counts = ana.getVar("epx/ROI_0_counts")
    np.testing.assert_array_equal(np.isnan(counts).all(axis=(1, 2)), missing)


def test_nan_in_a_filter_chooses_nothing(ana, truth):
    sums = truth.columns["epix/ROI_0_sum"]
    wanted = np.where(sums > np.median(sums), 1.0, 0.0)
    wanted[::3] = np.nan

    np.testing.assert_array_equal(ana.getVar("epix/ROI_0_sum", useFilter=wanted), sums[wanted == 1])


def test_values_are_numpy_arrays_with_regions_and_filters(ana, truth):
    area, sums = truth.columns["epix/ROI_0_area"], truth.columns["epix/ROI_0_sum"]
    bright = sums > np.median(sums)

    assert type(ana.getVar("epix/ROI_0_sum")) is np.ndarray
    np.testing.assert_array_equal(ana.getVar("epix/ROI_0_area"), area)
    np.testing.assert_array_equal(ana.getVar(["epix/ROI_0_area", [2, 5]]), area[:, 2:5])
    np.testing.assert_array_equal(ana.getVar(["epix/ROI_0_area", [2, 5, 1, 4]]), area[:, 2:5, 1:4])
    np.testing.assert_array_equal(
        ana.getVar(["diode2/channels", [3]]), truth.columns["diode2/channels"][:, 3]
    )
    np.testing.assert_array_equal(
        ana.getVar(["diode2/channels", 3], bright), ana.getVar(["diode2/channels", 3])[bright]
    )
    ana.addCut("epix/ROI_0_sum", np.median(sums), np.inf, "bright")
    np.testing.assert_array_equal(ana.getVar("epix/ROI_0_area", "bright"), area[bright])
    np.testing.assert_array_equal(ana.getVar("UserDataCfg/epix/ped"), np.full((12, 14), 20.0))


def test_events_without_a_finite_element_have_no_sum(tmp_path):
    truth = write_run(tmp_path)
    area = truth.columns["epix/ROI_0_area"].copy()
    area[3], area[4, 0, 0] = np.nan, np.nan
    ana = open_ana(write_run(tmp_path, {"epix/ROI_0_area": area}))

    with told("1 events have no finite element"):
        total = ana.get1dVar("epix/ROI_0_area")
    assert np.isnan(total[3])
    np.testing.assert_allclose(total[4], np.nansum(area[4], dtype=np.float64), rtol=1e-12)


def test_keys(ana, capsys):
    assert ana.hasKey("ipm2/sum")
    assert not ana.hasKey("ipm2/summ")
    assert ana.Keys("ttCorr") == ["tt/ttCorr"]
    assert set(ana.Keys2d()) == {"epix/ROI_0_area", "jungfrau/ROI_0_area"}
    assert all(key.startswith("UserDataCfg/") for key in ana.Keys(cfgOnly=True))
    ana.Keys("ipm2", printKeys=True)
    assert capsys.readouterr().out == "ipm2/channels\nipm2/sum\n"
    ana.printRunInfo()
    assert "events in" in (printed := capsys.readouterr().out)
    assert "scan of lxt with 21 points" in printed


def test_unknown_fields_are_errors_that_name_the_nearest(ana):
    with pytest.raises(FieldNotFound, match="nearest: 'ipm2/sum'"):
        ana.getVar("ipm2/summ")
    with pytest.raises(FieldNotFound, match="nearest: 'ipm2/sum'"):
        ana.addCut("ipm2/summ", 0, 1, "good")


def test_a_run_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(SourceFormatError, match=r"there is no smallData file; tried:\n.*xpptut15_Run0099"):
        SmallDataAna("xpptut15", 99, str(tmp_path))
    with pytest.raises(SpecError, match="needs an experiment and a run number"):
        SmallDataAna()


def test_runs_are_found_under_the_data_root(tmp_path, monkeypatch):
    folder = tmp_path / "xpp" / "xpptut15" / "hdf5" / "smalldata"
    folder.mkdir(parents=True)
    write_run(folder)
    monkeypatch.setenv("SIT_PSDM_DATA", str(tmp_path))
    ana = SmallDataAna("xpptut15", 12, saved=None)

    assert (ana.expname, ana.run, ana.runLabel) == ("xpptut15", 12, "Run012")
    assert Path(ana.fname) == folder / "xpptut15_Run0012.h5"


def test_added_arrays_must_fit_the_events(ana):
    with pytest.raises(SpecError, match=r"'mine' has 421 rows.*420 events"):
        ana.addVar("mine", np.arange(421.0))
    with pytest.raises(SpecError, match=r"'mine' has 419 rows"):
        ana.addVar("mine", np.arange(419.0))
    with pytest.raises(SpecError, match="is a field of"):
        ana.addVar("ipm2/sum", np.arange(420.0))
    assert not ana.hasKey("mine")


def test_added_arrays_are_variables_like_others(ana):
    ana.addVar("mine", np.arange(420.0))
    ana.addVar("two", np.ones((420, 2, 3)))
    ana.addCut("mine", 9.5, 100, "some")

    assert ana.getFilter("some").sum() == 90
    assert ana.getVar("two").shape == (420, 2, 3)
    ana.addVar("mine", np.zeros(420))
    assert not ana.getFilter("some").any()


def test_variables_assigned_to_the_dataset_are_found(ana, truth):
    ana.xrData = ana.xrData.assign(ratio=ana.xrData.ipm3__sum / ana.xrData.ipm2__sum)
    ana.xrData["twice"] = 2 * ana.xrData.ipm2__sum

    wanted = truth.columns["ipm3/sum"] / truth.columns["ipm2/sum"]
    np.testing.assert_array_equal(ana.getVar("ratio"), wanted)
    np.testing.assert_array_equal(ana.getVar("twice"), 2 * truth.columns["ipm2/sum"])
    with pytest.raises(SpecError, match="'short' has 5 rows"):
        ana.xrData = ana.xrData.assign(short=("other", np.arange(5.0)))
    assert not ana.hasKey("short")
    ana.addCut("ratio", 0.9, 1.1, "near")
    np.testing.assert_array_equal(ana.getFilter("near"), (wanted > 0.9) & (wanted < 1.1))
