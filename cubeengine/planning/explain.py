"""A plan in words, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cubeengine.budget import Budget, format_size
from cubeengine.planning.bind import Bound
from cubeengine.planning.plan import CubePlan, SignalPlan
from cubeengine.spec.problems import Problem


def explain(bound: Bound, plan: CubePlan, budget: Budget, warnings: Sequence[Problem]) -> str:
    """Describe a plan for people."""
    sections = [
        _events(bound),
        _bins(bound),
        _work(plan, budget),
        *(_signal(signal) for signal in plan.signals),
        *(f"warning: {warning.message}" for warning in warnings),
    ]
    return "\n\n".join(sections)


def output_nbytes(plan: CubePlan) -> int:
    """Give the size of the cube's signals before compression."""
    total = 0
    for signal in plan.signals:
        n_values = len(plan.selections) * plan.n_bins * signal.info.n_elements
        counts = n_values if signal.has_count else len(plan.selections) * plan.n_bins
        total += 2 * n_values * np.dtype(signal.out_dtype).itemsize + 8 * counts
    return total


def plan_facts(bound: Bound, plan: CubePlan, budget: Budget, warnings: Sequence[Problem]) -> dict[str, Any]:
    """Give the facts of a plan as plain data, for `plan --json`."""
    return {
        "cube": bound.spec.cube,
        "events": {"run": bound.run.n_events, "considered": bound.considered, "sample": str(bound.sample)},
        "cut_flow": {name: [asdict(row) for row in rows] for name, rows in bound.cut_flows.items()},
        "fates": {name: asdict(fates) for name, fates in bound.fates.items()},
        "delays": {name: asdict(counts) for name, counts in bound.delays.items()},
        "axes": [asdict(axis) for axis in plan.axes],
        "n_events": bound.n_events.tolist(),
        "signals": [_signal_facts(signal) for signal in plan.signals],
        "n_tasks": plan.n_tasks,
        "read_nbytes": plan.read_nbytes,
        "output_nbytes": output_nbytes(plan),
        "memory": {"per_worker": budget.per_worker, "projected": plan.projected_memory()},
        "warnings": [warning.message for warning in warnings],
    }


def _signal_facts(signal: SignalPlan) -> dict[str, Any]:
    return {
        "name": signal.name,
        "field": signal.field,
        "strategy": signal.strategy,
        "reason": signal.reason,
        "rejected": {rejection.strategy: rejection.reason for rejection in signal.rejected},
        "parts": len(signal.parts),
        "leaves": signal.n_leaves,
        "read_nbytes": signal.read_nbytes,
        "partial_nbytes": signal.part_nbytes,
        "worst_task": {"name": signal.worst_task[0], "nbytes": signal.worst_task[1]},
    }


def _events(bound: Bound) -> str:
    sample = f", of which {bound.considered:,} are looked at ({bound.sample})" if str(bound.sample) else ""
    lines = [f"events: {bound.run.n_events:,} in the run{sample}"]
    for name, rows in bound.cut_flows.items():
        lines.append(f"  selection {name}")
        width = max((len(row.label) for row in rows), default=0)
        lines += [f"    {row.label:{width}}  alone {row.alone:>9,}  after {row.after:>9,}" for row in rows]
        lines.append(f"    {_fates(bound, name)}")
    for name, counts in bound.delays.items():
        lines.append(
            f"  {name}: " + ", ".join(f"{n:,} {_DELAY_WORDS[key]}" for key, n in asdict(counts).items())
        )
    return "\n".join(lines)


_DELAY_WORDS = {
    "laser_on": "laser-on",
    "laser_off": "laser-off (no time tool applied)",
    "unknown": "with unknown laser",
    "no_timetool": "without a valid time tool",
    "no_nominal": "without a nominal delay",
}


def _fates(bound: Bound, name: str) -> str:
    return ", ".join(f"{n:,} {fate}" for fate, n in asdict(bound.fates[name]).items())


def _bins(bound: Bound) -> str:
    lines = [f"bins: {bound.grouping.n_bins:,}"]
    for axis in bound.axes:
        edges, unit = axis.axis.edges, f" {axis.axis.unit}" if axis.axis.unit else ""
        lines.append(f"  {axis.axis.name}: {axis.axis.n_bins} from {edges[0]:.6g} to {edges[-1]:.6g}{unit}")
    for name, counts in zip(bound.selections, bound.n_events, strict=True):
        lines.append(
            f"  {name}: events per bin min {counts.min():,}, median {int(np.median(counts)):,}, "
            f"max {counts.max():,}; {np.count_nonzero(counts == 0):,} empty"
        )
    return "\n".join(lines)


def _work(plan: CubePlan, budget: Budget) -> str:
    return (
        f"work: {plan.n_tasks:,} tasks read {format_size(plan.read_nbytes)} and write "
        f"{format_size(output_nbytes(plan))}; memory per worker {format_size(plan.projected_memory())} "
        f"projected of {format_size(budget.per_worker)}"
    )


def _signal(signal: SignalPlan) -> str:
    return "\n".join(_signal_lines(signal))


def _signal_lines(signal: SignalPlan) -> Iterator[str]:
    shape = "x".join(map(str, signal.info.shape)) or "scalar"
    yield f"signal {signal.name}: {signal.field} ({shape} {signal.info.dtype}), {signal.strategy}"
    yield f"  because {signal.reason}"
    for rejection in signal.rejected:
        yield f"  not {rejection.strategy}: {rejection.reason}"
    name, nbytes = signal.worst_task
    yield (
        f"  {len(signal.parts)} parts, {signal.n_leaves} leaves, reads {format_size(signal.read_nbytes)}; "
        f"worst task {name} {format_size(nbytes)}"
    )
