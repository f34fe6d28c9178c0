"""``cubeengine report``: a page about a cube, also at the end of ``cubeengine run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable, say

if TYPE_CHECKING:
    from cubeengine.planning.bind import Bound


@click.command("report", cls=Command, short_help="Write a report (HTML) about a cube.")
@click.argument("cube", type=click.Path())
@click.argument("file", metavar="FILE.html", type=click.Path())
def command(cube: str, file: str) -> None:
    """Write a page about CUBE: cut flow, bins, signals, how it was made.

    The page is one file that needs nothing else: it can be mailed, or put in a log book.
    """
    check_place(file)
    _write(cube, file)


def _write(cube: str | Path, file: str, bound: Bound | None = None) -> None:
    from cubeengine.cli.progress import working
    from cubeengine.look.cubes import RatioOfRun
    from cubeengine.report import write_report

    done = "replaced" if Path(file).exists() else "wrote"
    with working("writing the report"):
        path = write_report(cube, file, ratio=RatioOfRun(bound))
    click.echo(f"{done} {printable(str(path))}")


def check_place(file: str) -> None:
    """Refuse a page that cannot be written, before hours of work.

    Raises
    ------
    SpecError
        If its folder is not there, or a folder is in its place.
    StoreMismatch
        If a file is there that is no such page.
    """
    from cubeengine.errors import SpecError
    from cubeengine.report.page import MARK
    from cubeengine.store.files import check_ours

    path = Path(file)
    if not path.parent.is_dir():
        raise SpecError(f"{file}: its folder {str(path.parent)!r} does not exist; create it first")
    if path.is_dir():
        raise SpecError(f"{file}: is a folder; name a file for the report, e.g. {path / 'report.html'}")
    check_ours(path, MARK)


def report_on(cube: Path, file: str, bound: Bound) -> None:
    """Write the page about a cube that was just made of `bound`; a failure is a warning, no more."""
    try:
        _write(cube, file, bound)
    except Exception as err:  # whatever it is: the cube is made, and the page can be written later
        message = f"warning: no report: {err}; after fixing that, run: cubeengine report {cube} {file}"
        say(printable(message), "yellow")
