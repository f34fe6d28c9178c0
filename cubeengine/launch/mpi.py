"""Workers in the ranks of an MPI job: ``mpirun -n N cubeengine run SPEC --launcher mpi``, also under srun.

Rank 0 makes the cube: it plans, schedules, and tells the progress. The others look after one worker process
each. MPI only brings them together: it carries the scheduler's address and the job's credentials, when to
stop, and how the run ended. So there is no file that a killed run could leave to confuse the next one.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cubeengine.budget import Budget
from cubeengine.errors import LaunchError, SpecError
from cubeengine.launch.base import Executor
from cubeengine.launch.cluster import ClusterExecutor, start_scheduler
from cubeengine.launch.follow import follow
from cubeengine.launch.network import listening_address
from cubeengine.launch.ranks import FAILED, POLL_SECONDS, World
from cubeengine.launch.signals import Check, deferred_interrupts
from cubeengine.launch.threads import ThreadExecutor
from cubeengine.launch.tls import make_credentials

REPORT_SECONDS = 30.0
"""So long the other ranks may take to answer; one that does not is lost, and done without."""
START_SECONDS = 90.0
"""So long their workers may take to start; the late ones may join later."""
STOP_SECONDS = 20.0
"""So long a rank may take to end its worker process, which itself gets five seconds."""
ALIVE_SECONDS = 10.0

INTERRUPTED, TERMINATED = 130, 143


@contextmanager
def ranks() -> Iterator[None]:
    """Run the block in rank 0; the other ranks serve it and end, with its exit code, where they enter.

    To be entered before anything is read, planned or written. MPI starts here and ends with the block.

    Raises
    ------
    MissingExtra
        If mpi4py is not installed, or finds no MPI library.
    LaunchError
        If several processes were started that MPI does not bring together.
    SystemExit
        In the other ranks, when the block has ended in rank 0.
    """
    world = World()
    if world.rank:
        code = follow(world)
        world.finalize()
        sys.exit(code)
    code = 0
    try:
        with _signs_of_life(world):
            yield
    except BaseException as err:
        code = exit_code(err)
        raise
    finally:
        _end(world, code)


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command line for what ended a run."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    # What is no ordinary exception either is how the command line has SIGTERM unwind the stack.
    usual = FAILED if isinstance(error, Exception) else TERMINATED
    found = getattr(error, "exit_code", 4 if isinstance(error, MemoryError) else usual)
    return found if isinstance(found, int) else FAILED


def start_mpi(workers: int | None, budget: Budget) -> Executor:
    """Start a worker in every other rank; use threads of this process where there is none.

    Raises
    ------
    SpecError
        If a number of workers is asked for: it is that of the ranks.
    LaunchError
        If this is not rank 0, or no worker starts.
    """
    if workers is not None:
        raise SpecError("mpi starts a worker in every rank but the first; leave out --workers")
    world = World()
    if world.rank:
        raise LaunchError(
            "only rank 0 makes a cube; put the code inside  with cubeengine.launch.taking_part('mpi'):"
        )
    if world.size == 1:
        return ThreadExecutor()
    with deferred_interrupts() as check:
        return _start_workers(world, budget, check)


class _Ranks:
    """The other ranks while they have workers; closing it ends these."""

    def __init__(self, world: World) -> None:
        self._world = world

    def close(self) -> None:
        """End the workers, and wait until that is done."""
        _tell(self._world, {"do": "stop"})
        _answers(self._world, "stopped", STOP_SECONDS)


def _start_workers(world: World, budget: Budget, check: Check) -> Executor:
    _tell(world, {"do": "report"})
    hosts = _answers(world, "report", REPORT_SECONDS, check)
    if not hosts:
        raise LaunchError(
            f"none of the other {len(world.others)} ranks answers within {REPORT_SECONDS:.0f} s"
        )
    credentials = make_credentials()
    address = listening_address({str(host) for host in hosts.values()})
    client, cluster = start_scheduler(address, credentials.security())
    order = {"do": "serve", "address": cluster.scheduler_address, "memory": budget.per_worker}
    _tell(world, order | {"credentials": credentials.to_dict()})
    ranks = _Ranks(world)
    try:
        n_workers = _wait_for_workers(world, client, len(hosts), check)
        return ClusterExecutor(client, f"{n_workers} MPI ranks", [ranks, cluster])
    except BaseException:
        for thing in (client, ranks, cluster):
            thing.close()
        raise


def _wait_for_workers(world: World, client: Any, wanted: int, check: Check) -> int:
    """Wait until all workers are there, or some after a time; give how many."""
    deadline, told = time.monotonic() + START_SECONDS, ""
    while (found := len(client.scheduler_info(n_workers=-1)["workers"])) < wanted:
        check()
        answer = world.receive()
        if answer is not None:
            told = f": rank {answer[0]} reports {answer[1].get('failed')}"
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    if not found:
        raise LaunchError(f"no rank has started its worker within {START_SECONDS:.0f} s{told}")
    return found


def _tell(world: World, message: dict[str, Any]) -> None:
    for rank in world.others:
        world.send(message, rank)


def _answers(world: World, kind: str, seconds: float, check: Check | None = None) -> dict[int, Any]:
    """Collect what the other ranks answer; those that stay silent for too long are not in it."""
    answers: dict[int, Any] = {}
    deadline = time.monotonic() + seconds
    while set(world.others) - world.lost - answers.keys() and time.monotonic() < deadline:
        if check is not None:
            check()
        found = world.receive()
        if found is None:
            time.sleep(POLL_SECONDS)
        elif kind in found[1]:
            answers[found[0]] = found[1][kind]
    world.lost |= set(world.others) - answers.keys()
    return answers


def _end(world: World, code: int) -> None:
    """End the other ranks with our exit code, or, where one is lost, all of them at once."""
    _tell(world, {"do": "end", "code": code})
    if len(_answers(world, "ended", STOP_SECONDS)) == len(world.others):
        world.finalize()
    else:
        world.abort_at_exit(code)


@contextmanager
def _signs_of_life(world: World) -> Iterator[None]:
    """Tell the other ranks who we are, and every now and then that we live."""
    message = {"do": "live", "host": socket.gethostname(), "pid": os.getpid()}
    message["regularly"] = world.threads_may_send
    stop = threading.Event()

    def tell_regularly() -> None:
        while not stop.wait(ALIVE_SECONDS):
            _tell(world, message)

    _tell(world, message)
    if not (world.threads_may_send and world.others):
        yield
        return
    thread = threading.Thread(target=tell_regularly, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
