"""A cube of one signal of raw frames, made with the strategy that is asked for; prints what it took as JSON.

    python -m benchmarks.forced FOLDER STRATEGY OUT.zarr [--bins N] [--memory SIZE] [--workers N]

The run is one that `tests.makers.xtc2_frames.write_frame_run` wrote. The chosen strategy is told too: this is
for measuring the others. Planning, reading and writing are those of any other cube.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cubeengine as ce
from cubeengine.budget import Budget, parse_size
from cubeengine.planning.cost import Tuning
from cubeengine.planning.make import signal_forms
from cubeengine.planning.planner import STRATEGIES


def spec(n_bins: int) -> ce.CubeSpec:
    """Return the spec: bins of `beam/raw/x`, in which events come in random order."""
    return ce.CubeSpec.from_dict(
        {
            "cube": "frames",
            "units": {"beam/raw/x": ""},
            "axes": [{"field": "beam/raw/x", "edges": {"start": 0, "stop": 10, "bins": n_bins}}],
            "signals": [{"field": "camera/raw/raw", "name": "camera", "dtype": "float32"}],
        }
    )


def forced(plan: ce.Plan, strategy: str, budget: Budget) -> ce.Plan:
    """Return the plan with all frames done by one strategy."""
    signals = [
        STRATEGIES[strategy](forms[0], budget, Tuning()) if forms[0].n_elements > 1 else chosen
        for forms, chosen in zip(signal_forms(plan.bound), plan.work.signals, strict=True)
    ]
    return ce.Plan(plan.bound, replace(plan.work, signals=tuple(signals)), budget)


def make(folder: Path, strategy: str, out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Make the cube, and tell what it took."""
    start = time.perf_counter()
    free = ce.plan(ce.open_run(folder), spec(options.bins), memory=options.memory)
    budget = Budget(parse_size(options.memory))
    plan = forced(free, strategy, budget)
    result = plan.to_zarr(out, launcher="processes", workers=options.workers)
    return {
        "chosen": free.work.signals[-1].strategy,
        "seconds": time.perf_counter() - start,
        "budget": budget.per_worker,
        "per_worker": plan.work.worker_memory(1),
        "measured": result.measured_memory,
        "projected": result.projected_memory,
        "parts": len(plan.work.signals[-1].parts),
        "leaves": plan.work.signals[-1].n_leaves,
    }


def main(arguments: Sequence[str]) -> None:
    """Make the cube and print the facts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forced")
    parser.add_argument("folder", type=Path)
    parser.add_argument("strategy", choices=STRATEGIES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bins", type=int, default=100)
    parser.add_argument("--memory", default="2 GiB")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    print(json.dumps(make(options.folder, options.strategy, options.out, options)))


if __name__ == "__main__":
    main(sys.argv[1:])
