"""Worker processes under Dask's distributed scheduler: started here on loopback, or running already."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from cubeengine.budget import Budget
from cubeengine.errors import LaunchError, WorkerLost
from cubeengine.launch.base import OnDone
from cubeengine.launch.network import LOOPBACK
from cubeengine.launch.settings import SETTINGS, WHILE_COMPUTING
from cubeengine.launch.signals import Check, children_without_interrupts, deferred_interrupts
from cubeengine.launch.tls import read_security

POLL_SECONDS = 0.02
KEYS_FOLDER = "CUBEENGINE_TLS"

WORKERS_ASKED_SECONDS = 5.0
NO_WORKERS_SECONDS = 300.0
"""For how long a run waits for the first of its workers to come back."""


class ClusterExecutor:
    """Computes on the workers of a distributed client.

    Parameters
    ----------
    client : distributed.Client
        Connected to the scheduler.
    description : str
        For the user.
    owned : list
        What to close in the end, after the client: the cluster, if it was started here.
    watch : callable, optional
        Asked now and then; raises if there is no use in waiting any longer.
    workers : int, optional
        Worker processes, where not all are there yet. Default: those that are there.
    """

    def __init__(
        self,
        client: Any,
        description: str,
        owned: Sequence[Any] = (),
        *,
        watch: Check | None = None,
        workers: int | None = None,
    ) -> None:
        self._client, self._owned, self._watch = client, tuple(owned), watch
        threads = [worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
        if not threads:
            client.close()
            raise LaunchError("the scheduler has no workers; start some, then run again")
        self.workers, self.threads = workers or len(threads), max(threads)
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
        import dask
        from distributed.scheduler import KilledWorker

        futures = self._client.get(graph, list(keys), sync=False, optimize_graph=False)
        try:
            with dask.config.set(WHILE_COMPUTING), deferred_interrupts() as check:
                for future in _as_completed(futures, self._client.loop, self._checks(check)):
                    on_done(future.key, future.result())
        except KilledWorker as err:
            raise WorkerLost(
                f"ended its worker {err.allowed_failures + 1} times, most often by using more memory than "
                "the worker has; see the worker's log",
                str(err.task),
            ) from err
        except CancelledError as err:
            raise LaunchError(
                "the scheduler was lost, or dropped this run's tasks; with --resume the finished work is kept"
            ) from err
        finally:
            for future in futures:
                future.release()

    def _checks(self, check: Check) -> Check:
        seen = asked = time.monotonic()

        def all_of_them() -> None:
            nonlocal seen, asked
            check()
            if self._watch is not None:
                self._watch()
            now = time.monotonic()
            if now - asked >= WORKERS_ASKED_SECONDS:
                asked = now
                seen = now if self._has_workers() else seen
                if now - seen >= NO_WORKERS_SECONDS:
                    raise LaunchError(
                        f"no worker has been there for {NO_WORKERS_SECONDS:.0f} s: all have ended, and none "
                        "came back; see the workers' logs; with --resume the finished work is kept"
                    )

        return all_of_them

    def _has_workers(self) -> bool:
        try:
            return bool(self._client.nthreads())
        except OSError:  # the scheduler does not answer: the tasks themselves tell if it is lost
            return True

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
    client, cluster = _start_cluster(
        n_workers=workers or len(os.sched_getaffinity(0)),
        host=LOOPBACK,
        scheduler_kwargs={"dashboard": dashboard},
        memory_limit=budget.per_worker,
    )
    n_workers = len(cluster.workers)
    seen = f", dashboard at {cluster.dashboard_link}" if dashboard else ""
    return ClusterExecutor(client, f"{n_workers} worker processes{seen}", [cluster])


def start_scheduler(host: str, security: Any) -> tuple[Any, Any]:
    """Start a scheduler for workers that are started elsewhere; give a client and the scheduler's cluster.

    Parameters
    ----------
    host : str
        Address to listen at.
    security : distributed.Security
        What workers and clients have to show.
    """
    return _start_cluster(
        n_workers=0, host=host, scheduler_kwargs={"dashboard": False}, protocol="tls://", security=security
    )


def _start_cluster(**options: Any) -> tuple[Any, Any]:
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # An interrupt in between would leave workers behind; one meant for us must not end the workers.
    with dask.config.set(SETTINGS), deferred_interrupts(), children_without_interrupts():
        try:
            cluster = LocalCluster(
                threads_per_worker=1,
                processes=True,
                # Its HTTP server is there in any case: at a free port, where another run does not use it.
                dashboard_address=f"{LOOPBACK}:0",
                worker_dashboard_address=None,
                silence_logs=logging.CRITICAL,
                **options,
            )
        except (RuntimeError, OSError, TimeoutError) as err:
            raise LaunchError(f"the workers do not start: {err}; is enough memory free?") from err
        return Client(cluster, set_as_default=False), cluster


def connect(address: str) -> ClusterExecutor:
    """Use the workers of a scheduler that is running already.

    For an address "tls://..." the environment variable CUBEENGINE_TLS may name a private folder with the
    files ca.pem, cert.pem and key.pem; otherwise those of Dask's own settings are shown.

    Raises
    ------
    LaunchError
        If there is no scheduler at the address, or it has no workers; or others can read the key.
    """
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    security = _security_of_user() if address.startswith("tls://") else None
    try:
        client = Client(address, timeout=10, security=security, set_as_default=False)
    except (OSError, ValueError) as err:
        raise LaunchError(f"no scheduler answers at {address!r} ({err}); check that it is running") from err
    return ClusterExecutor(client, f"workers of the scheduler at {address}")


def _security_of_user() -> Any:
    """Return what the user shows, or Dask's own settings if these say something.

    Raises
    ------
    LaunchError
        If there is nothing to show, or others can read it.
    """
    from distributed.security import Security

    folder = os.environ.get(KEYS_FOLDER)
    if folder:
        return read_security(Path(folder))
    security = Security(require_encryption=True)
    shown = security.get_tls_config_for_role("client")
    if not (shown.get("ca_file") and shown.get("cert")):
        raise LaunchError(
            f"a scheduler at tls://... needs a certificate; give the folder of yours in {KEYS_FOLDER}"
        )
    return security
