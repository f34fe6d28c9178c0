"""Projections: as numpy sums along an axis."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.registry import stage_options
from cubeengine.errors import SpecError
from tests.quick import first_quick
from tests.suites.stages import StageSuite, built, shaped, some_frames

IMAGE = Frame((12, 9), np.dtype("u2"), "ADU")
PANELS = Frame((3, 6, 70), np.dtype("f4"))


class TestProject(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                (IMAGE, "rows"),
                (IMAGE, {"onto": "columns", "how": "mean"}),
                (PANELS, "columns"),
                (PANELS, {"onto": "rows", "how": "mean"}),
                (PANELS, 0),
                (Frame((9,), np.dtype("f8")), 0),
            ]
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        return built("project", request.param[1], request.param[0])


@pytest.mark.parametrize(("onto", "axis"), [("rows", 2), ("columns", 1)])
def test_onto_rows_is_one_value_per_row(onto: str, axis: int) -> None:
    frames = some_frames(IMAGE, 3)

    stage = built("project", onto, IMAGE)

    assert stage.output.dtype == np.int64
    assert_array_equal(shaped(stage, frames), frames.reshape(3, 12, 9).sum(axis, dtype="i8"))
    (coordinate,) = stage.coordinates().values()
    assert coordinate.name == onto[:-1]
    assert_array_equal(coordinate.values, np.arange(stage.output.shape[0]))


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("how", ["sum", "mean"])
def test_axis_counts_as_in_numpy(axis: int, how: str) -> None:
    frames = some_frames(PANELS, 3)
    images = np.where(np.isfinite(frames), frames, np.nan).reshape(3, 3, 6, 70).astype("f8")
    images[0, :, 0, 0] = np.nan

    stage = built("project", {"axis": axis, "how": how}, PANELS)

    along = axis + 1 if axis >= 0 else axis
    there = np.isfinite(images).sum(along)
    sums = np.nansum(images, along)
    with np.errstate(invalid="ignore"):
        wanted = np.where(there > 0, sums / (there if how == "mean" else 1), np.nan)
    assert_allclose(shaped(stage, images.reshape(3, -1).astype("f4")), wanted, rtol=1e-12, atol=1e-11)


def test_names_are_those_of_what_is_left() -> None:
    stage = built("project", 1, PANELS)

    assert [stage.coordinates()[dim].name for dim in (0, 1)] == ["segment", "column"]


@pytest.mark.parametrize(
    ("options", "frame", "message"),
    [
        (
            "rows",
            Frame((5,), np.dtype("u2")),
            r"cannot be projected onto its rows: its frames have shape \(5,\)",
        ),
        (2, IMAGE, "cannot be projected along axis 2"),
        (-3, IMAGE, "cannot be projected along axis -3"),
    ],
)
def test_dimension_that_is_not_there_is_refused(options: object, frame: Frame, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        built("project", options, frame)


@pytest.mark.parametrize("options", [{}, "x", {"onto": "rows", "axis": 0}, {"axis": "0"}])
def test_options_that_are_none_are_refused(options: object) -> None:
    with pytest.raises(ValueError, match=r"either 'onto'|'rows' or 'columns'|must be"):
        stage_options("project").model_validate(options)
