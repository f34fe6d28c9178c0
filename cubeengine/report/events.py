"""What became of the events: cut flow, fates, occupancy of the bins, and what signals lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.plots.summary import lacking_rows
from cubeengine.plots.values import SELECTION
from cubeengine.report.html import Html, bar, element, joined, number, paragraph, section, table

MOST_ROWS = 500
"""Rows of a table; beyond, nobody reads, and the page grows."""


def cut_flow(attrs: Mapping[str, Any]) -> Html:
    """Tell how many events each selection keeps, cut by cut, with bars."""
    flows: Mapping[str, Sequence[Sequence[Any]]] = attrs.get("cut_flow") or {}
    total = max(int(attrs.get("n_events_total") or 0), 1)
    shown, left = [], MOST_ROWS
    for name, rows in flows.items():
        shown.append(_flow(name, rows[: max(left, 0)], total))
        left -= len(rows)
    more = paragraph(f"{-left:,} more cuts are not shown.") if left < 0 else ""
    return section("Cut flow", *shown, more)


def _flow(name: str, rows: Sequence[Sequence[Any]], total: int) -> Html:
    shown = [
        (label, number(alone), number(after), f"{after / total:.1%}", bar(after / total))
        for label, alone, after in rows
    ]
    header = ("cut", "kept by it alone", "kept so far", "of all", "")
    return joined([element("h3", f"selection {name}"), table(header, shown)]) if shown else Html("")


def fates(attrs: Mapping[str, Any]) -> Html:
    """Tell where every event of the run went, and whether that adds up."""
    found: Mapping[str, Mapping[str, int]] = attrs.get("fates") or {}
    if not found:
        return Html("")
    kinds = list(dict.fromkeys(kind for fate in found.values() for kind in fate))
    total = int(attrs.get("n_events_total") or 0)
    sums = {name: sum(fate.values()) for name, fate in found.items()}
    rows = [
        (name, *(number(fate.get(kind, 0)) for kind in kinds), number(sums[name]))
        for name, fate in found.items()
    ]
    wrong = [name for name, value in sums.items() if value != total]
    told = (
        f"The numbers of every row add up to the {total:,} events of the run."
        if not wrong
        else f"The numbers of these rows do not add up to the {total:,} events of the run: "
        f"{', '.join(wrong)}."
    )
    return section(
        "Where the events went",
        table(("selection", *kinds, "sum"), rows[:MOST_ROWS]),
        paragraph(told) if not wrong else element("p", told, class_="warning"),
    )


def occupancy(dataset: xr.Dataset, picture: Html) -> Html:
    """Tell how many events lie in the bins."""
    counts = dataset["n_events"].transpose(SELECTION, ...).values
    names = dataset[SELECTION].values
    rows = (_occupied(str(name), bins.ravel()) for name, bins in zip(names, counts, strict=True))
    header = ("selection", "events", "least", "median", "most", "empty bins", "bins")
    return section("Events in the bins", table(header, list(rows)[:MOST_ROWS]), picture)


def _occupied(name: str, bins: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[str, ...]:
    numbers = (bins.sum(), bins.min(), np.median(bins), bins.max(), (bins == 0).sum(), bins.size)
    return (name, *(f"{value:,.0f}" for value in numbers))


def left_out(attrs: Mapping[str, Any]) -> Html:
    """Tell which selected events have no value for a signal, and why."""
    rows = list(lacking_rows(attrs))
    if not rows:
        return Html("")
    header = ("signal", "selection", "missing", "damaged", "could not be read", "as the run says")
    n_columns = len(header) if any(row[-1] for row in rows) else len(header) - 1
    return section(
        "Left out per signal",
        paragraph("Selected events in the bins whose value is left out of a signal."),
        table(header[:n_columns], [row[:n_columns] for row in rows[:MOST_ROWS]], left=2),
    )
