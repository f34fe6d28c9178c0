"""``cubeengine pick``: pick events, with their whole frames."""

from __future__ import annotations

from pathlib import Path

import click

from cubeengine.cli.base import Command
from cubeengine.cli.options import SpecArguments, force_option, launch_options, sample_options, spec_options
from cubeengine.cli.run import default_output, keeping, print_result, print_warnings
from cubeengine.progress import PLANNING


@click.command("pick", cls=Command, short_help="Pick the best events of every bin, with their frames.")
@spec_options
@click.option("-o", "--output", metavar="OUT.zarr", help="Default: ./<experiment>_r<run>_<cube>.zarr")
@sample_options
@force_option
@launch_options
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
) -> None:
    """Pick the events that SPEC asks for in its section `pick`, and publish them as a zarr store.

    `cubeengine plan SPEC` shows beforehand what will be read. All options mean what they mean for `run`.
    """
    from cubeengine.launch import taking_part

    # Before anything else is imported: see there.
    with taking_part(launcher):
        from cubeengine.cli.progress import ProgressDisplay, working

        arguments = SpecArguments.of(spec, experiment, run, settings)
        with working(PLANNING):
            from cubeengine.picking.api import open_pick_spec, pick

            loaded, opened = open_pick_spec(arguments.path, overrides=arguments.overrides)
            plan = pick(opened, loaded, memory=memory, events=events, every=every, force=force)
        print_warnings(plan.warnings)
        n_picked = plan.picked.n_picked
        empty = f", {(n_picked == 0).sum():,} of them empty" if (n_picked == 0).any() else ""
        click.echo(f"picked {n_picked.sum():,} events in {n_picked.size:,} bins{empty}: {loaded.pick}")
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
        print_result(result, {})
