from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cubeengine.pedestals import Pedestal, pedestal
from cubeengine.pedestals.picture import MOST_CELLS, _joined, _tiled
from tests.pedestals.makers import Truth, run_of

SHAPE = (2, 8, 24)


@pytest.fixture(scope="module")
def found() -> Pedestal:
    frames = Truth.of(SHAPE).frames(100)
    frames[:, 1, 2, 3] = 0x3FFF
    return pedestal(run_of(frames, "jungfrau"), "cam")


@pytest.fixture(scope="module")
def figure(found: Pedestal) -> Iterator[Figure]:
    made = found.plot()
    made.canvas.draw()
    yield made
    made.clear()


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def test_each_range_with_constants_has_two_maps_and_two_histograms(figure: Figure) -> None:
    assert list(panels(figure)) == [
        "g0 pedestal (ADU), 1 bad", "g0 noise (ADU), 1 bad", "g0 pedestal", "g0 noise",
    ]  # fmt: skip


def test_map_shows_the_pedestals_and_marks_bad_pixels(figure: Figure, found: Pedestal) -> None:
    values, bad = (image.get_array() for image in panels(figure)["g0 pedestal (ADU), 1 bad"].images)
    good = found.status[0] == 0

    assert values is not None
    assert bad is not None
    np.testing.assert_array_equal(np.sort(np.ma.compressed(np.ma.masked_invalid(values))),
                                  np.sort(found.pedestals[0][good]))  # fmt: skip
    assert np.ma.count(bad) == 1


def test_histogram_counts_every_pixel(figure: Figure) -> None:
    labels = panels(figure)["g0 noise"].get_legend_handles_labels()[1]
    heights = [patch.get_height() for patch in panels(figure)["g0 noise"].patches]

    assert labels == ["383 good", "1 bad"]
    assert sum(heights) == 384
    assert ", good: " in panels(figure)["g0 noise"].get_xlabel()


def test_picture_says_what_must_be_known(figure: Figure) -> None:
    assert "1 of 384 pixels are bad" in figure.get_supxlabel()
    assert "no constants for g1, g2" in " ".join(figure.get_supxlabel().split())
    assert "100 of 100 events" in figure.get_suptitle()


def test_panels_are_laid_out_with_nothing_lost() -> None:
    values = np.arange(5 * 3 * 4).reshape(5, 3, 4).astype(float)
    laid = _tiled(values, np.nan)

    assert np.sort(laid[np.isfinite(laid)]).tolist() == list(range(60))
    np.testing.assert_array_equal(laid[:3, :4], values[0])


def test_bad_pixel_is_still_seen_where_pixels_are_joined() -> None:
    flags = np.zeros((3 * MOST_CELLS, 10), bool)
    flags[1234, 5] = True
    values, joined = _joined(flags.astype(float), flags)

    assert values.shape == joined.shape
    assert max(joined.shape) <= MOST_CELLS
    assert joined.sum() == 1
