"""Bins and targets of cubes through the facade; faults of the original's section 7."""

from __future__ import annotations

from fractions import Fraction

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine import FieldNotFound, SpecError
from cubeengine.compat import SmallDataAna
from cubeengine.compat.bins import read_edges
from cubeengine.compat.differences import Teller
from cubeengine.demo import write_run as write_demo
from tests.compat.files import in_bins, open_ana, told, write_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::cubeengine.compat.differences.SmallDataAnaWarning"),
]


def cube_over(ana, variable, bins, **options):
    ana.addCube("cube", variable, bins, **options)
    ana.addToCube("cube", "ipm2/sum")
    return ana.makeCubeData("cube")


@pytest.mark.parametrize(
    ("bins", "edges"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1], [0, 1]),
        ([1, 0], [0, 1]),
        ([0.0, 1.0, 4], [0, 0.25, 0.5, 0.75, 1]),
        ([0, 1, 0.25], [0, 0.25, 0.5, 0.75, 1]),
        ([0, 1, 0.4], [0, 0.4, 0.8, 1]),
        ([0, 0.3, 0.1], [0, 0.1, 0.2, 0.3]),
        ([5, -5, 5.0], [-5, 0, 5]),
        (np.array([0.0, 1.0, 4.0]), [0, 1, 4]),
        (np.array([-5.0, 1.0, 2.0]), [-5, 1, 2]),
        (np.array([0.0, 1.0, 0.5]), [0, 0.5, 1]),
    ],
)
def test_bins_as_the_original_takes_them(bins, edges):
    np.testing.assert_array_equal(read_edges(bins, Teller()), edges)


