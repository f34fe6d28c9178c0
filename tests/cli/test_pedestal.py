from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cubeengine.demo import write_dark_run, write_run
from cubeengine.detectors.constants import open_constants
from tests.cli.conftest import Call


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_run(folder, n_events=500)
    write_dark_run(folder / "dark")
    return folder


@pytest.fixture
def home(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield demo
    assert not list(tmp_path.glob(".*"))  # nothing of the work is left


@pytest.mark.slow
def test_dark_run_becomes_constants_and_a_picture(home: Path, call: Call) -> None:
    gains = home / "constants" / "jungfrau.h5"
    done = call(
        "pedestal", home / "dark", "--detector", "jungfrau", "--merge", gains, "-o", "d.h5", "--plot", "d.png"
    )

    assert done.code == 0, done.err
    assert "15 of 3,072 pixels are bad" in done.out
    assert "wrote d.h5" in done.out
    assert "100 %" in done.err
    assert open_constants(Path("d.h5")).shapes["pedestals"] == (3, 2, 24, 64)
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")


def test_default_name_is_of_detector_and_run(home: Path, call: Call) -> None:
    assert call("pedestal", home / "dark", "--detector", "jungfrau").code == 0
    assert Path("jungfrau_xppdemo20_r0013_dark.h5").exists()


def test_file_that_is_there_is_replaced_only_if_asked(home: Path, call: Call) -> None:
    Path("d.npz").write_bytes(b"mine")
    command = ("pedestal", home / "dark", "--detector", "jungfrau", "-o", "d.npz")

    refused = call(*command)
    assert refused.code == 2
    assert "d.npz already exists" in refused.err
    assert Path("d.npz").read_bytes() == b"mine"
    assert call(*command, "--overwrite").code == 0
    assert open_constants(Path("d.npz")).kind == "jungfrau"


def test_light_run_is_refused_saying_why_and_nothing_is_written(home: Path, call: Call) -> None:
    done = call("pedestal", home / "xtc", "--detector", "jungfrau")

    assert done.code == 3
    assert "are not dark:\n  xray: " in done.err
    assert "--accept xray" in done.err
    assert not list(Path().iterdir())


def test_limits_and_selection_are_taken(home: Path, call: Call) -> None:
    done = call(
        "pedestal", home / "dark", "--detector", "jungfrau", "--select", "`scan/gain_mode` == 0",
        "-o", "d.h5", "--noise-range", "g0=5:6", "--pedestal-range", "0:16384", "--max-rejected", "0.5",
    )  # fmt: skip

    assert done.code == 0, done.err
    assert "no constants for g1, g2" in done.out
    constants = open_constants(Path("d.h5"))
    noise, status = (constants.read(name)[0] for name in ("pixel_rms", "pixel_status"))
    np.testing.assert_array_equal(status, np.where(noise > 6, 1, 0) + np.where(noise < 5, 2, 0))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--detector", "jungfrua"), "nearest: 'jungfrau'"),
        (("--detector", "jungfrau", "--noise-range", "2-7"), "must be LOW:HIGH"),
        (("--detector", "jungfrau", "--noise-range", "7:2"), "must be LOW to HIGH"),
        (("--detector", "jungfrau", "--noise-range", "g3=2:7"), "not a gain range of jungfrau"),
        (("--detector", "jungfrau", "--accept", "xrays"), "nearest: 'xray'"),
        (("--detector", "jungfrau", "--clip", "1"), "clip must be 3 to 20"),
        (("--detector", "jungfrau", "--kind", "jungfrua"), "not a kind of detector"),
        (("--detector", "jungfrau", "--select", "`scan/gain_mode` > 9"), "keeps none of 600"),
        (("--detector", "jungfrau", "--merge", "nothing.h5"), "no such file: 'nothing.h5'"),
    ],
)
def test_wrong_arguments_are_named(home: Path, call: Call, extra: tuple[str, ...], message: str) -> None:
    done = call("pedestal", home / "dark", *extra)

    assert done.code == 2
    assert message in done.err
