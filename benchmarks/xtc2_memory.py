"""Memory of cubes of raw frames, each strategy by itself, against its projection; values are checked.

    python -m benchmarks.xtc2_memory [--events N] [--strategies NAME ...] [--scratch DIR] [--markdown]

Frames of 2048 x 2048 float32 in 100 bins, which come in random order: the sums of the whole cube take 10 GB,
and each of the two worker processes is allowed 2 GiB. `stream` holds the whole cube, so it gets as many bytes
of frames of 256 x 512. Measured is the peak of anonymous resident memory over the whole process tree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cubeengine as ce
from benchmarks.machine import describe
from benchmarks.processes import scratch_folder
from benchmarks.report import megabytes, seconds, table
from tests.makers.xtc2_frames import FrameRun, write_frame_run

N_BINS = 100
N_POOL = 6
HEAD = ("strategy", "chosen", "frames", "input", "sums", "time", "peak", "projected", "peak / projected")
LARGE = (2048, 2048)
SMALL = (256, 512)


@dataclass(frozen=True, slots=True)
class Case:
    """A strategy, and what it is measured with."""

    strategy: str
    frame: tuple[int, int]
    memory: str = "2 GiB"


CASES = (Case("by_bin", LARGE), Case("by_tile", LARGE), Case("stream", SMALL))


def make(run: FrameRun, case: Case, out: Path) -> dict[str, Any]:
    """Make the cube in a process of its own; gives what it took."""
    command = [sys.executable, "-m", "benchmarks.forced", str(run.folder), case.strategy, str(out)]
    command += ["--bins", str(N_BINS), "--memory", case.memory]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        raise RuntimeError(f"{command[3:5]} failed:\n{done.stderr[-3000:]}")
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def check(run: FrameRun, out: Path) -> None:
    """Compare the cube with the frames: every bin, and of it every eighth row.

    Raises
    ------
    AssertionError
        If any count, mean or spread is another.
    """
    cube = ce.open_cube(out).isel(selection=0)
    bins = np.digitize(run.x, np.linspace(0, 10, N_BINS + 1)) - 1
    np.testing.assert_array_equal(cube["n_events"], np.bincount(bins, minlength=N_BINS))
    for number in range(N_BINS):
        pool = run.frames_of_pool()[:, number % 8 :: 8].astype(np.float64)
        times = np.bincount(run.choice[bins == number], minlength=len(pool))
        found = {
            name: cube[f"camera_{name}"][number].values[number % 8 :: 8] for name in ("count", "mean", "std")
        }
        share = times / times.sum() if times.any() else np.full(len(pool), np.nan)
        mean = np.tensordot(share, pool, 1)
        spread = np.sqrt(np.tensordot(share, (pool - mean) ** 2, 1))
        np.testing.assert_array_equal(found["count"], times.sum())
        np.testing.assert_allclose(found["mean"], mean, rtol=1e-6)
        np.testing.assert_allclose(found["std"], spread, rtol=1e-6, atol=1e-4)


def main(arguments: Sequence[str]) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.xtc2_memory")
    parser.add_argument("--events", type=int, default=640, help="large frames; 640 are 10.7 GB")
    parser.add_argument("--strategies", nargs="*", default=[case.strategy for case in CASES])
    parser.add_argument("--scratch", type=Path, help="folder for the files, which are removed")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(arguments)
    print(describe(), "\n", flush=True)
    cases, rows = [case for case in CASES if case.strategy in options.strategies], []
    with scratch_folder(options.scratch) as scratch:
        for frame in dict.fromkeys(case.frame for case in cases):
            n_events = options.events * np.prod(LARGE) // np.prod(frame)
            folder = scratch / f"{frame[0]}"
            run = write_frame_run(folder, n_events=int(n_events), shape=frame, dtype="f4", n_pool=N_POOL)
            rows += [_row(run, case, scratch) for case in cases if case.frame == frame]
            for path in folder.rglob("*.xtc2"):
                path.unlink()
    heading = f"Memory, {N_BINS} bins of float32 frames, two workers of {CASES[0].memory}; values are right"
    print(table(heading, HEAD, rows, markdown=options.markdown))


def _row(run: FrameRun, case: Case, scratch: Path) -> tuple[str, ...]:
    out = scratch / f"{case.strategy}.zarr"
    facts = make(run, case, out)
    check(run, out)
    n_elements = int(np.prod(case.frame))
    if facts["per_worker"] > facts["budget"] or facts["measured"] >= facts["projected"]:
        raise RuntimeError(f"{case.strategy}: more memory than was promised: {facts}")
    return (
        case.strategy,
        facts["chosen"],
        f"{len(run.x):,} of {case.frame[0]} x {case.frame[1]}",
        f"{4e-9 * len(run.x) * n_elements:.1f} GB",
        f"{24e-9 * N_BINS * n_elements:.2f} GB",
        seconds(facts["seconds"]),
        megabytes(facts["measured"]),
        megabytes(facts["projected"]),
        f"{facts['measured'] / facts['projected']:.2f}",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
