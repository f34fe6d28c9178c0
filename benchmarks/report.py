"""Lays out what was measured: plain text, or Markdown for README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.problems import Problem
from benchmarks.processes import Measurement, n_cores

Results = dict[str, list[Measurement]]
"""Name of an implementation -> its repeats."""

OURS = ("threads", "running workers", "processes", "one thread")

LIMIT_TARGETS = {"contiguous": 0.6, "chunked": 0.6, "gzip": 0.8, "bitshuffle": 0.8}
PEER_TARGETS = {
    "handloop": ("one thread", 3.0),
    "xarray": ("threads", 10.0),
    "flox": ("threads", 10.0),
    "escape": ("threads", 15.0),
}
"""Peer -> which of ours it is set against, and how many times faster that should be."""

LABELS = {
    **{name: f"cubeengine, {name}" for name in OURS},
    "handloop": "h5py loop, one process",
    "xarray": "xarray groupby_bins on dask",
    "flox": "xarray groupby_bins on dask, flox",
    "escape": "escape-fel",
}


def limit_table(problem: Problem, results: Mapping[str, Results], *, markdown: bool) -> str:
    """Lay out times, and the share of the limit that is reached."""
    measured = [name for name in OURS if all(name in runs for runs in results.values())]
    head = ("storage", "limit", "GB/s", *measured, *(f"{name} /limit" for name in measured), "target")
    rows = []
    for layout, runs in results.items():
        limit = middle(runs["limit"])
        ours = [middle(runs[name]) for name in measured]
        shares = [f"{limit / value:.2f}" for value in ours]
        rate = f"{problem.nbytes / limit / 1e9:.2f}"
        target = str(LIMIT_TARGETS[layout])
        rows.append((layout, seconds(limit), rate, *map(seconds, ours), *shares, target))
    return table(f"Against the limit: {title(problem)}", head, rows, markdown=markdown)


def facts_table(problem: Problem, results: Mapping[str, Results], *, markdown: bool) -> str:
    """Lay out what ours read, held in memory, and spent on scheduling (launcher `threads`).

    Reads are shares of the decoded input: those planned (decoded bytes), those the system saw (stored
    bytes, so fewer where compressed), and those that were not page-cached. "in tasks" is the time while
    the graph was computed; the rest is opening, planning, publishing. "scheduling" is processor time of
    the scheduler's thread over all time, "idle" the share of the graph's time in which threads had no task.
    """
    head = (
        "storage", "strategy", "tasks", "planned reads", "reads", "from disk", "peak", "projected",
        "spread", "in tasks", "scheduling", "idle",
    )  # fmt: skip
    rows = [(layout, *_facts(problem, runs["threads"])) for layout, runs in results.items()]
    return table("Ours, with threads", head, rows, markdown=markdown)


def _facts(problem: Problem, runs: Sequence[Measurement]) -> tuple[str, ...]:
    facts = [run.details for run in runs]
    scheduling = median(run.details["scheduling_seconds"] / run.seconds for run in runs)
    idle = median(1 - one["task_seconds"] / one["graph_seconds"] / n_cores() for one in facts)
    return (
        facts[0]["strategy"],
        str(facts[0]["n_tasks"]),
        f"{facts[0]['read_nbytes'] / problem.nbytes:.3f}",
        f"{max(one['asked_nbytes'] for one in facts) / problem.nbytes:.3f}",
        f"{max(one['disk_nbytes'] for one in facts) / problem.nbytes:.3f}",
        peak(runs),
        megabytes(facts[0]["projected_memory"]),
        spread(runs),
        seconds(median(one["graph_seconds"] for one in facts)),
        f"{scheduling:.1%}",
        f"{idle:.1%}",
    )


def peer_table(problem: Problem, results: Results, *, markdown: bool) -> str:
    """Lay out times of the peers, and by how much ours is faster."""
    head = ("implementation", "time", "spread", "peak", "against", "times faster", "target")
    rows = []
    for name, runs in results.items():
        measured = (LABELS[name], seconds(middle(runs)), spread(runs), peak(runs))
        if name in PEER_TARGETS:
            ours, target = PEER_TARGETS[name]
            rows.append((*measured, ours, f"{middle(runs) / middle(results[ours]):.1f}", f"{target:g}"))
        else:
            rows.append((*measured, "", "", ""))
    return table(f"Against peers, {problem.layout}: {title(problem)}", head, rows, markdown=markdown)


def title(problem: Problem) -> str:
    """Describe a problem in a line."""
    frame = " x ".join(map(str, problem.frame_shape))
    return (
        f"{problem.n_events:,} frames of {frame} {problem.dtype} ({problem.nbytes / 1e9:.2f} GB, "
        f"{problem.nbytes / problem.cube_nbytes:.0f} times the cube), {problem.n_bins} bins in random order"
    )


def middle(runs: Sequence[Measurement]) -> float:
    """Return the median time."""
    return median(run.seconds for run in runs)


def spread(runs: Sequence[Measurement]) -> str:
    """Write the least and the greatest time."""
    times = [run.seconds for run in runs]
    return f"{min(times):.3g}-{max(times):.3g} s"


def peak(runs: Sequence[Measurement]) -> str:
    """Write the most memory of all repeats."""
    return megabytes(max(run.peak_nbytes for run in runs))


def seconds(value: float) -> str:
    """Write a time with three digits."""
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def megabytes(nbytes: float) -> str:
    """Write a size in MB."""
    return f"{nbytes / 1e6:,.0f} MB"


def table(heading: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    """Lay out a table; columns after the first are aligned to the right."""
    widths = [max(len(row[number]) for row in (head, *rows)) for number in range(len(head))]
    lines = [_line(row, widths, markdown=markdown) for row in (head, *rows)]
    if not markdown:
        return "\n".join([heading, *lines, ""])
    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return "\n".join([f"**{heading}**", "", lines[0], f"|{rule}|", *lines[1:], ""])


def _line(row: Sequence[str], widths: Sequence[int], *, markdown: bool) -> str:
    numbers = zip(row[1:], widths[1:], strict=True)
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in numbers)]
    return f"| {' | '.join(cells)} |" if markdown else "  ".join(cells)
