"""What a cube says of itself: spec, plan, cut flow, fates, inputs, versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import cubeengine
from cubeengine.budget import Budget
from cubeengine.planning.bind import Bound, BoundSignal
from cubeengine.planning.derive import delay_facts
from cubeengine.planning.plan import CubePlan, SignalPlan

PACKAGES = ("numpy", "numba", "h5py", "zarr", "dask", "xarray")
FORMAT = 1


def cube_attributes(bound: Bound, plan: CubePlan, budget: Budget) -> dict[str, Any]:
    """Return the attributes of a cube's group, as plain JSON data."""
    work = {
        "key": plan.key,
        "memory_per_worker": budget.per_worker,
        "n_tasks": plan.n_tasks,
        "read_nbytes": plan.read_nbytes,
        "strategy": {signal.name: signal.strategy for signal in plan.signals},
        "signals": {signal.name: _signal_facts(signal) for signal in plan.signals},
    }
    return {**bound_attributes(bound, work), "ddof": 0}


def bound_attributes(bound: Bound, work: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a spec on its run, as plain JSON data; `work` says how its signals are had."""
    return {
        "cubeengine": {"format": FORMAT, "version": cubeengine.__version__},
        "title": bound.spec.cube,
        "run": str(bound.run.run_id) if bound.run.run_id else "",
        "spec": bound.spec.to_dict(),
        "spec_yaml": bound.spec.to_yaml(),
        "plan": work,
        "stages": {signal.name: stage_facts(signal) for signal in bound.signals if signal.pipeline},
        "cut_flow": {name: [[row.label, row.alone, row.after] for row in rows]
                     for name, rows in bound.cut_flows.items()},
        "percentiles": {name: [asdict(found) for found in numbers]
                        for name, numbers in bound.percentiles.items()} or None,
        "fates": {name: asdict(fates) for name, fates in bound.fates.items()},
        "delays": delay_facts(bound.run, bound.spec, bound.delays),
        "evidence": {name: asdict(found) for name, found in bound.evidence.items()},
        "announced": [asdict(found) for found in bound.run.announced],
        "near": {name: asdict(counts) for name, counts in bound.near.items()},
        "shared_events": _shared_events(bound),
        "n_events_total": bound.considered,
        "partial_run": str(bound.sample) or None,
        "join": bound.run.join.facts if bound.run.join else None,
        "inputs": [
            {"path": str(file.path), "size": file.size, "mtime_ns": file.mtime_ns}
            for file in bound.run.files
        ],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }  # fmt: skip


def _shared_events(bound: Bound) -> dict[str, dict[str, int]]:
    """Return the selections that have binned events in common, with how many; none where all are disjoint."""
    names, counts = list(bound.selections), bound.grouping.shared.tolist()
    rows = {
        name: {names[other]: counts[i][other] for other in range(i + 1, len(names)) if counts[i][other]}
        for i, name in enumerate(names)
    }
    return {name: row for name, row in rows.items() if row}


def _signal_facts(signal: SignalPlan) -> dict[str, Any]:
    """Strategy, leaves and merge order: what fixes the bits of the answer."""
    return {
        "field": signal.field,
        "strategy": signal.strategy,
        "reason": signal.reason,
        "order_in_leaf": signal.order,
        "tile_elements": signal.tile_elements,
        "block_nbytes": signal.block_nbytes,
        "merge_order": "leaves of a part are folded first to last",
        "parts": [
            {"bins": part.bins, "elements": part.elements, "leaves": [list(leaf) for leaf in part.leaves]}
            for part in signal.parts
        ],
    }


def stage_facts(signal: BoundSignal) -> list[dict[str, object]]:
    """Return the stages of a signal in order: name, options, and what they found in their files."""
    facts = signal.pipeline.facts() if signal.pipeline else []
    return [
        {"stage": options.name, "options": options.to_plain(), **found}
        for options, found in zip(signal.stages, facts, strict=True)
    ]
