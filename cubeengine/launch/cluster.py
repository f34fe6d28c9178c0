"""Worker processes under Dask's distributed scheduler: started here on loopback, or running already."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from cubeengine.budget import Budget
from cubeengine.errors import LaunchError
from cubeengine.launch.base import OnDone
from cubeengine.launch.signals import Check, children_without_interrupts, deferred_interrupts

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.02

SETTINGS = {
    # Partials are few and their memory is planned: spilling or pausing would only hide a wrong projection.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Tasks of seconds need no more than one in reserve; more would hold partials that nobody waits for.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 3,
    # The nanny would have the allocator give back every 64 KiB: buffers of frames are used again at once,
    # and fetching their pages anew doubles the time of decoding (measured on bitshuffle).
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


class ClusterExecutor:
    """Computes on the workers of a distributed client.

    Parameters
    ----------
    client : distributed.Client
        Connected to the scheduler.
    description : str
        For the user.
    owned : list
        What to close in the end, beside the client: the cluster, if it was started here.
    """

    def __init__(self, client: Any, description: str, owned: Sequence[Any] = ()) -> None:
        self._client, self._owned = client, tuple(owned)
        threads = [worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if not threads:
            client.close()
            raise LaunchError("the scheduler has no workers; start some, then run again")
        self.workers, self.threads = len(threads), max(threads)
        self.separate, self.description = True, description

    def run(
        self,
        graph: dict[str, Any],
        keys: Sequence[str],
        on_done: OnDone,
        *,
        threads: int,  # noqa: ARG002 - workers run as many as they were started with
    ) -> None:
        """Compute the keys; see `Executor.run`."""
        from distributed.scheduler import KilledWorker

        futures = self._client.get(graph, list(keys), sync=False, optimize_graph=False)
        try:
            with deferred_interrupts() as check:
                for future in _as_completed(futures, self._client.loop, check):
                    on_done(future.key, future.result())
        except KilledWorker as err:
            raise LaunchError(
                f"task {err.task!r} ended its worker {err.allowed_failures + 1} times, "
                "most often by using more memory than the worker has; see the worker's log"
            ) from err
        finally:
            for future in futures:
                future.release()

    def close(self) -> None:
        """End the client, and the cluster if it was started here."""
        for thing in (self._client, *self._owned):
            thing.close()


def _as_completed(futures: Sequence[Any], loop: Any, check: Check) -> Iterator[Any]:
    """Yield futures as they are done, asking `check` while there are none."""
    from distributed import as_completed

    waiting = as_completed(futures, loop=loop)
    while not waiting.is_empty():
        batch = waiting.next_batch(block=False)
        yield from batch
        check()
        if not batch:
            time.sleep(POLL_SECONDS)


def start_local(workers: int | None, budget: Budget, *, dashboard: bool) -> ClusterExecutor:
    """Start worker processes on this machine, reachable from this machine only.

    Parameters
    ----------
    workers : int, optional
        Worker processes of one thread each. Default: the processors this process may use.
    budget : Budget
        Memory of each; a worker that grows beyond it is ended and its tasks are tried again.
    dashboard : bool
        Whether to serve Dask's dashboard on loopback.
    """
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # An interrupt in between would leave workers behind; one meant for us must not end the workers.
    with dask.config.set(SETTINGS), deferred_interrupts(), children_without_interrupts():
        cluster = LocalCluster(
            n_workers=workers or len(os.sched_getaffinity(0)),
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            # Its HTTP server is there in any case: at a free port, where another run does not use it.
            dashboard_address=f"{LOOPBACK}:0",
            scheduler_kwargs={"dashboard": dashboard},
            worker_dashboard_address=None,
            memory_limit=budget.per_worker,
            silence_logs=logging.CRITICAL,
        )
        client = Client(cluster, set_as_default=False)
    n_workers = len(cluster.workers)
    seen = f", dashboard at {cluster.dashboard_link}" if dashboard else ""
    return ClusterExecutor(client, f"{n_workers} worker processes{seen}", [cluster])


def connect(address: str) -> ClusterExecutor:
    """Use the workers of a scheduler that is running already.

    Raises
    ------
    LaunchError
        If there is no scheduler at the address, or it has no workers.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as err:
        raise LaunchError(f"no scheduler answers at {address!r}: {err}; check that it is running") from err
    return ClusterExecutor(client, f"workers of the scheduler at {address}")
