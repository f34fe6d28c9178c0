"""``cubeengine new``: a starter spec."""

from __future__ import annotations

import click

from cubeengine.cli.base import Command
from cubeengine.cli.options import open_source


@click.command("new", cls=Command, short_help="Print a starter spec that fits a run.")
@click.argument("source")
def command(source: str) -> None:
    r"""Print a starter spec for SOURCE, a file, a directory or experiment:run.

    It has the scan axis, i0, laser and selections that fit the run, and runs as it is:

    \b
      cubeengine new data/xpptut15_Run0252.h5 > cube.yaml
      cubeengine run cube.yaml
    """
    from cubeengine.spec.starter import starter

    click.echo(starter(open_source(source)), nl=False)
