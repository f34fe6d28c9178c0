"""Plots and scans through the facade; faults of the original's section 6."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from cubeengine import SpecError
from tests.compat.files import open_ana, told, write_run

pytestmark = pytest.mark.filterwarnings("ignore::cubeengine.compat.differences.SmallDataAnaWarning")


@pytest.fixture
def figure():
    return Figure()


def test_the_installed_matplotlib_draws(ana, figure):
    assert tuple(map(int, mpl.__version__.split(".")[:2])) >= (3, 9)  # where the original stops
    counts, _ = ana.plotVar("ipm2/sum", fig=figure)

    assert counts.sum() > 400
    assert figure.axes[0].get_xlabel() == "ipm2/sum"


def test_histogram_of_a_variable(ana, truth):
    ipm2 = truth.columns["ipm2/sum"]
    ana.addCut("ipm2/sum", 0.5, 1.0, "good")
    ana.addCut("lightStatus/laser", 0.5, 1.5, "good")
    counts, edges = ana.plotVar("ipm2/sum", 40, limits=[0, 2], plotWith="no_plot")
    chosen, _ = ana.plotVar("ipm2/sum", [40], "good", limits=[0, 2], plotWith="no_plot")
    _, percent = ana.plotVar("ipm2/sum", 40, plotWith="no_plot")

    np.testing.assert_array_equal(counts, np.histogram(ipm2, 40, (0, 2))[0])
    np.testing.assert_allclose(edges, np.linspace(0, 2, 41))
    on = truth.columns["lightStatus/laser"] == 1  # the cut on what is plotted is left out
    np.testing.assert_array_equal(chosen, np.histogram(ipm2[on], 40, (0, 2))[0])
    np.testing.assert_allclose(percent[[0, -1]], np.percentile(ipm2, [1, 99]))


def test_nan_does_not_move_the_limits_of_a_histogram(ana, truth):
    ipm3 = truth.columns["ipm3/sum"]
    counts, edges = ana.plotVar("ipm3/sum", 20, plotWith="no_plot")

    np.testing.assert_allclose(edges[[0, -1]], np.nanpercentile(ipm3, [1, 99]))
    assert counts.sum() == np.histogram(ipm3[np.isfinite(ipm3)], edges)[0].sum()


def test_arrays_are_plotted_as_their_sum_or_mean(ana, truth, figure):
    area = truth.columns["epix/ROI_0_area"]
    counts, _ = ana.plotVar(["epix/ROI_0_area", [2, 8, 1, 5]], 10, limits=[0, 100, "p"], fig=figure)
    image, rows, columns = ana.plotVar("epix/ROI_0_area", plotMultidimMean=True, plotWith="no_plot")
    line, _ = ana.plotVar("epix/azav_azav", plotMultidimMean=True)

    part = area[:, 2:8, 1:5].sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_array_equal(counts, np.histogram(part, 10)[0])
    np.testing.assert_allclose(image, area.mean(axis=0, dtype=np.float64))
    assert (rows.size, columns.size) == area.shape[1:]
    np.testing.assert_allclose(line, truth.columns["epix/azav_azav"].mean(axis=0, dtype=np.float64))
    with pytest.raises(SpecError, match="one number per event"):
        ana.plotVar("ipm2/sum", plotMultidimMean=True)


def test_two_variables(ana, truth, figure):
    x, y = truth.columns["ipm2/sum"], truth.columns["diode2/channels"][:, 3].astype(np.float64)
    first, second = ana.plotVar([["diode2/channels", [3]], "ipm2/sum"], limits=[0, 3], fig=figure)
    counts, extent = ana.plotVar(
        [["diode2/channels", [3]], "ipm2/sum"], [20, 30], limits=[0, 3], asHist=True, plotWith="no_plot"
    )

    shown = (x <= 3) & (y >= 0) & (y <= 3)
    np.testing.assert_array_equal(first, y[shown])
    np.testing.assert_array_equal(second, x[shown])
    assert figure.axes[0].get_xlabel() == "ipm2/sum"
    np.testing.assert_array_equal(counts, np.histogram2d(y, x, (20, 30), [[0, 3], [0, 3]])[0])
    assert extent.tolist() == [0, 3, 0, 3]
    with pytest.raises(SpecError, match="3 variables"):
        ana.plotVar(["ipm2/sum", "ipm3/sum", "tt/AMPL"])


def test_other_ways_to_draw_are_told(ana):
    with told("'bokeh_notebook' is not supported"):
        ana.plotVar("ipm2/sum", plotWith="bokeh_notebook")


def plain_scan(truth, kept):
    """Sum of signal over sum of i0 per setting."""
    setting = np.unique(truth.columns["scan/lxt"], return_inverse=True)[1][kept]
    signal, i0 = truth.columns["diode2/channels"][:, 3].astype(np.float64), truth.columns["ipm2/sum"]
    return np.bincount(setting, signal[kept]) / np.bincount(setting, i0[kept])


def test_scan_per_setting_with_errors(ana, truth, figure):
    ana.addCut("ipm2/sum", 0.3, 5, "good")
    ana.addCut("tt/AMPL", 0.02, 1, "good")
    ana.setDelay(use_ttCorr=False)
    found = ana.plotScan(["diode2/channels", [3]], "ipm2/sum", useFilter="good", fig=figure)

    columns = truth.columns
    good, laser = (columns["ipm2/sum"] > 0.3) & (columns["ipm2/sum"] < 5), columns["lightStatus/laser"]
    np.testing.assert_allclose(found["scanPoints"], np.arange(-2, 8.1, 0.5), atol=1e-9)
    np.testing.assert_allclose(
        found["scan"], plain_scan(truth, good & (laser == 1) & (columns["tt/AMPL"] > 0.02))
    )
    np.testing.assert_allclose(found["scanOff"], plain_scan(truth, good & (laser == 0)))
    np.testing.assert_array_equal(found["scanOffPoints"], found["scanPoints"])
    assert (found["scanErr"] > 0).all()
    assert (found["scanErr"] < 0.05).all()
    assert found["scanVarName"] == "lxt"
    assert found["plotVarName"] == "diode2__channels[3]/ipm2__sum"
    assert len(figure.axes) == 2  # curves and difference
    assert figure.axes[1].get_ylabel() == "on - off"


def test_scan_of_the_corrected_delay(ana, truth):
    delay = ana.getDelay()
    on = truth.columns["lightStatus/laser"] == 1
    edges = [-2.0, 0.0, 3.0, 6.0]
    found = ana.getScan("ipm3/sum", "", edges)
    number = ana.getScan("ipm3/sum", "", 7)
    width = ana.getScan("ipm3/sum", "", 0.5)

    ipm3 = truth.columns["ipm3/sum"]
    for i, mean in enumerate(found["scan"]):
        here = on & (delay >= edges[i]) & (delay < edges[i + 1]) & np.isfinite(ipm3)
        assert mean == pytest.approx(ipm3[here].mean(), rel=1e-12)
    assert found["scanPoints"].tolist() == [-1, 1.5, 4.5]
    assert len(number["scan"]) == 7
    np.testing.assert_allclose(np.diff(width["scanPoints"]), 0.5)


def test_scan_of_a_motor_without_a_laser(tmp_path):
    motor = np.repeat([0.0, 1.0, 2.0], 140)
    gone = {"scan/lxt": None, "scan/var0": None, "scan/varStep": None, "lightStatus/laser": None}
    truth = write_run(tmp_path, {**gone, "scan/motor": motor})
    found = open_ana(truth).plotScan("ipm2/sum", plotThis=False)

    wanted = truth.columns["ipm2/sum"].reshape(3, 140).mean(axis=1)
    np.testing.assert_allclose(found["scan"], wanted)
    assert found["scanPoints"].tolist() == [0, 1, 2]
    assert "scanOff" not in found
    assert found["scanVarName"] == "motor"


def test_scan_over_a_second_variable(ana, truth, figure):
    ana.setDelay(use_ttCorr=False)
    found = ana.plotScan("ipm3/sum", "ipm2/sum", binVar=["ipm2/sum", 4, 0.4, 1.6], fig=figure)

    columns = truth.columns
    assert found["scan"].shape == (4, 21)
    np.testing.assert_allclose(found["binPoints"], [0.55, 0.85, 1.15, 1.45])
    here = (columns["lightStatus/laser"] == 1) & (columns["ipm2/sum"] >= 0.7) & (columns["ipm2/sum"] < 1.0)
    here &= (columns["scan/lxt"] == np.unique(columns["scan/lxt"])[3]) & np.isfinite(columns["ipm3/sum"])
    wanted = columns["ipm3/sum"][here].sum() / columns["ipm2/sum"][here].sum()
    assert found["scan"][1, 3] == pytest.approx(wanted, rel=1e-12)
    assert figure.axes[0].get_ylabel() == "ipm2/sum"
    assert ana.plotScan("ipm3/sum", binVar="ipm2/sum", plotThis=False)["scan"].shape == (100, 21)


def test_the_delay_can_be_plotted_before_it_is_asked_for(ana, truth):
    counts, edges = ana.plotVar("delay", 20, limits=[-3, 9], plotWith="no_plot")

    np.testing.assert_array_equal(counts, np.histogram(ana.getDelay(), edges)[0])


def test_arguments_of_old_calls_are_taken(ana):
    with told("'linear' interpolation is not needed"):
        assert ana.plotScan("ipm3/sum", interpolation="linear", returnData=False, plotThis=False) == {}


def test_pictures_and_data_are_written_where_one_works(ana, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = ana.plotScan("ipm3/sum", "ipm2/sum", 10, saveFig=True, saveData=True, plotThis=False)

    rows = np.loadtxt("Scan_Run12.txt")
    np.testing.assert_allclose(rows[1], found["scan"])
    assert (tmp_path / "Scan_Run012.png").read_bytes().startswith(b"\x89PNG")
