"""Which jobs were submitted: a line of JSON each, in a file of the user's own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cubeengine.errors import LaunchError

MAX_BYTES = 2**20
"""So much of the end of the file is read: some thousand jobs."""


@dataclass(frozen=True, slots=True)
class Record:
    """A submitted job.

    Attributes
    ----------
    job : str
        Slurm's number.
    name : str
        Of the job.
    run : int
        Run number.
    output, log, progress : str
        The cube, the log, and the file with the progress.
    submitted : float
        When, in seconds since 1970.
    """

    job: str
    name: str
    run: int
    output: str
    log: str
    progress: str
    submitted: float


def records_path() -> Path:
    """Return the file: under $XDG_STATE_HOME, else ~/.local/state."""
    named = os.environ.get("XDG_STATE_HOME", "")
    base = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return base / "cubeengine" / "jobs.jsonl"


def append_record(record: Record) -> None:
    """Note a job; several processes may do so at a time.

    Raises
    ------
    LaunchError
        If the file cannot be written; the job is submitted all the same.
    """
    path = records_path()
    line = (json.dumps(asdict(record)) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as err:
        raise LaunchError(
            f"{path}: job {record.job} cannot be recorded for `cubeengine jobs`: {err.strerror}"
        ) from err


def read_records() -> list[Record]:
    """Return the noted jobs, the oldest first; lines that are no records are passed over."""
    try:
        with records_path().open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - MAX_BYTES, 0))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    except OSError as err:
        raise LaunchError(f"{records_path()}: cannot be read: {err.strerror}") from err
    return [record for record in map(_parsed, lines) if record is not None]


def _parsed(line: bytes) -> Record | None:
    try:
        data = json.loads(line)
        values = {field.name: data[field.name] for field in fields(Record)}
    except (ValueError, KeyError, TypeError):
        return None
    record = Record(**values)
    texts = (record.job, record.name, record.output, record.log, record.progress)
    numbers = isinstance(record.run, int) and isinstance(record.submitted, int | float)
    fine = numbers and all(isinstance(text, str) for text in texts) and record.job.isdecimal()
    return record if fine else None
