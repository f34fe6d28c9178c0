"""``cubeengine fields``: what a run holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cubeengine.cli.base import Command, printable, say, show_table
from cubeengine.cli.options import open_source, source_options
from cubeengine.errors import SourceFormatError

if TYPE_CHECKING:
    from cubeengine.cli.stats import ColumnStats
    from cubeengine.events.run import Run
    from cubeengine.types import FieldInfo

NAMING = ("name", "shape", "dtype", "kind")
LYING = ("size", "storage")
MANY_SETTINGS = 100
STATS = ("min", "median", "max", "missing", "zero")


@click.command("fields", cls=Command, short_help="List the fields of a run.")
@source_options
@click.option("--stats", is_flag=True, help="Add min, median, max, % missing and % zero of scalars.")
@click.option(
    "--all", "settings", is_flag=True, help="Also list the settings in raw data, which may be many."
)
@click.option("--match", "pattern", metavar="PATTERN", help="Only fields whose names match, e.g. 'ipm*'.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    source: str,
    xtc: tuple[str, ...],
    stats: bool,
    settings: bool,
    pattern: str | None,
    as_json: bool,
) -> None:
    """List the fields of SOURCE, a file, a directory or experiment:run, with events, time span and scan.

    SOURCE is smallData or raw data (xtc2), or a directory with both, which are joined by time.
    """
    from cubeengine.cli.progress import working

    with working("reading the scalars" if stats else "opening the run"):
        run = open_source(source, xtc)
        fields = run.fields if pattern is None else run.fields.match(pattern)
        summaries, unreadable = column_summaries(run, fields) if stats else ({}, {})
    if as_json:
        import json

        click.echo(json.dumps(_facts(run, fields, summaries), indent=2))
    else:
        click.echo(printable(_heading(run)))
        click.echo()
        _print_table(fields, summaries, settings=settings or pattern is not None)
    for message in unreadable.values():
        say(f"error: {printable(message)}", "red")
    if unreadable:
        ctx.exit(SourceFormatError.exit_code)


def column_summaries(
    run: Run, fields: Mapping[str, FieldInfo] | None = None
) -> tuple[Mapping[str, ColumnStats], Mapping[str, str]]:
    """Summarise every scalar field, reading one at a time; give also why some cannot be read."""
    from cubeengine.cli.stats import column_stats, has_stats

    summaries, unreadable = {}, {}
    for name, info in (run.fields if fields is None else fields).items():
        if has_stats(info):
            try:
                summaries[name] = column_stats(run.source.read(name))
            except SourceFormatError as err:
                unreadable[name] = str(err)
    return summaries, unreadable


def storage_words(info: FieldInfo) -> str:
    """Say how a field lies: in memory, contiguous, or in chunks of so many events with their codecs."""
    storage = info.storage
    if storage.layout == "memory":
        return "in memory"
    chunked = storage.layout == "chunked"
    layout = f"chunks of {storage.chunk_events:,}" if chunked else storage.layout
    return ", ".join(["on disk", layout, *storage.codecs])


def _heading(run: Run) -> str:
    return f"{run!r}\nscan    {repr(run.scan).removeprefix('Scan: ')}"


def shown_fields(fields: Mapping[str, FieldInfo], *, settings: bool) -> dict[str, FieldInfo]:
    """Return the fields to list: all, or without what is once per run where there is much of it."""
    per_event = {name: info for name, info in fields.items() if info.kind.value != "run"}
    many = len(fields) - len(per_event) > MANY_SETTINGS
    return per_event if many and not settings else dict(fields)


def _print_table(
    fields: Mapping[str, FieldInfo], summaries: Mapping[str, ColumnStats], *, settings: bool
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in (*NAMING, *(STATS if summaries else LYING)):
        table.add_column(title, justify="right" if title in STATS else "left", no_wrap=True)
    table.add_column("origin", overflow="ellipsis")  # gives way first where the terminal is narrow
    shown = shown_fields(fields, settings=settings)
    for name, info in shown.items():
        middle = _stat_cells(summaries.get(name)) if summaries else _lying_cells(info)
        cells = (*_naming_cells(name, info), *middle, Path(info.origin).name)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    show_table(table)
    if len(shown) < len(fields):
        left = len(fields) - len(shown)
        click.echo(f"and {left:,} fields with one value per run, mostly settings; --all lists them")
    for name, info in shown.items():
        if info.note and not info.group:  # the group is in the table
            click.echo(printable(f"{name}: {info.note}"))


def _naming_cells(name: str, info: FieldInfo) -> tuple[str, ...]:
    shape = "x".join(map(str, info.shape))
    return name, shape, str(info.dtype), f"{info.kind.value} {info.group}".strip()


def _lying_cells(info: FieldInfo) -> tuple[str, ...]:
    from cubeengine.budget import format_size

    return format_size(info.nbytes), storage_words(info)


def _stat_cells(stats: ColumnStats | None) -> tuple[str, ...]:
    if stats is None:
        return ("",) * len(STATS)
    numbers = ("" if value is None else f"{value:.6g}" for value in (stats.min, stats.median, stats.max))
    return *numbers, f"{stats.missing:.1%}", f"{stats.zero:.1%}"


def _facts(run: Run, fields: Mapping[str, FieldInfo], summaries: Mapping[str, ColumnStats]) -> dict[str, Any]:
    span = [str(moment) for moment in (run.time[0], run.time[-1])] if run.n_events else None
    return {
        "run": run.label,
        "run_id": None if run.run_id is None else str(run.run_id),
        "n_events": run.n_events,
        "join": None if run.join is None else run.join.facts,
        "time": span,
        "scan": {"variables": list(run.scan.variables), "n_steps": run.scan.n_steps},
        "counted_steps": {"field": run.scan.step_field, "n_steps": run.scan.n_counted},
        "fields": [_field_facts(name, info, summaries.get(name)) for name, info in fields.items()],
    }


def _field_facts(name: str, info: FieldInfo, stats: ColumnStats | None) -> dict[str, Any]:
    facts = {
        "name": name, "shape": list(info.shape), "dtype": str(info.dtype), "kind": info.kind.value,
        "group": info.group, "n_rows": info.n_rows, "nbytes": info.nbytes, "origin": info.origin,
        "storage": asdict(info.storage), "note": info.note,
    }  # fmt: skip
    return facts if stats is None else facts | {"stats": _finite(asdict(stats))}


def _finite(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Write infinities as text: JSON has no number for them."""
    return {
        key: str(value) if value in (float("inf"), float("-inf")) else value for key, value in stats.items()
    }
