"""Azimuthal averages: kernel and stage against plain numpy; never against pyFAI, which the stage asks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from cubeengine.detectors.azav import Azav
from cubeengine.detectors.base import Frame, Stage
from cubeengine.detectors.registry import stage_options
from cubeengine.detectors.sparse import SparseMeans
from cubeengine.errors import MissingExtra, SourceFormatError, SpecError
from cubeengine.shared import SharedArray
from tests.detectors.scattering import (
    Camera,
    abscissa,
    averages,
    azimuth,
    grid,
    in_sector,
    norms,
    reach,
    shares,
)
from tests.makers.geometry import camera
from tests.quick import first_quick
from tests.suites.stages import StageSuite, applied, built, context, some_frames

IMAGE = Frame((40, 50), np.dtype("f4"), "keV")
SIMPLE = {
    "distance": "20 mm",
    "pixel_size": "200 um",
    "center": [17.3, 22.8],
    "wavelength": "1.5 angstrom",
    "bins": 25,
}


CAMERA = Camera(grid((40, 50)), 2e-4, 0.02, (17.8 * 2e-4, 23.3 * 2e-4))
"""The same in metres: the middle of pixel [0, 0] lies half a pixel from the edge."""
WAVELENGTH = 1.5e-10


@pytest.fixture
def pyfai() -> Any:
    """The package with its integrators; skips where it is not installed."""
    pytest.importorskip("pyFAI", reason="pyFAI (extra azav) is not installed")
    from cubeengine.detectors.integrator import import_pyfai

    return import_pyfai()


# means through a sparse matrix


def matrix_of(frame: Frame, n_means: int, seed: int = 1) -> tuple[SparseMeans, np.ndarray, np.ndarray]:
    """Return a matrix of some entries by rows, and the same as dense shares with the norms of elements."""
    rng = np.random.default_rng(seed)
    dense = np.where(
        rng.random((n_means, frame.n_elements)) < 0.2, rng.random((n_means, frame.n_elements)), 0
    )
    dense[n_means // 2] = 0  # a bin without pixels
    dense = dense.astype(np.float32)
    norm = rng.random(frame.n_elements) + 0.5
    rows, elements = np.nonzero(dense)
    starts = np.searchsorted(rows, np.arange(n_means + 1))
    return SparseMeans.of_rows(starts, elements, dense[rows, elements], norm), dense, norm


def by_numpy(frames: np.ndarray, dense: np.ndarray, norm: np.ndarray) -> np.ndarray:
    values = frames.astype(np.float64)
    there = np.isfinite(values)
    sums = np.where(there, values, 0) @ dense.T.astype(np.float64)
    norms = (there * norm) @ dense.T.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(norms > 0, sums / norms, np.nan)


class TestAzavOfAnyMatrix(StageSuite):
    @pytest.fixture(params=first_quick(["f4", "u2", "f8", "i4", "?"]))
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        frame = Frame((20, 30), np.dtype(request.param))
        means, _, _ = matrix_of(frame, 11)
        output = Frame((11,), np.dtype("f8"))
        return Azav(frame, output, means, SharedArray(np.arange(11.0)), "r_mm", (("pixels_used", 600),))


@given(st.integers(0, 20), st.integers(1, 700), st.integers(1, 9), st.sampled_from(["f4", "u2", "f8"]))
def test_means_agree_with_numpy(n: int, n_elements: int, n_means: int, dtype: str) -> None:
    frame = Frame((n_elements,), np.dtype(dtype))
    means, dense, norm = matrix_of(frame, n_means)
    frames, out = some_frames(frame, n), np.empty((n, n_means))

    means.apply(frames, (0, n_means), out)

    assert_allclose(out, by_numpy(frames, dense, norm), rtol=2e-6, atol=1e-4)


def test_bin_whose_pixels_are_all_missing_is_missing() -> None:
    frame = Frame((4,), np.dtype("f4"))
    means = SparseMeans.of_rows(
        np.array([0, 2, 4]), np.array([0, 1, 2, 3]), np.ones(4), np.array([1.0, 1, 2, 2])
    )
    out = np.empty((1, 2))

    means.apply(np.array([[np.nan, np.inf, 6, np.nan]], frame.dtype), (0, 2), out)

    assert_array_equal(out, [[np.nan, 3]])


# pyFAI


class TestAzavOfPyfai(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                {"split": "full", "unit": "r_mm", "range": [1, 5]},
                {},
                {"split": "none", "unit": "2th_deg"},
            ]
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest, pyfai: Any) -> Stage:
        return built("azav", {**SIMPLE, **request.param}, IMAGE)


def steep_frames(camera: Camera, n: int = 2) -> np.ndarray:
    """Return frames that change much with the radius, and from pixel to pixel; some pixels are missing."""
    radius = abscissa(camera.points(), "r_mm", 1)
    frames = some_frames(IMAGE, n) + (300 + 200 * radius**2).reshape(1, -1)
    return frames.astype(IMAGE.dtype)


def edges_of(camera: Camera, wavelength: float, options: dict[str, Any]) -> np.ndarray:
    """Return the edges of the bins: as asked for, else from the first pixel to the last."""
    unit, split, n_bins = options.get("unit", "q_A^-1"), options.get("split", "bbox"), options["bins"]
    low, high = options.get("range") or reach(camera, unit, wavelength, split)
    return low + (high - low) * np.arange(n_bins + 1) / n_bins


def check_against_geometry(
    stage: Stage, options: dict[str, Any], camera: Camera = CAMERA, wavelength: float = WAVELENGTH
) -> None:
    unit, split = options.get("unit", "q_A^-1"), options.get("split", "bbox")
    edges = edges_of(camera, wavelength, options)
    share = shares(camera, unit, wavelength, edges, split, beyond="range" not in options)
    if "azimuth" in options:
        share = share * in_sector(azimuth(camera.points()), options["azimuth"])
    angle, polarization = options.get("solid_angle", True), options.get("polarization")
    norm = norms(camera, solid_angle=angle, polarization=polarization)
    frames = steep_frames(camera)

    found = applied(stage, frames)

    wanted = averages(frames, share, norm)
    assert np.isfinite(wanted).any()
    # Areas: pyFAI takes sides of pixels as straight in radius and azimuth, which they are not at the beam.
    assert_allclose(found, wanted, rtol=3e-2 if split == "full" else 3e-6)
    middles = (edges[1:] + edges[:-1]) / 2
    assert_allclose(stage.coordinates()[0].values, middles, rtol=1e-12 if "range" in options else 1e-5)


@pytest.mark.parametrize("split", first_quick(["full", "none", "bbox"]))
@pytest.mark.parametrize(
    ("unit", "options"),
    [
        ("q_A^-1", {}),
        ("q_nm^-1", {"polarization": 0.95}),
        ("2th_deg", {"solid_angle": False, "polarization": -0.2}),
        ("2th_rad", {"azimuth": [20, 75]}),
        ("r_mm", {"range": [0.8, 3.5]}),
        ("r_mm", {"range": [0, 3.5], "bins": 3}),
        ("r_mm", {"range": [1.7, 2.2], "bins": 1}),
        ("q_A^-1", {"range": [0.3, 0.6], "azimuth": [170, 200]}),
        ("2th_deg", {"range": [3, 12], "bins": 7}),
    ],
    ids=str,
)
def test_averages_are_those_of_plain_geometry(
    pyfai: Any, split: str, unit: str, options: dict[str, Any]
) -> None:
    options = {**SIMPLE, **options, "split": split, "unit": unit}

    check_against_geometry(built("azav", options, IMAGE), options)


@pytest.mark.parametrize("split", first_quick(["full", "none", "bbox"]))
def test_pixels_count_for_the_part_of_them_that_lies_in_the_range(pyfai: Any, split: str) -> None:
    options = {**SIMPLE, "bins": 3, "unit": "r_mm", "range": [1.2, 3.1], "split": split, "solid_angle": False}
    radius = abscissa(CAMERA.points(), "r_mm", 1)
    outside = ((radius < 1.2) | (radius > 3.1)).reshape(1, -1).astype(IMAGE.dtype)

    found = applied(built("azav", options, IMAGE), outside)

    share = shares(CAMERA, "r_mm", 1, edges_of(CAMERA, 1, options), split)
    assert_allclose(found, averages(outside, share, np.ones(radius.shape)), atol=1e-3)
    assert (found[0, [0, 2]] > 0).all() == (split != "none")


@pytest.mark.parametrize(
    "sector",
    first_quick(
        [[150, 210], [0, 360], [-180, 180], [30, 60], [-200, -170], [300, 420], [725, 800], [-95, 300]], 2
    ),
)
def test_sectors_go_beyond_180_degrees(pyfai: Any, sector: list[float]) -> None:
    options = {**SIMPLE, "bins": 6, "unit": "r_mm", "range": [0.6, 3.4], "azimuth": sector, "split": "none"}

    check_against_geometry(built("azav", options, IMAGE), options)


def test_mean_of_a_sine_over_whole_circles_is_zero_and_over_a_sector_that_of_the_sector(pyfai: Any) -> None:
    options = {**SIMPLE, "bins": 2, "unit": "r_mm", "range": [1, 3], "split": "none", "solid_angle": False}
    sine = np.sin(np.radians(azimuth(CAMERA.points()))).reshape(1, -1).astype("f8")
    frame = Frame((40, 50), np.dtype("f8"))

    for sector, wanted in (
        ([-180, 180], 0),
        ([0, 360], 0),
        ([90, 450], 0),
        ([150, 210], 0),
        ([0, 180], 2 / np.pi),
    ):
        found = applied(built("azav", {**options, "azimuth": sector}, frame), sine)
        assert_allclose(found, [[wanted] * 2], atol=0.02, err_msg=str(sector))


def test_all_sectors_have_the_same_bins(pyfai: Any) -> None:
    middles = [
        built("azav", {**SIMPLE, **azimuth}, IMAGE).coordinates()[0].values
        for azimuth in ({}, {"azimuth": [10, 20]}, {"azimuth": [170, 250]})
    ]

    assert_array_equal(middles[0], middles[1])
    assert_array_equal(middles[0], middles[2])


def poni_file(pyfai: Any, path: Path, **changes: Any) -> Any:
    """Write a file for a tilted detector with a mask; give the integrator."""
    detector = pyfai.detectors.Detector(2e-4, 2e-4, max_shape=(40, 50))
    integrator = pyfai.integrator.azimuthal.AzimuthalIntegrator(
        **{"dist": 0.03, "poni1": 4e-3, "poni2": 5e-3, "rot1": 0.2, "rot2": -0.1, "rot3": 0.05}
        | {"detector": detector, "wavelength": 1.1e-10}
        | changes
    )
    integrator.save(str(path))
    return integrator


TILTED = Camera(grid((40, 50)), 2e-4, 0.03, (4e-3, 5e-3), (0.2, -0.1, 0.05))
"""What `poni_file` describes."""


@pytest.mark.parametrize("options", [{}, {"azimuth": [-20, 10], "polarization": 0.9}], ids=str)
def test_experiment_can_be_a_file_of_pyfai(pyfai: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    poni_file(pyfai, tmp_path / "geometry.poni")
    options = {"poni": "geometry.poni", "bins": 30, "split": "none", **options}

    stage = built("azav", options, IMAGE, context(folder=tmp_path))

    check_against_geometry(stage, options, TILTED, 1.1e-10)
    assert stage.coordinates()[0].unit == "1/angstrom"
    assert stage.output == Frame((30,), np.dtype("f8"), "keV")
    assert stage.facts()["rot1_rad"] == 0.2
    assert stage.facts()["poni"] == str(tmp_path / "geometry.poni")


def test_wavelength_may_be_another_than_in_the_file(pyfai: Any, tmp_path: Path) -> None:
    poni_file(pyfai, tmp_path / "geometry.poni")
    where, options = context(folder=tmp_path), {"poni": "geometry.poni", "bins": 30}

    plain = built("azav", options, IMAGE, where).coordinates()[0].values
    half = built("azav", {**options, "wavelength": "0.55 angstrom"}, IMAGE, where).coordinates()[0].values
    hard = built("azav", {**options, "energy": "22.54258 keV"}, IMAGE, where).coordinates()[0].values

    assert_allclose(half, 2 * plain, rtol=1e-6)
    assert_allclose(hard, half, rtol=1e-6)


def test_masked_pixels_of_a_known_detector_do_not_count(pyfai: Any, tmp_path: Path) -> None:
    detector = pyfai.detectors.Detector(2e-4, 2e-4, max_shape=(40, 50))
    detector.mask = np.zeros((40, 50), np.int8)
    detector.mask[5:10] = 1
    from cubeengine.detectors.integrator import Binning, integration

    integrator = poni_file(pyfai, tmp_path / "x.poni", detector=detector)
    binning = Binning(20, "q_A^-1", None, None, "none", True, None)

    made = integration(integrator, (40, 50), binning)

    there = np.ones((40, 50), bool)
    there[5:10] = False
    q = abscissa(TILTED.points(), "q_A^-1", 1.1e-10)[there]
    assert made.facts["pixels_used"] == 35 * 50
    width = (q.max() - q.min()) / 20
    assert_allclose(made.centers, q.min() + width * (np.arange(20) + 0.5), rtol=1e-6)


PANELS = camera("MTRX:V2:20:30:200:200", [(0, 0), (5000, 200, 0, 90), (-400, 7000, 0, 180, 0, 180)])


@pytest.mark.parametrize("azimuth", [{}, {"azimuth": [100, 260]}], ids=str)
@pytest.mark.parametrize("split", first_quick(["full", "none", "bbox"]))
def test_panels_give_what_their_image_gives(
    pyfai: Any, tmp_path: Path, split: str, azimuth: dict[str, Any]
) -> None:
    (tmp_path / "panels.data").write_text(PANELS)
    frame = Frame((3, 20, 30), np.dtype("f4"))
    frames = np.random.default_rng(4).normal(500, 30, (2, frame.n_elements)).astype("f4")
    frames[0, 100:200] = np.nan
    where = context(folder=tmp_path)
    options = {key: value for key, value in SIMPLE.items() if key != "pixel_size"}
    options |= {"center": [30.2, 20.7], "split": split, "range": [0.2, 1.2], **azimuth}

    direct = built("azav", {**options, "geometry": "panels.data"}, frame, where)
    assembled = built("assemble", "panels.data", frame, where)
    late = built("azav", {**options, "pixel_size": "200 um"}, assembled.output, where)

    assert assembled.output.n_elements > frame.n_elements
    wanted = applied(late, applied(assembled, frames))
    assert_allclose(direct.coordinates()[0].values, late.coordinates()[0].values)
    assert_allclose(applied(direct, frames), wanted, rtol=1e-4)


def test_frames_of_panels_need_a_geometry(pyfai: Any) -> None:
    with pytest.raises(
        SpecError, match=r"'area/raw': azav takes images .* shape \(3, 4, 5\); give 'geometry'"
    ):
        built("azav", SIMPLE, Frame((3, 4, 5), np.dtype("f4")))


def test_files_that_do_not_fit_are_refused(pyfai: Any, tmp_path: Path) -> None:
    poni_file(pyfai, tmp_path / "good.poni")
    poni_file(pyfai, tmp_path / "no.poni", wavelength=None)
    (tmp_path / "bad.poni").write_text("# nothing\nDistance: 1\n")
    (tmp_path / "worse.poni").write_text("Distance: x\nPoni1: 1\nPoni2: 2\n")
    good = (tmp_path / "good.poni").read_text()
    (tmp_path / "nan.poni").write_text(good.replace("Rot1: 0.2", "Rot1: nan"))
    where = context(folder=tmp_path)
    with pytest.raises(
        SpecError, match=r"is for images of shape \(40, 50\), but these images have shape \(40, 51\)"
    ):
        built("azav", {"poni": "good.poni", "bins": 5}, Frame((40, 51), np.dtype("f4")), where)
    with pytest.raises(SpecError, match="needs the wavelength"):
        built("azav", {"poni": "no.poni", "bins": 5}, IMAGE, where)
    with pytest.raises(SpecError, match="cannot be read"):
        built("azav", {"poni": "none.poni", "bins": 5}, IMAGE, where)
    with pytest.raises(SourceFormatError, match="has no 'poni1'"):
        built("azav", {"poni": "bad.poni", "bins": 5}, IMAGE, where)
    with pytest.raises(SourceFormatError, match="pyFAI cannot read it"):
        built("azav", {"poni": "worse.poni", "bins": 5}, IMAGE, where)
    with pytest.raises(SourceFormatError, match=r"nan\.poni: rot1 must be a finite number, but is nan"):
        built("azav", {"poni": "nan.poni", "bins": 5}, IMAGE, where)
    with pytest.raises(SpecError, match="no pixel is in the range"):
        built("azav", {**SIMPLE, "range": [100, 200]}, IMAGE)


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyFAI", None)
    for name in [name for name in sys.modules if name.startswith("pyFAI.")]:
        monkeypatch.delitem(sys.modules, name)

    with pytest.raises(MissingExtra, match=r"pip install 'cubeengine\[azav\]'"):
        built("azav", SIMPLE, IMAGE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bins": 0}, "bins"),
        ({"poni": "x.poni"}, "'distance' is already in the 'poni' file"),
        ({"center": None}, "needs either 'poni', or 'distance', 'center', 'pixel_size'"),
        ({"wavelength": None}, "needs 'wavelength' or 'energy' for 'q_A\\^-1'"),
        ({"energy": "9 keV"}, "either 'wavelength' or 'energy', not both"),
        ({"geometry": "x.data"}, "'pixel_size' is already in the 'geometry'; leave it out"),
        ({"distance": 20}, "'distance' needs a unit, e.g. '90 mm'"),
        ({"distance": "20 eV"}, "cannot convert 'eV' to 'm'"),
        ({"distance": "-20 mm"}, "'distance' must be more than 0"),
        ({"range": [3, 1]}, "must be .low, high. with low < high"),
        ({"range": [1]}, "must be two numbers"),
        ({"range": [False, 3]}, "must be two numbers"),
        ({"azimuth": [170, -170]}, r"for a sector across 180 degrees write \[170.0, 190.0\]"),
        ({"azimuth": [3, 3]}, "must be .low, high. with low < high"),
        ({"center": "1, 2"}, "must be two numbers"),
        ({"polarization": 2}, "polarization"),
        ({"unit": "q"}, "unit"),
        ({"split": "half"}, "split"),
    ],
)
def test_options_that_are_none_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        stage_options("azav")(**{**SIMPLE, **changes})


@pytest.mark.slow
def test_pixels_on_the_edges_of_a_sector_lie_in_it(pyfai: Any) -> None:
    options = {**SIMPLE, "center": [20, 25], "bins": 1, "unit": "r_mm", "range": [1.9, 2.1], "split": "none"}

    used = [
        built("azav", {**options, "azimuth": sector}, IMAGE).facts()["pixels_used"]
        for sector in ([0, 45], [-360, -270], [44, 46], [90, 91], [179, 181])
    ]

    down, right = np.mgrid[-20:20, -25:25]
    ring = (np.hypot(down, right) >= 9.5) & (np.hypot(down, right) < 10.5)
    assert used[0] == (ring & (right >= down) & (down >= 0)).sum()
    assert used[1] == (ring & (right >= 0) & (down >= 0)).sum()
    assert used[2:5] == [(ring & (right == down) & (down > 0)).sum(), 1, 1]
