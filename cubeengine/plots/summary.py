"""A cube in words: what `cubeengine show` prints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.budget import format_size
from cubeengine.plots.values import (
    SELECTION,
    axes_for_display,
    axes_of,
    axis_span,
    element_dims,
    field_of,
    run_words,
)
from cubeengine.schema.calls import told
from cubeengine.schema.texts import counted
from cubeengine.store.read import (
    PICK,
    PICKED,
    RUN,
    as_dataset,
    cube_facts,
    is_picked,
    is_stack,
    picked_names,
    signal_names,
)
from cubeengine.types import Announced

Rows = Sequence[Sequence[str]]


@told("ce.describe_cube")
def describe_cube(dataset: xr.Dataset | str | os.PathLike[str]) -> str:
    """Describe a cube: axes, counts, signals, fates of the events, missing values, and how it was made.

    Parameters
    ----------
    dataset : xarray.Dataset
        A cube, or picked events. Only its coordinates and event counts are read. Attributes that are not
        there are left out.

    Returns
    -------
    str
        Several lines of plain text.

    Examples
    --------
    >>> describe_cube(ce.open_cube("delay.zarr")).startswith("cube 'delay' of xppdemo20 run 12")
    True
    """
    dataset = as_dataset(dataset)
    what = (_picks, _picked_signals) if is_picked(dataset) else (_signals,)
    parts = (_title, _axes, _selections, *what, _cut_flow, _fates, _left_out, _making)
    return "\n\n".join(text for part in parts if (text := "\n".join(part(dataset))))


def _title(dataset: xr.Dataset) -> Iterator[str]:
    facts = cube_facts(dataset)
    spec, mark = facts.get("spec", {}), facts.get("cubeengine", {})
    of = f" of {runs}" if (runs := run_words(dataset)) else ""
    if merged := facts.get("merged_from"):
        of += f" ({counted(len(merged), 'cube')})" if runs else f" of {counted(len(merged), 'cube')}"
    made = f", made by cubeengine {mark['version']}" if "version" in mark else ""
    kind = PICKED if is_picked(dataset) else "cube"
    yield f"{kind} {spec.get('cube', '')!r}{of}: {format_size(dataset.nbytes)}{made}"
    if partial := facts.get("partial_run"):
        yield f"part of the run only: {partial}"
    yield from map(announced_words, facts.get("announced") or ())


def announced_words(entry: Mapping[str, Any]) -> str:
    """Say how many of the events that a file announces were read, as the attribute `announced` has it."""
    return str(Announced(**entry))


def evidence_words(facts: Mapping[str, Any], signal: str, selection: str) -> str:
    """Say in how many events the run itself calls a signal's detector missing or damaged; "" if in none."""
    found = (facts.get("evidence") or {}).get(signal) or {}
    count = found.get("events", {}).get(selection, 0)
    return f"{found['field']} is 0 in {count:,}" if count else ""


