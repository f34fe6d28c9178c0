"""Cubes through the facade; faults of the original's section 8."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from cubeengine import BudgetExceeded, SpecError
from tests.compat.files import in_bins, open_ana, told, write_run

pytestmark = pytest.mark.filterwarnings("ignore::cubeengine.compat.differences.SmallDataAnaWarning")

EDGES = [0.0, 0.6, 1.0, 1.4, 9.0]


def made(ana, targets, bins=EDGES, variable="ipm2/sum", **options):
    ana.addCube("cube", variable, bins, **options)
    ana.addToCube("cube", targets)
    return ana.makeCubeData("cube")


def test_one_axis_has_standard_deviations(ana, truth):
    cube = made(ana, ["diode2/channels", "epix/ROI_0_area"])

    for number in range(4):
        here = in_bins(truth.columns["ipm2/sum"], *EDGES[number : number + 2], last=number == 3)
        for field in ("diode2/channels", "epix/ROI_0_area"):
            wanted = truth.columns[field][here].std(axis=0, dtype=np.float64)
            np.testing.assert_allclose(cube[f"std_{field.replace('/', '__')}"][number], wanted, rtol=1e-9)
    assert "std_ipm2__sum" in cube


def test_bins_of_a_step_scan_are_labelled_by_its_settings(tmp_path):
    settings = np.array([-10, -1, 0, 0.1, 0.3, 1, 30])
    step = np.arange(420) // 60
    truth = write_run(tmp_path, {"scan/theta": settings[step], "scan/lxt": None, "ipm3/sum": step * 1.0})
    ana = open_ana(truth)
    cube = made(ana, ["ipm3/sum"], [], "scan/theta")
    assert cube.binVar_bins.values.tolist() == settings.tolist()
    assert (cube.ipm3__sum / cube.nEntries).values.tolist() == list(range(7))
    assert ana.makeCubeData("cube", returnIdx=True)[1]["keys"] == settings.tolist()


def test_sum_over_entries_is_the_mean_though_a_third_is_nan(tmp_path):
    truth = write_run(tmp_path)
    signal = truth.columns["ipm2/sum"] * 3.0
    signal[::3] = np.nan
    truth = write_run(tmp_path, {"ipm3/sum": signal})
    with told("are NaN or missing in bins that have events"):
        cube = made(open_ana(truth), ["ipm3/sum"])

    for number in range(4):
        here = in_bins(truth.columns["ipm2/sum"], *EDGES[number : number + 2], last=number == 3)
        mean = np.nanmean(signal[here])
        assert float(cube.ipm3__sum[number] / cube.nEntries[number]) == pytest.approx(mean, rel=1e-12)
        assert int(cube.nEntries[number]) == here.sum()
        assert int(cube.nEntries_ipm3__sum[number]) == np.isfinite(signal[here]).sum()
        assert int(cube.nEntries_ipm3__sum[number]) < here.sum()


def test_a_bin_of_nan_alone_is_nan_and_not_zero(tmp_path):
    truth = write_run(tmp_path)
    signal = np.where(truth.columns["ipm2/sum"] < 0.6, np.nan, 1.0)
    cube = made(open_ana(write_run(tmp_path, {"ipm3/sum": signal})), ["ipm3/sum"])

    assert cube.nEntries[0] > 0
    assert np.isnan(cube.ipm3__sum[0])
    assert np.isfinite(cube.ipm3__sum[1:]).all()


def test_empty_bins_have_no_entries(ana):
    with told("nEntries of an empty bin is 0"):
        cube = made(ana, ["ipm3/sum"], [-9.0, -8.0, 0.0, 9.0])

    assert cube.nEntries.values.tolist() == [0, 0, 420]
    assert cube.nEntries.dtype == np.int64
    assert np.isnan(cube.ipm3__sum.values[:2]).all()
    assert np.isnan(cube.std_ipm3__sum.values[:2]).all()
    filled = ana.makeCubeData("cube", replaceNan=True)
    assert filled.ipm3__sum.values[:2].tolist() == [0, 0]


def test_images_are_summed_in_double_precision(tmp_path):
    rng = np.random.default_rng(3)
    area = (1e6 + rng.random((420, 12, 14))).astype(np.float32)
    cube = made(open_ana(write_run(tmp_path, {"epix/ROI_0_area": area})), ["epix/ROI_0_area"], [0.0, 9.0])

    exact = area.sum(axis=0, dtype=np.float64)
    assert np.abs(area.sum(axis=0, dtype=np.float32) - exact).max() > 1
    np.testing.assert_allclose(cube.epix__ROI_0_area[0], exact, rtol=1e-14)


def test_labels_are_the_centres_of_the_bins(ana):
    one = made(ana, ["ipm3/sum"], [0, 1, 2, 4])
    two = made(ana, ["ipm3/sum"], [0, 1, 2, 4], addBinVars={"tt/AMPL": [0.0, 0.02, 0.06, 0.2]})

    assert one.binVar_bins.values.tolist() == [0.5, 1.5, 3.0]
    assert one.ipm3__sum.attrs["field"] == "ipm3/sum"
    assert "long_name" not in one.ipm3__sum.attrs  # that of the mean, or of the counts, would be wrong
    assert two["bins_ipm2/sum"].values.tolist() == [0.5, 1.5, 3.0]
    np.testing.assert_allclose(two.bins_tt_AMPL, [0.01, 0.04, 0.13])
    assert one.binVar_bins_bnds.values.tolist() == [[0, 1], [1, 2], [2, 4]]


def test_events_on_the_lowest_edge_are_in_the_first_bin(ana, truth):
    step = truth.columns["scan/varStep"]
    with told(r"exactly on the lowest edge: 20 of them"):
        cube = made(ana, ["ipm3/sum"], [0, 1, 2, 3, 4, 5], "scan/varStep")

    np.testing.assert_array_equal(cube.nEntries, np.histogram(step, [0, 1, 2, 3, 4, 5])[0])
    assert cube.nEntries.values.tolist() == [20, 20, 20, 20, 40]  # the last bin has both its edges


def test_several_axes_agree_with_plain_numpy(ana, truth):
    columns, lasers = truth.columns, [-0.5, 0.5, 1.5]
    cube = made(ana, ["ipm3/sum", "epix/azav_azav"], addBinVars={"lightStatus/laser": np.array(lasers)})

    for i, j in np.ndindex(4, 2):
        here = in_bins(columns["ipm2/sum"], *EDGES[i : i + 2], last=i == 3) & (
            columns["lightStatus/laser"] == j
        )
        azav, ipm3 = columns["epix/azav_azav"][here].astype(np.float64), columns["ipm3/sum"][here]
        assert int(cube.nEntries[i, j]) == here.sum()
        np.testing.assert_allclose(cube.epix__azav_azav[i, j], azav.sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(cube.std_epix__azav_azav[i, j], azav.std(axis=0), rtol=1e-9)
        np.testing.assert_allclose(cube.std_ipm3__sum[i, j], np.nanstd(ipm3), rtol=1e-9)


def test_onoff_takes_the_place_of_what_the_selection_says(ana, truth):
    ana.addCut("tt/AMPL", 0.02, 1.0, "good")
    ana.addCube("cube", "ipm2/sum", [0.0, 9.0], "good")
    ana.addToCube("cube", "ipm3/sum")

    laser, found = truth.columns["lightStatus/laser"], truth.columns["tt/AMPL"] > 0.02
    assert int(ana.makeCubeData("cube").nEntries[0]) == found.sum()
    assert int(ana.makeCubeData("cube", onoff=1).nEntries[0]) == (found & (laser == 1)).sum()
    assert int(ana.makeCubeData("cube", onoff=0).nEntries[0]) == (laser == 0).sum()


def test_a_selection_without_events_makes_empty_bins(ana):
    ana.addCut("ipm2/sum", 100, 200, "none")
    cube = made(ana, ["ipm3/sum"], useFilter="none")

    assert cube.nEntries.values.tolist() == [0, 0, 0, 0]
    assert np.isnan(cube.ipm3__sum).all()


def test_the_memory_for_a_cube_can_be_said(ana):
    ana.addCube("cube", "ipm2/sum", EDGES)
    ana.addToCube("cube", "epix/ROI_0_area")
    with pytest.raises(BudgetExceeded, match="memory"):
        ana.makeCubeData("cube", memory="1 MiB")
    assert ana.makeCubeData("cube", memory="3 GiB").nEntries.sum() == 420


def test_cubes_are_written_beside_the_data(ana, tmp_path, capsys):
    ana.addCube("cube", "delay", [-2.0, 0.0, 2.0, 4.0])
    ana.addToCube("cube", ["ipm3/sum", "epix/azav_azav"])
    cube = ana.makeCubeData("cube", toHdf5="h5netcdf", debug=True)
    ana.makeCubeData("cube", toHdf5="h5", onoff=1)

    printed = capsys.readouterr().out
    assert "delay binned in" in printed
    assert "memory" in printed  # the plan
    with xr.open_dataset(tmp_path / "Cube_xpptut15_Run012_cube.nc", engine="h5netcdf") as stored:
        assert stored.drop_attrs().equals(cube.drop_attrs())
    with h5py.File(tmp_path / "Cube_xpptut15_Run012_cube_laserOn.h5") as file:
        assert {"nEntries", "ipm3__sum", "std_ipm3__sum", "binVar_bins"} <= set(file)
        assert file["epix__azav_azav"].shape == (3, 10)
    with pytest.raises(SpecError, match="toHdf5 'zarr'"):
        ana.makeCubeData("cube", toHdf5="zarr")
