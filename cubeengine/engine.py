"""Runs a plan: starts workers, computes the graph, writes and publishes the store, measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cubeengine.budget import Budget, format_size
from cubeengine.errors import BudgetExceeded
from cubeengine.graph.compile import SignalInput, Writing, compile_plan
from cubeengine.graph.tasks import Tally, add_tallies
from cubeengine.graph.work import WorkFolder
from cubeengine.launch import launch
from cubeengine.launch.base import Executor
from cubeengine.launch.signals import Check, deferred_interrupts
from cubeengine.measure import PeakMemory
from cubeengine.planning.cost import Tuning
from cubeengine.planning.output import Output
from cubeengine.planning.plan import CubePlan
from cubeengine.store.write import create, discard, publish, update_attrs

LeftOut = Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Input bytes that are reduced, and those of all signals.
    seconds : float
        Since the workers were ready.
    message : str
        What computes.
    """

    done: int
    total: int
    seconds: float
    message: str

    @property
    def rate(self) -> float:
        """Bytes per second so far."""
        return self.done / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """A cube that was written.

    Attributes
    ----------
    path : Path
        The store.
    seconds : float
        From the first task to the published cube.
    read_nbytes : int
        Input bytes of the plan.
    measured_memory, projected_memory : int
        Peak of anonymous memory over the process tree, and what the plan had promised.
    left_out : mapping
        Signal -> selection -> {"missing": n, "damaged": n}: selected events whose value for the signal is
        not there or was damaged; signals that lack none, or whose source cannot tell, are not listed.
    """

    path: Path
    seconds: float
    read_nbytes: int
    measured_memory: int
    projected_memory: int
    left_out: LeftOut


def run_to_store(
    plan: CubePlan,
    inputs: Mapping[str, SignalInput],
    output: Output,
    target: Path,
    *,
    launcher: str | Executor,
    workers: int | None,
    budget: Budget,
    overwrite: bool,
    on_progress: Callable[[Progress], None] | None,
) -> Result:
    """Compute a plan into a store and publish it; on any failure nothing is left behind, nor after Ctrl-C.

    Raises
    ------
    StoreMismatch
        If something is at `target` that may not be replaced.
    LaunchError
        If the workers cannot be started, or are lost.
    """
    with deferred_interrupts() as check, ExitStack() as leftovers:
        temporary = create(target, output.layout, output.small, overwrite=overwrite)
        leftovers.enter_context(_discarded_on_failure(temporary))
        folder = WorkFolder(target.parent)
        leftovers.callback(folder.close)
        with PeakMemory() as peak, _executor(launcher, workers, budget) as executor:
            threads = fitting_threads(plan, executor, budget)
            seconds, tally = _compute(plan, inputs, temporary, folder, executor, threads, on_progress, check)
        projected = plan.projected_memory(
            threads=threads, workers=executor.workers if executor.separate else 0
        )
        memory = {"measured": peak.total, "projected": projected}
        left_out = _left_out(plan, tally)
        launcher_name = executor.description.split(",")[0]
        update_attrs(temporary, {"memory": memory, "launcher": launcher_name, "left_out": left_out})
        check()
        publish(temporary, target, overwrite=overwrite)
    return Result(target, seconds, plan.read_nbytes, peak.total, projected, left_out)


@contextmanager
def _discarded_on_failure(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        discard(temporary)
        raise


@contextmanager
def _executor(launcher: str | Executor, workers: int | None, budget: Budget) -> Iterator[Executor]:
    """Use workers that run already, or start some and end them."""
    if not isinstance(launcher, str):
        yield launcher
        return
    executor = launch(launcher, workers=workers, budget=budget)
    try:
        yield executor
    finally:
        executor.close()


def window_of(executor: Executor, threads: int) -> int:
    """Give how many leaves may be ahead of the finished work: those that run, and a few that wait.

    Threads take up the next leaf at once. Worker processes hear of it after a round trip to the
    scheduler, so one more for every eight is let through; the projected memory counts them.
    """
    slots = executor.workers * threads
    return slots + (1 + slots // 8 if executor.separate else 0)


def fitting_threads(plan: CubePlan, executor: Executor, budget: Budget) -> int:
    """Give how many tasks may run at a time in one process, so that their memory keeps to the budget.

    Raises
    ------
    BudgetExceeded
        If not even one may, or the workers run more at a time than fits and are not ours to change.
    """
    room = budget.per_worker - (0 if executor.separate else plan.leader_nbytes)
    most = max((n for n in range(1, executor.threads + 1) if plan.worker_memory(n) <= room), default=0)
    if most == 0:
        raise BudgetExceeded(
            f"the scalars of {plan.n_events:,} events hold {format_size(plan.leader_nbytes)}, and a task "
            f"needs {format_size(plan.worker_memory(1))}, but {format_size(budget.per_worker)} is allowed; "
            "raise resources.memory, or use --launcher processes, whose workers do not hold the scalars"
        )
    if executor.separate and most < executor.threads:
        raise BudgetExceeded(
            f"the workers run {executor.threads} tasks at a time, which need "
            f"{format_size(plan.worker_memory(executor.threads))} together, but a worker has "
            f"{format_size(budget.per_worker)}; start them with {most} thread(s) each, "
            "or raise resources.memory"
        )
    return most


def _compute(
    plan: CubePlan,
    inputs: Mapping[str, SignalInput],
    store: Path,
    folder: WorkFolder,
    executor: Executor,
    threads: int,
    on_progress: Callable[[Progress], None] | None,
    check: Check,
) -> tuple[float, Tally]:
    check()
    writing = Writing(store, Tuning().write_nbytes)
    compiled = compile_plan(plan, inputs, folder, window=window_of(executor, threads), writing=writing)
    check()
    start = time.perf_counter()
    tracker = _Tracker(compiled.weights, executor.description, start, on_progress)
    executor.run(compiled.graph, list(compiled.weights), tracker, threads=threads)
    return time.perf_counter() - start, tracker.tally


def _left_out(plan: CubePlan, tally: Tally) -> LeftOut:
    """Name what was counted."""
    return {
        name: {
            selection: dict(zip(("missing", "damaged"), counts[2 * number : 2 * number + 2], strict=True))
            for number, selection in enumerate(plan.selections)
        }
        for name, counts in sorted(tally.items())
    }


class _Tracker:
    """Adds up what markers stand for and what they count, and passes it on."""

    def __init__(
        self,
        weights: Mapping[str, int],
        message: str,
        start: float,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._weights, self._message, self._start = weights, message, start
        self._on_progress, self._done, self._total = on_progress, 0, sum(weights.values())
        self.tally: Tally = {}
        self("", {})

    def __call__(self, key: str, counted: Tally) -> None:
        self._done += self._weights.get(key, 0)
        self.tally = add_tallies(self.tally, counted)
        if self._on_progress is not None:
            seconds = time.perf_counter() - self._start
            self._on_progress(Progress(self._done, self._total, seconds, self._message))