def lacking_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield signal, selection, events left out by each reason, and evidence, where there are any."""
    left_out, evidence = facts.get("left_out") or {}, facts.get("evidence") or {}
    for signal in dict.fromkeys([*left_out, *evidence]):
        names = [*left_out.get(signal, {}), *evidence.get(signal, {}).get("events", {})]
        for selection in dict.fromkeys(names):
            counts = left_out.get(signal, {}).get(selection, {})
            told = evidence_words(facts, signal, selection)
            if told or any(counts.values()):
                values = (f"{int(counts.get(kind, 0)):,}" for kind in ("missing", "damaged", "failed"))
                yield (signal, selection, *values, told)


def _axes(dataset: xr.Dataset) -> Iterator[str]:
    yield "axes"
    dataset = axes_for_display(dataset)
    rows = [_axis_row(dataset, axis) for axis in axes_of(dataset)]
    yield from _table(["", "bins", "from", "to", "unit", "width"], rows) if rows else ("  none: one bin",)


def _axis_row(dataset: xr.Dataset, axis: str) -> list[str]:
    edges = dataset[f"{axis}_bnds"].values
    widths = edges[:, 1] - edges[:, 0]
    width = (
        f"{widths[0]:.4g}" if np.allclose(widths, widths[0]) else f"{widths.min():.4g} to {widths.max():.4g}"
    )
    unit = str(dataset[axis].attrs.get("units", ""))
    return [
        axis,
        f"{len(edges)}",
        *axis_span(dataset, axis),
        unit,
        "" if axis == RUN and is_stack(dataset) else width,
    ]


def _selections(dataset: xr.Dataset) -> Iterator[str]:
    yield "events in the bins"
    counts = dataset["n_events"].transpose(SELECTION, ...).values
    rows = [
        [str(name), *_counts_row(bins.ravel())]
        for name, bins in zip(dataset[SELECTION].values, counts, strict=True)
    ]
    yield from _table(["selection", "events", "min", "median", "max", "empty bins"], rows)


def _counts_row(counts: np.ndarray[Any, np.dtype[Any]]) -> list[str]:
    numbers = (counts.sum(), counts.min(), np.median(counts), counts.max())
    return [*(f"{number:,.0f}" for number in numbers), f"{(counts == 0).sum()} of {counts.size}"]


def _signals(dataset: xr.Dataset) -> Iterator[str]:
    yield "signals"
    rows = []
    for name in signal_names(dataset):
        mean = dataset[f"{name}_mean"]
        shape = " x ".join(str(mean.sizes[dim]) for dim in element_dims(dataset, name)) or "scalar"
        rows.append([name, field_of(dataset, name), shape, str(mean.attrs.get("units", "")), str(mean.dtype)])
    yield from _table(["", "field", "shape", "unit", "type"], rows, left=2)


def _picks(dataset: xr.Dataset) -> Iterator[str]:
    yield f"picked: {cube_facts(dataset).get(PICK, {}).get('meaning', '')}"
    most = dataset.sizes[PICK]
    names = dataset[SELECTION].values
    rows = []
    for name in names:
        n, could = (dataset[key].sel({SELECTION: name}).values for key in ("n_picked", "n_candidates"))
        short = ((n > 0) & (n < most)).sum()
        rows.append([str(name), *(f"{number:,}" for number in (n.sum(), could.sum(), short, (n == 0).sum()))])
    yield from _table(
        ["selection", "events", "could be", f"bins with fewer than {most:,}", "with none"], rows
    )


def _picked_signals(dataset: xr.Dataset) -> Iterator[str]:
    yield "signals"
    rows = []
    for name in picked_names(dataset):
        values = dataset[name]
        sizes = [str(values.sizes[dim]) for dim in values.dims if dim not in dataset["event"].dims]
        attrs = values.attrs
        shape = " x ".join(sizes) or "scalar"
        rows.append(
            [name, str(attrs.get("field", name)), shape, str(attrs.get("units", "")), str(values.dtype)]
        )
    yield from _table(["", "field", "shape", "unit", "type"], rows, left=2)


def _cut_flow(dataset: xr.Dataset) -> Iterator[str]:
    flows: Mapping[str, Rows] = cube_facts(dataset).get("cut_flow", {})
    for selection, steps in flows.items():
        yield f"cut flow of {selection!r}"
        rows = [[str(label), f"{int(alone):,}", f"{int(after):,}"] for label, alone, after in steps]
        yield from _table(["", "by this cut alone", "after this cut"], rows)


def _fates(dataset: xr.Dataset) -> Iterator[str]:
    fates: Mapping[str, Mapping[str, int]] = cube_facts(dataset).get("fates", {})
    if not fates:
        return
    kinds = list(dict.fromkeys(kind for fate in fates.values() for kind in fate))
    yield f"where the {int(dataset.attrs.get('n_events_total', 0)):,} events went"
    rows = [[name, *(f"{int(fate.get(kind, 0)):,}" for kind in kinds)] for name, fate in fates.items()]
    yield from _table(["selection", *kinds], rows)


def _left_out(dataset: xr.Dataset) -> Iterator[str]:
    rows = list(lacking_rows(cube_facts(dataset)))
    if rows:
        yield "selected events in the bins that a signal lacks"
        header = ["", "selection", "missing", "damaged", "could not be read", "as the run says"]
        n_columns = len(header) if any(row[-1] for row in rows) else len(header) - 1
        yield from _table(header[:n_columns], [row[:n_columns] for row in rows], left=2)


def _making(dataset: xr.Dataset) -> Iterator[str]:
    attrs = cube_facts(dataset)
    if strategy := attrs.get("plan", {}).get("strategy"):
        items = strategy.items() if isinstance(strategy, Mapping) else [("all", strategy)]
        yield "strategy: " + ", ".join(f"{name} {kind}" for name, kind in items)
    if memory := attrs.get("memory"):
        yield "memory of all processes: " + ", ".join(_memory(kind, memory[kind]) for kind in memory)
    for number, file in enumerate(attrs.get("inputs", ())):
        yield f"{'input:' if number == 0 else '      '} {_input(file)}"
    if versions := attrs.get("versions"):
        yield "versions: " + ", ".join(f"{name} {version}" for name, version in versions.items())


def _memory(kind: str, size: float | None) -> str:
    return f"{kind} {'unknown' if size is None else format_size(size)}"


def _input(file: Mapping[str, Any]) -> str:
    changed = datetime.fromtimestamp(file["mtime_ns"] / 1e9, UTC)
    return f"{file['path']}, {format_size(file['size'])}, of {changed:%Y-%m-%d %H:%M} UTC"


def _table(header: Sequence[str], rows: Rows, *, left: int = 1) -> Iterator[str]:
    """Yield aligned lines: the first `left` columns to the left, the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (
            text.ljust(width) if i < left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield ("  " + "  ".join(cells)).rstrip()
