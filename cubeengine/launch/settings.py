"""Settings of dask for schedulers, nannies and workers that we start, wherever they run."""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS: Mapping[str, object] = {
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

WHILE_COMPUTING: Mapping[str, object] = {
    # A worker that is lost comes back as soon as a new process has started, which takes longer than Dask's
    # 15 s on a busy machine or from a slow network disk. Dask would then close it for good, and the tasks
    # would wait for ever.
    "distributed.deploy.lost-worker-timeout": "1 day",
}
"""Settings that this process needs while its workers compute."""
