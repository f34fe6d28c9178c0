"""Rebinned frames: sums that are exact, means of what is there, no remainder."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.registry import stage_options
from cubeengine.errors import SpecError
from tests.quick import first_quick
from tests.suites.stages import StageSuite, built, shaped, some_frames

IMAGE = Frame((12, 8), np.dtype("u2"), "ADU")
PANELS = Frame((3, 6, 4), np.dtype("f4"))
WIDE = Frame((2, 260), np.dtype("f8"))


class TestRebin(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                (IMAGE, 2),
                (IMAGE, {"factor": [3, 4], "how": "mean"}),
                (PANELS, 2),
                (PANELS, {"factor": [3, 1], "how": "mean"}),
                (WIDE, {"factor": [1, 130], "how": "mean"}),
                (Frame((30,), np.dtype("?")), 3),
                (Frame((4, 6), np.dtype("u8")), 2),
                (Frame((4, 6), np.dtype("i8")), 2),
            ]
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        return built("rebin", request.param[1], request.param[0])


def blocks_of(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the pixels of each rectangle along the last dimension."""
    *before, height, width = images.shape
    cut = images.reshape(*before, height // rows, rows, width // columns, columns)
    return np.moveaxis(cut, -3, -2).reshape(*before, height // rows, width // columns, rows * columns)


@pytest.mark.parametrize("dtype", first_quick(["u2", "u1", "i2", "i4", "u4", "i8", "?"]))
def test_sums_of_integers_are_exact(dtype: str) -> None:
    frame = Frame((12, 8), np.dtype(dtype))
    frames = some_frames(frame, 4)

    stage = built("rebin", [4, 2], frame)

    assert stage.output == Frame((3, 4), np.dtype("i8"))
    assert_array_equal(shaped(stage, frames), blocks_of(frames.reshape(4, 12, 8).astype("i8"), 4, 2).sum(-1))


def test_sum_of_a_rectangle_with_a_missing_pixel_is_missing() -> None:
    frames = some_frames(PANELS, 4)

    sums = shaped(built("rebin", 2, PANELS), frames)

    pixels = blocks_of(frames.reshape(4, 3, 6, 4).astype("f8"), 2, 2)
    pixels[~np.isfinite(pixels)] = np.nan
    assert np.isnan(sums).any()
    assert_allclose(sums, pixels.sum(-1), rtol=1e-14)


def test_mean_is_that_of_the_pixels_that_are_there() -> None:
    frames = some_frames(PANELS, 4)
    frames[0, :8] = np.nan
    there = np.isfinite(frames)

    means = shaped(built("rebin", {"factor": 2, "how": "mean"}, PANELS), frames)

    sums = blocks_of(np.where(there, frames, 0).reshape(4, 3, 6, 4).astype("f8"), 2, 2).sum(-1)
    counts = blocks_of(there.reshape(4, 3, 6, 4), 2, 2).sum(-1)
    assert (counts == 0).sum() >= 2
    with np.errstate(invalid="ignore"):
        assert_allclose(means, sums / counts, rtol=1e-14)


def test_coordinates_are_the_middles_in_pixels() -> None:
    coordinates = built("rebin", [4, 1], IMAGE).coordinates()

    assert_array_equal(coordinates[0].values, [1.5, 5.5, 9.5])
    assert_array_equal(coordinates[1].values, np.arange(8))


def test_only_the_rows_of_the_range_are_needed() -> None:
    assert built("rebin", [4, 2], IMAGE).needs((5, 7)) == (4 * 8, 8 * 8)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (5, r"12 rows cannot be rebinned by 5 .*; 3, 4, 6 would fit, or a `roi` of 10 before it"),
        ([2, 16], r"8 columns cannot be rebinned by 16 without a remainder; 2, 4, 8 would fit$"),
    ],
)
def test_remainder_is_an_error_that_says_what_fits(factor: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        built("rebin", factor, IMAGE)


def test_more_factors_than_dimensions_are_refused() -> None:
    with pytest.raises(SpecError, match="it has 1 dimensions"):
        built("rebin", [2, 2], Frame((4,), np.dtype("u2")))
    with pytest.raises(SpecError, match="it has 0 dimensions"):
        built("rebin", 2, Frame((), np.dtype("u2")))


@pytest.mark.parametrize("options", [0, -2, 1.5, [2, 2, 2], [], "2", True, {"factor": 2, "how": "max"}])
def test_options_that_are_none_are_refused(options: object) -> None:
    with pytest.raises(ValueError, match=r"whole number|'sum' or 'mean'"):
        stage_options("rebin").model_validate(options)
