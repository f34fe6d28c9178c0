"""Mean images against numpy on the same frames, from smallData and from raw data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cubeengine import look
from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.look.images import Montage
from tests.planning.runs import memory_run

BRIGHT = "`ipm2/sum` > 1"


def framed_run():
    rng = np.random.default_rng(2)
    frames = rng.normal(10, 2, (50, 3, 4, 6))
    frames[::5] = np.nan
    frames[:, 1, 2, 2] = np.nan
    return memory_run({"cam": frames, "x": np.arange(50.0), "spectrum": rng.random((50, 9))})


def test_mean_is_that_of_the_selected_frames():
    run = framed_run()
    image = look.average_image(run, "cam", select="`x` >= 20")
    frames = run.column("cam").data[20:]
    with warnings.catch_warnings(action="ignore"):  # of pixels without any value
        np.testing.assert_allclose(image["mean"], np.nanmean(frames, axis=0), rtol=1e-12)
        np.testing.assert_allclose(image["std"], np.nanstd(frames, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(image["count"], np.isfinite(frames).sum(axis=0))
    assert image.attrs["n_selected"] == 30
    assert image["mean"].dims == ("dim0", "dim1", "dim2")


def test_frames_of_smalldata_and_raw_data_are_averaged(demo_run):
    small = look.average_image(demo_run, "jungfrau/ROI_0_area", select=BRIGHT)
    keep = demo_run.column("ipm2/sum").data > 1
    frames = demo_run.column("jungfrau/ROI_0_area").data[keep]
    np.testing.assert_allclose(small["mean"], np.nanmean(frames, axis=0, dtype=np.float64), rtol=1e-9)
    raw = look.average_image(demo_run, "jungfrau/raw", select=BRIGHT)
    column = demo_run.column("jungfrau/raw/raw")
    there = keep & column.valid
    np.testing.assert_allclose(raw["mean"], column.data[there].mean(axis=0), rtol=1e-12)
    assert raw.attrs["n_selected"] == keep.sum()
    assert raw.attrs["n_missing"] == (keep & ~column.valid).sum() > 0


def test_stages_are_done_before(demo_run, demo_folder, monkeypatch):
    monkeypatch.chdir(demo_folder)
    stages = [{"calibrate": "constants/jungfrau.h5"}]
    image = look.average_image(demo_run, "jungfrau/raw/raw", stages=stages, every=7)
    assert image["mean"].attrs["units"] == "keV"
    assert np.isnan(image["mean"]).sum() > 0  # bad pixels
    assert image.attrs["part"] == "every 7th event"


def test_progress_is_told():
    seen = []
    look.average_image(framed_run(), "cam", on_progress=seen.append)
    assert seen[-1].done == seen[-1].total > 0


def test_mistakes_are_answered():
    with pytest.raises(SpecError, match="one number per event, not an image"):
        look.average_image(framed_run(), "x")
    with pytest.raises(FieldNotFound, match="nearest: 'cam'"):
        look.average_image(framed_run(), "came")


@pytest.mark.parametrize("n_segments", [1, 2, 5, 8, 32])
@pytest.mark.parametrize("shape", [(512, 1024), (352, 384), (16, 48), (185, 388)])
def test_segments_do_not_overlap_and_fill_about_a_square(n_segments, shape):
    laid = Montage(n_segments, *shape)
    seen = np.zeros(laid.shape, int)
    for number in range(n_segments):
        top, left = laid.place(number)
        seen[top : top + shape[0], left : left + shape[1]] += 1
    assert seen.max() == 1
    assert seen.sum() == n_segments * shape[0] * shape[1]
    if n_segments >= 8:
        assert 0.4 < laid.shape[0] / laid.shape[1] < 2.5


# Pictures


def test_each_segment_is_drawn_in_its_place_with_one_scale_of_colours():
    image = look.average_image(framed_run(), "cam")
    ax = look.plot_average_image(framed_run(), "cam", percentiles=(5, 95))
    assert len(ax.images) == 3
    finite = image["mean"].values[np.isfinite(image["mean"].values)]
    for segment, drawn in zip(image["mean"].values, ax.images, strict=True):
        np.testing.assert_array_equal(np.ma.filled(drawn.get_array(), np.nan), segment)
        np.testing.assert_allclose(drawn.get_clim(), np.percentile(finite, [5, 95]))
    assert len({tuple(drawn.get_extent()) for drawn in ax.images}) == 3
    assert ax.images[0].colorbar is None
    assert ax.images[-1].colorbar.extend == "both"


def test_picture_says_how_many_frames_and_dead_pixels():
    ax = look.plot_average_image(framed_run(), "cam", select="`x` >= 20")
    assert ax.get_title(loc="left") == "x >= 20: n = 24, 6 missing; 1 pixels without value"
    assert [text.get_text() for text in ax.texts] == [" 0", " 1", " 2"]


def test_spread_can_be_shown():
    image = look.average_image(framed_run(), "cam")
    ax = look.plot_average_image(framed_run(), "cam", show="std")
    np.testing.assert_array_equal(np.ma.filled(ax.images[0].get_array(), np.nan), image["std"][0])


def test_vector_is_a_curve_with_its_spread():
    image = look.average_image(framed_run(), "spectrum")
    ax = look.plot_average_image(framed_run(), "spectrum")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), image["mean"])
    assert len(ax.collections) == 1


def test_vector_is_drawn_over_the_coordinate_the_file_knows(demo_run):
    ax = look.plot_average_image(demo_run, "jungfrau/azav_azav")
    assert ax.get_xlabel() == "q"
    assert ax.lines[0].get_xdata()[-1] != 31


def test_selection_that_keeps_nothing_is_drawn_empty():
    ax = look.plot_average_image(framed_run(), "cam", select="`x` > 99")
    ax.figure.canvas.draw()
    assert "n = 0" in ax.get_title(loc="left")
