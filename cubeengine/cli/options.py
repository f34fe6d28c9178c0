"""Options that several commands have, and what they name: a spec, a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cubeengine.events.run import Run
    from cubeengine.spec.model import CubeSpec

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class SpecArguments:
    """A spec as named on the command line."""

    path: Path  # file of the spec
    overrides: Mapping[str, object] = field(default_factory=dict)
    """Values set from outside, by dotted key: with --set, -e and -r."""

    @classmethod
    def of(
        cls, path: str, experiment: str | None, run: int | None, settings: tuple[str, ...]
    ) -> SpecArguments:
        """Read -e, -r and --set."""
        from cubeengine.spec.overrides import parse_override

        overrides: dict[str, object] = dict(parse_override(text) for text in settings)
        overrides |= {} if experiment is None else {"run.experiment": experiment}
        overrides |= {} if run is None else {"run.run": run}
        return cls(Path(path), overrides)

    def open(self) -> tuple[CubeSpec, Run]:
        """Read the spec and open its run; see `api.open_spec`."""
        from cubeengine.api import open_spec

        return open_spec(self.path, overrides=self.overrides)

    def open_run(self, spec: CubeSpec) -> Run:
        """Open the run of what remains of a spec with problems; see `api.run_of`."""
        from cubeengine.api import run_of

        return run_of(spec, self.path, overrides=self.overrides)


def open_source(source: str, xtc: tuple[str, ...] = ()) -> Run:
    """Open a run that a user names; see `api.open_source`."""
    from cubeengine import api

    return api.open_source(source, xtc)


def source_options(command: F) -> F:
    """Add SOURCE and --xtc."""
    raw = click.option(
        "--xtc",
        multiple=True,
        metavar="PATH",
        help="Raw data (xtc2) to join with the smallData SOURCE: a directory or a file. May be repeated.",
    )
    return click.argument("source")(raw(command))


def spec_options(command: F) -> F:
    """Add SPEC, -e, -r and --set."""
    for decorate in reversed(
        [
            click.argument("spec", type=click.Path()),
            click.option("-e", "--experiment", metavar="EXP", help="Experiment, in place of the spec's."),
            click.option("-r", "--run", type=int, metavar="RUN", help="Run number, in place of the spec's."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="KEY=VALUE",
                help="Set a value in the spec, e.g. axes.0.centers.step=0.25. May be repeated.",
            ),
        ]
    ):
        command = decorate(command)
    return command


def sample_options(command: F) -> F:
    """Add --events, --every and --memory."""
    for decorate in reversed(
        [
            click.option(
                "--events", type=click.IntRange(min=1), metavar="N", help="Only the first N events."
            ),
            click.option("--every", type=click.IntRange(min=1), metavar="K", help="Only every K-th event."),
            click.option("--memory", metavar="SIZE", help="Memory per worker, e.g. '4 GiB'."),
        ]
    ):
        command = decorate(command)
    return command


def force_option(command: F) -> F:
    """Add --force."""
    words = "Accept a cube with nearly all events in one of several bins, or all events outside."
    return click.option("--force", is_flag=True, help=words)(command)


def launch_options(command: F) -> F:
    """Add --launcher, --workers, --resume and --overwrite."""
    for decorate in reversed(
        [
            click.option(
                "--launcher",
                default="threads",
                show_default=True,
                metavar="NAME",
                help="threads, processes, local (with a dashboard), slurm, mpi, or a scheduler's address.",
            ),
            click.option(
                "--workers", type=click.IntRange(min=1), metavar="N", help="Threads or worker processes."
            ),
            click.option(
                "--resume",
                is_flag=True,
                help="Continue from the finished work of an earlier run; keep finished work if this run "
                "ends early.",
            ),
            click.option("--overwrite", is_flag=True, help="Replace the cube if it already exists."),
        ]
    ):
        command = decorate(command)
    return command
