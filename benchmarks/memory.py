"""Memory: ten times the events in the same bins, for each strategy, against the projection.

    python -m benchmarks.memory --size full --markdown

Partial sums are at least 100 MB in the full size. Peaks are those of anonymous resident memory over the
whole process tree, sampled from outside.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.problems import Problem
from benchmarks.processes import Measurement, measure, scratch_folder
from benchmarks.report import megabytes, seconds, table

GROWTH = 10
TARGET = 1.1


@dataclass(frozen=True, slots=True)
class Case:
    """A short run whose shape and budget lead to one strategy; the long one has `GROWTH` times the events."""

    strategy: str
    problem: Problem
    memory: str


CASES = {
    # 16 bytes of sums per bin and element of uint16: 100 MB per partial, for by_bin in every single bin.
    "full": (
        Case("stream", Problem(1_950, (512, 256), layout="bitshuffle"), "2 GiB"),
        Case("by_bin", Problem(40, (2560, 2560), n_bins=8), "800 MiB"),
        Case("by_tile", Problem(490, (1024, 512), layout="bitshuffle"), "2 GiB"),
    ),
    "small": (
        Case("stream", Problem(600, (128, 64), layout="gzip"), "2 GiB"),
        Case("by_bin", Problem(200, (512, 512), n_bins=8), "2 GiB"),
    ),
}


def main(arguments: Sequence[str]) -> None:
    """Measure and print the table."""
    options = _parser().parse_args(arguments)
    print(describe(), "\n", flush=True)
    head = ("wanted", "chosen", "workers", "input", "partial", "time", "peak", "projected", "growth")
    rows: list[tuple[str, ...]] = []
    with scratch_folder(options.scratch) as folder:
        for case in CASES[options.size]:
            for launcher in options.launchers:
                rows += _rows(case, launcher, folder)
    print(table(f"Memory, {GROWTH} times the events (target: growth below {TARGET}, peak below projected)",
                head, rows, markdown=options.markdown))  # fmt: skip


def _rows(case: Case, launcher: str, folder: Path) -> list[tuple[str, ...]]:
    long = replace(case.problem, n_events=case.problem.n_events * GROWTH)
    runs = [_measure(case, problem, launcher, folder) for problem in (case.problem, long)]
    growth = ["", f"{runs[1].peak_nbytes / runs[0].peak_nbytes:.3f}"]
    return [_row(case, problem, launcher, run, ratio)
            for problem, run, ratio in zip((case.problem, long), runs, growth, strict=True)]  # fmt: skip


def _measure(case: Case, problem: Problem, launcher: str, folder: Path) -> Measurement:
    path = problem.write(folder / "run.h5")
    options = {"launcher": launcher, "memory": case.memory}
    try:
        return measure("ours", path, problem, options=options, load=False)
    finally:
        path.unlink()


def _row(case: Case, problem: Problem, launcher: str, run: Measurement, growth: str) -> tuple[str, ...]:
    facts = run.details
    return (
        case.strategy,
        facts["strategy"],
        launcher,
        f"{problem.nbytes / 1e9:.2f} GB",
        megabytes(facts["partial_nbytes"]),
        seconds(run.seconds),
        megabytes(run.peak_nbytes),
        megabytes(facts["projected_memory"]),
        growth,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--size", choices=CASES, default="small")
    parser.add_argument("--launchers", nargs="*", choices=("threads", "processes"), default=("threads",))
    parser.add_argument("--scratch", type=Path, help="folder for the files, which are removed")
    parser.add_argument("--markdown", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
