"""The batch job of workers under Slurm: what a site wants to be told, and the script, all of it quoted."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cubeengine.budget import Budget
from cubeengine.errors import SpecError, nearest_names
from cubeengine.launch.network import LOOPBACK
from cubeengine.launch.tls import FILES

PREFIX = "CUBEENGINE_SLURM_"
NANNY_NBYTES = 512 * 2**20
"""Memory of a job beside that of its workers, for the process that looks after them (some 150 MiB)."""
DEATH_SECONDS = 60
"""A worker that does not reach the scheduler for so long ends, and its job with it."""


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What a site, or a user, wants of the jobs of workers; None leaves it to Slurm and its environment.

    Attributes
    ----------
    partition, account, qos, reservation : str, optional
        As the options of sbatch of these names.
    time : str, optional
        Time limit of a job, as sbatch takes it, e.g. "02:00:00". Jobs that end are replaced.
    processes : int
        Worker processes per job.
    interface : str, optional
        Network interface between the nodes, e.g. "ib0". Default: the one that leads to the other side.
    host : str, optional
        Address at which the scheduler listens here, in place of that of the interface.
    folder : Path, optional
        Folder that all nodes see, for keys and settings of the run, in a private folder of its own.
        Default: the home folder.
    logs : Path, optional
        Folder for the logs of the jobs, kept. Default: removed with the keys.
    scratch : Path, optional
        Folder of a node for the workers' own files. Default: $TMPDIR, else /tmp.
    extra : tuple of str
        Further options of sbatch, e.g. ("--constraint=rome",).
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    reservation: str | None = None
    time: str | None = None
    processes: int = 1
    interface: str | None = None
    host: str | None = None
    folder: Path | None = None
    logs: Path | None = None
    scratch: Path | None = None
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise SpecError(f"processes per job must be at least 1, got {self.processes}")
        lines = [text for text in (*self.extra, *map(str, self._values().values())) if not text.isprintable()]
        if lines:
            raise SpecError(f"an option for Slurm must be one printable line, got {lines[0]!r}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> SlurmOptions:
        """Take options from variables such as CUBEENGINE_SLURM_PARTITION; `extra` is split as a shell does.

        Raises
        ------
        SpecError
            If there is no option of a variable's name, or its value is wrong.
        """
        environment = os.environ if environment is None else environment
        given = {
            name.removeprefix(PREFIX).lower(): text
            for name, text in environment.items()
            if name.startswith(PREFIX) and text
        }
        names = [field.name for field in fields(cls)]
        for name in given.keys() - set(names):
            near = nearest_names(name, names, n=1)
            hint = f"nearest: {PREFIX}{near[0].upper()}" if near else f"known: {', '.join(names)}"
            raise SpecError(f"{PREFIX}{name.upper()}: unknown option; {hint}")
        return cls(**{name: _parsed(name, text) for name, text in given.items()})

    def _values(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "extra"}


def _parsed(name: str, text: str) -> Any:
    if name == "processes":
        if not text.isdecimal():
            raise SpecError(f"{PREFIX}PROCESSES: must be a number, got {text!r}")
        return int(text)
    if name == "extra":
        return tuple(shlex.split(text))
    return Path(text).absolute() if name in ("folder", "logs", "scratch") else text


def job_script(
    options: SlurmOptions,
    budget: Budget,
    *,
    folder: Path,
    address: str,
    name: str,
    python: str = sys.executable,
) -> str:
    """Write the batch script of one job.

    Parameters
    ----------
    options : SlurmOptions
        Of the site or user.
    budget : Budget
        Memory of each worker process.
    folder : Path
        The run's private folder: keys, settings and, if nothing else is said, logs.
    address : str
        The scheduler's.
    name : str
        The job's, for the scheduler.
    python : str
        Interpreter on the nodes.
    """
    lines = [f"#SBATCH {shlex.quote(directive)}" for directive in _directives(options, budget, folder)]
    command = shlex.join(_command(options, budget, folder, address, name, python))
    scratch = '"${TMPDIR:-/tmp}"' if options.scratch is None else shlex.quote(str(options.scratch))
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            "# Folder names are quoted literally; the shell does not expand them.",
            "# shellcheck disable=SC2016",
            "set -eu",
            f"export DASK_CONFIG={shlex.quote(str(folder / 'settings'))}",
            f"exec {command} --local-directory {scratch}",
            "",
        ]
    )


def _directives(options: SlurmOptions, budget: Budget, folder: Path) -> list[str]:
    memory = options.processes * budget.per_worker + NANNY_NBYTES
    logs = options.logs or folder / "logs"
    asked = {name: getattr(options, name) for name in ("partition", "account", "qos", "reservation", "time")}
    return [
        "--job-name=cubeengine-worker",
        # A percent sign in a folder's name is no pattern.
        f"--output={str(logs).replace('%', '%%')}/worker-%j.log",
        "--ntasks=1",
        f"--cpus-per-task={options.processes}",
        f"--mem={-(-memory // 2**20)}M",
        "--no-requeue",  # a lost job is replaced; it must not come back beside its replacement
        *(f"--{name}={value}" for name, value in asked.items() if value is not None),
        *options.extra,
    ]


def _command(
    options: SlurmOptions, budget: Budget, folder: Path, address: str, name: str, python: str
) -> list[str]:
    keys = folder / "keys"
    return [
        *(python, "-m", "distributed.cli.dask_worker", address),
        *("--name", name, "--nworkers", str(options.processes), "--nthreads", "1", "--nanny"),
        *("--memory-limit", str(budget.per_worker), "--death-timeout", str(DEATH_SECONDS)),
        # It listens in any case, and without encryption.
        *("--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"),
        *("--protocol", "tls://", "--tls-ca-file", str(keys / FILES["authority"])),
        *("--tls-cert", str(keys / FILES["certificate"]), "--tls-key", str(keys / FILES["key"])),
        *(("--interface", options.interface) if options.interface else ()),
    ]
