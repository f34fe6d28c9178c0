"""Runs a plan: starts workers, computes the graph, writes and publishes the store, measures."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cubeengine.budget import Budget, format_size
from cubeengine.errors import BudgetExceeded, WorkerLost
from cubeengine.events.table import html_table
from cubeengine.graph.compile import Compiled, Writing, note_lost_worker
from cubeengine.graph.tasks import LEFT_OUT, Tally, add_tallies
from cubeengine.graph.work import WorkFolder
from cubeengine.launch import launched
from cubeengine.launch.base import Executor
from cubeengine.launch.signals import Check, deferred_interrupts
from cubeengine.measure import PeakMemory
from cubeengine.planning.cost import Tuning
from cubeengine.planning.output import Output
from cubeengine.progress import OnProgress, Progress, shown
from cubeengine.store.metadata import read_facts
from cubeengine.store.state import Incident, RunState, held_state, remove_state
from cubeengine.store.write import (
    check_target,
    create,
    discard,
    is_made,
    publish,
    remove_unfinished,
    temporary_of,
    update_attrs,
)

_LOG = logging.getLogger(__name__)

LeftOut = Mapping[str, Mapping[str, Mapping[str, int]]]

IDLE_LOSSES = 3
"""So often may workers be lost while no block is at work before one is blamed, where some may be left out."""

MOST_INCIDENTS = 200
"""So many are kept in a cube: a file system that is down for a moment may fail every block."""


class Work(Protocol):
    """Work that was planned, as the engine sees it: a cube's, or that of picked events."""

    @property
    def key(self) -> str:
        """Hash of all that the answer rests on, 16 hexadecimal digits."""

    @property
    def selections(self) -> tuple[str, ...]:
        """Names of the selections."""

    @property
    def n_events(self) -> int:
        """Events that were looked at."""

    @property
    def read_nbytes(self) -> int:
        """Bytes that all tasks read, decoded."""

    @property
    def leader_nbytes(self) -> int:
        """Bytes held in the process that leads."""

    def worker_memory(self, threads: int) -> int:
        """Anonymous memory of a worker process at its peak."""

    def projected_memory(self, *, threads: int = 1, workers: int = 0) -> int:
        """Anonymous memory of the whole run at its peak."""


