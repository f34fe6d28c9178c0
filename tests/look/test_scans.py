"""Scans against plain loops over the bins, and their errors against many repeated runs."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import cubeengine as ce
from cubeengine import look
from cubeengine.errors import SpecError
from cubeengine.look.moments import moments_of
from cubeengine.look.ratios import ratio_of_means
from cubeengine.session.session import Session
from tests.look.runs import odd_run, pump_probe, tiny_windows
from tests.planning.runs import DELAY, delay_scan, memory_run, plan_of


def columns(run):
    return {name: run.column(name).data for name in run.fields}


def by_loop(run, laser: int, step: float, *, by_event: bool = False) -> tuple[float, float, int]:
    """Ratio, its error and count in one step, shot by shot."""
    c = columns(run)
    chosen = (c["lightStatus/laser"] == laser) & (c["scan/lxt"] == step)
    chosen &= np.isfinite(c["diode"]) & np.isfinite(c["ipm2/sum"])
    y, x = c["diode"][chosen], c["ipm2/sum"][chosen]
    if by_event:
        ratio = y[x != 0] / x[x != 0]
        return ratio.mean(), ratio.std(ddof=1) / np.sqrt(len(ratio)), len(ratio)
    value = y.sum() / x.sum()
    n = len(y)
    return value, np.sqrt(((y - value * x) ** 2).sum() / (n - 1) / n) / abs(x.mean()), n


@pytest.mark.parametrize("statistic", ["ratio_of_means", "mean_of_ratio"])
@pytest.mark.parametrize("window", [10**6, 61])
def test_curves_are_those_of_a_loop(monkeypatch, window, statistic):
    tiny_windows(monkeypatch, window)
    run = pump_probe()
    found = look.scan_curve(run, "diode", "ipm2/sum", statistic=statistic)
    assert found["selection"].values.tolist() == ["on", "off"]
    for step, at in enumerate(np.unique(columns(run)["scan/lxt"])):
        for curve, laser in (("on", 1), ("off", 0)):
            one = found.isel(scan__lxt=step).sel(selection=curve)
            value, error, count = by_loop(run, laser, at, by_event=statistic == "mean_of_ratio")
            np.testing.assert_allclose([one["value"], one["error"]], [value, error], rtol=1e-9)
            assert one["count"] == count
        np.testing.assert_allclose(found["position"][step], at)


def test_difference_has_errors_in_quadrature():
    found = look.scan_curve(pump_probe(), "diode", "ipm2/sum")
    on, off = (found.sel(selection=name) for name in ("on", "off"))
    np.testing.assert_array_equal(found["difference"], on["value"] - off["value"])
    np.testing.assert_allclose(found["difference_error"], np.hypot(on["error"], off["error"]))
    assert found["difference"][-1] == pytest.approx(0.5, abs=0.03)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3.0), st.integers(2, 50))
def test_error_of_a_ratio_is_that_of_its_residuals(seed, slope, n):
    rng = np.random.default_rng(seed)
    x = rng.gamma(4.0, 0.25, n)
    y = slope * x + rng.normal(0, 0.1, n)
    value, error = ratio_of_means(moments_of(np.stack([y, x]), np.zeros(n, int), 1))
    residual = y - value[0] * x
    np.testing.assert_allclose(value, y.mean() / x.mean(), rtol=1e-12)
    np.testing.assert_allclose(error, np.sqrt(residual @ residual / (n - 1) / n) / x.mean(), rtol=1e-6)


def test_errors_are_the_spread_of_repeated_runs_though_signal_follows_intensity():
    rng = np.random.default_rng(11)
    trials, n = 3000, 200
    x = rng.gamma(9.0, 1 / 9.0, (trials, n))
    y = 2.0 * x + 0.5 * x**2 + rng.normal(0, 0.1, (trials, n))
    values, groups = np.stack([y.ravel(), x.ravel()]), np.repeat(np.arange(trials), n)
    value, error = ratio_of_means(moments_of(values, groups, trials))
    np.testing.assert_allclose(np.sqrt((error**2).mean()), value.std(), rtol=0.05)
    alone = np.hypot(y.std(axis=1) / y.mean(axis=1), x.std(axis=1) / x.mean(axis=1)) * value / np.sqrt(n)
    assert alone.mean() > 5 * value.std()  # what neglecting the covariance would claim


def test_bins_without_events_have_no_value():
    found = look.scan_curve(pump_probe(), "diode", axis="scan/lxt", bins=[0.0, 1e-12, 2e-12, 9e-12, 1e-11])
    assert found["count"][:, -1].values.tolist() == [0, 0]
    for name in ("value", "error"):
        assert np.isnan(found[name][:, -1]).all()
    assert np.isnan(found["difference"][-1])


def test_one_event_has_no_error_and_zero_intensity_no_ratio():
    run = memory_run({"s": [1.0, 2.0, 3.0], "i": [2.0, 0.0, 0.0], "at": [0.0, 1.0, 1.0]})
    found = look.scan_curve(run, "s", "i", axis="at", bins=[-0.5, 0.5, 1.5])
    assert found["value"][0, 0] == 0.5
    assert np.isnan(found["error"][0, 0])
    assert np.isnan(found["value"][0, 1])
    by_event = look.scan_curve(run, "s", "i", axis="at", bins=[-0.5, 0.5, 1.5], statistic="mean_of_ratio")
    assert by_event.attrs["n_missing"] == [2]


def test_every_event_is_accounted_for():
    run = pump_probe()
    found = look.scan_curve(run, "diode", "ipm2/sum", bins=[0.5e-12, 2.5e-12])
    laser = columns(run)["lightStatus/laser"]
    for number, state in enumerate((1, 0)):
        told = [found.attrs[f"n_{what}"][number] for what in ("events", "missing", "outside")]
        assert sum(told) == (laser == state).sum()
        assert min(told) > 0


def test_without_intensity_the_mean_of_a_cube_comes_out():
    run = delay_scan()
    text = DELAY + (
        "select: {on: {laser: on}, off: {laser: off}}\ncubes: [on, off]\n"
        "axes: [{field: delay, edges: {start: -1, stop: 3, step: 0.5}}]\nsignals: [ipm2/sum]"
    )
    plan = plan_of(run, text)
    cube = plan.compute(workers=1)
    axis = ce.Axis(field="delay", edges={"start": -1, "stop": 3, "step": 0.5})
    found = look.scan_curve(plan.bound.run, "ipm2/sum", axis=axis)
    np.testing.assert_array_equal(found["count"], cube["ipm2__sum_count"].broadcast_like(found["count"]))
    np.testing.assert_allclose(found["value"], cube["ipm2__sum_mean"], rtol=1e-12)
    np.testing.assert_allclose(found["error"], ce.sem(cube, "ipm2__sum"), rtol=1e-9)
    np.testing.assert_allclose(found["delay_low"], cube["delay_bnds"][:, 0])


def test_laser_off_events_are_not_asked_for_the_time_tool():
    run = pump_probe()
    found = look.scan_curve(run, "diode", "ipm2/sum", select=["`tt/AMPL` > 0.02", "`ipm2/sum` > 0.1"])
    c = columns(run)
    off = (c["lightStatus/laser"] == 0) & (c["ipm2/sum"] > 0.1)
    assert found.attrs["n_events"][1] + found.attrs["n_missing"][1] == off.sum()
    on = (c["lightStatus/laser"] == 1) & (c["ipm2/sum"] > 0.1) & (c["tt/AMPL"] > 0.02)
    assert found.attrs["n_events"][0] + found.attrs["n_missing"][0] == on.sum()


def test_curves_can_be_chosen():
    run = pump_probe()
    found = look.scan_curve(run, "diode", curves={"weak": "`ipm2/sum` < 1", "all": None})
    assert found["selection"].values.tolist() == ["weak", "all"]
    assert "difference" not in found  # events in both
    with pytest.raises(SpecError, match=r"no difference: .* found weak, all"):
        look.plot_scan(run, "diode", curves={"weak": "`ipm2/sum` < 1", "all": None}, show="difference")


def test_cut_that_mixes_the_time_tool_with_others_is_refused_with_the_way_out():
    run, mixed = pump_probe(), "`tt/AMPL` > 0.02 * `ipm2/sum`"
    with pytest.raises(SpecError, match=r"cannot leave out 'tt/AMPL'.*give the curves"):
        look.scan_curve(run, "diode", select=mixed)
    asked = look.scan_curve(run, "diode", select=mixed, without=())
    assert asked["selection"].values.tolist() == ["on"]  # no laser-off event has an amplitude


def test_selections_of_a_session_are_compared_by_name():
    session = Session(pump_probe())
    session.select("on", laser="on")
    session.select("off", laser="off")
    found = look.scan_curve(session, "diode", "ipm2/sum", curves=["off", "on"])
    plain = look.scan_curve(pump_probe(), "diode", "ipm2/sum")
    np.testing.assert_array_equal(found["difference"], -plain["difference"])
    assert found["difference"].attrs["long_name"] == "off - on"


def test_run_without_laser_has_one_curve():
    found = look.scan_curve(odd_run(), "y", axis="n")
    assert found["selection"].values.tolist() == ["all"]
    assert found["n"].size == 12


def test_variable_that_is_not_stepped_gets_bins():
    assert look.scan_curve(odd_run(), "y", axis="x").sizes["x"] == 50
    assert look.scan_curve(odd_run(), "y", axis="sum(`wide`)", bins=7)["value"].shape == (1, 7)


def test_units_are_those_of_a_ratio():
    found = look.scan_curve(pump_probe(), "diode", "ipm2/sum")
    assert found["value"].attrs["units"] == "V/mJ"
    assert found["scan__lxt"].attrs["units"] == "s"


def test_mistakes_are_answered():
    run = pump_probe()
    with pytest.raises(SpecError, match="'ratio_of_means' or 'mean_of_ratio', got 'ratio'"):
        look.scan_curve(run, "diode", "ipm2/sum", statistic="ratio")
    with pytest.raises(SpecError, match="is not a scan; give the axis"):
        look.scan_curve(odd_run(), "x")
    with pytest.raises(SpecError, match="leave out bins"):
        look.scan_curve(run, "diode", axis=ce.Axis(field="scan/lxt", steps="auto"), bins=3)
    with pytest.raises(SpecError, match="not both"):
        look.plot_scan(run, "diode", show="both", ax=look.plot_histogram(run, "diode"))


# Pictures


def drawn(ax) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return x, y and error bars of all curves."""
    found = []
    for container in ax.containers:
        line, _, (bars,) = container.lines
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        found.append((*line.get_data(), (ends[:, 1] - ends[:, 0]) / 2))
    return found


