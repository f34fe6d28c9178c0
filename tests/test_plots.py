from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cubeengine.errors import FieldNotFound, MissingExtra, SpecError
from cubeengine.plots import describe_cube, drawable, plot_cube
from cubeengine.plots.values import default_signal, mean_over_elements
from cubeengine.store.read import open_cube, sem
from tests.planning.runs import memory_run, plan_of
from tests.quick import first_quick
from tests.store.handmade import delay_cube, save


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return delay_cube()


@pytest.fixture(scope="module")
def cube_2d() -> xr.Dataset:
    return delay_cube(second_axis=True)


def one_bin(cube: xr.Dataset) -> xr.Dataset:
    axis = ["delay_bnds", "delay_count", "delay_mean", "delay_std"]
    return cube.isel(delay=5, drop=True).drop_vars(axis)


# What is drawn


def test_a_signal_is_drawn_by_its_mean_and_standard_error(cube: xr.Dataset) -> None:
    drawn = drawable(cube, "diode2/channels")
    np.testing.assert_array_equal(drawn.value, cube["diode2_mean"])
    np.testing.assert_array_equal(drawn.error, sem(cube, "diode2"))
    assert (drawn.label, drawn.unit, drawn.notes, drawn.error_notes) == ("diode2", "V", (), ())


def test_over_gives_the_ratio_of_the_sums() -> None:
    rng = np.random.default_rng(4)
    signal, i0 = rng.normal(5, 1, 1000), rng.normal(2, 0.3, 1000)
    drawn = drawable(cube_of(signal=signal, i0=i0), "signal", over="i0")
    assert float(drawn.value[0, 0]) == pytest.approx(signal.sum() / i0.sum(), rel=1e-12)


def test_a_ratio_has_no_errors_as_a_cube_does_not_tell_the_covariance() -> None:
    rng = np.random.default_rng(5)
    i0 = rng.normal(2, 0.3, 400)
    drawn = drawable(cube_of(signal=3 * i0, i0=i0), "signal", over="i0")
    assert np.isnan(drawn.error).all()  # it is 0, where neglecting the covariance would claim 1 %
    assert "does not hold how" in drawn.error_notes[0]


def cube_of(**signals: np.ndarray) -> xr.Dataset:
    """A cube of one selection and one bin from events."""
    dims = ("selection", "x")
    n_events = len(next(iter(signals.values())))
    made = xr.Dataset({"n_events": (dims, [[n_events]])}, coords={"selection": ["all"], "x": [0.0]})
    for name, values in signals.items():
        made[f"{name}_count"] = (dims, [[np.isfinite(values).sum()]])
        made[f"{name}_mean"] = (dims, [[np.nanmean(values)]])
        made[f"{name}_std"] = (dims, [[np.nanstd(values)]])
    return made


