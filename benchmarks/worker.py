"""The process in which one implementation makes one cube: `python -m benchmarks.worker REQUEST`.

It first makes the cube of a tiny problem of the same kind, so that imports and compilation are not
timed, for anyone. Prints one line of JSON; the cube goes to the file named in the request.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import Cube, Problem
from benchmarks.processes import read_nbytes

PEERS = ("handloop", "flox", "xarray", "escape")


def peer(name: str) -> Callable[[Path, Problem], Cube]:
    """Return the function of a peer."""
    if name in ("flox", "xarray"):
        module = importlib.import_module("benchmarks.peers.xarray_dask")
        return partial(module.cube, flox=name == "flox")
    module = importlib.import_module(f"benchmarks.peers.{'escape_fel' if name == 'escape' else name}")
    return module.cube


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Do what the request says."""
    path, problem = Path(request["path"]), Problem.from_json(request["problem"])
    if problem.layout == "bitshuffle":
        importlib.import_module("hdf5plugin")  # registers its decoders with HDF5
    if request["method"] in PEERS:
        return _peer(peer(request["method"]), path, problem, request)
    ours = importlib.import_module("benchmarks.ours")
    facts: dict[str, Any] = ours.measure(path, problem, request)
    return facts


def _peer(
    make: Callable[[Path, Problem], Cube], path: Path, problem: Problem, request: dict[str, Any]
) -> dict[str, Any]:
    small = tiny(problem)
    make(small.write(Path(request["scratch"]) / "tiny.h5"), small)
    before, began = read_nbytes(), time.perf_counter()
    cube = make(path, problem)
    seconds = time.perf_counter() - began
    np.savez(request["out"], mean=cube.mean, std=cube.std, count=cube.count)
    return {"seconds": seconds, "disk_nbytes": read_nbytes()[1] - before[1]}


def tiny(problem: Problem) -> Problem:
    """Return a problem of the same kind that takes no time."""
    return replace(problem, n_events=40 * problem.n_bins, frame_shape=tuple(4 for _ in problem.frame_shape))


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
