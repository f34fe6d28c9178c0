"""Scaling: planning with the length of a run, scheduling with the number of workers, and a model of more.

    python -m benchmarks.scaling --markdown

Events are simulated and frames lie by offset in a sparse file, so any length takes neither disk nor memory.
Leaves sleep in place of reading: what a run takes beyond that is scheduling, folding and handing over. That
is given as processor time too, which does not depend on who else uses the machine.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from distributed.protocol import deserialize_bytes, serialize_bytes

from benchmarks.machine import describe
from benchmarks.processes import scratch_folder
from benchmarks.report import megabytes, seconds, table
from cubeengine import api
from cubeengine.budget import Budget
from cubeengine.engine import window_of
from cubeengine.graph.compile import Compiled, compile_plan
from cubeengine.graph.tasks import Sums, fold
from cubeengine.graph.work import WorkFolder
from cubeengine.kernels.moments import GroupedMoments
from cubeengine.launch import launch
from cubeengine.launch.base import Executor
from cubeengine.measure import PeakMemory
from cubeengine.planning.cost import Tuning
from tests.chaos.slow import SlowReader
from tests.makers.frames import forced_plan
from tests.makers.simulated import FRAMES, SPEC, simulated_run

LENGTHS = (10**5, 10**6, 10**7, 10**8)
WORKERS = (1, 2, 8)
FRAME_SHAPES = {"small": (2, 2), "large": (64, 64)}
SIGNAL = FRAMES.replace("/", "__")
N_EVENTS, LEAVES, REPEATS = 4000, 160, 3
SLEEP_SECONDS = 0.2
TASKS_PER_LEAF = 3  # the leaf, its fold, and the marker that it is done


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning a run of some length took."""

    n_events: int
    seconds: float
    graph_seconds: float
    peak_nbytes: int
    n_tasks: int
    pairs_nbytes: int


def plan_run(folder: Path, n_events: int) -> Planned:
    """Plan in a fresh process, and make the graph."""
    api.plan(simulated_run(folder / "tiny", 1000), SPEC).explain()  # imports and compilation
    run = simulated_run(folder / "frames", n_events)
    with PeakMemory() as peak:
        begin = time.perf_counter()
        plan = api.plan(run, SPEC)
        planned = time.perf_counter() - begin
        work = WorkFolder(folder)
        begin = time.perf_counter()
        compiled = compile_plan(plan.work, plan._inputs, work, window=16)
        graph = time.perf_counter() - begin
    pairs = sum(path.stat().st_size for path in work.path.iterdir())
    work.close()
    return Planned(n_events, planned, graph, peak.total, len(compiled.graph), pairs)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What a graph of sleeping leaves took; `leader` and `others` are processor seconds of this process, in
    which the scheduler runs, and of the workers."""

    launcher: str
    workers: int
    frames: str
    partial_nbytes: int
    n_leaves: int
    n_tasks: int
    sleep: float
    seconds: float = 0.0
    leader: float = 0.0
    others: float = 0.0

    @property
    def ideal(self) -> float:
        """Seconds if nothing took time but the leaves."""
        return math.ceil(self.n_leaves / self.workers) * self.sleep


def schedule(executor: Executor, launcher: str, workers: int, frames: str, folder: Path) -> list[Scheduled]:
    """Run graphs whose leaves take no time, and some."""
    plan = _plan(frames, folder)
    signal = next(one for one in plan.work.signals if one.name == SIGNAL)
    found = []
    for sleep in (*[0.0] * REPEATS, SLEEP_SECONDS):
        with _graph(plan, executor, sleep, folder) as compiled:
            before = _processor_seconds()
            begin = time.perf_counter()
            executor.run(compiled.graph, list(compiled.weights), lambda *_: None, threads=executor.threads)
            taken = time.perf_counter() - begin
            leader, others = (b - a for a, b in zip(before, _processor_seconds(), strict=True))
        leaves = len(signal.parts[0].leaves)
        row = (launcher, workers, frames, signal.part_nbytes, leaves, len(compiled.graph))
        found.append(Scheduled(*row, sleep, taken, leader, others))
    *quick, slow = found
    middle = {name: median(getattr(one, name) for one in quick) for name in ("seconds", "leader", "others")}
    return [replace(quick[0], **middle), slow]


def _processor_seconds() -> tuple[float, float]:
    """Return those of this process, and of all below it."""
    children = psutil.Process().children(recursive=True)
    return time.process_time(), sum(sum(child.cpu_times()[:2]) for child in children)


def _plan(frames: str, folder: Path) -> api.Plan:
    run = simulated_run(folder / frames, N_EVENTS, FRAME_SHAPES[frames])
    return forced_plan(run, "stream", leaves=4 * LEAVES, spec=SPEC, frames=FRAMES)


@contextmanager
def _graph(plan: api.Plan, executor: Executor, sleep: float, folder: Path) -> Iterator[Compiled]:
    inputs = dict(plan._inputs)
    inputs[SIGNAL] = replace(inputs[SIGNAL], reader=SlowReader(inputs[SIGNAL].reader, sleep))
    work = WorkFolder(folder)
    try:
        yield compile_plan(plan.work, inputs, work, window=window_of(executor, executor.threads))
    finally:
        work.close()


@dataclass(frozen=True, slots=True)
class Model:
    """What a run takes, from what was measured here.

    Attributes
    ----------
    per_task : float
        Seconds of the scheduler for each task.
    per_nbyte : float
        Seconds to hand one byte of a partial over and fold it: one leaf after another.
    rate : float
        Bytes per second that a worker reads and adds.
    """

    per_task: float
    per_nbyte: float
    rate: float

    def parts(self, workers: int, nbytes: float, partial: float, leaves: int) -> dict[str, float]:
        """Return the seconds of reading, of folding and of scheduling; they overlap."""
        return {
            "reading": math.ceil(leaves / workers) * nbytes / leaves / self.rate,
            "folding": leaves * partial * self.per_nbyte,
            "scheduling": TASKS_PER_LEAF * leaves * self.per_task,
        }


def model_of(rows: Sequence[Scheduled], rate: float) -> Model:
    """Take the scheduler's time for worker processes, at the largest number of them."""
    quick = [row for row in rows if row.launcher != "threads" and row.frames == "small" and not row.sleep]
    most = max(quick, key=lambda row: row.workers)
    return Model(most.leader / most.n_tasks, handing_over(), rate)


