"""``cubeengine rebin``: coarser bins of a cube."""

from __future__ import annotations

from typing import Any

import click

from cubeengine.cli.base import Command
from cubeengine.cli.merge import combine_options, parse_numbers, print_combined


@click.command("rebin", cls=Command, short_help="Join bins of a cube.")
@click.argument("cube", type=click.Path())
@click.option("--axis", metavar="AXIS", help="Axis for --by and --edges values without an axis name.")
@click.option("--by", multiple=True, metavar="[AXIS=]N", help="Join every N neighbouring bins.")
@click.option("--edges", multiple=True, metavar="[AXIS=]E,E,...", help="Edges of the new bins.")
@click.option("--drop", multiple=True, metavar="AXIS", help="Sum over an axis completely.")
@combine_options
def command(
    cube: str,
    axis: str | None,
    by: tuple[str, ...],
    edges: tuple[str, ...],
    drop: tuple[str, ...],
    output: str,
    overwrite: bool,
    memory: str | None,
    workers: int | None,
) -> None:
    """Join neighbouring bins of CUBE; exact, for every bin holds count, mean and spread.

    The options may be repeated for several axes: --by delay=2 --drop i0. New edges must be among the old.
    """
    from cubeengine.cli.progress import ProgressDisplay
    from cubeengine.combine.rebin import rebin_cube

    numbers = {name: _number(text) for name, text in named(by, "--by", cube, axis).items()}
    borders = {
        name: parse_numbers(text, float, "--edges")
        for name, text in named(edges, "--edges", cube, axis).items()
    }
    with ProgressDisplay() as display:
        show: Any = display
        result = rebin_cube(
            cube,
            output,
            by=numbers,
            edges=borders,
            drop=drop,
            overwrite=overwrite,
            memory=memory,
            workers=workers,
            on_progress=show,
        )
    print_combined(result)


def named(values: tuple[str, ...], option: str, cube: str, axis: str | None) -> dict[str, str]:
    """Return values by axis: AXIS=VALUE, or VALUE for --axis, or for the only axis of the cube.

    Raises
    ------
    SpecError
        If an axis is not named though the cube has several, or is named twice.
    """
    from cubeengine.errors import SpecError

    found: dict[str, str] = {}
    for value in values:
        name, equals, text = value.rpartition("=")
        name = name if equals else axis or _only_axis(cube, option, value)
        if name in found:
            raise SpecError(f"{option}: axis {name!r} is given twice")
        found[name] = text
    return found


def _only_axis(cube: str, option: str, value: str) -> str:
    from cubeengine.combine.content import Cube
    from cubeengine.errors import SpecError

    axes = Cube.open(cube).axes
    if len(axes) != 1:
        known = ", ".join(axes) or "none"
        raise SpecError(f"{option} {value}: for which axis? Write {option} AXIS={value}; axes: {known}")
    return axes[0]


def _number(text: str) -> int:
    (number, *more) = parse_numbers(text, int, "--by")
    if more:
        raise click.BadParameter(f"{text!r} must be one number", param_hint="--by")
    return int(number)
