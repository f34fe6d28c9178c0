"""A plan in words, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cubeengine.budget import Budget, format_size
from cubeengine.planning.bind import Bound, BoundSignal
from cubeengine.planning.derive import delay_facts
from cubeengine.planning.disk import DiskUse, disk_use, leaves_between_checkpoints, output_nbytes
from cubeengine.planning.plan import CubePlan, SignalPlan
from cubeengine.planning.provenance import stage_facts
from cubeengine.schema.problems import Problem
from cubeengine.schema.texts import counted, variable_name


def explain(bound: Bound, plan: CubePlan, budget: Budget, warnings: Sequence[Problem]) -> str:
    """Describe a plan for people: cut flow and fates, bins, work, how each signal is reduced, warnings."""
    sections = [
        "\n".join(event_lines(bound)),
        "\n".join(bin_lines(bound)),
        _work(plan, budget, _disk_use(bound, plan)),
        *_scalars(plan),
        *("\n".join(_signal(signal, bound)) for signal in plan.signals if signal.info.shape),
        *(f"warning: {warning.message}" for warning in warnings),
    ]
    return "\n\n".join(sections)


def plan_facts(bound: Bound, plan: CubePlan, budget: Budget, warnings: Sequence[Problem]) -> dict[str, Any]:
    """Return the facts of a plan as plain data, for `plan --json`."""
    return {
        "cube": bound.spec.cube,
        "events": {"run": bound.run.n_events, "considered": bound.considered, "sample": str(bound.sample)},
        "join": bound.run.join.facts if bound.run.join else None,
        "announced": [asdict(found) for found in bound.run.announced],
        "evidence": {name: asdict(found) for name, found in bound.evidence.items()},
        "cut_flow": {name: [asdict(row) for row in rows] for name, rows in bound.cut_flows.items()},
        "percentiles": {
            name: [asdict(found) for found in numbers] for name, numbers in bound.percentiles.items()
        },
        "fates": {name: asdict(fates) for name, fates in bound.fates.items()},
        "delays": delay_facts(bound.run, bound.spec, bound.delays),
        "near": {name: asdict(counts) for name, counts in bound.near.items()},
        "axes": [asdict(axis) for axis in plan.axes],
        "n_events": bound.n_events.tolist(),
        "signals": [_signal_facts(signal, bound) for signal in plan.signals],
        "n_tasks": plan.n_tasks,
        "read_nbytes": plan.read_nbytes,
        "output_nbytes": output_nbytes(plan),
        "memory": {"per_worker": budget.per_worker, "projected": plan.projected_memory()},
        "disk": asdict(_disk_use(bound, plan)),
        "warnings": [warning.message for warning in warnings],
    }


def _signal_facts(signal: SignalPlan, bound: Bound) -> dict[str, Any]:
    return {
        "name": signal.name,
        "field": signal.field,
        "stages": stage_facts(bound.signal(signal.name)),
        "strategy": signal.strategy,
        "reason": signal.reason,
        "rejected": {rejection.strategy: rejection.reason for rejection in signal.rejected},
        "parts": len(signal.parts),
        "leaves": signal.n_leaves,
        "read_nbytes": signal.read_nbytes,
        "partial_nbytes": signal.part_nbytes,
        "leaves_between_checkpoints": leaves_between_checkpoints(signal)[0],
        "worst_task": {"name": signal.worst_task[0], "nbytes": signal.worst_task[1]},
    }


_FATES = {
    "binned": "in the bins",
    "outside": "outside the bins",
    "cut": "cut",
    "nan": "with NaN in a cut or axis",
    "missing": "with a cut or axis value missing",
    "damaged": "with a cut or axis value damaged",
}
_DELAYS = {
    "laser_on": "counted as laser-on",
    "laser_off": "laser-off (nominal delay alone)",
    "no_timetool": "without a valid time tool",
    "no_nominal": "without a nominal delay",
    "unknown": "whose laser is unknown",
}


_NEAR = {
    "complete": "from all requested events",
    "partial": "from fewer events",
    "nothing": "without a value from another event",
    "missing": "without a value of their own",
}


def event_lines(bound: Bound) -> Iterator[str]:
    """Say what became of the events: cut flow, fates, delays."""
    sample = f"; looked at: {bound.considered:,} ({bound.sample})" if str(bound.sample) else ""
    yield f"events: {bound.run.n_events:,} in the run{sample}"
    yield from (f"  {found}" for found in bound.run.announced if found.is_complete)  # else it is warned of
    if bound.run.join:
        yield f"  joined: {bound.run.join}"
    labels = [row.label for cuts in bound.cut_flows.values() for row in cuts]
    width = max(map(len, labels), default=0)
    number = max(len(f"{bound.considered:,}"), len("alone"))
    for name, cuts in bound.cut_flows.items():
        yield f"  {name}" if not cuts else f"  {name:{width + 2}}  {'alone':>{number}}  {'after':>{number}}"
        yield from (
            f"    {cut.label:{width}}  {cut.alone:>{number},}  {cut.after:>{number},}" for cut in cuts
        )
        yield f"    {_in_words(asdict(bound.fates[name]), _FATES)}"
    for name, facts in delay_facts(bound.run, bound.spec, bound.delays).items():
        yield f"  {name}: {_in_words(facts, _DELAYS)}"
        yield f"    laser: {facts['laser']}"
    for name, counts in bound.near.items():
        yield f"  {name}: {_in_words(asdict(counts), _NEAR)}"
        if (info := bound.run.fields[name]).shape:
            size = format_size(info.nbytes)
            yield f"    computed while planning: {size}, kept in TMPDIR where that is much"


def _in_words(counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    """Say how many events went which way; ways that none went are left out."""
    return ", ".join(f"{counts[key]:,} {text}" for key, text in words.items() if counts[key]) or "no events"


def bin_lines(bound: Bound) -> Iterator[str]:
    """Describe the axes, and how many events are in their bins."""
    yield f"bins: {bound.grouping.n_bins:,}"
    for axis in (binned.axis for binned in bound.axes):
        unit = f" {axis.unit}" if axis.unit else ""
        yield f"  {axis.name}: {axis.n_bins:,} from {axis.edges[0]:.6g} to {axis.edges[-1]:.6g}{unit}"
    head = ("events per bin", "min", "median", "max", "empty")
    rows = [
        (name, *map("{:,}".format, (n.min(), int(np.median(n)), n.max(), np.count_nonzero(n == 0))))
        for name, n in zip(bound.selections, bound.n_events, strict=True)
    ]
    yield from aligned([head, *rows], indent=2)


def aligned(rows: Sequence[Sequence[str]], indent: int) -> Iterator[str]:
    """Align columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        yield " " * indent + "  ".join([f"{first:{widths[0]}}", *cells])


