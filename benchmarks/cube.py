"""Whole cubes: cubeengine against the limit and against its peers, on the same files in one run.

    python -m benchmarks.cube --size medium --escape-venv DIRECTORY --markdown

Every figure is the median over repeats, in which all implementations take turns; each run is a process
of its own. Times run from the file's name to the finished cube, page-cached, imports and compilation
excluded. The cubes are compared with each other before any time is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.escape_env import escape_python
from benchmarks.limit import limit_seconds
from benchmarks.machine import describe
from benchmarks.problems import LAYOUTS, Cube, Problem
from benchmarks.processes import Measurement, measure, scratch_folder
from benchmarks.quiet import DISTURBED_SHARE, undisturbed
from benchmarks.report import LABELS, OURS, Results, facts_table, limit_table, peer_table, seconds
from benchmarks.worker import PEERS


@dataclass(frozen=True, slots=True)
class Size:
    """A problem for the limit, one for the peers, and how often everything runs."""

    problem: Problem
    peers: Problem
    repeats: int


SIZES = {
    "small": Size(Problem(3_100, (16, 32)), Problem(3_100, (16, 32)), 1),
    "medium": Size(Problem(24_576, (128, 256)), Problem(24_576, (128, 256)), 5),
    "large": Size(Problem(65_536, (256, 256)), Problem(6_144, (256, 256)), 3),
}
"""The first problem's input is at least 60 times the cube (for uint16; 80 for float32)."""

OPTIONS: dict[str, dict[str, Any]] = {
    "threads": {"launcher": "threads"},
    "running workers": {"launcher": "cluster"},
    "processes": {"launcher": "processes"},
    "one thread": {"launcher": "threads", "workers": 1},
}
"""Ours. "processes" includes the start of worker processes, "running workers" does not."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how carefully to measure.

    Attributes
    ----------
    folder : Path
        For the files.
    repeats : int
        Turns of everyone.
    patience : float
        See `undisturbed`.
    pythons : mapping
        Peer -> interpreter.
    """

    folder: Path
    repeats: int
    patience: float
    pythons: Mapping[str, str]

    def measure_all(self, problem: Problem, names: Sequence[str]) -> Results:
        """Let the named implementations take turns on one file; a peer that fails is left out, and told."""
        path = problem.write(self.folder / "run.h5")
        limit_seconds(path, problem)  # reads the file into the page cache
        results: Results = {name: [] for name in names}
        for _ in range(self.repeats):
            for name in tuple(results):
                try:
                    results[name].append(self._once(name, path, problem))
                except RuntimeError as error:
                    if name not in PEERS:
                        raise
                    print(f"{LABELS[name]} is left out, it failed: {error}", flush=True)
                    del results[name]
        path.unlink()
        check_same(results, problem)
        return results

    def first_task(self) -> str:
        """Tell how long a run of 100,000 events takes from its name to the first task."""
        problem = Problem(100_000, (64,))
        runs = self.measure_all(problem, ["threads"])["threads"]
        first = median(run.details["first_task_seconds"] for run in runs)
        return (
            f"Start to first task, {problem.n_events:,} events, threads: {seconds(first)} (target: below 3 s)"
        )

    def _once(self, name: str, path: Path, problem: Problem) -> Measurement:
        measurement, others = undisturbed(lambda: self._measure(name, path, problem), patience=self.patience)
        if others > DISTURBED_SHARE:
            print(f"note: others used {others:.0%} of all cores while {name} ran", flush=True)
        return measurement

    def _measure(self, name: str, path: Path, problem: Problem) -> Measurement:
        if name == "limit":
            return Measurement(limit_seconds(path, problem), 0, None)
        if name in OURS:
            return measure("ours", path, problem, options=OPTIONS[name])
        return measure(name, path, problem, python=self.pythons[name])


def main(arguments: Sequence[str]) -> None:
    """Measure what the command line asks for and print the tables."""
    options = _parser().parse_args(arguments)
    size = SIZES[options.size]
    pythons = _pythons(options.peers, options.escape_venv)
    print(describe(), "\n", flush=True)
    with scratch_folder(options.scratch) as folder:
        bench = Bench(folder, options.repeats or size.repeats, options.patience, pythons)
        problem = replace(size.problem, dtype=options.dtype)
        results = {
            layout: bench.measure_all(replace(problem, layout=layout), ["limit", *options.ours])
            for layout in options.layouts
        }
        if results:
            print(limit_table(problem, results, markdown=options.markdown))
        if results and "threads" in options.ours:
            print(facts_table(problem, results, markdown=options.markdown))
            print(bench.first_task(), "\n", flush=True)
        for layout in options.peer_layouts if pythons else ():
            problem = replace(size.peers, dtype=options.dtype, layout=layout)
            results = bench.measure_all(problem, ["threads", "one thread", *pythons])
            print(peer_table(problem, results, markdown=options.markdown), flush=True)


def check_same(results: Results, problem: Problem) -> None:
    """Compare all cubes with one another.

    Raises
    ------
    RuntimeError
        If an implementation gave something else: its time would mean nothing.
    """
    tolerance = 1e-4 if problem.floating else 1e-9  # peers on dask sum float32 in float32
    cubes = {name: runs[0].cube for name, runs in results.items() if runs[0].cube is not None}
    for (one, cube), (other, like) in pairwise(cubes.items()):
        if not _close(cube, like, tolerance):
            raise RuntimeError(f"{one!r} and {other!r} made different cubes of {problem}")


def _close(cube: Cube, other: Cube, tolerance: float) -> bool:
    return (
        np.array_equal(cube.count, other.count)
        and np.allclose(cube.mean, other.mean, rtol=tolerance, atol=0, equal_nan=True)
        and np.allclose(cube.std, other.std, rtol=tolerance, atol=tolerance, equal_nan=True)
    )


def _pythons(peers: Sequence[str], escape_venv: Path | None) -> dict[str, str]:
    """Return the interpreter of every peer that is wanted."""
    pythons = dict.fromkeys(peers, sys.executable)
    if "escape" in pythons and escape_venv is None:
        del pythons["escape"]
        print("escape-fel is left out: it needs --escape-venv DIRECTORY\n")
    elif escape_venv is not None and "escape" in pythons:
        pythons["escape"] = escape_python(escape_venv)
    return pythons


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cube")
    add = parser.add_argument
    add("--size", choices=SIZES, default="small")
    add("--dtype", choices=("uint16", "float32"), default="uint16")
    add("--layouts", nargs="*", choices=LAYOUTS, default=LAYOUTS, help="storage against the limit")
    add("--ours", nargs="*", choices=OURS, default=OURS, help="ways to run ours against the limit")
    add("--peer-layouts", nargs="*", choices=LAYOUTS, default=("contiguous",), help="storage against peers")
    add("--peers", nargs="*", choices=PEERS, default=PEERS)
    add("--escape-venv", type=Path, help="environment for escape-fel; made if it is not there")
    add("--repeats", type=int, help="default: 1, 5 or 3, by size")
    add("--scratch", type=Path, help="folder for the files, which are removed (default: a temporary one)")
    add("--patience", type=float, default=0, help="seconds to wait for others to leave the machine idle")
    add("--markdown", action="store_true")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