def test_points_and_bars_are_the_data():
    found = look.scan_curve(pump_probe(), "diode", "ipm2/sum")
    ax = look.plot_scan(pump_probe(), "diode", "ipm2/sum")
    upper, lower = ax.figure.axes
    assert ax is upper
    for (x, y, error), name in zip(drawn(upper), ("on", "off"), strict=True):
        one = found.sel(selection=name)
        np.testing.assert_array_equal(x, found["position"])
        np.testing.assert_array_equal(y, one["value"])
        np.testing.assert_allclose(error, one["error"], rtol=1e-6)
    ((_, y, error),) = drawn(lower)
    np.testing.assert_array_equal(y, found["difference"])
    np.testing.assert_allclose(error, found["difference_error"], rtol=1e-6)
    assert lower.get_ylabel() == "on - off (V/mJ)"
    assert upper.get_ylabel() == "diode / ipm2/sum (V/mJ)"
    assert lower.get_xlabel() == "scan/lxt (ps)"


def test_legend_says_events_and_statistic():
    ax = look.plot_scan(pump_probe(), "diode", "ipm2/sum", select="`ipm2/sum` > 0.5", show="curves")
    found = look.scan_curve(pump_probe(), "diode", "ipm2/sum", select="`ipm2/sum` > 0.5")
    on, off = ax.get_legend_handles_labels()[1]
    assert on == f"on: n = {found.attrs['n_events'][0]:,}, {found.attrs['n_missing'][0]} missing"
    assert off.startswith("off: n = ")
    title = ax.get_legend().get_title().get_text().replace("\n", " ")
    assert title == "ipm2/sum > 0.5; ratio of means, standard errors"


