"""``cubeengine run``: make a cube."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable, say
from cubeengine.cli.options import SpecArguments, force_option, launch_options, sample_options, spec_options
from cubeengine.progress import PLANNING

if TYPE_CHECKING:
    from cubeengine.engine import Result
    from cubeengine.events.run import Run
    from cubeengine.planning.evidence import Evidence
    from cubeengine.schema.problems import Problem
    from cubeengine.spec.model import CubeSpec


@click.command("run", cls=Command, short_help="Make the cube, with a progress bar.")
@spec_options
@click.option("-o", "--output", metavar="OUT.zarr", help="Default: ./<experiment>_r<run>_<cube>.zarr")
@sample_options
@force_option
@launch_options
@click.option("--report", metavar="FILE.html", help="Also write a report (HTML) about the cube.")
def command(
    spec: str,
    experiment: str | None,
    run: int | None,
    settings: tuple[str, ...],
    output: str | None,
    events: int | None,
    every: int | None,
    memory: str | None,
    force: bool,
    launcher: str,
    workers: int | None,
    resume: bool,
    overwrite: bool,
    report: str | None,
) -> None:
    """Make the cube of SPEC and publish it as a zarr store.

    With --events or --every the cube is of part of the run, and says so.

    With --resume, what is done when the run ends early is kept, and the same command continues from there,
    also with other workers or another launcher.
    """
    from cubeengine.launch import taking_part

    # Before anything else is imported: see there.
    with taking_part(launcher):
        from cubeengine.cli.progress import ProgressDisplay, working
        from cubeengine.cli.report import check_place, report_on

        if report is not None:
            check_place(report)
        with working(PLANNING):
            from cubeengine import api

            loaded, opened = SpecArguments.of(spec, experiment, run, settings).open()
            plan = api.plan(opened, loaded, memory=memory, events=events, every=every, force=force)
            warnings = plan.warnings
        print_warnings(warnings)
        target = Path(output) if output else default_output(loaded, opened)
        with keeping(resume), ProgressDisplay() as display:
            result = plan.to_zarr(
                target,
                launcher=launcher,
                workers=workers,
                overwrite=overwrite,
                resume=resume,
                on_progress=display,
            )
        print_result(result, plan.bound.evidence)
        if report is not None:
            report_on(result.path, report, plan.bound)


@contextmanager
def keeping(resume: bool) -> Iterator[None]:
    """Tell a user who stops a run how to go on with it."""
    from cubeengine.cli.app import Terminated

    try:
        yield
    except (KeyboardInterrupt, Terminated):
        if resume:
            click.echo("the finished work is kept; run the same command to continue", err=True)
        raise


def default_output(spec: CubeSpec, run: Run) -> Path:
    """Return the name of the cube in the working directory, e.g. `xpptut15_r0252_delay.zarr`."""
    named = spec.run.experiment is not None and spec.run.run is not None
    if named:
        start = f"{spec.run.experiment}_r{spec.run.run:04d}"
    elif run.run_id is not None:
        start = f"{run.run_id.experiment}_r{run.run_id.run:04d}"
    else:
        start = run.source.files[0].path.stem
    return Path(f"{start}_{spec.cube}.zarr")


def print_warnings(warnings: tuple[Problem, ...]) -> None:
    """Tell on standard error what is allowed, but probably not meant."""
    for warning in warnings:
        say(printable(warning.format()), "yellow")


def print_result(result: Result, evidence: Mapping[str, Evidence]) -> None:
    """Tell where the cube is, how long it took, the memory measured beside that projected, and what lacks."""
    from cubeengine.budget import format_size

    click.echo(
        f"wrote {printable(str(result.path))} in {result.seconds:.1f} s, from "
        f"{format_size(result.read_nbytes)} of input"
    )
    click.echo(
        f"measured peak memory {format_size(result.measured_memory)}, "
        f"projected {format_size(result.projected_memory)}"
    )
    for signal, selections in result.left_out.items():
        lacking = "; ".join(f"{name} {_kinds(counts)}" for name, counts in selections.items())
        click.echo(printable(f"left out of {signal}: {lacking}"))
    for signal, found in evidence.items():
        events = "; ".join(f"{name} {count:,}" for name, count in found.events.items())
        click.echo(printable(f"{found.field} is 0, for {signal}: {events}"))


def _kinds(counts: Mapping[str, int]) -> str:
    """Write counts of events by why they have no value: "3 missing, 1 damaged"."""
    words = {"failed": "could not be read"}
    shown = (f"{count:,} {words.get(kind, kind)}" for kind, count in counts.items() if count)
    return ", ".join(shown) or "none"
