"""Options that several commands have, and the way from a spec's file to its run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cubeengine.errors import SourceFormatError, SpecError

if TYPE_CHECKING:
    from cubeengine.events.run import Run
    from cubeengine.spec.model import CubeSpec

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class SpecArguments:
    """A spec as named on the command line.

    Attributes
    ----------
    path : Path
        File of the spec.
    overrides : mapping
        Values set from outside, by dotted key.
    experiment, run : optional
        As given with -e and -r.
    """

    path: Path
    overrides: Mapping[str, object] = field(default_factory=dict)
    experiment: str | None = None
    run: int | None = None

    @classmethod
    def of(
        cls, path: str, experiment: str | None, run: int | None, settings: tuple[str, ...]
    ) -> SpecArguments:
        """Read -e, -r and --set."""
        from cubeengine.spec.overrides import parse_override

        overrides: dict[str, object] = dict(parse_override(text) for text in settings)
        overrides |= {} if experiment is None else {"run.experiment": experiment}
        overrides |= {} if run is None else {"run.run": run}
        return cls(Path(path), overrides, experiment, run)

    def load(self) -> CubeSpec:
        """Read the spec.

        Raises
        ------
        SpecError
            With every problem in it.
        """
        from cubeengine.spec.model import CubeSpec

        return CubeSpec.load(self.path, overrides=self.overrides)

    def open_run(self, spec: CubeSpec) -> Run:
        """Open the run that the spec means: its smallData file, else by experiment and run number.

        Raises
        ------
        SpecError
            If the spec names no run, or -e or -r would change nothing.
        SourceFormatError
            If there is no such run, or it cannot be read.
        """
        from cubeengine.spec.model import resolve_paths

        template = spec.run.smalldata
        if template is not None:
            self._check_template(template)
            path = resolve_paths(spec, self.path.parent).smalldata
            return open_source(str(path))
        if spec.run.experiment is None or spec.run.run is None:
            raise SpecError(
                f"{self.path}: the spec names no run; add  run: {{smalldata: FILE}}, "
                "or give -e EXPERIMENT -r RUN"
            )
        return open_source(f"{spec.run.experiment}:{spec.run.run}")

    def _check_template(self, template: str) -> None:
        """Refuse an experiment or run that the file's name does not follow: another run's cube is worse."""
        named = {int(digits) for digits in re.findall(r"(?i:run)_?([0-9]+)", template)}
        if self.experiment is not None and not ("{experiment}" in template or self.experiment in template):
            raise SpecError(_changes_nothing(f"-e {self.experiment}", template, "{experiment}"))
        if self.run is not None and not ("{run" in template or self.run in named):
            raise SpecError(_changes_nothing(f"-r {self.run}", template, "{run:04d}"))


def _changes_nothing(option: str, template: str, missing: str) -> str:
    return f"{option} changes nothing, as run.smalldata is always {template!r}; write {missing} in it"


def open_source(source: str) -> Run:
    """Open a run that a user names: a file, a directory or experiment:run.

    Raises
    ------
    SpecError
        If an experiment or run is no such name.
    SourceFormatError
        If nothing is there, or it cannot be read.
    """
    from cubeengine.api import open_run
    from cubeengine.events import locate

    name, colon, number = source.partition(":")
    if colon and number.isdecimal() and not Path(source).exists():
        locate.run_id(name, int(number))  # a wrong name is the user's, not missing data
    try:
        locate.locate(source)
    except SpecError as err:
        raise SourceFormatError(str(err)) from err
    return open_run(source)


def spec_options(command: F) -> F:
    """Add SPEC, -e, -r and --set."""
    for decorate in reversed(
        [
            click.argument("spec", type=click.Path()),
            click.option("-e", "--experiment", metavar="EXP", help="Experiment, instead of the spec's."),
            click.option("-r", "--run", type=int, metavar="RUN", help="Run number, instead of the spec's."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="KEY=VALUE",
                help="Set a value of the spec, e.g. axes.0.centers.step=0.25. May be repeated.",
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
