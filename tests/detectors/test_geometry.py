"""Geometry files: pixels where the rules put them, and where psana puts them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from cubeengine.detectors.assemble import StageOptions
from cubeengine.detectors.base import Frame
from cubeengine.detectors.constants import write_constants
from cubeengine.detectors.geometry import parse_geometry, read_geometry
from cubeengine.detectors.sensors import sensor
from cubeengine.errors import SourceFormatError, SpecError
from tests.makers.geometry import ALL, CSPAD, EPIX_QUAD, camera, text_of
from tests.suites.stages import context

PSANA = os.environ.get("CUBEENGINE_PSANA_PYTHON", "")


def test_pixels_of_jungfrau_lie_as_stated() -> None:
    kind = sensor("JUNGFRAU:V2")

    assert kind.x.shape == (512, 1024)
    assert kind.pitch == 75
    plain = 75 * (np.arange(1024) + np.repeat([-514.5, -512.5, -510.5, -508.5], 256))
    wide = np.zeros(1024)
    wide[[255, 511, 767]], wide[[256, 512, 768]] = 37.5, -37.5
    assert_array_equal(kind.x, np.broadcast_to(plain + wide, (512, 1024)))
    assert_array_equal(kind.y[[0, 254, 255, 256, 511], 7], [-19237.5, -187.5, -75.0, 75.0, 19237.5])


def test_pixels_of_epix10ka_begin_beside_the_centre_and_row_0_is_at_the_top() -> None:
    kind = sensor("EPIX10KA:V1")

    assert_array_equal(kind.x[0, [0, 191, 192, 383]], [-19275, -175, 175, 19275])
    assert_array_equal(kind.y[[0, 175, 176, 351], 0], [17675, 175, -175, -17675])


def test_matrix_has_its_shape_and_sizes_in_its_name() -> None:
    kind, centred = sensor("MTRX:4:6:50:70"), sensor("MTRX:V2:4:6:50:70")

    assert_array_equal(kind.x[:, 0], [0, 50, 100, 150])
    assert_array_equal(kind.y[0], [0, 70, 140, 210, 280, 350])
    assert_array_equal(centred.x[0], [-175, -105, -35, 35, 105, 175])
    assert_array_equal(centred.y[:, 0], [75, 25, -25, -75])


def test_angles_turn_counter_clockwise_about_z_then_y_then_x() -> None:
    text = camera("MTRX:V2:2:2:10:10", [(100, 200, 300, 80, 85, 95, 10, 5, -5)])

    pixels = parse_geometry(text).pixels()

    # (5, 5, 0): about z (-5, 5, 0), about y (z to x) (0, 5, 5), about x (y to z) (0, -5, 5)
    first = [values[0, 0, 1] for values in (pixels.x, pixels.y, pixels.z)]
    assert_allclose(first, [100, 195, 305], atol=1e-12)


def test_segments_are_the_leaves_in_the_order_of_the_file() -> None:
    geometry = parse_geometry(CSPAD)

    ways = geometry.leaves()

    assert [(way[1].node[1], way[0].node[1]) for way in ways] == [(q, n) for q in range(2) for n in range(3)]
    whole, some = geometry.pixels(), geometry.pixels([1, 5])
    assert_array_equal(some.x, whole.x[[1, 5]])
    with pytest.raises(SpecError, match="has 6 segments, but segment 6 is wanted"):
        geometry.pixels([6])


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_geometry_may_stand_in_a_file_of_constants(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"constants.{suffix}"
    write_constants(path, {}, geometry=EPIX_QUAD)
    (tmp_path / "geometry.data").write_text(EPIX_QUAD)

    assert read_geometry(path).placements == read_geometry(tmp_path / "geometry.data").placements

    write_constants(path, {"pixel_mask": np.ones((1, 2, 2), np.uint8)})
    with pytest.raises(SpecError, match="holds no 'geometry'"):
        read_geometry(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no geometry"),
        ("# nothing\n\n", "holds no geometry"),
        ("IP 0 A 0 1 2 3", "line 1: must have 13 columns, but has 7"),
        ("IP 0 A x" + " 0" * 9, "line 1: invalid literal"),
        ("IP 0 A 0" + " 0" * 8 + " nan", "must hold finite numbers"),
        ("IP 0 A 0 1e300" + " 0" * 8, "none beyond 1e\\+12"),
        ("A 0 B 0" + " 0" * 9 + "\nB 0 A 0" + " 0" * 9, "[AB] 0 contains itself"),
        ("A 0 A 0" + " 0" * 9, "A 0 contains itself"),
        (("A 0 B 0" + " 0" * 9 + "\n") * 2, "line 2: B 0 appears twice"),
        (
            text_of([(p, 0, c, 0, *(0.0,) * 9) for p, c in (("X", "Q"), ("Y", "Q"), ("Q", "S"))]),
            "Q 0 has parts of its own, but belongs to several parents",
        ),
    ],
)
def test_text_that_is_no_geometry_is_refused(text: str, message: str) -> None:
    with pytest.raises(SourceFormatError, match=f"^geometry.*{message}"):
        parse_geometry(text)


WORDS = st.sampled_from(
    ["A", "B", "IP", "MTRX:2:2:1:1", "0", "1", "-1", "2.5", "nan", "1e400", "#", "1_0", "\u0663"]
)
ROWS = st.lists(WORDS, min_size=12, max_size=14).map(" ".join)


@pytest.mark.slow
@given(st.lists(ROWS, max_size=4).map("\n".join) | st.text(max_size=200))
def test_any_text_is_a_geometry_or_a_clear_error(text: str) -> None:
    message = "geometry"
    try:
        parse_geometry(text).pixels()
    except SourceFormatError as err:
        message = str(err)

    assert message.startswith("geometry")


@pytest.mark.parametrize(
    "name", ["PNCCD:V1", "MTRX:0:3:1:1", "MTRX:3:3:1.1.1:2", "MTRX:3:3:0:1", "MTRX:99999:99999:1:1"]
)
def test_sensor_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(SourceFormatError, match=r"is not a type of sensor|must be positive numbers"):
        parse_geometry(camera(name, [(0,)])).pixels()


def test_file_that_is_no_geometry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.dat").write_bytes(b"\0" * 100)
    with pytest.raises(SourceFormatError, match="is neither a geometry text file"):
        read_geometry(tmp_path / "image.dat")
    with pytest.raises(SpecError, match="the geometry cannot be read"):
        read_geometry(tmp_path / "none.data")


@pytest.fixture(scope="module")
def of_psana(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    if not PSANA:
        pytest.skip("CUBEENGINE_PSANA_PYTHON names no Python that has psana")
    folder = tmp_path_factory.mktemp("psana")
    (folder / "texts.json").write_text(json.dumps(ALL))
    script = Path(__file__).with_name("psana_geometry.py")
    command = [PSANA, script, folder / "texts.json", folder / "pixels.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "pixels.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ALL)
def test_pixels_and_images_are_those_of_psana(
    name: str, of_psana: dict[str, np.ndarray], tmp_path: Path
) -> None:
    pixels = parse_geometry(ALL[name]).pixels()
    (tmp_path / "geometry.data").write_text(ALL[name])
    frame = Frame(pixels.x.shape, np.dtype("f4"))

    stage = StageOptions("geometry.data").build(frame, context(folder=tmp_path))

    for axis in "xyz":
        wanted = of_psana[f"{name}.{axis}"].reshape(pixels.x.shape)
        assert_allclose(getattr(pixels, axis), wanted, rtol=0, atol=1e-9)
    rows, columns = (of_psana[f"{name}.{key}"].ravel() for key in ("rows", "columns"))
    index = np.full((rows.max() + 1, columns.max() + 1), -1)
    index[rows, columns] = np.arange(rows.size)
    assert stage.output.shape == index.shape
    assert_array_equal(stage.index.load(), index.ravel())
