"""A whole cube of raw frames, beside the plain read of the same bytes and psana's event loop.

    python -m benchmarks.xtc2_cube [--events N] [--rows R --columns C] [--bins N] [--psana PYTHON] [--growth]

The run is one stream of 16-bit frames with one double per event, in the page cache; bins come in random
order. The limit is `os.preadv` of the files into a reused buffer of 64 MiB in as many spawned processes as
cores, start-up left out. psana's loop adds the frames of every bin up in numpy, sums only, in one process (as
it comes from pip it has no MPI): once as its users write it, with `Detector.raw.raw`, and once past that,
straight from the datagram. Ours makes mean, std and count on all cores and, to compare, on one. Every side
takes its turn in every round; shown are medians.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

import numpy as np

import cubeengine as ce
from benchmarks.limit import BUFFER_NBYTES
from benchmarks.machine import describe
from benchmarks.processes import n_cores, scratch_folder
from benchmarks.quiet import undisturbed
from benchmarks.report import table
from benchmarks.xtc2 import stamp
from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service

EXPERIMENT, RUN = "benchmark", 7
TARGETS = {"of the limit": 0.4, "psana's loop over ours": 4.0}
CAMERA = OutNames(
    "camera", (OutField("raw", "u2", 2),), kind="epix100", version=(2, 0, 1), unique_id="epix100_1"
)
OURS = f"ours, {n_cores()} threads"
Key = TypeVar("Key")
BEAM = OutNames("beam", (OutField("x", "f8"),))


def write_run(folder: Path, n_events: int, shape: tuple[int, int]) -> None:
    """Write frames from a small pool, and x in [0, 1) at random."""
    random = np.random.default_rng(1)
    pool, x = random.integers(0, 2**14, (16, *shape), np.uint16), random.random(n_events)
    with RunWriter(folder, EXPERIMENT, RUN, streams=[0]) as out:
        out.configure(stamp(0), [OutStream(0, (CAMERA, BEAM))])
        out.begin_run(stamp(1))
        out.transition(Service.BEGIN_STEP, stamp(2))
        out.transition(Service.ENABLE, stamp(3))
        for event in range(n_events):
            frame = OutData(CAMERA, {"raw": pool[event % 16]})
            out.event(stamp(10 + event), [frame, OutData(BEAM, {"x": x[event]})])
        out.transition(Service.DISABLE, stamp(11 + n_events))
        out.transition(Service.END_STEP, stamp(12 + n_events))
        out.transition(Service.END_RUN, stamp(13 + n_events))


def limit_seconds(paths: Sequence[Path]) -> float:
    """Read all bytes once with a process per core."""
    shares = [(path, part) for path in paths for part in range(n_cores())]
    context = mp.get_context("spawn")
    barrier = context.Barrier(len(shares))
    answers = []
    for path, part in shares:
        answer, sender = context.Pipe(duplex=False)
        context.Process(target=_read, args=(path, part, barrier, sender), daemon=True).start()
        answers.append(answer)
    times = [answer.recv() for answer in answers]
    return float(max(stop for _, stop in times) - min(start for start, _ in times))


def _read(path: Path, part: int, barrier: Barrier, answer: Connection) -> None:
    size, buffer = path.stat().st_size, np.ones(BUFFER_NBYTES, np.uint8)
    first, stop = (size * number // n_cores() for number in (part, part + 1))
    descriptor = os.open(path, os.O_RDONLY)
    barrier.wait(timeout=120)
    began = time.monotonic()
    while first < stop:
        first += os.preadv(descriptor, [buffer.data[: min(stop - first, BUFFER_NBYTES)]], first)
    answer.send((began, time.monotonic()))


def ours_seconds(folder: Path, out: Path, n_bins: int, workers: int, events: int | None = None) -> float:
    """Make the cube, of the first so many events, and publish it; planning and opening included."""

    spec = ce.CubeSpec.from_dict(
        {
            "cube": "bench",
            "units": {"beam/raw/x": ""},
            "axes": [{"field": "beam/raw/x", "edges": {"start": 0, "stop": 1, "bins": n_bins}}],
            "signals": [{"field": "camera/raw/raw", "name": "camera"}],
        }
    )
    start = time.perf_counter()
    ce.plan(ce.open_run(folder), spec, events=events).to_zarr(out, workers=workers, overwrite=True)
    return time.perf_counter() - start


PSANA_LOOP = """
import sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
from psana_read import load_psana
psana = load_psana()
folder, experiment, run, n_bins = sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
source = psana.DataSource(exp=experiment, run=run, dir=folder, skip_calib_load="all")
sums, counts = None, np.zeros(n_bins, int)
for run in source.runs():
    camera = run.Detector("camera")
    start = time.perf_counter()
    for event in run.events():
        dgram = event._dgrams[0]
        frame = camera.raw.raw(event) if sys.argv[6] == "detector" else dgram.camera[0].raw.raw
        bin = int(dgram.beam[0].raw.x * n_bins)
        if sums is None:
            sums = np.zeros((n_bins, *frame.shape))
        sums[bin] += frame
        counts[bin] += 1
    print(time.perf_counter() - start, counts.sum())
