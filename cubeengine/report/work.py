"""How a cube was computed: rates, memory, workers, blocks that failed, inputs and versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cubeengine.budget import format_size
from cubeengine.report.events import MOST_ROWS
from cubeengine.report.html import Html, element, number, paragraph, section, table

LONGEST_TEXT = 100_000


def computation(attrs: Mapping[str, Any]) -> Html:
    """Tell what computed the cube, how fast, and with how much memory."""
    rows = [row for row in _facts(attrs) if row[1]]
    return section("Computation", table(("", ""), rows)) if rows else Html("")


def _facts(attrs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    done, memory, plan = (attrs.get(key) or {} for key in ("computation", "memory", "plan"))
    yield "launcher", str(attrs.get("launcher") or "")
    yield "workers", _workers(done)
    seconds, nbytes = done.get("seconds"), done.get("read_nbytes")
    if seconds is not None and nbytes is not None:
        yield "input read", format_size(nbytes)
        yield "time", f"{seconds:,.1f} s"
        yield "rate", f"{nbytes / max(seconds, 1e-9) / 1e6:,.1f} MB/s"
    if resumed := done.get("resumed_nbytes"):
        yield "input finished by an earlier run", format_size(resumed)
    for name, key in (("memory, measured peak", "measured"), ("memory, projected", "projected")):
        yield name, format_size(memory[key]) if memory.get(key) is not None else ""
    if memory.get("measured") and memory.get("projected"):
        yield "measured over projected", f"{memory['measured'] / memory['projected']:.0%}"
    allowed = plan.get("memory_per_worker")
    yield "memory allowed per worker", format_size(allowed) if allowed else ""
    yield "tasks planned", number(plan.get("n_tasks", ""))
    yield "strategy", ", ".join(f"{name}: {kind}" for name, kind in _items(plan.get("strategy")))


def _workers(done: Mapping[str, Any]) -> str:
    if "workers" not in done:
        return ""
    return f"{done['workers']} with {done.get('threads', 1)} thread(s) each"


def _items(value: object) -> list[tuple[str, object]]:
    return [(str(key), item) for key, item in value.items()] if isinstance(value, Mapping) else []


def incidents(attrs: Mapping[str, Any]) -> Html:
    """Tell which blocks of events had to be tried again or were left out, and why."""
    done = attrs.get("computation") or {}
    if "incidents" not in done:
        return Html("")
    found: Sequence[Mapping[str, Any]] = done["incidents"]
    if not found:
        return section("Blocks that failed", paragraph("None: every block was read at the first try."))
    rows = [
        (
            each.get("signal", ""),
            _range(each.get("events")),
            each.get("what", ""),
            each.get("reason", ""),
            number(each.get("times", 1)),
        )
        for each in found[:MOST_ROWS]
    ]
    total = int(done.get("n_incidents", len(found)))
    more = paragraph(f"{total - len(rows):,} more are not shown.") if total > len(rows) else ""
    header = ("signal", "events, in the order of reading", "outcome", "reason", "times")
    return section("Blocks that failed", table(header, rows, left=4), more)


def _range(events: object) -> str:
    if not isinstance(events, Sequence) or len(events) != 2:
        return ""
    return f"{events[0]:,} to {events[1] - 1:,}"


def inputs(attrs: Mapping[str, Any]) -> Html:
    """List the files that were read."""
    files: Sequence[Mapping[str, Any]] = attrs.get("inputs") or ()
    if not files:
        return Html("")
    rows = [(file.get("path", ""), format_size(int(file.get("size", 0))), _time(file)) for file in files]
    more = f"{len(rows) - MOST_ROWS:,} more files are not shown." if len(rows) > MOST_ROWS else ""
    shown = table(("file", "size", "last changed, UTC"), rows[:MOST_ROWS])
    return section("Inputs", shown, paragraph(more) if more else "")


def _time(file: Mapping[str, Any]) -> str:
    return f"{datetime.fromtimestamp(file.get('mtime_ns', 0) / 1e9, UTC):%Y-%m-%d %H:%M:%S}"


def origins(attrs: Mapping[str, Any]) -> Html:
    """List the cubes that a cube was put together from."""
    cubes: Sequence[Mapping[str, Any]] = attrs.get("merged_from") or ()
    rows = [(cube.get("path", ""), cube.get("run", ""), cube.get("hash", "")) for cube in cubes[:MOST_ROWS]]
    shown = table(("cube", "run", "hash of its values"), rows, left=3) if rows else ""
    steps = [str(step.get("did", "")) for step in attrs.get("history") or ()]
    return section("Made from other cubes", shown, paragraph("steps: ", ", ".join(steps)) if steps else "")


def versions(attrs: Mapping[str, Any]) -> Html:
    """List the software."""
    made: Mapping[str, Any] = attrs.get("cubeengine") or {}
    rows = [("cubeengine", made["version"])] if "version" in made else []
    rows += [(name, str(version)) for name, version in _items(attrs.get("versions"))]
    return section("Versions", table(("", ""), rows)) if rows else Html("")


def spec(attrs: Mapping[str, Any]) -> Html:
    """Show the spec as text."""
    shown = attrs.get("spec_yaml") or (
        json.dumps(attrs["spec"], indent=1, ensure_ascii=False) if attrs.get("spec") else ""
    )
    if not shown:
        return Html("")
    cut = len(shown) > LONGEST_TEXT
    more = paragraph(f"The rest, {len(shown) - LONGEST_TEXT:,} characters, is not shown.") if cut else ""
    return section("Spec", element("pre", shown[:LONGEST_TEXT]), more)