class Compile(Protocol):
    """Makes the tasks of some work."""

    def __call__(self, folder: WorkFolder, *, window: int, writing: Writing) -> Compiled:
        """Return the tasks that are not done; see `graph.compile.compile_plan`."""


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
        Signal -> selection -> {"missing": n, "damaged": n, "failed": n}: selected events whose value for the
        signal is not there, was damaged, or could not be read; signals that lack none, or whose source cannot
        tell, are not listed.
    """

    path: Path
    seconds: float
    read_nbytes: int
    measured_memory: int
    projected_memory: int
    left_out: LeftOut

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"<cube {str(self.path)!r}, made in {self.seconds:.1f} s; open it with ce.open_cube(...)>"

    def _repr_html_(self) -> str:
        memory = f"{format_size(self.measured_memory)}; {format_size(self.projected_memory)} projected"
        lacking = f"some values of {', '.join(self.left_out)}: see left_out"
        rows = [
            ("made in", f"{self.seconds:.1f} s"),
            ("read", format_size(self.read_nbytes)),
            ("memory", memory),
            *([("left out", lacking)] if self.left_out else []),
            ("open it", f"ce.open_cube({str(self.path)!r})"),
        ]
        return html_table(("cube", str(self.path)), rows)


def run_to_store(
    plan: Work,
    compiling: Compile,
    output: Output,
    target: Path,
    *,
    launcher: str | Executor,
    workers: int | None,
    budget: Budget,
    overwrite: bool,
    resume: bool,
    may_skip: bool,
    on_progress: OnProgress,
) -> Result:
    """Compute a plan into a store and publish it.

    With `may_skip`, tasks that end their workers again and again are given up, counted and left out.

    On any failure, and after Ctrl-C, nothing is left behind, unless `resume` asks for that: then what is
    done stays, and a later run with `resume` goes on from it. A run that was killed leaves it in any case.

    Raises
    ------
    StoreMismatch
        If something is at `target` that may not be replaced; or what is to be resumed is of another plan.
    LaunchError
        If the workers cannot be started, or are lost.
    """
    with deferred_interrupts() as check, shown(on_progress) as heard:
        if resume and is_made(target, plan.key):
            return _made_before(plan, target)
        keeps_sums = resume or may_skip  # a block that is given up is no reason to begin anew either
        with _workspace(plan, output, target, overwrite, resume=resume, keeps_sums=keeps_sums) as space:
            with PeakMemory() as peak, launched(launcher, workers, budget) as executor:
                threads = fitting_threads(plan, executor, budget)
                with WorkFolder(space.state.folder, local=not executor.separate) as folder:
                    compiled = partial(compiling, folder)
                    computed = _compute(compiled, space, executor, threads, may_skip, heard, check)
            left_out = _left_out(plan, computed.tally)
            separate = executor.workers if executor.separate else 0
            projected = plan.projected_memory(threads=threads, workers=separate)
            found = {
                "memory": {"measured": peak.total, "projected": projected},
                "launcher": executor.description.split(",")[0],
                "left_out": left_out,
                "computation": _computation(plan, computed, executor, threads),
            }
            update_attrs(space.store, found)
            check()
            publish(space.store, target, overwrite=overwrite)
    return Result(target, computed.seconds, plan.read_nbytes, peak.total, projected, left_out)


@dataclass(frozen=True, slots=True)
class _Workspace:
    """What a run works in: its temporary store, and what is done of it."""

    store: Path
    state: RunState
    keeps_sums: bool


@contextmanager
def _workspace(
    plan: Work, output: Output, target: Path, overwrite: bool, *, resume: bool, keeps_sums: bool
) -> Iterator[_Workspace]:
    """Make or find the workspace of a run; after a failure it is kept only with --resume."""
    check_target(target, overwrite=overwrite)
    store = temporary_of(target, plan.key)
    with ExitStack() as leaving:
        facts = _facts(output.layout.attrs)
        state = leaving.enter_context(held_state(target, plan.key, facts, resume=resume))
        leaving.enter_context(_kept_only(store, state, resume=resume))
        if state.is_begun and is_made(store, plan.key):
            remove_unfinished(store)
        else:
            state.clear()
            create(target, output.layout, output.small, overwrite=overwrite, token=plan.key)
            state.begin()
        yield _Workspace(store, state, keeps_sums)


@contextmanager
def _kept_only(store: Path, state: RunState, *, resume: bool) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if not resume:
            discard(store)
            remove_state(state)
        raise
    remove_state(state)


def _facts(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Return what the answer rests on, by the names that a user knows."""
    return {
        "the software": json.dumps([attrs["cubeengine"], attrs["versions"]]),
        "the spec": attrs["spec_yaml"],
        "the input": json.dumps(attrs["inputs"]),
        "the memory per worker": str(attrs["plan"]["memory_per_worker"]),
        "the part of the run": str(attrs["partial_run"]),
    }


def _made_before(plan: Work, target: Path) -> Result:
    """Tell of a cube that an earlier run has published, and remove what that left."""
    attrs = read_facts(target)
    discard(temporary_of(target, plan.key))
    with held_state(target, plan.key, {}, resume=True) as state:
        remove_state(state)
    memory = attrs["memory"]
    return Result(target, 0.0, plan.read_nbytes, memory["measured"], memory["projected"], attrs["left_out"])


