"""``cubeengine jobs``: how the submitted jobs are."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable, show_table

if TYPE_CHECKING:
    from cubeengine.submit.records import Record

DAYS = 7
TAIL_BYTES = 4096
TITLES = ("job", "run", "state", "time", "last progress", "cube", "log")


@dataclass(frozen=True, slots=True)
class Row:
    """A job as it is shown.

    Attributes
    ----------
    job, run : str, int
        Slurm's number, and that of the run.
    state, time : str
        As Slurm says; "gone" where it does not know the job any more.
    progress : str
        How far the run is, or was when it ended.
    output, log : str
        The cube, and the log.
    """

    job: str
    run: int
    state: str
    time: str
    progress: str
    output: str
    log: str


@click.command("jobs", cls=Command, short_help="Show the submitted jobs: their state and last progress.")
@click.option("--all", "everything", is_flag=True, help=f"Also show jobs older than {DAYS} days.")
@click.option("--json", "as_json", is_flag=True, help="Print the jobs as JSON.")
def command(everything: bool, as_json: bool) -> None:
    """Show the jobs that `cubeengine submit` has submitted, and the last progress of each."""
    from cubeengine.submit.records import read_records

    oldest = 0.0 if everything else time.time() - DAYS * 86400
    rows = job_rows([record for record in read_records() if record.submitted >= oldest])
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif rows:
        _print(rows)
    else:
        click.echo(f"no jobs{'' if everything else f' of the last {DAYS} days; --all shows older ones'}")


def job_rows(records: list[Record]) -> list[Row]:
    """Ask Slurm and the runs' own files how jobs are."""
    from cubeengine.submit.slurm import JobState, job_states

    states = job_states([record.job for record in records]) if records else {}
    gone = JobState("gone", "")
    found = [(record, states.get(record.job, gone)) for record in records]
    return [
        Row(
            record.job, record.run, state.state.lower(), state.detail, last_progress(record),
            record.output, record.log,
        )
        for record, state in found
    ]  # fmt: skip


def last_progress(record: Record) -> str:
    """Say how far a run is; where it does not say itself, give the end of its log."""
    from cubeengine.progress import progress_line
    from cubeengine.submit.progress import read_progress

    seen = read_progress(Path(record.progress))
    if seen is None or seen.ended == "failed":
        return last_line(Path(record.log))
    if seen.ended == "made":
        return f"made in {seen.seconds:.0f} s"
    line = " ".join(progress_line(seen).split())
    return f"stopped at {line.partition(' %')[0]} %" if seen.ended else line


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty; "" where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL_BYTES, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _print(rows: list[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in TITLES:
        right = title in ("job", "run")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in asdict(row).values()))
    show_table(table)
