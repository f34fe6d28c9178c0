"""``cubeengine show``: a cube in the terminal, or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cubeengine.cli.base import Command, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@click.command("show", cls=Command, short_help="Describe a cube, or draw a signal of it.")
@click.argument("cube", type=click.Path())
@click.option("--plot", metavar="FILE", help="Save a picture: .png, .pdf or .svg.")
@click.option("--signal", metavar="S", help="Signal to draw.  [default: the first]")
@click.option("--over", metavar="S", help="Divide by this signal: ratio of sums.")
@click.option("--difference", metavar="ON,OFF", help="First selection minus the second.")
def command(
    cube: str, plot: str | None, signal: str | None, over: str | None, difference: str | None
) -> None:
    """Print a summary of CUBE; with --plot, draw one of its signals instead.

    --over divides the sums of two signals. How these vary together is not in a cube, so the ratio and its
    errors are taken from the run, where its files are as they were, over the events that have both. Else the
    sums of the cube are divided, without errors; where a signal lacks events that is refused, with ways out.
    """
    from cubeengine.plots import describe_cube
    from cubeengine.store.read import naming_damage, open_cube

    if plot is None and (signal or over or difference):
        raise click.UsageError("--signal, --over and --difference need --plot FILE")
    dataset = open_cube(cube)
    if plot is None:
        with naming_damage(cube):
            click.echo(printable(describe_cube(dataset)))
        return
    from cubeengine.cli.progress import working
    from cubeengine.look.cubes import RatioOfRun
    from cubeengine.plots import plot_cube

    with working("drawing"), naming_damage(cube):
        figure = plot_cube(dataset, signal, over, difference, ratio=RatioOfRun())
        done = save_figure(figure, Path(plot))
    click.echo(f"{done} {printable(plot)}")
    if over is not None:
        click.echo(printable(figure.get_supxlabel()))


def save_figure(figure: Figure, path: Path) -> str:
    """Save a picture in the format of the file's name; say "wrote", or "replaced" for a picture before it.

    Raises
    ------
    SpecError
        If the name is not that of a picture.
    StoreMismatch
        If a file is there that is no picture of ours.
    """
    from io import BytesIO

    from cubeengine.errors import SpecError
    from cubeengine.store.files import write_again

    ending = path.suffix.removeprefix(".").lower()
    if ending not in figure.canvas.get_supported_filetypes():
        raise SpecError(f"{path}: unknown picture format; end the name with .png, .pdf or .svg")
    content, about = BytesIO(), _MARKED.get(ending)
    figure.savefig(content, format=ending, dpi=150, metadata=about and {about: _MARK})
    replaced = write_again(path, content.getvalue(), "saving the picture", mark=_MARK.encode())
    return "replaced" if replaced else "wrote"


_MARK = "made by cubeengine"
_MARKED = {"png": "Software", "pdf": "Creator", "svg": "Creator", "ps": "Creator", "eps": "Creator"}
"""Kinds of pictures that can say what made them, and where; of other kinds none is replaced."""