@given(
    low=st.integers(-50, 50),
    steps=st.integers(1, 40),
    size=st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.5, 1.5, 7.0]),
    rest=st.sampled_from([0.0, 0.03]),
)
def test_ranges_meet_their_ends_and_step_evenly(low, steps, size, rest):
    high = float(Fraction(low) + steps * Fraction(str(size)) + Fraction(str(rest)))
    edges = read_edges([low, high, size], Teller())
    number = read_edges([low, high, steps], Teller())

    assert len(edges) == steps + 1 + (rest > 0)
    assert (edges[0], edges[-1]) == (number[0], number[-1]) == (low, high)
    assert (np.diff(edges) > 0).all()
    np.testing.assert_allclose(edges[: steps + 1], low + np.arange(steps + 1) * size, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(number, np.linspace(low, high, steps + 1), rtol=1e-12, atol=1e-12)


def test_what_has_several_values_per_event_is_no_axis(ana):
    with pytest.raises(SpecError, match="an axis needs one number"):
        cube_over(ana, "diode2/channels", [0, 1, 2, 3])


@pytest.mark.parametrize("bins", [[0, 0], [0, 1, 0.0], [0, 1, -0.5], [0, 1, 0]])
def test_bins_that_are_none(bins):
    with pytest.raises(SpecError, match=r"bins|edges|step"):
        read_edges(bins, Teller())


def test_edges_that_do_not_rise_are_an_error(ana):
    with pytest.raises(SpecError, match="must rise strictly"):
        cube_over(ana, "ipm2/sum", [0, 2, 1, 3])


def test_three_edges_are_two_bins(ana, truth):
    laser = truth.columns["lightStatus/laser"]
    with told(r"bins \[-0.5, 0.5, 1.5\] are taken as three edges"):
        cube = cube_over(ana, "lightStatus/laser", [-0.5, 0.5, 1.5])

    np.testing.assert_array_equal(cube.nEntries, [(laser == 0).sum(), (laser == 1).sum()])
    np.testing.assert_array_equal(cube.binVar_bins, [0, 1])


def test_one_number_is_a_step_or_a_number_of_bins(ana, truth):
    ipm2 = truth.columns["ipm2/sum"]
    steps = cube_over(ana, "ipm2/sum", [0.5])
    number = cube_over(ana, "ipm2/sum", [4])

    edges = np.arange(0, np.ceil(ipm2.max() / 0.5) + 1) * 0.5
    np.testing.assert_array_equal(steps.nEntries, np.histogram(ipm2, edges)[0])
    np.testing.assert_array_equal(number.nEntries, np.histogram(ipm2, 4)[0])
    assert steps.nEntries.sum() == number.nEntries.sum() == 420


@pytest.mark.parametrize("variable", ["delay", "scan/lxt"])
def test_no_bins_are_one_bin_per_setting(ana, truth, variable):
    cube = cube_over(ana, variable, [])

    assert cube.nEntries.shape == (21,)
    np.testing.assert_array_equal(cube.nEntries, np.full(21, 20))
    factor = 1 if variable == "delay" else 1e-12
    np.testing.assert_allclose(cube.binVar_bins, np.arange(-2, 8.1, 0.5) * factor, atol=1e-9 * factor)


def test_no_bins_need_a_scan(ana):
    with pytest.raises(SpecError, match="'ipm2/sum' needs bins, because the scan is of 'scan/lxt'"):
        cube_over(ana, "ipm2/sum", [])


@pytest.mark.parametrize(
    "added",
    [
        ["ipm2/sum", 0.0, 0.8, 1.2, 9.0],
        ["ipm2/sum", [0.0, 0.8, 1.2, 9.0]],
        ["ipm2/sum", np.array([0.0, 0.8, 1.2, 9.0])],
        {"ipm2/sum": [0.0, 0.8, 1.2, 9.0]},
    ],
)
def test_further_axes_as_a_list_or_a_dict(ana, truth, added):
    ana.addCube("cube", "lightStatus/laser", np.array([-0.5, 0.5, 1.5]), addBinVars=added)
    ana.addToCube("cube", ["ipm3/sum"])
    cube = ana.makeCubeData("cube")

    columns = truth.columns
    edges = [np.array([-0.5, 0.5, 1.5]), np.array([0.0, 0.8, 1.2, 9.0])]
    wanted = np.histogram2d(columns["lightStatus/laser"], columns["ipm2/sum"], edges)[0]
    assert cube.nEntries.dims == ("bins_lightStatus/laser", "bins_ipm2_sum")
    np.testing.assert_array_equal(cube.nEntries, wanted)


def test_the_definition_is_never_changed_by_making(ana):
    bins = np.linspace(-2.25, 8.25, 22)
    added = {"ipm2/sum": [0.0, 1.0, 2.0, 9.0]}
    ana.addCut("ipm2/sum", 0.1, 9, "good")
    ana.addCube("cube", "delay", bins, "good__on", addBinVars=added)
    ana.addToCube("cube", ["ipm3/sum", "diode2/channels"])
    before = ana.getCube("cube")
    first, second = ana.makeCubeData("cube"), ana.makeCubeData("cube")

    assert first.drop_attrs().identical(second.drop_attrs())
    assert ana.getCube("cube") is before
    assert before.useFilter == "good__on"
    assert list(ana.Sels) == ["good"]
    np.testing.assert_array_equal(bins, np.linspace(-2.25, 8.25, 22))
    assert added == {"ipm2/sum": [0.0, 1.0, 2.0, 9.0]}


def test_values_of_the_events_of_each_bin(ana, truth):
    ana.addCut("ipm2/sum", 0.2, 9, "good")
    ana.addCube("cube", "scan/lxt", [], "good__on")
    ana.addToCube("cube", "ipm3/sum")
    ana.addToCube("cube", ["ipm2/sum", "diode2/channels"], isIdxVar=True)
    cube, listed = ana.makeCubeData("cube")

    columns = truth.columns
    kept = (columns["ipm2/sum"] > 0.2) & (columns["lightStatus/laser"] == 1)
    np.testing.assert_array_equal(listed["keys"], cube.binVar_bins)
    for number, setting in enumerate(np.unique(columns["scan/lxt"])):
        events = kept & (columns["scan/lxt"] == setting)
        np.testing.assert_array_equal(listed["evttime"][number], truth.timestamps[events])
        np.testing.assert_array_equal(listed["fiducial"][number], ana.getVar("fiducials", events))
        np.testing.assert_array_equal(listed["ipm2/sum"][number], columns["ipm2/sum"][events])
        channels = columns["diode2/channels"][events]
        np.testing.assert_array_equal(listed["diode2/channels"][number], channels)


def test_events_of_each_bin_of_two_axes(ana, truth):
    edges = [0.0, 0.8, 1.2, 9.0]
    ana.addCube("cube", "lightStatus/laser", np.array([-0.5, 0.5, 1.5]), addBinVars={"ipm2/sum": edges})
    ana.addToCube("cube", "ipm3/sum")
    cube, listed = ana.makeCubeData("cube", returnIdx=True)

    columns = truth.columns
    assert [len(times) for times in listed["evttime"]] == cube.nEntries.values.ravel().tolist()
    events = (columns["lightStatus/laser"] == 1) & in_bins(columns["ipm2/sum"], 0.8, 1.2)
    np.testing.assert_array_equal(
        listed["evttime"][listed["keys"].index((1.0, 1.0))], truth.timestamps[events]
    )


def test_damaged_events_are_left_out_of_their_detector(tmp_path):
    truth = write_run(tmp_path)
    damaged = np.arange(420) % 7 == 3
    area = truth.columns["epix/ROI_0_area"].copy()
    area[damaged] = 1e6
    counts = truth.columns["jungfrau/ROI_0_area"].copy()
    truth = write_run(tmp_path, {"epix/ROI_0_area": area, "damage/epix": (~damaged).astype(np.int64)})
    ana = open_ana(truth)
    ana.addCube("cube", "scan/lxt", [], "")
    ana.addToCube("cube", ["epix/ROI_0_area", "jungfrau/ROI_0_area", "ipm2/sum"])
    with told("values of epix__ROI_0_area are left out because damage"):
        cube = ana.makeCubeData("cube")

    settings = np.unique(truth.columns["scan/lxt"])
    for number, setting in enumerate(settings):
        here = truth.columns["scan/lxt"] == setting
        mean = area[here & ~damaged].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(cube.epix__ROI_0_area[number] / cube.nEntries[number], mean, rtol=1e-12)
        total = counts[here].sum(axis=0)
        np.testing.assert_allclose(cube.jungfrau__ROI_0_area[number], total, rtol=1e-12)
        assert (cube.nEntries_epix__ROI_0_area[number] == (here & ~damaged).sum()).all()
    np.testing.assert_array_equal(cube.nEntries, np.full(21, 20))


def test_damage_of_raw_detectors_with_the_laser_on(tmp_path):
    write_demo(tmp_path, n_events=240)
    damaged = np.arange(240) % 5 == 2
    with h5py.File(tmp_path / "xppdemo20_Run0012.h5", "r+") as file:
        file["damage/jungfrau"] = (~damaged).astype(np.int64)
    ana = SmallDataAna("xppdemo20", 12, str(tmp_path), xtc=str(tmp_path / "xtc"), saved=None)
    ana.addCut("ipm2/sum", 0.1, 9, "good")
    ana.addCube("cube", "ipm2/sum", [0.0, 9.0], "good__on")
    ana.addToCube("cube", ["jungfrau/raw/raw", "ipm3/sum"])
    cube = ana.makeCubeData("cube")

    on = ana.getFilter("good__on")
    frames = ana.getVar("jungfrau/raw/raw", on & ~damaged)
    there = ~np.isnan(frames).any(axis=tuple(range(1, frames.ndim)))
    mean = frames[there].mean(axis=0, dtype=np.float64)
    found = (cube["jungfrau__raw__raw"] / cube.nEntries).values.reshape(mean.shape)
    np.testing.assert_allclose(found, mean, rtol=1e-12)
    assert int(cube.nEntries[0]) == on.sum()
    assert (cube["nEntries_jungfrau__raw__raw"] == there.sum()).all()


def test_settings_of_the_run_are_attached(ana):
    ana.addCube("cube", "scan/lxt", [])
    ana.addToCube("cube", ["UserDataCfg/epix/ped", "ipm2/sum"])

    np.testing.assert_array_equal(ana.makeCubeData("cube").UserDataCfg__epix__ped, np.full((12, 14), 20.0))


def test_what_cannot_be_a_cube_is_an_error_at_once(ana):
    with pytest.raises(FieldNotFound, match="'ipm2/summ'"):
        ana.addCube("cube", "ipm2/summ", [0, 1])
    with pytest.raises(SpecError, match="there is no selection 'good'"):
        ana.addCube("cube", "ipm2/sum", [0, 1], "good")
    ana.addCube("cube", "ipm2/sum", [0, 1])
    with pytest.raises(FieldNotFound, match="'epix/none'"):
        ana.addToCube("cube", "epix/none")
    with pytest.raises(SpecError, match="raw fields"):
        ana.addToCube("cube", {"source": "epix_2", "full": 1})
    with pytest.raises(SpecError, match="cubes of droplets"):
        ana.addToCube("cube", "droplet:epix_2/droplet:image")
    with pytest.raises(SpecError, match="there is no cube 'cub'; nearest: 'cube'"):
        ana.addToCube("cub", "ipm3/sum")


def test_cubes_are_listed(ana, capsys):
    ana.addCut("ipm2/sum", 0.1, 9, "good")
    ana.addCube("cube", "delay", [-1.0, 0.0, 1.0, 2.0], "good__on")
    ana.addToCube("cube", "ipm3/sum")

    assert ana.printCubes() == ["cube"]
    printed = capsys.readouterr().out
    assert "delay binned in [-1.0, 0.0, 1.0, 2.0]" in printed
    assert "Cut 0: 0.1 < ipm2/sum < 9" in printed
    assert "will bin: ['ipm3/sum']" in printed
