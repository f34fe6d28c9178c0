"""What a run in a batch job says of itself: in a file, to a log book, and to a user who stops it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cubeengine.cli.app import Terminated
from cubeengine.cli.run import keeping
from tests.cli.conftest import Call
from tests.submit.log_book import SECRET, serving


def test_progress_is_written_and_posted(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as log_book:
        monkeypatch.setenv("JID_UPDATE_COUNTERS", log_book.url)
        monkeypatch.setenv("CUBEENGINE_PROGRESS", str(folder / "progress.json"))
        assert call("run", "delay.yaml").code == 0
        counters = {pair["key"]: pair["value"] for pair in log_book.bodies[-1][1]}

    assert counters["cube"] == "made"
    assert counters["progress"].startswith("100 % ")
    written = json.loads((folder / "progress.json").read_text())
    assert (written["ended"], written["done"]) == ("made", written["total"])


@pytest.mark.parametrize("status", [302, 404, 500])
def test_log_book_that_fails_does_not_hurt(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with serving() as log_book:
        log_book.status = status
        monkeypatch.setenv("JID_UPDATE_COUNTERS", log_book.url)
        monkeypatch.setenv("CUBEENGINE_PROGRESS", str(folder / "no" / "such" / "folder.json"))
        outcome = call("run", "delay.yaml")

    assert outcome.code == 0
    assert SECRET not in outcome.out + outcome.err


def test_failed_run_is_noted_as_failed(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBEENGINE_PROGRESS", str(folder / "progress.json"))

    assert call("run", "delay.yaml", "--launcher", "thread").code == 2
    assert json.loads((folder / "progress.json").read_text())["ended"] == "failed"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Terminated])
def test_user_who_stops_a_run_is_told_how_to_go_on(
    capsys: pytest.CaptureFixture[str], kind: type[BaseException]
) -> None:
    with pytest.raises(kind), keeping(True):
        raise kind
    assert "the finished work is kept; run the same command to continue" in capsys.readouterr().err
    with pytest.raises(kind), keeping(False):
        raise kind
    assert capsys.readouterr().err == ""


def test_resumed_run_of_a_made_cube_is_done_at_once(call: Call, folder: Path) -> None:
    assert call("run", "delay.yaml").code == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    assert call("run", "delay.yaml").code == 2
    assert call("run", "delay.yaml", "--resume").code == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }
