"""What a launcher hands over: something that computes a Dask graph and tells what is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

OnDone = Callable[[str, Any], None]


class Executor(Protocol):
    """Computes graphs until it is closed.

    Attributes
    ----------
    workers, threads : int
        Worker processes, and tasks that run at a time in each.
    separate : bool
        Whether tasks run in other processes than this one.
    description : str
        For the user: what computes, and where to watch it.
    """

    workers: int
    threads: int
    separate: bool
    description: str

    def run(self, graph: dict[str, Any], keys: Sequence[str], on_done: OnDone, *, threads: int) -> None:
        """Compute the keys; calls `on_done` with each and its value as it is ready, and drops the value.

        Parameters
        ----------
        graph, keys
            What to compute.
        on_done : callable
            Gets each key that is ready, and its value.
        threads : int
            Tasks that may run at a time in each process; at most the executor's.

        Raises
        ------
        LaunchError
            If workers are lost again and again.
        """

    def close(self) -> None:
        """End the workers that this executor started."""
