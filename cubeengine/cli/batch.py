"""Options of batch jobs, and what they say together with the spec, the site and the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cubeengine.cli.base import printable, say
from cubeengine.cli.options import SpecArguments

if TYPE_CHECKING:
    from cubeengine.events.run import Run
    from cubeengine.spec.model import CubeSpec
    from cubeengine.submit.job import RunCommand
    from cubeengine.submit.options import BatchOptions
    from cubeengine.submit.script import JobScript
    from cubeengine.submit.site import Site

F = TypeVar("F", bound=Callable[..., Any])
BATCH = ("partition", "account", "reservation", "qos", "nodes", "ntasks", "time", "mem", "exclusive")


def run_options(command: F) -> F:
    """Add what is passed on to the runs."""
    count = click.IntRange(min=1)
    for decorate in reversed(
        [
            click.argument("spec", type=click.Path()),
            click.option("-r", "--runs", "--run", "runs", metavar="RUNS", help="Runs, e.g. 12,20-35."),
            click.option("-e", "--experiment", metavar="EXP", help="Experiment, in place of the spec's."),
            click.option(
                "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a value in the spec."
            ),
            click.option(
                "-o", "--output", metavar="OUT.zarr", help="Path of each cube, with {run:04d} in its name."
            ),
            click.option("-d", "--directory", metavar="DIR", help="Folder of the cubes."),
            click.option(
                "-n", "--events", "--nevents", "events", type=count, help="Only the first N events."
            ),
            click.option("--every", type=count, metavar="K", help="Only every K-th event."),
            click.option("--memory", metavar="SIZE", help="Memory per worker, e.g. '4 GiB'."),
            click.option(
                "--launcher", metavar="NAME", help="Launcher, as in `cubeengine run`.  [default: the site's]"
            ),
            click.option("--overwrite", is_flag=True, help="Replace cubes that already exist."),
        ]
    ):
        command = decorate(command)
    return command


def batch_options(command: F) -> F:
    """Add what is asked of Slurm."""
    for decorate in reversed(
        [
            click.option("--site", metavar="FILE", help="Site file, or s3df, generic."),
            click.option("-p", "--partition", "-q", "--queue", "partition", metavar="P", help="Partition."),
            click.option("--account", metavar="NAME", help="Account."),
            click.option("--reservation", metavar="NAME", help="Reservation."),
            click.option("--qos", metavar="NAME", help="Quality of service."),
            click.option("--nodes", metavar="N", help="Nodes, or a range such as 1-4."),
            click.option(
                "-c", "--ntasks", "--cores", "ntasks", type=click.IntRange(min=1), metavar="N",
                help="MPI ranks; with other launchers, processors.",
            ),
            click.option("--time", metavar="TIME", help="Time limit: minutes, or hours:minutes:seconds."),
            click.option("--mem", metavar="SIZE", help="Memory per node.  [default: what the workers need]"),
            click.option("--exclusive", is_flag=True, default=None, help="Whole nodes."),
            click.option("--logdir", metavar="DIR", help="Folder of logs and scripts."),
            click.option("--no-check", is_flag=True, help="Submit without checking the runs."),
            click.option("--dry-run", is_flag=True, help="Print the batch scripts; submit nothing."),
            click.option("--interactive", is_flag=True, help="Make the cubes here and now, without batch "
            "jobs."),
        ]
    ):  # fmt: skip
        command = decorate(command)
    return command


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be made of every run."""

    spec: Path
    base: CubeSpec
    experiment: str | None
    given: Mapping[str, Any]
    site: Site
    batch: BatchOptions
    environment: Mapping[str, str]

    @property
    def launcher(self) -> str:
        """Return the launcher in a batch job."""
        return self.given["launcher"] or self.site.job.launcher

    def arguments(self, run: int) -> SpecArguments:
        """Name the spec of a run."""
        return SpecArguments.of(str(self.spec), self.experiment, self.own(run), self.given["settings"])

    def own(self, run: int) -> int | None:
        """Return the number where it is not that of the spec."""
        return None if run == self.base.run.run else run

    def command(self, run: int, spec: CubeSpec, opened: Run | None) -> RunCommand:
        """Return the command that makes the cube of a run."""
        from cubeengine.submit.job import RunCommand

        given = self.given
        passed = {
            name: given[name] for name in ("settings", "events", "every", "memory", "overwrite", "force")
        }
        output = self.output(run, spec, opened)
        return RunCommand(self.spec, output, self.own(run), self.experiment, **passed)

    def script(self, run: int, spec: CubeSpec, opened: Run | None) -> JobScript:
        """Return the batch script of a run."""
        from cubeengine.submit.job import folder, run_script

        command = self.command(run, spec, opened)
        named = self.given["logdir"] or self.site.paths.logs
        logs = folder(named, spec.run.experiment, run) if named else command.output.parent / "logs"
        return run_script(
            command,
            spec,
            run,
            site=self.site,
            options=self.batch,
            launcher=self.launcher,
            logs=logs,
            environment=self.environment,
        )

    def output(self, run: int, spec: CubeSpec, opened: Run | None) -> Path:
        """Return where the cube of a run goes."""
        from cubeengine.cli.run import default_output
        from cubeengine.errors import SpecError
        from cubeengine.submit.job import folder

        experiment = spec.run.experiment
        place = folder(self.given["directory"] or self.site.paths.output, experiment, run)
        if self.given["output"]:
            return place / folder_name(self.given["output"], experiment, run)
        if opened is not None:
            return place / default_output(spec, opened)
        if experiment is None:
            raise SpecError(
                "the default name of the cube needs an experiment; give -e EXPERIMENT or -o OUT.zarr"
            )
        return place / f"{experiment}_r{run:04d}_{spec.cube}.zarr"


def folder_name(template: str, experiment: str | None, run: int) -> Path:
    """Fill experiment and run into a name that may be relative."""
    from cubeengine.spec.templates import expand_template

    return Path(expand_template(template, experiment, run)).expanduser()


def read_request(given: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[Request, tuple[int, ...]]:
    """Read what is asked for, and the runs; tells where a flag wins over the environment.

    Raises
    ------
    SpecError
        If the spec, the site file or an option is wrong.
    """
    from cubeengine.spec.model import CubeSpec
    from cubeengine.submit.environment import SITE, Choices
    from cubeengine.submit.runs import parse_runs
    from cubeengine.submit.site import load_site

    choices = Choices(environment)
    spec = Path(given["spec"]).absolute()
    base = CubeSpec.load(spec, overrides=SpecArguments.of(str(spec), None, None, given["settings"]).overrides)
    site = load_site(choices.choose("--site", given["site"], SITE) or "generic")
    experiment = choices.experiment(given["experiment"], base.run.experiment)
    runs = parse_runs(choices.runs(given["runs"], base.run.run))
    _check_places(given, site, runs)
    batch = site.batch.changed(choices.batch({name: given[name] for name in BATCH}))
    for warning in choices.warnings:
        say(printable(f"warning: {warning}"), "yellow")
    return Request(spec, base, experiment, given, site, batch, environment), runs


def _check_places(given: Mapping[str, Any], site: Site, runs: tuple[int, ...]) -> None:
    from cubeengine.errors import SpecError

    place = f"{given['directory'] or site.paths.output}/{given['output'] or ''}"
    if given["output"] and len(runs) > 1 and "{run" not in place:
        raise SpecError(f"all {len(runs)} runs would write {given['output']!r}; write {{run:04d}} in it")
