"""``cubeengine new``: a starter spec."""

from __future__ import annotations

from pathlib import Path

import click

from cubeengine.cli.base import Command
from cubeengine.cli.options import source_options


@click.command("new", cls=Command, short_help="Print a starter spec that fits a run.")
@source_options
def command(source: str, xtc: tuple[str, ...]) -> None:
    """Print a starter spec for SOURCE, a file, a directory or experiment:run.

    It has the scan axis, i0, laser and selections that fit the run, and runs as it is:

    \b
      cubeengine new data/xpptut15_Run0252.h5 > cube.yaml
      cubeengine run cube.yaml
    """  # noqa: D301 - \b keeps the lines below apart
    from cubeengine import api
    from cubeengine.cli.progress import working
    from cubeengine.events.opening import open_located
    from cubeengine.spec.starter import starter

    located = api.locate_source(source, xtc)
    raw = [_full(path) for path in located.xtc]
    smalldata = None if located.smalldata is None else _full(located.smalldata)
    with working("looking at the run: reading times and scalars"):
        text = starter(open_located(located), smalldata, raw or None)
    click.echo(text, nl=False)


def _full(path: Path) -> str:
    """Return a full path that still goes through links: it may have the run's number in its name."""
    return str(path.absolute())
