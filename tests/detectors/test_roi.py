"""Regions: cut as numpy cuts them, and no more is read than that takes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.registry import stage_options
from cubeengine.errors import SpecError
from cubeengine.types import DetectorInfo
from tests.quick import first_quick
from tests.suites.stages import StageSuite, built, context, shaped, some_frames

IMAGE = Frame((12, 9), np.dtype("u2"), "ADU")
PANELS = Frame((3, 6, 5), np.dtype("f4"))
TRACE = Frame((40,), np.dtype("i2"))
JUNGFRAU = DetectorInfo("jungfrau", "jungfrau", segments=(1, 4, 6))


class TestRoi(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                (IMAGE, [[2, 7], [3, 4]]),
                (IMAGE, [[0, 12], [0, 9]]),
                (IMAGE, [[1, 9]]),
                (PANELS, {"ranges": [[1, 4], [0, 5]], "segment": 2}),
                (PANELS, [[1, 3], [2, 6], [1, 4]]),
                (IMAGE, {"regions": {"late": [[8, 10], [1, 4]], "early": [[0, 2], [6, 9]]}}),
                (TRACE, [5, 30]),
                (Frame((5, 4), np.dtype("?")), [[1, 3]]),
                (Frame((5, 4), np.dtype("u2")), [[1, 3], [0, 2]]),
            ]
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        return built("roi", request.param[1], request.param[0])


def test_region_is_what_numpy_cuts() -> None:
    frames = some_frames(IMAGE, 3)

    stage = built("roi", [[2, 7], [3, 8]], IMAGE)

    assert stage.output == Frame((5, 5), np.dtype("u2"), "ADU")
    assert_array_equal(shaped(stage, frames), frames.reshape(3, 12, 9)[:, 2:7, 3:8])
    assert_array_equal(stage.coordinates()[0].values, [2, 3, 4, 5, 6])
    assert stage.coordinates()[1].name == "column"


def test_ranges_are_those_of_the_last_dimensions() -> None:
    frames = some_frames(PANELS, 2)

    stage = built("roi", [[1, 3], [2, 5]], PANELS)

    assert_array_equal(shaped(stage, frames), frames.reshape(2, 3, 6, 5)[:, :, 1:3, 2:5])


def test_segment_is_meant_by_its_number() -> None:
    frames = some_frames(PANELS, 2)
    options = {"ranges": [[1, 3], [2, 5]], "segment": 4}

    stage = built("roi", options, PANELS, context(JUNGFRAU))

    assert_array_equal(shaped(stage, frames), frames.reshape(2, 3, 6, 5)[:, 1, 1:3, 2:5])
    assert [stage.coordinates()[dim].name for dim in (0, 1)] == ["row", "column"]
    with pytest.raises(SpecError, match=r"'area/raw': has no segment 2; it has 1, 4, 6"):
        built("roi", {**options, "segment": 2}, PANELS, context(JUNGFRAU))
    with pytest.raises(SpecError, match="have no segments"):
        built("roi", {**options, "segment": 0}, IMAGE)


def test_several_regions_are_stacked_with_their_names() -> None:
    frames = some_frames(IMAGE, 3)
    regions = {"signal": [[6, 8], [1, 4]], "background": [[0, 2], [6, 9]]}

    stage = built("roi", {"regions": regions}, IMAGE)

    images = frames.reshape(3, 12, 9)
    assert_array_equal(shaped(stage, frames), np.stack([images[:, 6:8, 1:4], images[:, 0:2, 6:9]], axis=1))
    assert stage.coordinates()[0].values.tolist() == ["signal", "background"]


def test_regions_of_several_segments_are_stacked() -> None:
    frames = some_frames(PANELS, 2)
    regions = {name: {"ranges": [[0, 2], [1, 3]], "segment": n} for name, n in (("a", 2), ("b", 0))}

    stage = built("roi", {"regions": regions}, PANELS)

    assert_array_equal(shaped(stage, frames), frames.reshape(2, 3, 6, 5)[:, [2, 0], 0:2, 1:3])


def test_only_the_rows_of_the_region_are_needed() -> None:
    stage = built("roi", [[2, 7], [3, 8]], IMAGE)

    assert stage.needs((0, 25)) == (2 * 9 + 3, 6 * 9 + 8)
    assert stage.needs((6, 9)) == (3 * 9 + 4, 3 * 9 + 7)
    assert stage.needs((4, 6)) == (2 * 9 + 7, 3 * 9 + 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([[2, 13], [0, 9]], r"'area/raw': the region takes rows \[2, 13\), but a frame has 12"),
        ([[2, 3], [0, 1], [0, 1]], r"a region has 3 ranges, but the frames, of shape \(12, 9\), leave 2"),
        (
            {"regions": {"a": [[0, 1]], "b": [[0, 2]]}},
            r"the shapes are a \(12, 1\), b \(12, 2\); make each region its own signal",
        ),
    ],
)
def test_region_that_does_not_fit_is_refused(options: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        built("roi", options, IMAGE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs either 'ranges' or 'regions'"),
        ({"ranges": [[0, 1]], "regions": {"a": [[0, 1]]}}, "needs either 'ranges' or 'regions'"),
        ({"regions": {"a": [[0, 1]]}, "segment": 1}, "in each of the regions"),
        ([[3, 3]], "0 <= first <= last"),
        ([[-1, 3]], "0 <= first <= last"),
        ([[1, 2, 3]], r"two whole numbers \[first, last \+ 1\]"),
        ([[1.0, 2]], r"two whole numbers \[first, last \+ 1\]"),
        ("all", r"one \[first, last \+ 1\] for each dimension, but is the text 'all'"),
        ([], "one .* for each dimension"),
        ({"range": [[0, 1]]}, "unknown key 'range'; nearest: 'ranges'"),
    ],
)
def test_options_that_are_none_are_refused(options: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stage_options("roi").model_validate(options)
