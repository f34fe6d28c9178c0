"""The table of submitted jobs, with a squeue of a shell script."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cubeengine.submit.progress import ProgressFile
from cubeengine.submit.records import Record, append_record
from tests.cli.conftest import Call
from tests.submit.fakes import write_command


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    commands = tmp_path / "commands"
    commands.mkdir()
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_command(
        commands,
        "squeue",
        out="11|RUNNING|0:42|None\n12|PENDING|0:00|Resources\n13|FAILED|1:00|NonZeroExitCode\n",
    )
    write_command(commands, "sacct", out="14|COMPLETED|00:01:00\n", code=0)
    return commands


def record(folder: Path, job: int, **changes: object) -> Record:
    start = folder / f"log_{job}"
    base = Record(
        str(job), "delay", job, f"{folder}/r{job}.zarr", f"{start}.log", f"{start}.json", time.time()
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def rows(call: Call, *options: str) -> dict[str, dict[str, str]]:
    outcome = call("jobs", "--json", *options)
    assert outcome.code == 0
    return {row["job"]: row for row in json.loads(outcome.out)}


def test_jobs_are_shown_with_state_and_progress(call: Call, cluster: Path, tmp_path: Path) -> None:
    for job in range(11, 17):
        append_record(record(tmp_path, job))
    ProgressFile(tmp_path / "log_11.json").update(2**20, 2**22, 2.0)
    made = ProgressFile(tmp_path / "log_14.json")
    made.update(5, 5, 30.0)
    made.close("made")
    stopped = ProgressFile(tmp_path / "log_15.json")
    stopped.update(30, 100, 30.0)
    stopped.close("stopped")
    (tmp_path / "log_13.log").write_text("2 threads\nerror: no such file\x1b[2J\n\n")

    found = rows(call)
    shown = {job: (row["state"], row["time"], row["progress"]) for job, row in found.items()}
    assert shown == {
        "11": ("running", "0:42", "25 % 1 MiB of 4 MiB 512 KiB/s 6 s left"),
        "12": ("pending", "waits: Resources", ""),
        "13": ("failed", "1:00", "error: no such file\x1b[2J"),
        "14": ("completed", "00:01:00", "made in 30 s"),
        "15": ("gone", "", "stopped at 30 %"),
        "16": ("gone", "", ""),
    }
    table = call("jobs").out
    assert "\x1b" not in table
    assert len(table.splitlines()) == 8
    assert f"{tmp_path}/r11.zarr" in table


def test_old_jobs_are_shown_when_asked_for(call: Call, cluster: Path, tmp_path: Path) -> None:
    append_record(record(tmp_path, 11, submitted=time.time() - 8 * 86400))

    assert rows(call) == {}
    assert list(rows(call, "--all")) == ["11"]
    assert "no jobs of the last 7 days" in call("jobs").out


def test_nothing_submitted_is_said(call: Call, cluster: Path) -> None:
    assert call("jobs", "--all").out == "no jobs\n"
