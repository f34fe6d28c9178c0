"""Kills long runs at random moments and counts what is done twice: python -m tests.chaos.large.

A run of 5 GB, of which each bin takes 6 MB of sums, is made into a cube with --resume. Its client is killed
(SIGKILL) at random moments and the same command started again, until there were enough kills. Counted are the
leaves that were read to their end more than once, and the most bytes that lay beside the cube. In the end the
cube must be, to the bit, that of a run which nobody disturbed, and nothing else may be left.
"""

# ruff: noqa: T201 - a script

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cubeengine import api
from cubeengine.budget import Budget
from cubeengine.graph.inputs import SignalInput
from cubeengine.planning import planner
from cubeengine.planning.cost import Tuning
from cubeengine.planning.disk import disk_use, leaves_between_checkpoints
from cubeengine.planning.make import signal_forms
from cubeengine.planning.plan import SignalPlan
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_hash
from tests.chaos.counting import CountingReader, read_notes
from tests.chaos.launching import MARK, ROOT, processes, wait_until
from tests.makers.frames import STRATEGIES

SHAPE, N_BINS = (512, 512), 5  # of float32: 1 MiB an event, and 31 MB in the cube
MB = 10**6


@dataclass(frozen=True)
class Case:
    """What is made, and how: all that a run needs to know, as text for its command line."""

    data: Path
    strategy: str
    seconds: float
    notes: Path
    leaf_nbytes: int

    def plan(self) -> api.Plan:
        """Plan the cube, with the strategy asked for."""
        run = api.open_run(self.data)
        axis = f"{{field: x, edges: {{start: 0, stop: 1, bins: {N_BINS}}}, unit: ''}}"
        spec = CubeSpec.loads(f"cube: large\naxes: [{axis}]\nsignals: [det/frame]")
        tuning = Tuning(leaf_nbytes=self.leaf_nbytes)
        plan = api.plan(run, spec, tuning=tuning)
        strategy = planner.STRATEGIES[self.strategy]
        forms = zip(signal_forms(plan.bound), plan.work.signals, strict=True)
        forced = [
            strategy(first, Budget(), tuning) if first.n_elements > 1 else chosen
            for (first, *_), chosen in forms
        ]
        return api.Plan(plan.bound, replace(plan.work, signals=tuple(forced)), plan.budget)

    def make(self, target: Path, launcher: str, workers: int) -> None:
        """Make the cube; its frames are read with notes."""
        plain = api.Plan._inputs.fget  # type: ignore[attr-defined]

        def inputs(plan: api.Plan) -> dict[str, SignalInput]:
            found: dict[str, Any] = plain(plan)
            frames = found["det__frame"]
            reader = CountingReader(frames.reader, self.seconds, self.notes)
            return found | {"det__frame": replace(frames, reader=reader)}

        api.Plan._inputs = property(inputs)  # type: ignore[assignment, method-assign]
        self.plan().to_zarr(target, launcher=launcher, workers=workers, resume=True)


@dataclass(frozen=True)
class Found:
    """What came of a number of kills."""

    kills: int
    leaves: int  # of the cube
    again: float  # leaves that were read to their end once more, of all kills
    bound: int  # leaves that may be done again, of all kills
    state_nbytes: int  # most beside the cube, without the cube in the making
    store_nbytes: int  # most of that
    planned_nbytes: int  # of the state, as the plan has it
    faults: tuple[str, ...]


def write_run(path: Path, n_events: int, shape: tuple[int, int] = SHAPE, seed: int = 0) -> None:
    """Write frames of float32 that differ from event to event, and x in [0, 1) at random."""
    lot = np.random.default_rng(seed)
    pool = lot.normal(1000, 30, (64, *shape)).astype(np.float32)
    seconds, ticks = np.divmod(np.arange(n_events), 120)
    with h5py.File(path, "w") as file:
        file["event_time"] = (seconds + 1_425_000_000 << 32) | ticks * 8_333_333
        file["fiducials"], file["x"] = np.arange(n_events), lot.random(n_events)
        frames = file.create_dataset("det/frame", (n_events, *shape), "f4")
        for start in range(0, n_events, 64):
            part = pool[: min(64, n_events - start)]
            frames[start : start + len(part)] = part + np.float32(start)


