"""``cubeengine plan``: what a run would do."""

from __future__ import annotations

import click

from cubeengine.cli.base import Command, printable
from cubeengine.cli.options import SpecArguments, force_option, sample_options, spec_options
from cubeengine.progress import PLANNING


@click.command("plan", cls=Command, short_help="Show cut flow, bins, strategy, memory and warnings.")
@spec_options
@sample_options
@force_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    spec: str,
    experiment: str | None,
    run: int | None,
    settings: tuple[str, ...],
    events: int | None,
    every: int | None,
    memory: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show what `run` would do with SPEC, or `pick` with one that has a section `pick`; reads scalars only.

    That is: cut flow, bins and their occupancy, bytes to read, the strategy and why, tasks, projected memory,
    output size, and warnings.
    """
    from cubeengine.cli.progress import working

    arguments = SpecArguments.of(spec, experiment, run, settings)
    with working(PLANNING):
        from cubeengine.picking.api import open_any_spec, plan_any
        from cubeengine.planning.warn import check_bins

        loaded, opened = open_any_spec(arguments.path, overrides=arguments.overrides)
        plan = plan_any(opened, loaded, memory=memory, events=events, every=every, force=True)
    if as_json:
        import json

        click.echo(json.dumps(plan.to_dict(), indent=2))
    else:
        click.echo(printable(plan.explain()))
    if not force:
        check_bins(plan.bound)
