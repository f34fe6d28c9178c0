"""What all commands share: the debug switch, and output that is safe and quiet about closed pipes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cubeengine.terminal import console_on, takes_colours

if TYPE_CHECKING:
    from rich.table import Table

WIDE = 100_000
"""Columns of output that is no terminal: whoever reads it wants lines whole."""


@dataclass(slots=True)
class Settings:
    """Switches of one call."""

    debug: bool = False  # whether errors come with their traceback


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and isinstance(ctx.obj, Settings):
        ctx.obj.debug = True


DEBUG_OPTION = click.Option(
    ["--debug"], is_flag=True, expose_value=False, callback=_set_debug, help="Show the traceback of an error."
)


class Command(click.Command):
    """A command with `--debug`, which so may stand before or after the command's name."""

    def __init__(self, name: str | None, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.params.append(DEBUG_OPTION)


def show_table(table: Table) -> None:
    """Print a table, as wide as the terminal, or as it is wide where there is none."""
    console = console_on(sys.stdout, width=None if sys.stdout.isatty() else WIDE)
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().split("\n"))
    click.echo("\n".join(lines).strip("\n"))


def say(message: str, colour: str) -> None:
    """Print a message on standard error: in a colour on a terminal, unless the user set NO_COLOR."""
    click.echo(click.style(message, fg=colour) if takes_colours(sys.stderr) else message, err=True)


def printable(text: str) -> str:
    """Replace control characters, which a file could use to steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def leave_stdout() -> None:
    """Send what is still to come nowhere, after the reader of standard output has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
