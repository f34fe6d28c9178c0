"""Launchers: each hands over something that computes a Dask graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cubeengine.budget import Budget
from cubeengine.errors import SpecError, nearest_names
from cubeengine.launch.base import Executor
from cubeengine.schema.texts import kind_of

if TYPE_CHECKING:
    from cubeengine.launch.slurm_job import SlurmOptions

LAUNCHERS = ("threads", "processes", "local", "slurm", "mpi")
ADDRESS_SCHEMES = ("tcp://", "tls://", "inproc://", "ucx://")


@contextmanager
def taking_part(name: str) -> Iterator[None]:
    """Run the block where the cube is made; elsewhere serve it.

    Only `mpi` starts several processes with the same command: all but the first serve the first one from
    here on, and end here with its exit code. To be entered before anything is read or planned, and
    before much is imported: MPICH tells Slurm what lies in memory that was used before, and if that is not
    all zeros, its lines get longer than Slurm's PMI2 reads, and the start hangs (MPICH 5.0, Slurm 22.05).

    Parameters
    ----------
    name : str
        The launcher that the block will use.

    Raises
    ------
    LaunchError, MissingExtra
        If the processes cannot be brought together.
    SystemExit
        In processes that have served.
    """
    if name != "mpi":
        yield
        return
    from cubeengine.launch.mpi import ranks

    with ranks():
        yield


def launch(
    name: str, *, workers: int | None, budget: Budget, options: SlurmOptions | None = None
) -> Executor:
    """Start what a launcher's name stands for.

    Parameters
    ----------
    name : str
        "threads", "processes", "local", "slurm", "mpi", or the address of a scheduler ("tcp://host:port").
    workers : int, optional
        Threads or processes. Default: the processors this process may use.
    budget : Budget
        Memory of one worker process.
    options : SlurmOptions, optional
        For the jobs of "slurm". Default: from the environment.

    Raises
    ------
    SpecError
        If there is no such launcher, or `workers` or `options` do not go with it.
    LaunchError
        If it does not start.
    """
    if workers is not None and workers < 1:
        raise SpecError(f"workers must be at least 1, got {workers}")
    if options is not None and name != "slurm":
        raise SpecError(f"options for Slurm cannot be used with the launcher {name!r}")
    if name.startswith(ADDRESS_SCHEMES):
        return _connect(name, workers)
    if name == "threads":
        from cubeengine.launch.threads import ThreadExecutor

        return ThreadExecutor(workers)
    if name == "mpi":
        from cubeengine.launch.mpi import start_mpi

        return start_mpi(workers, budget)
    if name == "slurm":
        from cubeengine.launch.slurm import start_slurm

        return start_slurm(workers, budget, options)
    if name in LAUNCHERS:
        from cubeengine.launch.cluster import start_local

        return start_local(workers, budget, dashboard=name == "local")
    near = nearest_names(name, LAUNCHERS)
    raise SpecError(
        f"there is no launcher {name!r}{'; nearest: ' + repr(near[0]) if near else ''}; "
        f"choose one of {', '.join(LAUNCHERS)}, or give a scheduler's address such as tcp://127.0.0.1:8786"
    )


@contextmanager
def launched(launcher: str | Executor, workers: int | None, budget: Budget) -> Iterator[Executor]:
    """Use workers that run already, or start some and end them."""
    if not isinstance(launcher, str):
        if not hasattr(launcher, "run"):
            names = ", ".join(map(repr, LAUNCHERS))
            raise SpecError(f"a launcher is one of {names}, or what launch returned, not {kind_of(launcher)}")
        yield launcher
        return
    executor = launch(launcher, workers=workers, budget=budget)
    try:
        yield executor
    finally:
        executor.close()


def _connect(address: str, workers: int | None) -> Executor:
    from cubeengine.launch.cluster import connect

    if workers is not None:
        raise SpecError(f"the scheduler at {address!r} already has its workers; leave out --workers")
    return connect(address)
