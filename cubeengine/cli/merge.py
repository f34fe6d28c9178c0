"""``cubeengine merge``: the cubes of several runs in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cubeengine.cli.base import Command, printable, say

if TYPE_CHECKING:
    from cubeengine.combine.progress import Combined


def combine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add -o, --overwrite, --memory and --workers."""
    for decorate in reversed(
        [
            click.option("-o", "--output", required=True, metavar="OUT.zarr", help="The new cube."),
            click.option("--overwrite", is_flag=True, help="Replace the cube if it already exists."),
            click.option("--memory", metavar="SIZE", help="Memory limit.  [default: 2 GiB]"),
            click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads."),
        ]
    ):
        command = decorate(command)
    return command


@click.command("merge", cls=Command, short_help="Add cubes of several runs, or stack them.")
@click.argument("cubes", nargs=-1, required=True, type=click.Path())
@click.option("--along", type=click.Choice(["run"]), help="Stack along a new dimension instead of adding.")
@click.option("--runs", metavar="N,N,...", help="Run numbers for a stack, if the cubes do not record them.")
@click.option("--skip", multiple=True, metavar="SIGNAL", help="Leave out a signal. May be repeated.")
@click.option("--require-all", is_flag=True, help="Fail if a cube lacks a signal of the others.")
@click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["partial", "same-run"]),
    help="Also add cubes of part of a run (partial), or cubes that share a run or an input file (same-run).",
)
@combine_options
def command(
    cubes: tuple[str, ...],
    along: str | None,
    runs: str | None,
    skip: tuple[str, ...],
    require_all: bool,
    allow: tuple[str, ...],
    output: str,
    overwrite: bool,
    memory: str | None,
    workers: int | None,
) -> None:
    """Add the events of CUBES bin by bin: same selections, axes and edges.

    A signal that some of the cubes lack is merged from the others, with a warning; --require-all makes it
    an error.
    """
    from cubeengine.cli.progress import ProgressDisplay
    from cubeengine.combine.merge import merge_cubes

    numbers = None if runs is None else parse_numbers(runs, int, "--runs")
    with ProgressDisplay() as display:
        # One display for all work: what it is called with looks alike.
        show: Any = display
        result = merge_cubes(
            cubes,
            output,
            along=along,
            runs=numbers,
            skip=skip,
            allow=allow,
            require_all=require_all,
            overwrite=overwrite,
            memory=memory,
            workers=workers,
            on_progress=show,
        )
    print_combined(result)


def parse_numbers(text: str, kind: Callable[[str], Any], option: str) -> list[Any]:
    """Read numbers with commas between them.

    Raises
    ------
    SpecError
        If one is no such number.
    """
    from cubeengine.errors import SpecError

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as err:
        raise SpecError(f"{option} {text!r}: must be numbers separated by commas ({err})") from err


def print_combined(result: Combined) -> None:
    """Tell what should be known, where the cube is, and how long it took."""
    from cubeengine.budget import format_size

    for note in result.notes:
        say(printable(f"note: {note}"), "yellow")
    click.echo(
        f"wrote {printable(str(result.path))} in {result.seconds:.1f} s, from "
        f"{format_size(result.read_nbytes)} of cubes"
    )