def window_of(executor: Executor, threads: int) -> int:
    """Return how many leaves may be ahead of the finished work: those that run, and a few that wait.

    Threads take up the next leaf at once. Worker processes hear of it after a round trip to the
    scheduler, so one more for every eight is let through; the projected memory counts them.
    """
    slots = executor.workers * threads
    return slots + (1 + slots // 8 if executor.separate else 0)


def fitting_threads(plan: Work, executor: Executor, budget: Budget) -> int:
    """Return how many tasks may run at a time in one process, so that their memory keeps to the budget.

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
            "raise resources.memory, or use --launcher processes, in Python launcher='processes', whose "
            "workers do not hold the scalars"
        )
    if executor.separate and most < executor.threads:
        raise BudgetExceeded(
            f"the workers run {executor.threads} tasks at a time, which need "
            f"{format_size(plan.worker_memory(executor.threads))} together, but a worker has "
            f"{format_size(budget.per_worker)}; start workers with at most {most} thread(s), or raise "
            "resources.memory"
        )
    return most


@dataclass(frozen=True, slots=True)
class _Computed:
    """What is known once all is written."""

    seconds: float  # since the workers were ready
    tally: Tally  # what was left out
    resumed_nbytes: int  # input bytes that an earlier run had dealt with
    incidents: list[Incident]  # blocks that were tried again or left out, and why


def _compute(
    compiling: Callable[..., Compiled],
    space: _Workspace,
    executor: Executor,
    threads: int,
    may_skip: bool,
    on_progress: OnProgress,
    check: Check,
) -> _Computed:
    """Compute; where the spec allows it, leaves that end their workers are given up and left out."""
    begin, resumed, chances = time.perf_counter(), None, IDLE_LOSSES
    while True:
        check()
        writing = Writing(space.store, Tuning().write_nbytes, space.state, space.keeps_sums)
        compiled = compiling(window=window_of(executor, threads), writing=writing)
        check()
        resumed = compiled.finished if resumed is None else resumed
        tracker = _Tracker(compiled, executor.description, begin, on_progress)
        try:
            executor.run(compiled.graph, list(compiled.weights), tracker, threads=threads)
        except WorkerLost as err:
            # The scheduler blames any of the tasks that waited at the worker.
            at_work = space.state.most_begun()
            if may_skip and at_work is None and chances:  # no block's fault: none was at work
                chances -= 1
                continue
            task = at_work or err.task
            if not may_skip or task not in compiled.leaves:
                raise WorkerLost(f"{compiled.leaves.get(task, task)}: {err}", task) from err
            # As text: who keeps the error keeps its futures, and the scheduler the blame of others.
            _LOG.warning("%s: %s; left out", compiled.leaves[task], str(err))
            note_lost_worker(compiled, task, str(err))
            space.state.skip(task)
            space.state.running(task).unlink(missing_ok=True)
            continue
        seconds = time.perf_counter() - begin
        return _Computed(seconds, tracker.tally, resumed, space.state.read_incidents())


def _computation(plan: Work, computed: _Computed, executor: Executor, threads: int) -> dict[str, Any]:
    """Tell how a cube was computed and what went wrong meanwhile, for the report."""
    return {
        "seconds": round(computed.seconds, 3),
        "read_nbytes": plan.read_nbytes - computed.resumed_nbytes,
        "resumed_nbytes": computed.resumed_nbytes,
        "workers": executor.workers,
        "threads": threads,
        "n_incidents": len(computed.incidents),
        "incidents": computed.incidents[:MOST_INCIDENTS],
    }


def _left_out(plan: Work, tally: Tally) -> LeftOut:
    """Name what was counted."""
    kinds = len(LEFT_OUT)
    return {
        name: {
            selection: dict(zip(LEFT_OUT, counts[number * kinds : (number + 1) * kinds], strict=True))
            for number, selection in enumerate(plan.selections)
        }
        for name, counts in sorted(tally.items())
    }


class _Tracker:
    """Adds up what markers stand for and what they count, and passes it on."""

    def __init__(
        self,
        compiled: Compiled,
        message: str,
        start: float,
        on_progress: OnProgress,
    ) -> None:
        self._weights, self._message, self._start = compiled.weights, message, start
        self._on_progress, self._done = on_progress, compiled.finished
        self._total = compiled.finished + sum(compiled.weights.values())
        self.tally = compiled.tally
        self("", {})

    def __call__(self, key: str, counted: Tally) -> None:
        self._done += self._weights.get(key, 0)
        self.tally = add_tallies(self.tally, counted)
        if self._on_progress is not None:
            seconds = time.perf_counter() - self._start
            self._on_progress(Progress(self._done, self._total, seconds, self._message))