"""


def psana_seconds(python: str, folder: Path, n_bins: int, way: str) -> float:
    """Run psana's event loop, with frames by `way` "detector" or "datagram"; the time is that of the loop."""
    tests = Path(__file__).resolve().parents[1] / "tests"
    command = [python, "-c", PSANA_LOOP, str(tests), str(folder), EXPERIMENT, str(RUN), str(n_bins), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-2])


def main(arguments: Sequence[str]) -> None:
    """Measure and print the table."""
    options = _parser().parse_args(arguments)
    print(describe(), "\n", flush=True)
    with scratch_folder(options.scratch) as scratch:
        folder, out = scratch / "run", scratch / "cube.zarr"
        folder.mkdir()
        write_run(folder, options.events, (options.rows, options.columns))
        print(_report(in_turns(_sides(folder, out, options), options), folder, options), flush=True)
        if options.growth:
            print(growth(folder, out, options))


def _sides(folder: Path, out: Path, options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """Return what is measured, by name."""
    bins, paths = options.bins, sorted(folder.glob("*.xtc2"))
    sides: dict[str, Callable[[], float]] = {
        "plain read": lambda: limit_seconds(paths),
        OURS: lambda: ours_seconds(folder, out, bins, n_cores()),
        "ours, 1 thread": lambda: ours_seconds(folder, out, bins, 1),
    }
    if options.psana:
        sides["psana's loop, Detector"] = lambda: psana_seconds(options.psana, folder, bins, "detector")
        sides["psana's loop, datagram"] = lambda: psana_seconds(options.psana, folder, bins, "datagram")
    return sides


def in_turns(sides: Mapping[Key, Callable[[], float]], options: argparse.Namespace) -> dict[Key, list[float]]:
    """Measure all sides in every round, after a first one that warms up; tell how much others worked."""
    seconds: dict[Key, list[float]] = {key: [] for key in sides}
    shares = []
    for side in sides.values():
        side()
    for _ in range(options.rounds):
        for key, side in sides.items():
            took, others = undisturbed(side, patience=options.patience)
            seconds[key].append(took)
            shares.append(others)
    print(
        f"others used {np.median(shares):.0%} of all cores meanwhile, {max(shares):.0%} at most\n", flush=True
    )
    return seconds


def growth(folder: Path, out: Path, options: argparse.Namespace) -> str:
    """Tell how the time grows with the events, and with the bins."""
    cases = [(options.events // part, options.bins) for part in (4, 2, 1)]
    cases += [(options.events, options.bins * times) for times in (4, 16)]
    sides: dict[tuple[int, int], Callable[[], float]] = {
        (events, bins): partial(ours_seconds, folder, out, bins, n_cores(), events) for events, bins in cases
    }
    medians = {case: float(np.median(took)) for case, took in in_turns(sides, options).items()}
    rows = [
        (f"{events:,}", str(bins), f"{value:.2f} s", f"{1e6 * value / events:.0f} us")
        for (events, bins), value in medians.items()
    ]
    head = ("events", "bins", "median", "per event")
    return table("Growth with events and with bins", head, rows, markdown=options.markdown)


def _report(times: Mapping[str, Sequence[float]], folder: Path, options: argparse.Namespace) -> str:
    medians = {name: float(np.median(values)) for name, values in times.items()}
    nbytes = sum(path.stat().st_size for path in folder.glob("*.xtc2"))
    cube_nbytes = 16 * options.bins * options.rows * options.columns
    title = (
        f"{options.events:,} frames of {options.rows} x {options.columns} uint16 ({nbytes / 1e9:.2f} GB, "
        f"{nbytes / cube_nbytes:.0f} times the cube), {options.bins} bins; targets: {TARGETS}"
    )
    limit, ours = medians["plain read"], medians[OURS]
    rows = [
        (name, f"{value:.2f} s", f"{nbytes / value / 1e9:.2f}", f"{limit / value:.2f}", f"{value / ours:.2f}")
        for name, value in medians.items()
    ]
    head = ("side", "median", "GB/s", "of the limit", "time over ours")
    return table(title, head, rows, markdown=options.markdown)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.xtc2_cube")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--bins", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--psana", default=os.environ.get("CUBEENGINE_PSANA_PYTHON", ""))
    parser.add_argument("--growth", action="store_true", help="also with fewer events, and with more bins")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for an idle machine")
    parser.add_argument("--scratch", type=Path, help="folder for the files, which are removed")
    parser.add_argument("--markdown", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
