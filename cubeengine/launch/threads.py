"""Threads of this process: no start-up, no copies between workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cubeengine.launch.base import OnDone
from cubeengine.launch.signals import deferred_interrupts


class ThreadExecutor:
    """Computes in threads, with Dask's threaded scheduler.

    Parameters
    ----------
    threads : int, optional
        Tasks at a time. Default: the processors this process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.workers, self.separate = 1, False
        self.threads = threads or len(os.sched_getaffinity(0))
        self.description = f"{self.threads} thread{'s' if self.threads > 1 else ''} of this process"

    def run(self, graph: dict[str, Any], keys: Sequence[str], on_done: OnDone, *, threads: int) -> None:
        """Compute the keys; see `Executor.run`."""
        from dask.callbacks import Callback
        from dask.threaded import get

        wanted = set(keys)

        def finished(key: str, value: object, *_: object) -> None:
            if key in wanted:
                on_done(key, value)
            check()

        # A pool of our own: if the run is interrupted, no thread is left that could still write.
        with (
            deferred_interrupts() as check,
            ThreadPoolExecutor(threads) as pool,
            Callback(posttask=finished),
        ):
            try:
                get(graph, list(keys), pool=pool, num_workers=threads)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        """Nothing to end."""