def handing_over(n_groups: int = 100, n_elements: int = 2**16) -> float:
    """Measure how long it takes to write, read and fold partial sums, in processor seconds per byte."""
    partial = GroupedMoments(np.dtype(np.uint16), n_groups, n_elements).partial()
    sums = Sums((partial,), np.zeros((3, n_groups), np.int64))
    fold(sums, deserialize_bytes(serialize_bytes(sums)))  # compilation
    begin = time.process_time()
    for _ in range(REPEATS):
        fold(sums, deserialize_bytes(serialize_bytes(sums)))
    nbytes = sum(array.nbytes for array in partial.arrays.values())
    return (time.process_time() - begin) / REPEATS / nbytes


def main(arguments: Sequence[str]) -> None:
    """Measure and print the tables."""
    options = _parser().parse_args(arguments)
    print(describe(), "\n", flush=True)
    rows: list[Scheduled] = []
    with scratch_folder(options.scratch) as folder:
        print(_planning_table(folder, options), flush=True)
        for launcher in options.launchers:
            rows += _scheduled(launcher, options.workers, folder)
    print(_scheduling_table(rows, markdown=options.markdown), flush=True)
    if "processes" in options.launchers:
        print(_model_table(model_of(rows, options.rate), markdown=options.markdown))


def _planning_table(folder: Path, options: argparse.Namespace) -> str:
    head = ("events", "planning", "graph and pairs", "peak memory", "file of pairs", "tasks")
    rows = []
    for n_events in options.events:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            one = pool.submit(plan_run, folder, n_events).result()
        times = seconds(one.seconds), seconds(one.graph_seconds)
        sizes = megabytes(one.peak_nbytes), megabytes(one.pairs_nbytes), f"{one.n_tasks:,}"
        rows.append((f"{n_events:,}", *times, *sizes))
    return table("Planning: 5 scalars, 3 selections, 52 bins", head, rows, markdown=options.markdown)


def _scheduled(launcher: str, workers: Sequence[int], folder: Path) -> Iterator[Scheduled]:
    for number in workers:
        executor = launch(launcher, workers=number, budget=Budget())
        try:
            schedule(executor, launcher, number, "small", folder)  # imports in the workers
            for frames in FRAME_SHAPES:
                yield from schedule(executor, launcher, number, frames, folder)
        finally:
            executor.close()


def _scheduling_table(rows: Sequence[Scheduled], *, markdown: bool) -> str:
    head = ("launcher", "workers", "partial", "leaves", "tasks", "a leaf takes", "ideal", "measured",
            "lost", "scheduler per task", "workers per task")  # fmt: skip
    cells = [_scheduling_cells(row) for row in rows]
    return table("Scheduling: leaves that sleep", head, cells, markdown=markdown)


def _scheduling_cells(row: Scheduled) -> tuple[str, ...]:
    counts = f"{row.partial_nbytes / 1e6:.2f} MB", str(row.n_leaves), str(row.n_tasks)
    lost = f"{1 - row.ideal / row.seconds:.0%}" if row.sleep else ""
    per_task = (f"{spent / row.n_tasks * 1e3:.2f} ms" for spent in (row.leader, row.others))
    times = seconds(row.sleep), seconds(row.ideal), seconds(row.seconds)
    return row.launcher, str(row.workers), *counts, *times, lost, *per_task


def _model_table(model: Model, *, markdown: bool) -> str:
    head = ("workers", "input", "partial", "leaves", "reading", "folding", "scheduling", "longest")
    leaves, rows = Tuning().max_leaves, []
    for workers in (8, 100, 1000):
        for nbytes, partial in ((1e13, 1e7), (1e14, 1e7), (1e14, 2e8)):
            parts = model.parts(workers, nbytes, partial, leaves)
            sizes = f"{nbytes / 1e12:.0f} TB", megabytes(partial), f"{leaves:,}"
            longest = max(parts, key=lambda name: parts[name])
            rows.append((f"{workers:,}", *sizes, *map(seconds, parts.values()), longest))
    heading = (
        f"Model: {model.per_task * 1e3:.2f} ms per task, {model.per_nbyte * 1e9:.2f} s per GB of partials, "
        f"workers that read {model.rate / 1e9:.1f} GB/s"
    )
    return table(heading, head, rows, markdown=markdown)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", nargs="+", type=int, default=LENGTHS, metavar="N")
    parser.add_argument("--workers", nargs="+", type=int, default=WORKERS, metavar="N")
    parser.add_argument("--launchers", nargs="+", default=("threads", "processes"), metavar="NAME")
    parser.add_argument("--rate", type=float, default=0.5e9, metavar="BYTES", help="Per second and worker.")
    parser.add_argument("--scratch", type=Path, metavar="DIR")
    parser.add_argument("--markdown", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
