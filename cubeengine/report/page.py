"""The whole page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from cubeengine.budget import format_size
from cubeengine.errors import MissingExtra
from cubeengine.plots.values import (
    Ratio,
    axes_for_display,
    axes_of,
    axis_span,
    element_dims,
    field_of,
    run_words,
)
from cubeengine.report import events, work
from cubeengine.report.events import MOST_ROWS
from cubeengine.report.html import Html, element, joined, paragraph, section, table
from cubeengine.report.pictures import Album
from cubeengine.store.read import cube_facts, signal_names
from cubeengine.types import Announced

NO_PICTURES = "There are no pictures because matplotlib is not installed: pip install 'cubeengine[plot]'"

MARK = b" - cubeengine report</title>"
"""What every page has in its head."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded from elsewhere and nothing is executed, whatever a cube says of itself."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d2329; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem;
     border-bottom: 1px solid #d5dae0; padding-bottom: .2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .7rem .2rem 0; text-align: left;
     vertical-align: top; border-bottom: 1px solid #edf0f3; overflow-wrap: anywhere; }
th { font-weight: 600; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } .bar { width: 12rem; height: .8rem; background: #edf0f3; margin-top: .25rem; }
.bar div { height: 100%; background: #2f6690; } pre { background: #f5f7f9; padding: .8rem;
     overflow-x: auto; } figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
.warning { color: #a02c1c; font-weight: 600; } .about { color: #5c6670; margin-top: 0; }
@media (prefers-color-scheme: dark) { body { background: #15191d; color: #dde3e8; } pre, .bar {
     background: #22282e; } th, td, h2 { border-color: #313940; } img { background: #ffffff; } }
"""


def report_html(dataset: xr.Dataset, path: str, ratio: Ratio | None = None) -> Html:
    """Describe a cube in a page that needs nothing else: no scripts, no styles, fonts or pictures elsewhere.

    Parameters
    ----------
    dataset : xarray.Dataset
        The cube, from `open_cube`; its counts and scalar signals are read.
    path : str
        Where it is, for the reader.
    ratio : Ratio, optional
        Makes the ratios to the intensity; see `plot_cube`.
    """
    title = str(dataset.attrs.get("title") or "cube")
    body = joined([element("h1", title), *_sections(dataset, path, ratio)])
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY}),
            element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            element("title", f"{title} - cubeengine report"),
            Html(f"<style>{_STYLE}</style>"),
        ]
    )
    return Html(f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n')


def _sections(dataset: xr.Dataset, path: str, ratio: Ratio | None) -> Iterator[Html]:
    attrs: Mapping[str, Any] = cube_facts(dataset)
    album = Album(dataset, ratio)
    yield _about(dataset, path)
    yield events.cut_flow(attrs)
    yield events.fates(attrs)
    try:
        occupancy, pictures = album.occupancy(), list(album.signals())
    except MissingExtra:
        occupancy, pictures = Html(""), [paragraph(NO_PICTURES)]
    yield events.occupancy(dataset, occupancy)
    refusal = paragraph(album.refusal) if pictures and album.refusal else ""
    yield section("Signals", _signals(dataset), *pictures, refusal)
    yield events.left_out(attrs)
    yield work.incidents(attrs)
    yield work.computation(attrs)
    yield work.spec(attrs)
    yield work.origins(attrs)
    yield work.inputs(attrs)
    yield work.versions(attrs)


def _about(dataset: xr.Dataset, path: str) -> Html:
    attrs = cube_facts(dataset)
    run = f"{runs}, " if (runs := run_words(dataset)) else ""
    total = f"{int(attrs['n_events_total']):,} events, " if attrs.get("n_events_total") else ""
    about = element("p", f"{run}{total}{path}, {format_size(dataset.nbytes)}", class_="about")
    partial = attrs.get("partial_run")
    warning = element("p", f"Part of the run only: {partial}", class_="warning") if partial else Html("")
    shown = axes_for_display(dataset)
    rows = [_axis(shown, axis) for axis in axes_of(dataset)]
    axes = (
        table(("axis", "unit", "bins", "from", "to"), rows, left=2)
        if rows
        else paragraph("No axis: one bin.")
    )
    return joined([about, warning, *map(_announced, attrs.get("announced") or ()), axes])


def _announced(entry: Mapping[str, Any]) -> Html:
    """Say how many of the events that a file announces were read."""
    found = Announced(**entry)
    return paragraph(str(found)) if found.is_complete else element("p", str(found), class_="warning")


def _axis(dataset: xr.Dataset, axis: str) -> tuple[str, ...]:
    unit = str(dataset[axis].attrs.get("units", ""))
    return (axis, unit, f"{dataset.sizes[axis]:,}", *axis_span(dataset, axis))


def _signals(dataset: xr.Dataset) -> Html:
    rows = []
    for name in signal_names(dataset)[:MOST_ROWS]:
        shape = " x ".join(str(dataset[f"{name}_mean"].sizes[dim]) for dim in element_dims(dataset, name))
        unit = str(dataset[f"{name}_mean"].attrs.get("units", ""))
        rows.append((name, field_of(dataset, name), unit, shape or "scalar"))
    note = "Pictures show mean and standard error; draw frames with: cubeengine show CUBE --plot FILE"
    return joined([table(("signal", "field", "unit", "shape"), rows, left=4), paragraph(note)])
