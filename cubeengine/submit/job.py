"""From a run, its spec and a site to a batch script: the command, and what it needs of the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cubeengine.budget import parse_size
from cubeengine.errors import SpecError
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.templates import expand_template
from cubeengine.submit.options import BatchOptions
from cubeengine.submit.script import JobScript
from cubeengine.submit.site import Site

DATA_ROOT = "SIT_PSDM_DATA"
BESIDE_NBYTES = {"mpi": 512 * 2**20}
"""Memory beside that of the workers: per rank, for the process that looks after a worker (some 150 MiB)."""
LEADER_NBYTES = 2**30
"""With other launchers once: for the process that plans, and holds the scalars of the run."""
CLIENT_NBYTES = 4 * 2**30
"""Where the workers run elsewhere."""


@dataclass(frozen=True, slots=True)
class RunCommand:
    """``cubeengine run`` for one run; see there what the options mean.

    Attributes
    ----------
    spec, output : Path
        Absolute.
    run, experiment : int, str, or None
        Where they are not those of the spec.
    settings : tuple of str
        For --set.
    """

    spec: Path
    output: Path
    run: int | None = None
    experiment: str | None = None
    settings: tuple[str, ...] = ()
    events: int | None = None
    every: int | None = None
    memory: str | None = None
    overwrite: bool = False
    force: bool = False

    def words(self, program: tuple[str, ...], launcher: str, workers: int | None) -> list[list[str]]:
        """Return the words of the command; those that belong together in one list."""
        options = {
            "--experiment": self.experiment,
            "--run": self.run,
            "--output": self.output,
            "--events": self.events,
            "--every": self.every,
            "--memory": self.memory,
            "--launcher": launcher,
            "--workers": workers,
        }
        given = [[name, str(value)] for name, value in options.items() if value is not None]
        settings = [["--set", text] for text in self.settings]
        flags = {"--force": self.force, "--overwrite": self.overwrite, "--resume": True}
        ending = [name for name, on in flags.items() if on]
        return [[*program, "run", str(self.spec)], *settings, *given, ending]


def run_script(
    command: RunCommand,
    spec: CubeSpec,
    run: int,
    *,
    site: Site,
    options: BatchOptions,
    launcher: str,
    logs: Path,
    environment: Mapping[str, str],
) -> JobScript:
    """Make the batch script of a run.

    Parameters
    ----------
    command : RunCommand
        What the job does.
    spec : CubeSpec
        With the experiment and run of this job.
    run : int
        Its number.
    site : Site
        How jobs run here.
    options : BatchOptions
        What is asked of Slurm, with flags and environment taken into account.
    launcher : str
        Launcher of the run.
    logs : Path
        Absolute.
    environment : mapping
        Environment variables of the submitting process.

    Raises
    ------
    SpecError
        If no time limit is given, or something cannot stand in a batch script.
    """
    if options.time is None:
        raise SpecError("no time limit: give --time 2:00:00, or set time under [batch] in the site file")
    is_mpi, cores = launcher == "mpi", options.ntasks
    workers = None if is_mpi or "://" in launcher else cores
    cpus = cores if launcher in ("threads", "processes", "local") else 1
    if not is_mpi:
        options = options.changed({"ntasks": 1, "nodes": "1", "use_min_nodes": False})
    memory = spec.resources.memory if command.memory is None else parse_size(command.memory)
    experiment = spec.run.experiment
    start = [list(site.job.start)] if is_mpi else []
    return JobScript(
        name="_".join(part for part in (experiment, f"r{run:04d}", spec.cube) if part),
        cube=spec.cube,
        label=f"{experiment} run {run}" if experiment else f"run {run}",
        options=_of_experiment(options, experiment, run),
        cpus=cpus,
        memory=memory_per_cpu(launcher, memory, cpus),
        output=command.output,
        logs=logs,
        command=[*start, *command.words(site.job.command, launcher, workers)],
        setup=site.job.setup,
        environment=data_root(site, environment),
    )


def memory_per_cpu(launcher: str, memory: int, cpus: int) -> int:
    """Return the bytes to ask for per processor, for workers of so much memory each."""
    if launcher in BESIDE_NBYTES:
        return memory + BESIDE_NBYTES[launcher]
    if launcher == "threads":
        return -(-(memory + LEADER_NBYTES) // cpus)
    return memory + -(-LEADER_NBYTES // cpus) if launcher in ("processes", "local") else CLIENT_NBYTES


def data_root(site: Site, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable with the data root: as it is set, else as the site says."""
    named = environment.get(DATA_ROOT) or (
        None if site.paths.data is None else folder(site.paths.data, None, None)
    )
    return {} if named is None else {DATA_ROOT: str(named)}


def folder(template: str, experiment: str | None, run: int | None) -> Path:
    """Fill in the name of a folder and give it absolute; `~` is the home folder.

    Raises
    ------
    SpecError
        If it asks for an experiment or run that is not known.
    """
    return Path(expand_template(template, experiment, run)).expanduser().absolute()


def _of_experiment(options: BatchOptions, experiment: str | None, run: int) -> BatchOptions:
    if options.account is None:
        return options
    return options.changed({"account": expand_template(options.account, experiment, run)})