def _disk_use(bound: Bound, plan: CubePlan) -> DiskUse:
    tables = sum(signal.pipeline.held_nbytes for signal in bound.signals if signal.pipeline)
    sources = {signal.source: bound.run.fields[signal.source] for signal in bound.signals}
    arrays = sum(info.nbytes for info in sources.values() if info.storage.layout == "memory")
    return disk_use(plan, tables + arrays)


def _work(plan: CubePlan, budget: Budget, disk: DiskUse) -> str:
    return (
        f"work: {counted(plan.n_tasks, 'task')} read {format_size(plan.read_nbytes)} and write "
        f"{format_size(output_nbytes(plan))} before compression\n"
        f"  memory: {format_size(plan.projected_memory())} projected with one thread, "
        f"{format_size(budget.per_worker)} allowed per worker\n"
        "  disk needed beside the finished cube while it is made: at most "
        f"{format_size(disk.store + disk.side)}; "
        f"with --resume {format_size(disk.sums)} more for partial sums"
    )


def _scalars(plan: CubePlan) -> Iterator[str]:
    """Describe signals of one number per event, a paragraph for each strategy: they need little."""
    scalars = [signal for signal in plan.signals if not signal.info.shape]
    for strategy in dict.fromkeys(signal.strategy for signal in scalars):
        alike = [signal for signal in scalars if signal.strategy == strategy]
        names = ", ".join(signal.name for signal in alike)
        reasons = "".join(f"\n  because {reason}" for reason in dict.fromkeys(s.reason for s in alike))
        read = sum(signal.read_nbytes for signal in alike)
        worst = max((signal.worst_task for signal in alike), key=lambda task: task[1])
        tasks = counted(sum(signal.n_leaves for signal in alike), "leaf", "leaves")
        yield (
            f"signals of one number per event: {strategy}\n  {names}{reasons}\n"
            f"  {tasks}, {format_size(read)} to read; worst task {worst[0]} {format_size(worst[1])}"
        )


def _signal(signal: SignalPlan, bound: Bound) -> Iterator[str]:
    shape = " x ".join(map(str, signal.info.shape))
    alias = "" if signal.name == variable_name(signal.field) else f"{signal.name} = "
    yield f"signal {alias}{signal.field}, {shape} {signal.info.dtype}: {signal.strategy}"
    yield from _stages(bound.signal(signal.name), signal)
    yield f"  because {signal.reason}"
    yield from (f"  not {rejected.strategy}: {rejected.reason}" for rejected in signal.rejected)
    parts = f" in {len(signal.parts):,} parts" if len(signal.parts) > 1 else ""
    name, nbytes = signal.worst_task
    yield (
        f"  {counted(signal.n_leaves, 'leaf', 'leaves')}{parts}, {format_size(signal.read_nbytes)} to read; "
        f"worst task {name} {format_size(nbytes)}"
    )


def _stages(signal: BoundSignal, plan: SignalPlan) -> Iterator[str]:
    """Say what is done to frames, and when."""
    if signal.pipeline is None:
        return
    frame, names = signal.pipeline.input, [options.name for options in signal.stages]
    late = f", {names.pop()} of the finished cube" if plan.late_image else ""
    each = f"{' -> '.join(names)} of every event" if names else "every event as it is"
    yield f"  reads {' x '.join(map(str, frame.shape))} {frame.dtype}: {each}{late}"
