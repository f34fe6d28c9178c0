from __future__ import annotations

import json
from pathlib import Path

import pytest

from cubeengine.submit.progress import ProgressFile, read_progress


def test_file_tells_how_far_the_run_is_and_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = ProgressFile(path, every=0.0)

    file.update(10, 100, 2.0)
    seen = read_progress(path)
    assert seen is not None
    assert (seen.done, seen.total, seen.seconds, seen.ended) == (10, 100, 2.0, "")
    file.close("stopped")
    seen = read_progress(path)
    assert seen is not None
    assert (seen.done, seen.ended) == (10, "stopped")
    assert [found.name for found in tmp_path.iterdir()] == ["run.json"]


def test_file_is_not_written_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    file = ProgressFile(path, every=60.0)
    for done in range(100):
        file.update(done, 100, 1.0)

    seen = read_progress(path)
    assert seen is not None
    assert seen.done == 0


def test_file_that_cannot_be_written_disturbs_nobody(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "no" / "folder" / "run.json")
    file.update(1, 2, 3.0)
    file.close("made")

    assert read_progress(tmp_path / "no" / "folder" / "run.json") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nan",
        '{"done": 1, "total": 2, "seconds": 1e999, "ended": "", "updated": 0}',
        '{"done": "x"}',
    ],
)
def test_what_is_no_progress_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)

    assert read_progress(path) is None


def test_progress_is_json_that_others_can_read(tmp_path: Path) -> None:
    ProgressFile(tmp_path / "run.json").update(1, 2, 3.0)

    assert json.loads((tmp_path / "run.json").read_text())["total"] == 2
