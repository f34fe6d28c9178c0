"""Images: every pixel where it lies, nothing where none does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine.detectors.assemble import Assembly
from cubeengine.detectors.base import Frame, Stage
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.types import DetectorInfo
from tests.makers.geometry import EPIX_QUAD, JUNGFRAU_SQUARE, camera
from tests.quick import first_quick
from tests.suites.stages import StageSuite, applied, built, context, shaped, some_frames

PANELS = [(0.0, 0.0, 0.0), (62.0, 5.0, 0.0, 90.0), (-45.0, 28.0, 0.0, 180.0, 0.0, 180.0, 1.0)]
SMALL = camera("MTRX:V2:3:5:10:10", PANELS)
FRAME = Frame((3, 3, 5), np.dtype("u2"), "ADU")


def assembled(folder: Path, text: str, frame: Frame, detector: DetectorInfo | None = None) -> Stage:
    (folder / "geometry.data").write_text(text)
    return built("assemble", "geometry.data", frame, context(detector, folder))


class TestAssemble(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                FRAME,
                Frame(FRAME.shape, np.dtype("f4")),
                Frame(FRAME.shape, np.dtype("i4")),
                Frame(FRAME.shape, np.dtype("f8")),
                Frame(FRAME.shape, np.dtype("?")),
            ],
            2,
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
        return assembled(tmp_path, SMALL, request.param)


def test_image_is_filled_pixel_after_pixel(tmp_path: Path) -> None:
    frames = some_frames(FRAME, 4)

    stage = assembled(tmp_path, SMALL, FRAME)

    assert isinstance(stage, Assembly)
    images = shaped(stage, frames)
    assert images.dtype == np.float32
    assert stage.output.unit == "ADU"
    wanted = np.full(images.shape, np.nan, np.float32)
    x, y = image_places()
    for number in range(FRAME.n_elements):
        wanted[:, x[number], y[number]] = frames[:, number]
    assert_array_equal(images, wanted)
    assert np.isnan(wanted).any()


def image_places() -> tuple[np.ndarray, np.ndarray]:
    """Return the cell of each pixel, from the numbers in `PANELS` by plain trigonometry."""
    down, right = np.mgrid[:3, :5]
    x, y = (right - 2) * 10.0, (1 - down) * 10.0  # row 0 at the top
    angles = np.radians([0, 90, 181])
    lying = [(x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)) for a in angles]
    lying[2] = lying[2][0], -lying[2][1]  # turned by 180 degrees about x after that
    centres = [
        np.concatenate(
            [(panel[axis] + origin[axis]).ravel() for panel, origin in zip(lying, PANELS, strict=True)]
        )
        for axis in (0, 1)
    ]
    rows, columns = (np.floor((c - c.min() + 5) / 10).astype(int) for c in centres)
    return rows, columns


def test_gather_makes_the_same_image_of_a_finished_cube(tmp_path: Path) -> None:
    stage = assembled(tmp_path, SMALL, Frame(FRAME.shape, np.dtype("f8")))
    means = some_frames(stage.input, 6)

    index = stage.gather
    assert index is not None
    taken = index.load()
    late = np.where(taken < 0, np.nan, means[:, taken])

    assert_array_equal(late, applied(stage, means))


def test_coordinates_are_um(tmp_path: Path) -> None:
    stage = assembled(tmp_path, camera("MTRX:V2:3:5:10:20", [(100.0, 7.0)]), Frame((3, 5), np.dtype("f4")))

    x, y = stage.coordinates()[0], stage.coordinates()[1]

    assert (x.name, x.unit, y.name, y.unit) == ("x", "um", "y", "um")
    assert_array_equal(x.values, [60, 80, 100, 120, 140])
    assert y.values[0] == -3


def test_only_the_panels_of_the_range_are_needed(tmp_path: Path) -> None:
    text = camera("MTRX:V2:3:5:10:10", [(0.0, 0.0), (100.0, 0.0)])
    stage = assembled(tmp_path, text, Frame((2, 3, 5), np.dtype("u2")))

    columns = stage.output.shape[1]

    assert stage.needs((0, 5 * columns)) == (0, 15)
    assert stage.needs((stage.output.n_elements - 5 * columns, stage.output.n_elements)) == (15, 30)
    assert stage.needs((5 * columns, 10 * columns)) == (0, 0)
    assert np.isnan(applied(stage, some_frames(stage.input, 2), (5 * columns, 10 * columns))).all()


def test_fewer_segments_are_those_of_their_numbers(tmp_path: Path) -> None:
    frame = Frame((2, 3, 5), np.dtype("u2"))

    some = assembled(tmp_path, SMALL, frame, DetectorInfo("d", "d", segments=(0, 2)))
    alone = assembled(tmp_path, camera("MTRX:V2:3:5:10:10", [PANELS[0], PANELS[2]]), frame)

    frames = some_frames(frame, 2)
    assert_array_equal(applied(some, frames), applied(alone, frames))
    with pytest.raises(SpecError, match=r"'area/raw': has 2 segments, but .* has 3, and the data do not say"):
        assembled(tmp_path, SMALL, frame)


def test_shapes_of_known_detectors(tmp_path: Path) -> None:
    jungfrau = assembled(tmp_path, JUNGFRAU_SQUARE, Frame((2, 512, 1024), np.dtype("u2")))
    epix = assembled(tmp_path, EPIX_QUAD, Frame((4, 352, 384), np.dtype("u2")))

    assert jungfrau.output.shape == (1038, 1030)
    assert jungfrau.facts()["pixels_hidden"] == 0
    assert epix.facts()["pixels_hidden"] == 6
    assert jungfrau.index.load().dtype == np.int32


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"shape \(3, 5, 3\) do not fit .*, whose sensors have 3 rows and 5 col"
    ):
        assembled(tmp_path, SMALL, Frame((3, 5, 3), np.dtype("u2")))
    with pytest.raises(SpecError, match=r"must be \(segments, rows, columns\) or \(rows, columns\)"):
        assembled(tmp_path, SMALL, Frame((9,), np.dtype("u2")))
    with pytest.raises(SpecError, match="the geometry cannot be read"):
        built("assemble", "none.data", FRAME)


def test_panel_far_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="is a panel misplaced"):
        assembled(tmp_path, camera("MTRX:V2:3:5:10:10", [(0,), (1e9,)]), Frame((2, 3, 5), np.dtype("u2")))