def kill_often(case: Case, launcher: str, workers: int, kills: int, folder: Path, seed: int = 0) -> Found:
    """Kill runs of a case so many times, making as many cubes as that takes, and count."""
    lot, n_killed, n_cubes, faults = random.Random(seed), 0, 0, []
    whole = replace(case, seconds=0.0, notes=folder / "undisturbed.txt")
    plan = whole.plan()
    frames = next(signal for signal in plan.work.signals if signal.info.shape)
    truth = folder / "truth.zarr"
    _command(whole, truth, "threads", 2, "truth").wait()
    expected, units = cube_hash(truth), read_notes(whole.notes)
    out = folder / "out"
    out.mkdir()
    target = out / "cube.zarr"
    case.notes.unlink(missing_ok=True)
    with _watching(out) as most:
        while n_killed < kills or not target.exists():
            mark = uuid.uuid4().hex
            process = _command(case, target, launcher, workers, mark)
            if n_killed < kills:
                n_killed += _killed(process, case.notes, lot, frames.n_leaves * case.seconds / workers)
            code = process.wait()
            wait_until(lambda mark=mark: not processes(mark), "all processes end")
            if target.exists():  # a kill may come after the cube is published
                faults += _wrong(out, expected, ended=code == 0)
                n_cubes += 1
                if n_killed < kills:
                    for left in out.iterdir():
                        shutil.rmtree(left)
            if code not in (0, -signal.SIGKILL):
                faults.append(f"ended with code {code}")
                break
    done, tiles = read_notes(case.notes), max(len(units) / frames.n_leaves, 1)
    again = (sum(done.values()) - n_cubes * len(units)) / tiles
    if set(done) != set(units) or any(done[unit] < n_cubes for unit in units):
        faults.append("the leaves are not those of the undisturbed run")
    return Found(
        n_killed, frames.n_leaves, again, n_killed * redone_at_most(frames, workers, launcher),
        most["state"], most["store"], disk_use(plan.work, 0, workers=workers).sums, tuple(faults),
    )  # fmt: skip


def redone_at_most(frames: SignalPlan, workers: int, launcher: str) -> int:
    """Return the leaves that a kill may cost: those since the last checkpoint, and those that run ahead."""
    window = workers + (1 + workers // 8 if launcher != "threads" else 0)
    folded = any(len(part.leaves) > 1 for part in frames.parts)
    return window + (leaves_between_checkpoints(frames)[0] - 1 if folded else 0)


def _command(case: Case, target: Path, launcher: str, workers: int, mark: str) -> subprocess.Popen[bytes]:
    words = [case.data, case.strategy, case.seconds, case.notes, case.leaf_nbytes, target, launcher, workers]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.large", "--make", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, MARK: mark, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )


def _killed(process: subprocess.Popen[bytes], notes: Path, lot: random.Random, seconds: float) -> bool:
    """Kill a run some time after it has begun to read; False where it was over before."""
    before = notes.stat().st_size if notes.exists() else 0
    wait_until(
        lambda: process.poll() is not None or (notes.exists() and notes.stat().st_size > before),
        "a leaf is read",
    )
    time.sleep(lot.random() * seconds)
    if process.poll() is not None:
        return False
    process.kill()
    return True


def _wrong(out: Path, expected: str, *, ended: bool) -> Iterator[str]:
    left = sorted(path.name for path in out.iterdir())
    if ended and left != ["cube.zarr"]:
        yield f"left beside the cube: {left}"
    if cube_hash(out / "cube.zarr") != expected:
        yield "the cube has other bits"


@contextmanager
def _watching(folder: Path) -> Iterator[dict[str, int]]:
    """Look at what lies in a folder, until the context is left; the figures are the most that was seen."""
    most, over = {"state": 0, "store": 0}, threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for kind, pattern in (("state", ".*.state-*"), ("store", ".*.tmp-*")):
                most[kind] = max(most[kind], sum(map(_on_disk, folder.glob(pattern))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _on_disk(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).stat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--kills", type=int, default=20, help="For each strategy and launcher.")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--launchers", nargs="+", default=["threads", "processes"])
    parser.add_argument("--seconds", type=float, default=0.3, help="Sleep after each tile of a leaf.")
    parser.add_argument("--scratch", default=None, help="Where the run and the cubes go.")
    chosen = parser.parse_args(arguments)
    worst = 0
    print("| strategy | launcher | kills | leaves | done again | at most | state | planned | cube |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=chosen.scratch) as scratch:
        data = Path(scratch) / "run.h5"
        write_run(data, math.ceil(chosen.gigabytes * 1e9 / (4 * math.prod(SHAPE))))
        for strategy in chosen.strategies:
            for launcher in chosen.launchers:
                folder = Path(scratch) / f"{strategy}-{launcher}"
                folder.mkdir()
                case = Case(data, strategy, chosen.seconds, folder / "notes.txt", Tuning().leaf_nbytes)
                found = kill_often(case, launcher, 2, chosen.kills, folder)
                sizes = (found.state_nbytes, found.planned_nbytes, found.store_nbytes)
                counts = (found.kills, found.leaves, round(found.again), found.bound)
                row = [strategy, launcher, *map(str, counts), *(f"{size / MB:.0f} MB" for size in sizes)]
                print(f"| {' | '.join(row)} |", *found.faults, flush=True)
                worst |= bool(found.faults) or found.again > found.bound
                shutil.rmtree(folder)
    return int(worst)


if __name__ == "__main__":  # worker processes import this module again
    if sys.argv[1:2] == ["--make"]:
        data, strategy, seconds, notes, leaf, target, launcher, workers = sys.argv[2:]
        case = Case(Path(data), strategy, float(seconds), Path(notes), int(leaf))
        case.make(Path(target), launcher, int(workers))
    else:
        sys.exit(main())
