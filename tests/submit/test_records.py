from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cubeengine.errors import LaunchError
from cubeengine.submit.records import MAX_BYTES, Record, append_record, read_records, records_path

RECORD = Record("17", "xpptut15_r0012_delay", 12, "/data/a b.zarr", "/logs/é.log", "/logs/é.json", 1.5e9)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "cubeengine" / "jobs.jsonl"


def test_records_are_read_back_in_order(state: Path) -> None:
    assert read_records() == []
    append_record(RECORD)
    append_record(replace(RECORD, job="18"))

    assert [record.job for record in read_records()] == ["17", "18"]
    assert asdict(read_records()[0]) == asdict(RECORD)
    assert state.stat().st_mode & 0o077 == 0


def test_other_lines_are_passed_over(state: Path) -> None:
    append_record(RECORD)
    with state.open("a") as file:
        file.write('nonsense\n{}\n[1]\n{"job": 3}\n')
        file.write(
            '{"job": "-x", "name": "", "run": 1, "output": "", "log": "", "progress": "", "submitted": 1}\n'
        )
    append_record(replace(RECORD, job="19"))

    assert [record.job for record in read_records()] == ["17", "19"]


def test_long_file_is_read_from_its_end(state: Path) -> None:
    append_record(RECORD)
    with state.open("a") as file:
        file.write("x" * MAX_BYTES + "\n")
    append_record(replace(RECORD, job="19"))

    assert [record.job for record in read_records()] == ["19"]


def test_state_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")

    with pytest.raises(LaunchError, match="job 17 cannot be recorded"):
        append_record(RECORD)
    with pytest.raises(LaunchError, match="cannot be read"):
        read_records()


def test_relative_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", "/home/ada")

    assert records_path() == Path("/home/ada/.local/state/cubeengine/jobs.jsonl")