def test_small_numbers_are_written_at_their_ticks():
    ax = look.plot_scan(pump_probe(unit=None), "diode", show="curves")
    ax.figure.canvas.draw()
    assert ax.xaxis.get_offset_text().get_text() == ""
    assert "2e-12" in [label.get_text() for label in ax.get_xticklabels()]


def test_given_axes_get_curves_or_difference():
    ax = look.plot_histogram(pump_probe(), "diode").figure.add_subplot()
    assert look.plot_scan(pump_probe(), "diode", ax=ax) is ax
    assert len(ax.containers) == 2
    assert isinstance(look.scan_curve(pump_probe(), "diode"), xr.Dataset)


def uneven_scan():
    """Uneven settings, each with the laser on and off, and readings while the motor moved."""
    settings = np.array([-10, -1, 0, 0.1, 30.0])
    readings = np.repeat(settings, 40)
    readings[36:40] = [-8, -6, -4, -2]
    return settings, memory_run(
        {
            "scan/lxt": readings,
            "diode": readings * 2,
            "lightStatus/laser": np.tile([1, 0], 100),
            "moving": np.isin(np.arange(200), np.arange(36, 40)).astype(int),
        }
    )


@pytest.mark.parametrize("axis", [None, ce.Axis(field="scan/lxt", steps="auto", tolerance=0.01)])
def test_points_of_uneven_settings_are_the_settings_that_the_curves_have(axis):
    settings, run = uneven_scan()
    still = {name: {"all": ["moving == 0"], "laser": name} for name in ("on", "off")}
    found = look.scan_curve(run, "diode", axis=axis, curves=still)
    assert found["scan__lxt"].values.tolist() == settings.tolist()
    np.testing.assert_allclose(found["value"], [settings * 2] * 2, rtol=1e-14)
    assert found.attrs["n_outside"] == [0, 0]
    at = found["value"].sel(scan__lxt=0, method="nearest")
    assert at.values.tolist() == [0.0, 0.0]