GAP = np.array([1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    "signals",
    [
        {"signal": GAP, "i0": np.ones(3)},
        {"signal": np.ones(3), "i0": GAP},
        {"signal": GAP, "i0": GAP[[1, 0, 2]]},  # as many of each, but of other events
    ],
)
def test_ratio_of_sums_over_other_events_is_refused(signals: dict[str, np.ndarray]) -> None:
    with pytest.raises(SpecError, match=r"signal over i0: .* of 3 selected events .*isfinite\(`i0`\)"):
        drawable(cube_of(**signals), "signal", over="i0")
    with pytest.raises(SpecError, match=r"in 1 of 1 bins, the first at selection all, x 0\.0"):
        plot_cube(cube_of(**signals), "signal", over="i0")


def test_frame_that_some_events_lack_is_not_divided_over_two_axes_either(cube_2d: xr.Dataset) -> None:
    counts = cube_2d["frame_count"].copy()
    counts[0, 0, 0] -= 1
    with pytest.raises(SpecError, match=r"isfinite\(sum\(`epix/ROI_0_area`\)\)"):
        plot_cube(cube_2d.assign(frame_count=counts), "frame", over="ipm2/sum")


def test_pixels_without_any_value_are_no_reason_to_refuse(cube: xr.Dataset) -> None:
    shape = cube["azav_mean"].dims
    dead = xr.where(cube["azav_dim0"] < 1.0, 0, cube["n_events"]).transpose(*shape)
    mean = cube["azav_mean"].where(dead > 0)
    drawn = drawable(cube.assign(azav_count=dead, azav_mean=mean), "azav", over="ipm2/sum")
    assert np.isfinite(drawn.value.isel(delay=0)).any()
    assert np.isnan(drawn.value.isel(azav_dim0=0)).all()


def test_ratio_of_frames_divides_each_pixel(cube: xr.Dataset) -> None:
    drawn = drawable(cube, "frame", over="ipm2/sum")
    expected = cube["frame_mean"] / cube["ipm2__sum_mean"]
    xr.testing.assert_allclose(drawn.value, expected)
    assert drawn.error.dims == drawn.value.dims == cube["frame_mean"].dims
    assert drawn.unit == "ADU/V"


def test_empty_bins_stay_empty(cube: xr.Dataset) -> None:
    drawn = drawable(cube, "diode2", over="ipm2/sum", difference="on,off")
    assert np.isnan(drawn.value[-1])
    assert np.isfinite(drawn.value[:-1]).all()


def test_difference_has_errors_in_quadrature_and_says_what_is_approximate(cube: xr.Dataset) -> None:
    drawn = drawable(cube, "diode2", difference="on, off")
    mean, error = cube["diode2_mean"].values, sem(cube, "diode2").values
    np.testing.assert_array_equal(drawn.value, mean[0] - mean[1])
    np.testing.assert_allclose(drawn.error, np.hypot(error[0], error[1]))
    assert drawn.error_notes == ("errors are approximate: on and off are taken as independent",)
    assert drawable(cube, "diode2", difference=("off", "on")).value[3] == -drawn.value[3]


def test_difference_of_selections_that_share_events_has_no_errors(cube: xr.Dataset) -> None:
    apart = drawable(cube.assign_attrs(shared_events={}), "diode2", difference="on,off")
    sharing = drawable(cube.assign_attrs(shared_events={"on": {"off": 12}}), "diode2", difference="off,on")
    assert (np.isfinite(apart.error[:-1]).all(), apart.error_notes) == (True, ())
    assert np.isnan(sharing.error).all()
    assert sharing.error_notes == ("no errors: off and on have 12 events in common",)


def test_part_of_a_run_is_said(cube: xr.Dataset) -> None:
    part = cube.assign_attrs(partial_run="every 10th event")
    assert drawable(part, "diode2").notes == ("part of the run only: every 10th event",)


def test_mistakes_are_answered(cube: xr.Dataset) -> None:
    with pytest.raises(FieldNotFound, match="nearest: 'diode2'"):
        drawable(cube, "diode")
    with pytest.raises(SpecError, match="needs two selections, as in 'on,off'"):
        drawable(cube, "diode2", difference="on")
    with pytest.raises(SpecError, match="no selection 'of'; nearest: 'off'"):
        drawable(cube, "diode2", difference="on,of")
    with pytest.raises(SpecError, match="one number per event, but it has 24 x 32 elements"):
        drawable(cube, "diode2", over="frame")


def test_default_signal_is_no_axis(cube: xr.Dataset, cube_2d: xr.Dataset) -> None:
    assert default_signal(cube) == "ipm2__sum"
    assert default_signal(cube_2d) == "diode2"
    with pytest.raises(SpecError, match="no signals"):
        default_signal(cube[["n_events"]])


def test_mean_over_elements_is_that_of_the_means(cube_2d: xr.Dataset) -> None:
    small = mean_over_elements(cube_2d, "frame")
    xr.testing.assert_allclose(small["frame_mean"], cube_2d["frame_mean"].mean(["frame_dim0", "frame_dim1"]))
    assert np.isnan(small["frame_std"]).all()


# Pictures


@pytest.mark.parametrize(
    "choice",
    first_quick([{"over": "ipm2/sum", "difference": "on,off"}, {}, {"over": "ipm2/sum"}]),
)
@pytest.mark.parametrize("signal", ["diode2", "azav", "frame"])
@pytest.mark.parametrize("bins", ["no axis", "one axis", "two axes"])
def test_every_shape_of_signal_is_drawn(
    cube: xr.Dataset, cube_2d: xr.Dataset, tmp_path: Path, bins: str, signal: str, choice: dict[str, str]
) -> None:
    data = {"no axis": one_bin(cube), "one axis": cube, "two axes": cube_2d}[bins]
    figure = plot_cube(data, signal, **choice)
    figure.savefig(tmp_path / "picture.png", dpi=40)
    assert (tmp_path / "picture.png").stat().st_size > 1000
    assert "xpptut15 run 252" in figure.get_suptitle()


def test_curves_have_names_units_and_errors(cube: xr.Dataset) -> None:
    (panel,) = plot_cube(cube, "diode2").axes
    assert panel.get_xlabel() == "delay (ps)"
    assert panel.get_ylabel() == "diode2 (V)"
    assert panel.get_legend_handles_labels()[1] == ["on", "off"]
    assert len(panel.containers) == 2


def test_approximate_errors_are_labelled_in_the_picture(cube: xr.Dataset) -> None:
    figure = plot_cube(cube, "diode2", over="ipm2/sum", difference="on,off")
    assert "the cube does not hold how diode2 and ipm2/sum vary together" in " ".join(
        figure.get_supxlabel().split()
    )
    assert "approximate: on and off are taken as independent" in figure.get_supxlabel()
    assert plot_cube(cube, "diode2").get_supxlabel() == ""


def test_signals_of_one_field_are_called_by_their_own_names(cube: xr.Dataset) -> None:
    both = {f"photons_{part}": cube[f"diode2_{part}"] for part in ("count", "mean", "std")}
    data = cube.assign(both)
    assert "photons" in plot_cube(data, "photons").get_suptitle()
    assert plot_cube(data, "photons").get_suptitle() != plot_cube(data, "diode2").get_suptitle()
    assert "ipm2/sum" in plot_cube(cube, "ipm2/sum").get_suptitle()


def test_maps_show_no_errors_and_say_nothing_of_them(cube: xr.Dataset) -> None:
    assert plot_cube(cube, "azav", difference="on,off").get_supxlabel() == ""


def test_maps_share_one_scale_of_colours_and_use_the_edges(cube_2d: xr.Dataset) -> None:
    on, off, _ = plot_cube(cube_2d, "diode2").axes
    assert on.collections[0].get_clim() == off.collections[0].get_clim()
    assert on.get_xlim() == (-2.25, 8.25)
    assert on.get_xlabel() == "delay (ps)"


def test_colours_of_a_difference_are_centred_on_zero(cube: xr.Dataset) -> None:
    low, high = plot_cube(cube, "azav", difference="on,off").axes[0].collections[0].get_clim()
    assert low == -high


def test_a_few_channels_are_drawn_as_curves(cube: xr.Dataset) -> None:
    figure = plot_cube(cube.isel(azav_dim0=slice(0, 5)), "azav")
    assert [panel.get_title() for panel in figure.axes[:5]] == [f"channel {i}" for i in range(5)]


def test_frames_are_those_of_bins_with_events(cube: xr.Dataset) -> None:
    figure = plot_cube(cube, "frame")
    titles = [panel.get_title() for panel in figure.axes if panel.get_title()]
    assert titles[0] == "delay -2 ps"
    assert titles[-1] == "delay 7.5 ps"
    assert len(titles) == 6


def test_detector_of_several_panels_is_stacked(cube: xr.Dataset) -> None:
    data = one_bin(cube)[["n_events", "frame_count"]]
    for name in ("frame_mean", "frame_std"):
        values = one_bin(cube)[name].values.reshape(2, 3, 8, 32)
        data[name] = (("selection", "frame_dim0", "frame_dim1", "frame_dim2"), values)
    assert plot_cube(data, "frame").axes[0].images[0].get_array().shape == (24, 32)


def test_cube_without_events_is_drawn_empty(cube: xr.Dataset) -> None:
    empty = cube.assign(n_events=cube["n_events"] * 0)
    for name in ("diode2", "frame"):
        for part in ("mean", "std"):
            empty[f"{name}_{part}"] = empty[f"{name}_{part}"] * np.nan
        empty[f"{name}_count"] = empty[f"{name}_count"] * 0
        plot_cube(empty, name, over="ipm2/sum").draw_without_rendering()


def test_more_than_two_axes_are_refused_with_the_way_out(cube_2d: xr.Dataset) -> None:
    with pytest.raises(SpecError, match="3 axes, but pictures have two; choose bins in Python"):
        plot_cube(cube_2d.expand_dims(third=[0, 1]), "diode2")


def test_stored_cube_is_drawn(cube: xr.Dataset, tmp_path: Path) -> None:
    plot_cube(open_cube(save(cube, tmp_path / "c.zarr")), "frame", over="ipm2/sum").draw_without_rendering()


def test_missing_matplotlib_names_the_extra(cube: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"pip install 'cubeengine\[plot\]'"):
        plot_cube(cube)


@pytest.mark.slow
def test_importing_the_module_loads_no_matplotlib_and_drawing_no_pyplot() -> None:
    code = (
        "import sys, cubeengine.plots; assert 'matplotlib' not in sys.modules; "
        "from tests.store.handmade import delay_cube; cubeengine.plots.plot_cube(delay_cube()); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[1])


# In words


def test_summary_tells_axes_counts_signals_and_fates(cube: xr.Dataset) -> None:
    text = describe_cube(cube)
    n_on = int(cube["n_events"].sel(selection="on").sum())
    for wanted in (
        "cube 'delay' of xpptut15 run 252",
        "-2.25  8.25    ps    0.5",
        f"{n_on:,}",
        "1 of 21",
        "epix/ROI_0_area  24 x 32     ADU",
        "cut flow of 'on'",
        "lightStatus/laser = 1",
        f"where the {cube.attrs['n_events_total']:,} events went",
        "diode2 stream, frame by_bin",
        "projected 900 MiB, measured 700 MiB",
        "data/xpptut15_Run0252.h5, 118 MiB, of 2023-11-14 22:13 UTC",
        "numpy 2.4.6",
    ):
        assert wanted in text
    assert max(map(len, text.splitlines())) <= 110


def test_summary_tells_what_signals_lack_and_nothing_where_they_lack_nothing(cube: xr.Dataset) -> None:
    lacking = {"frame": {"on": {"missing": 1234, "damaged": 5, "failed": 0}, "off": {"missing": 0}}}
    lines = [line.split() for line in describe_cube(cube.assign_attrs(left_out=lacking)).splitlines()]
    assert ["frame", "on", "1,234", "5", "0"] in lines
    assert not [line for line in lines if line[:2] == ["frame", "off"]]
    assert "lacks" not in describe_cube(cube.assign_attrs(left_out={}))


def test_summary_of_a_part_of_a_run_says_so(cube: xr.Dataset) -> None:
    assert "part of the run only: first 1000" in describe_cube(
        cube.assign_attrs(partial_run="first 1000 events")
    )


def test_summary_does_without_attributes_and_axes(cube: xr.Dataset) -> None:
    text = describe_cube(one_bin(cube).drop_attrs())
    assert "none: one bin" in text
    assert "cut flow" not in text


def test_summary_reads_no_signal(cube: xr.Dataset, tmp_path: Path) -> None:
    stored = open_cube(save(cube, tmp_path / "c.zarr"))
    describe_cube(stored)
    assert not stored["frame_mean"].variable._in_memory


def test_bins_are_drawn_at_their_labels() -> None:
    settings = [-10, -1, 0, 0.1, 30.0]
    run = memory_run({"m": np.repeat(settings, 20), "v": np.repeat(np.arange(5.0), 20)})
    made = plan_of(run, "units: {m: ps}\naxes: [{field: m, steps: auto}]\nsignals: [v]").compute()
    (line, *_) = plot_cube(made, "v").axes[0].lines
    assert line.get_xdata().tolist() == settings
    assert line.get_ydata().tolist() == [0, 1, 2, 3, 4]


# Seconds


@pytest.mark.parametrize(("scale", "unit", "factor"), [(1e-12, "ps", 1), (1e-14, "fs", 10), (1.0, "s", 1)])
def test_short_times_in_seconds_are_shown_in_ps_or_fs(
    cube: xr.Dataset, scale: float, unit: str, factor: float
) -> None:
    bounds, labels = cube["delay_bnds"], cube["delay"]
    scaled = {"delay_bnds": (bounds.dims, bounds.values * scale, bounds.attrs)}
    seconds = cube.assign_coords(delay=("delay", labels.values * scale, labels.attrs | {"units": "s"}))
    seconds = seconds.assign_coords(scaled) if "delay_bnds" in cube.coords else seconds.assign(scaled)
    (panel,) = plot_cube(seconds, "diode2").axes
    assert panel.get_xlabel() == f"delay ({unit})"
    np.testing.assert_allclose(panel.lines[0].get_xdata(), labels.values * factor, atol=1e-9)
    row = next(line for line in describe_cube(seconds).splitlines() if line.startswith("  delay "))
    low, high, width = (f"{value * factor:g}" for value in (-2.25, 8.25, 0.5))
    assert row.split() == ["delay", "21", low, high, unit, width]


def test_a_short_signal_in_seconds_is_shown_in_ps(cube: xr.Dataset) -> None:
    means, stds = cube["diode2_mean"], cube["diode2_std"]
    scale = 5e-12 / np.nanmax(np.abs(means.values))
    short = cube.assign(
        diode2_mean=(means * scale).assign_attrs(means.attrs | {"units": "s"}), diode2_std=stds * scale
    )
    (panel,) = plot_cube(short, "diode2").axes
    assert panel.get_ylabel() == "diode2 (ps)"
    expected = means.isel(selection=0).values * scale * 1e12
    np.testing.assert_allclose(panel.lines[0].get_ydata(), expected, rtol=1e-6)
