"""cubeengine makes the cube of a problem, in the process of `benchmarks.worker`, and tells about it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dask.callbacks import Callback

import cubeengine as ce
from benchmarks.problems import Problem
from benchmarks.processes import n_cores, read_nbytes
from benchmarks.worker import tiny

MEMORY = "4 GiB"


def measure(path: Path, problem: Problem, request: dict[str, Any]) -> dict[str, Any]:
    """Make a tiny cube, so that nothing is compiled later, then the wanted one, timed.

    Options of the request: `launcher` (of cubeengine, or "cluster" for workers that run already),
    `workers`, `memory`.
    """
    scratch, options = Path(request["scratch"]), request["options"]
    small = tiny(problem)
    small.write(scratch / "tiny.h5")
    launcher, workers = options.get("launcher", "threads"), options.get("workers") or n_cores()
    memory = options.get("memory", MEMORY)
    with _launcher(launcher, workers, partial(_warm, scratch, small, memory)) as settings:
        _make(scratch / "tiny.h5", small, scratch / "tiny.zarr", memory, settings)
        before = read_nbytes()
        facts = _make(path, problem, Path(request["out"]), memory, settings)
    asked, disk = (after - start for after, start in zip(read_nbytes(), before, strict=True))
    facts |= {"asked_nbytes": asked, "disk_nbytes": disk}
    return facts


@contextmanager
def _launcher(launcher: str, workers: int, warm: Callable[[], None]) -> Iterator[dict[str, Any]]:
    """Yield the settings of `to_zarr`; where start-up shall not count, starts and warms up the workers.

    They are started as the launchers of cubeengine start theirs.
    """
    if launcher != "cluster":
        yield {"launcher": launcher, "workers": workers}
        return
    import dask
    from distributed import Client, LocalCluster

    from cubeengine.launch.cluster import SETTINGS

    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
        ) as cluster,
    ):
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(workers)
            client.run(warm)
        yield {"launcher": cluster.scheduler_address}


def _warm(scratch: Path, small: Problem, memory: str) -> None:
    """Make the tiny cube in a worker: it imports and compiles all it needs."""
    target = scratch / f"tiny-{os.getpid()}.zarr"
    _make(scratch / "tiny.h5", small, target, memory, {"launcher": "threads", "workers": 1})


def _make(
    path: Path, problem: Problem, target: Path, memory: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Run from the file's name to the published cube."""
    tasks = _Tasks()
    began = time.perf_counter()
    with tasks:
        plan = ce.plan(ce.open_run(path), ce.CubeSpec.loads(problem.spec(path, memory=memory)))
        result = plan.to_zarr(target, **settings)
    seconds = time.perf_counter() - began
    frames = next(signal for signal in plan.work.signals if signal.name == "frames")
    return {
        "seconds": seconds,
        "strategy": frames.strategy,
        "partial_nbytes": frames.part_nbytes,
        "compute_seconds": result.seconds,
        "read_nbytes": result.read_nbytes,
        "measured_memory": result.measured_memory,
        "projected_memory": result.projected_memory,
        **tasks.facts(began),
    }


class _Tasks(Callback):  # type: ignore[misc]  # dask has no types
    """Times every task that runs in this process (none, with other launchers than `threads`).

    Dask's threaded scheduler works in the thread that called it, tasks run in others: the processor
    time of that thread while the graph is computed is what scheduling costs.
    """

    def __init__(self) -> None:
        super().__init__(self._start, None, self._before, self._after, self._finish)
        self._started: dict[str, float] = {}
        self._finished: dict[str, float] = {}
        self._scheduling = self._wall = 0.0

    def _start(self, _: object) -> None:
        self._scheduling -= time.thread_time()
        self._wall -= time.perf_counter()

    def _before(self, key: str, *_: object) -> None:
        self._started[key] = time.perf_counter()

    def _after(self, key: str, *_: object) -> None:
        self._finished[key] = time.perf_counter()

    def _finish(self, *_: object) -> None:
        self._scheduling += time.thread_time()
        self._wall += time.perf_counter()

    def facts(self, began: float) -> dict[str, Any]:
        """Return when the first leaf started, and where the time went."""
        leaves = [when for key, when in self._started.items() if key.startswith("leaf-")]
        return {
            "first_task_seconds": min(leaves) - began if leaves else None,
            "graph_seconds": self._wall,
            "scheduling_seconds": self._scheduling,
            "task_seconds": sum(self._finished[key] - when for key, when in self._started.items()),
            "n_tasks": len(self._started),
        }
