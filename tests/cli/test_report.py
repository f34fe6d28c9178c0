from __future__ import annotations

from pathlib import Path

import pytest

from cubeengine.store.read import is_cube
from tests.cli.conftest import Call


def test_run_writes_a_page_as_well(call: Call, folder: Path) -> None:
    done = call("run", "delay.yaml", "-o", "cube.zarr", "--report", "page.html")

    assert done.code == 0
    assert "wrote page.html" in done.out
    page = (folder / "page.html").read_text()
    assert "<h1>delay</h1>" in page
    assert "xpptest01 run 7" in page
    assert 'src="data:image/png;base64,' in page


def test_page_of_a_cube_that_is_there(call: Call, folder: Path) -> None:
    call("run", "delay.yaml", "-o", "cube.zarr")

    done = call("report", "cube.zarr", "page.html")

    assert (done.code, done.out) == (0, "wrote page.html\n")
    assert (folder / "page.html").stat().st_size < 5_000_000


def test_page_of_ours_is_replaced_and_any_other_file_stays(call: Call, folder: Path) -> None:
    call("run", "delay.yaml", "-o", "cube.zarr", "--report", "page.html")
    spec = (folder / "delay.yaml").read_bytes()

    assert call("report", "cube.zarr", "page.html").out == "replaced page.html\n"
    for done in (
        call("report", "cube.zarr", "delay.yaml"),
        call("run", "delay.yaml", "-o", "other.zarr", "--report", "delay.yaml"),
    ):
        assert done.code == 2
        assert "delay.yaml: already exists, and cubeengine did not make it" in done.err
    assert (folder / "delay.yaml").read_bytes() == spec
    assert not (folder / "other.zarr").exists()


def test_page_without_a_place_is_refused_before_the_work(call: Call, folder: Path) -> None:
    done = call("run", "delay.yaml", "-o", "cube.zarr", "--report", "nowhere/page.html")

    assert done.code == 2
    assert "nowhere/page.html: its folder 'nowhere' does not exist; create it first" in done.err
    assert not (folder / "cube.zarr").exists()
    assert call("run", "delay.yaml", "--report", ".").code == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("odd")])
def test_page_that_fails_is_a_warning_and_the_cube_is_there(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("cubeengine.report.write_report", fails)
    done = call("run", "delay.yaml", "-o", "cube.zarr", "--report", "page.html")

    assert done.code == 0
    assert is_cube(folder / "cube.zarr")
    assert "warning: no report: " in done.err
    assert "cubeengine report cube.zarr page.html" in done.err


def test_report_of_nothing_is_one_message(call: Call, folder: Path) -> None:
    done = call("report", "none.zarr", "page.html")

    assert done.code == 2
    assert done.err.startswith("error: none.zarr: no such file or folder")
