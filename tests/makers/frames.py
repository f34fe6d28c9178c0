"""Runs with frames, in files and in memory, and specs that cube them in every strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cubeengine import api
from cubeengine.budget import Budget
from cubeengine.events.run import Run
from cubeengine.planning import planner
from cubeengine.planning.cost import Tuning
from cubeengine.planning.make import signal_forms
from cubeengine.sources.memory import MemorySource
from cubeengine.spec.model import CubeSpec

N_BINS = 16
STRATEGIES = ("stream", "by_bin", "by_tile")
SPEC = CubeSpec.loads(
    f"""
cube: frames
units: {{x: ''}}
select:
  bright: ["`i0` > 0.5"]
  lit: [bright, "`laser` == 1"]
axes: [{{field: x, edges: {{start: 0, stop: 10, bins: {N_BINS}}}}}]
cubes: [all, bright, lit]
signals: [det/counts, det/volts, i0]
"""
)


def frame_arrays(n_events: int, shape: tuple[int, ...] = (16, 20), seed: int = 0) -> dict[str, np.ndarray]:
    """Make the columns of a run: x, i0, laser, and frames of integers and of floats with gaps."""
    random = np.random.default_rng(seed)
    volts = random.normal(1000, 1, (n_events, *shape)).astype(np.float32)
    volts[random.random(volts.shape) < 0.02] = np.nan
    return {
        "x": random.uniform(-0.2, 10.2, n_events),
        "i0": random.random(n_events),
        "laser": random.integers(0, 2, n_events),
        "det/counts": random.integers(0, 65536, (n_events, *shape)).astype(np.uint16),
        "det/volts": volts,
    }


def write_frames(
    path: Path, arrays: dict[str, np.ndarray], *, chunk_events: int | None = None, **filters
) -> Run:
    """Write the columns as a smallData file, contiguous or in chunks, and open it."""
    n_events = len(arrays["x"])
    seconds, ticks = np.divmod(np.arange(n_events), 120)
    with h5py.File(path, "w") as file:
        file["event_time"] = (seconds + 1_425_000_000 << 32) | ticks * 8_333_333
        file["fiducials"] = np.arange(n_events)
        for name, values in arrays.items():
            chunks = (chunk_events, *values.shape[1:]) if chunk_events else None
            file.create_dataset(name, data=values, chunks=chunks, **(filters if chunk_events else {}))
    return api.open_run(path)


def memory_run(arrays: dict[str, np.ndarray]) -> Run:
    """Serve the columns from memory."""
    return Run(MemorySource(arrays))


def forced_plan(
    run: Run,
    strategy: str,
    *,
    leaves: int = 16,
    memory: int = 2 * 2**30,
    spec: CubeSpec = SPEC,
    frames: str = "det/counts",
    options: Mapping[str, Any] | None = None,
    **changes,
) -> api.Plan:
    """Plan with one strategy for every signal that allows it, and about so many leaves of the frames."""
    leaf_nbytes = max(run.fields[frames].nbytes // leaves, 1)
    tuning = Tuning(
        leaf_nbytes=leaf_nbytes, leaf_to_partial=0, block_nbytes=changes.pop("block_nbytes", 2**14)
    )
    plan = api.plan(run, spec, memory=memory, tuning=tuning, **(options or {}))
    budget = Budget(memory)
    signals = []
    for forms, chosen in zip(signal_forms(plan.bound), plan.work.signals, strict=True):
        shape = forms[-1] if strategy == "by_tile" else forms[0]  # an image put together at last has no tiles
        forced = getattr(planner, f"_{strategy}")(shape, budget, tuning) if shape.n_elements > 1 else chosen
        signals.append(replace(forced, **changes) if shape.n_elements > 1 else forced)
    return api.Plan(plan.bound, replace(plan.work, signals=tuple(signals)), plan.budget)
