"""Speed of the grouped mean and standard deviation, beside plain reading of memory.

`python benchmarks/kernel.py [--size small|normal|large] [--threads N] [--rounds N]`

Every thread has a block and an accumulator of its own. Reading (a compiled sum over the same blocks)
and adding take turns; shown are medians, and the median of the ratios of neighbours, so that other
work on the machine disturbs both alike. Bins are drawn at random for every event.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.moments import GroupedMoments

SIDES = {"small": (8, 64, 256), "normal": (1, 8, 64, 512), "large": (1, 8, 64, 512, 1024)}
BLOCK_NBYTES = {"small": 2**25, "normal": 2**28, "large": 2**29}
MIN_EVENTS = 256
N_BINS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """A block of random frames and the bins of its events."""

    code: str
    side: int
    n_events: int
    n_bins: int = N_BINS
    nan_share: float = 0.0

    @property
    def name(self) -> str:
        return self.code + (f" {self.nan_share:.0%} NaN" if self.nan_share else "")

    def block(self, seed: int) -> NDArray[Any]:
        random, shape = np.random.default_rng(seed), (self.n_events, self.side**2)
        if np.dtype(self.code).kind in "iu":
            return random.integers(0, np.iinfo(self.code).max, shape, self.code)
        values: NDArray[Any] = random.random(shape, np.float32 if self.code == "f4" else np.float64)
        if self.nan_share:
            for row in values:  # row by row: a mask of the whole block would need as much memory again
                row[random.random(len(row), np.float32) < self.nan_share] = np.nan
        return values

    def groups(self, seed: int) -> NDArray[np.int32]:
        return np.random.default_rng(seed).integers(0, self.n_bins, self.n_events, np.int32)


@numba.njit(nogil=True)
def read(words: NDArray[np.uint64]) -> np.uint64:
    """Sum 64-bit words; LLVM keeps several vectors of sums."""
    total = np.uint64(0)
    for word in words:
        total += word
    return total


def measure(problem: Problem, n_threads: int, rounds: int) -> tuple[float, float, float]:
    """Return reading and adding in bytes per second, and the ratio of adding to reading."""
    blocks = [problem.block(seed) for seed in range(n_threads)]
    groups = [problem.groups(seed) for seed in range(n_threads)]
    states = [GroupedMoments(problem.code, problem.n_bins, problem.side**2) for _ in blocks]
    take = np.arange(problem.n_events)
    nbytes = blocks[0].nbytes
    repeats = max(1, 2**27 // nbytes)
    words = [block.reshape(-1).view(np.uint8)[: nbytes // 8 * 8].view(np.uint64) for block in blocks]
    reading = [lambda w=w: read(w) for w in words]
    adding = [lambda s=s, b=b, g=g: s.add(b, take, g) for s, b, g in zip(states, blocks, groups, strict=True)]
    timed(reading, 1)
    timed(adding, 1)
    pairs = np.array([(timed(reading, repeats), timed(adding, repeats)) for _ in range(rounds)])
    speeds = nbytes * repeats * n_threads / pairs
    reading_speed, adding_speed = np.median(speeds, axis=0)
    return float(reading_speed), float(adding_speed), float(np.median(pairs[:, 0] / pairs[:, 1]))


def timed(work: Sequence[Callable[[], Any]], repeats: int) -> float:
    """Run one callable per thread, all at the same time, and give the seconds until the last is done."""
    gate = threading.Barrier(len(work) + 1)

    def run(call: Callable[[], Any]) -> None:
        gate.wait()
        for _ in range(repeats):
            call()

    threads = [threading.Thread(target=run, args=(call,)) for call in work]
    for thread in threads:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def problems(size: str) -> list[Problem]:
    """Return the rows of the table."""
    rows = []
    for side in SIDES[size]:
        for code, share in (("u2", 0.0), ("f4", 0.0), ("f4", 0.01), ("f8", 0.0), ("i4", 0.0)):
            event_nbytes = side**2 * np.dtype(code).itemsize
            n_events = min(max(MIN_EVENTS, BLOCK_NBYTES[size] // event_nbytes), 2**21)
            rows.append(Problem(code, side, n_events, nan_share=share))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIDES, default="normal")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(f"{options.threads} threads, {N_BINS} bins; GB/s of all threads")
    print(
        f"{'values':10} {'frame':>11} {'events/block':>12}"
        f" {'read':>7} {'add':>7} {'ratio':>6} {'Mevents/s':>10}"
    )
    for problem in problems(options.size):
        reading, adding, ratio = measure(problem, options.threads, options.rounds)
        rate = adding / (problem.side**2 * np.dtype(problem.code).itemsize) / 1e6
        frame = f"{problem.side} x {problem.side}"
        row = f"{problem.name:10} {frame:>11} {problem.n_events:12,}"
        print(f"{row} {reading / 1e9:7.1f} {adding / 1e9:7.1f} {ratio:6.2f} {rate:10.4g}", flush=True)


if __name__ == "__main__":
    main()
