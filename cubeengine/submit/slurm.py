"""Slurm's commands: submit a script, ask for the states of jobs. Arguments are lists; no shell reads them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cubeengine.errors import LaunchError

SECONDS = 60.0
"""Slurm's own commands give up after about so long."""
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CLUSTER_NAME")
_JOB = re.compile(r"([0-9]+)(;.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class JobState:
    """What Slurm says of a job."""

    state: str
    """E.g. "PENDING", "RUNNING", "COMPLETED"."""
    detail: str  # time it has run, and why it waits


def submit_script(path: Path, environment: Mapping[str, str] | None = None) -> str:
    """Submit a batch script and give the job's number.

    Options of sbatch in the environment would win over those of the script, which were made with them in
    mind; they are left out, as is what a job around this process says of itself.

    Raises
    ------
    LaunchError
        If there is no sbatch here, or it refuses the job.
    """
    inherited = os.environ if environment is None else environment
    passed = {
        name: text
        for name, text in inherited.items()
        if name in _KEPT or not name.startswith(("SBATCH_", "SLURM_"))
    }
    try:
        done = _call(["sbatch", "--parsable", str(path.absolute())], passed)
    except FileNotFoundError as err:
        raise LaunchError(
            "no sbatch command here; submit on a login node of a Slurm cluster, or use --interactive"
        ) from err
    except subprocess.TimeoutExpired as err:
        raise LaunchError(
            f"sbatch has not answered for {SECONDS:.0f} s; `squeue --me` shows the queued jobs"
        ) from err
    match = _JOB.fullmatch(done.stdout.strip())
    if done.returncode or match is None:
        said = " ".join((done.stderr or done.stdout).split()) or "nothing"
        raise LaunchError(f"sbatch refused {path}: {said.removeprefix('sbatch: error: ')}")
    return match[1]


def job_states(jobs: Sequence[str]) -> dict[str, JobState]:
    """Ask squeue, then sacct, for the states of jobs; those that neither knows are not in the answer."""
    found = _queued(set(jobs))
    missing = [job for job in jobs if job not in found]
    return found | (_accounted(missing) if missing else {})


def _queued(jobs: Iterable[str]) -> dict[str, JobState]:
    # Not --jobs: it refuses all if there is one that it does not know any more.
    lines = _lines(["squeue", "--me", "--noheader", "--states=all", "--format=%A|%T|%M|%r"])
    wanted = set(jobs)
    return {
        fields[0]: JobState(fields[1], _detail(fields[1], *fields[2:4]))
        for fields in lines
        if len(fields) >= 4 and fields[0] in wanted
    }


def _accounted(jobs: Sequence[str]) -> dict[str, JobState]:
    command = ["sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={','.join(jobs)}"]
    lines = _lines([*command, "--format=JobIDRaw,State,Elapsed"])
    # "CANCELLED by 1000"
    return {fields[0]: JobState(fields[1].split()[0], fields[2]) for fields in lines if len(fields) >= 3}


def _detail(state: str, elapsed: str, reason: str) -> str:
    return f"waits: {reason}" if state == "PENDING" else elapsed


def _lines(command: Sequence[str]) -> list[list[str]]:
    """Return the fields of a command's lines; none where it fails or is not there."""
    try:
        done = _call(command, os.environ)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if done.returncode else [line.split("|") for line in done.stdout.splitlines() if line.strip()]


def _call(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
