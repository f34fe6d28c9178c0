"""Workers in Slurm jobs of their own, submitted by the process that makes the cube: ``--launcher slurm``.

dask-jobqueue submits and cancels the jobs. It cannot tell a job that waits from one that is lost, and does
not replace the latter; so Slurm is asked which jobs there are, and what is missing is submitted anew.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cubeengine.budget import Budget
from cubeengine.errors import LaunchError, MissingExtra, SpecError
from cubeengine.launch.cluster import ClusterExecutor
from cubeengine.launch.network import LOOPBACK, listening_address, route_address
from cubeengine.launch.settings import SETTINGS
from cubeengine.launch.signals import (
    Check,
    children_without_interrupts,
    deferred_interrupts,
    handlers_untouched,
)
from cubeengine.launch.slurm_job import SlurmOptions, job_script
from cubeengine.launch.tls import make_credentials

POLL_SECONDS = 0.1
WATCH_SECONDS = 1.0
ASK_SECONDS = (2.0, 30.0)
"""How often Slurm is asked for the jobs while some have no worker: at first, and after a long wait."""
LOG_LINES = 12


def start_slurm(workers: int | None, budget: Budget, options: SlurmOptions | None = None) -> ClusterExecutor:
    """Submit jobs of workers, wait for the first of them, and keep their number.

    Parameters
    ----------
    workers : int
        Worker processes of one thread each.
    budget : Budget
        Memory of each; a worker that grows beyond it is ended and its tasks are tried again.
    options : SlurmOptions, optional
        For the jobs. Default: from the environment.

    Raises
    ------
    SpecError
        If no number of workers is given.
    MissingExtra
        If dask-jobqueue is not installed.
    LaunchError
        If there is no Slurm here, it refuses the jobs, or they end again and again before they have begun.
    """
    if workers is None:
        raise SpecError("give the number of workers that Slurm starts, e.g. --workers 16")
    if shutil.which("sbatch") is None:
        raise LaunchError("no sbatch command here; run on a login node of a Slurm cluster")
    options = options or SlurmOptions.from_environment()
    jobs = -(-workers // options.processes)
    with deferred_interrupts() as check, children_without_interrupts(), ExitStack() as started:
        folder = started.enter_context(_private_folder(options))
        cluster = _start_cluster(folder, budget, options)
        started.callback(cluster.close)
        keeper = _Keeper(cluster, jobs, options.logs or folder / "logs")
        started.callback(keeper.close)
        _submit(cluster, jobs)
        _wait_for_worker(keeper, check)
        total = jobs * options.processes
        told = f"{total} workers in {jobs} Slurm jobs"
        client = _client(cluster)
        return ClusterExecutor(client, told, [started.pop_all()], watch=keeper.check, workers=total)


@contextmanager
def _private_folder(options: SlurmOptions) -> Iterator[Path]:
    """Make the folder of keys, settings and logs that the jobs see; it is removed with all that is in it."""
    beside = options.folder or Path.home()
    try:
        folder = Path(tempfile.mkdtemp(prefix=".cubeengine-slurm-", dir=beside))
    except OSError as err:
        raise LaunchError(f"{beside}: cannot create a folder here for the keys of the run: {err}") from err
    try:
        for name in ("keys", "settings", "logs"):
            (folder / name).mkdir(mode=0o700)
        (folder / "settings" / "cubeengine.yaml").write_text(json.dumps(_nested(SETTINGS)))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _nested(settings: Mapping[str, object]) -> dict[str, Any]:
    """Return settings with dots in their names as a tree; written as JSON it is a YAML file too."""
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *branches, leaf = name.split(".")
        place = tree
        for branch in branches:
            place = place.setdefault(branch, {})
        place[leaf] = value
    return tree


def _start_cluster(folder: Path, budget: Budget, options: SlurmOptions) -> Any:
    """Start the scheduler, and what will submit jobs to Slurm."""
    import dask

    security = make_credentials().save(folder / "keys")

    def script(address: str, name: str) -> str:
        return job_script(options, budget, folder=folder, address=address, name=name)

    job_class, cluster_class = _jobqueue_classes()
    host = options.host or (
        listening_address((), options.interface) if options.interface else route_address()
    )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(SETTINGS):
        return cluster_class(
            name="cubeengine",
            job_cls=job_class,
            script=script,
            cores=options.processes,
            processes=options.processes,
            memory=options.processes * budget.per_worker,
            security=security,
            silence_logs=logging.CRITICAL,
            scheduler_options={"host": host, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"},
        )


def _jobqueue_classes() -> tuple[Any, Any]:
    from distributed.core import Status

    try:
        with handlers_untouched():
            from dask_jobqueue.slurm import SLURMCluster, SLURMJob
    except ImportError as err:
        raise MissingExtra("--launcher slurm needs dask-jobqueue: pip install 'cubeengine[slurm]'") from err

    class Job(SLURMJob):
        """A job with a script of ours: dask-jobqueue would paste names into it without quotes."""

        def __init__(
            self, scheduler: str, name: str, *, script: Callable[[str, str], str], **options: Any
        ) -> None:
            super().__init__(scheduler, name, **options)
            self._script = script

        def job_script(self) -> str:
            return self._script(self.scheduler, str(self.name))

        async def close(self) -> None:
            """Cancel it. The cluster wants to see that it is closed, also where it was refused."""
            await super().close()
            self.status = Status.closed

    return Job, SLURMCluster


def _client(cluster: Any) -> Any:
    from distributed import Client

    return Client(cluster, set_as_default=False)


def _submit(cluster: Any, jobs: int) -> None:
    """Submit all jobs.

    Raises
    ------
    LaunchError
        With what sbatch says, if it refuses.
    """

    async def submitted() -> None:
        await cluster
        for job in list(cluster.workers.values()):
            await job  # one that was refused before we came to wait for it is tried again, and tells why

    cluster.scale(jobs=jobs)
    try:
        cluster.sync(submitted)
    except RuntimeError as err:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of each refused job it would tell as well
        said = str(err).partition("stderr:\n")[2].strip()
        raise LaunchError(f"sbatch refused the jobs of the workers: {said or err}") from err


def _wait_for_worker(keeper: _Keeper, check: Check) -> None:
    while not keeper.connected():
        check()
        keeper.check()
        time.sleep(POLL_SECONDS)


class _Keeper:
    """Submits a job anew when it is lost, whether its worker has been there or not.

    Parameters
    ----------
    cluster : dask_jobqueue.SLURMCluster
        Whose jobs these are.
    jobs : int
        How many there shall be.
    logs : Path
        Folder of their logs.
    """

    def __init__(self, cluster: Any, jobs: int, logs: Path) -> None:
        self._cluster, self._jobs, self._logs = cluster, jobs, logs
        self._failed_starts, self._error = 0, ""
        self._seen: set[str] = set()
        self._changed = self._asked = time.monotonic()
        self._task = asyncio.run_coroutine_threadsafe(self._watch(), cluster.loop.asyncio_loop)

    def connected(self) -> set[str]:
        """Return the names of the jobs with a worker that the scheduler knows."""
        workers = list(self._cluster.scheduler.workers.values())
        names = {str(worker.name) for worker in workers}
        return {job for job in list(self._cluster.workers) if names & {str(job), f"{job}-0"}}

    def check(self) -> None:
        """Raise a LaunchError if the jobs end again and again before their workers are there."""
        if self._error:
            raise LaunchError(self._error)

    def close(self) -> None:
        """Replace no more jobs."""
        self._task.cancel()

    async def _watch(self) -> None:
        while not self._error:
            await asyncio.sleep(WATCH_SECONDS)
            connected = self.connected()
            if connected - self._seen:
                self._failed_starts = 0
            if connected != self._seen:
                self._changed = time.monotonic()
                self._seen = connected
            waiting = set(self._cluster.workers) - connected
            if waiting and self._is_time_to_ask():
                await self._replace_lost(waiting)

    def _is_time_to_ask(self) -> bool:
        now = time.monotonic()
        often, rarely = ASK_SECONDS
        if now - self._asked < min(often + (now - self._changed) / 10, rarely):
            return False
        self._asked = now
        return True

    async def _replace_lost(self, waiting: set[str]) -> None:
        alive = await living_jobs()
        if alive is None:
            return
        for name in waiting:
            job = self._cluster.workers.get(name)
            if job is not None and job.job_id not in alive:
                del self._cluster.workers[name], self._cluster.worker_spec[name]
                self._failed_starts += 1
        if self._failed_starts >= 2 * self._jobs + 1:
            self._error = f"the jobs of the workers ended before the workers started{self._last_words()}"
            return
        self._cluster.scale(jobs=self._jobs)

    def _last_words(self) -> str:
        logs = sorted(self._logs.glob("worker-*.log"), key=lambda path: path.stat().st_mtime)
        lines = logs[-1].read_text(errors="replace").splitlines()[-LOG_LINES:] if logs else []
        return "; the end of the last log:\n" + "\n".join(lines) if lines else ""


async def living_jobs() -> set[str] | None:
    """Ask Slurm for the numbers of our jobs that wait or run; None if it does not answer."""
    command = ("squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i %T")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    out, _ = await process.communicate()
    if process.returncode:
        return None
    lines = (line.split() for line in out.decode().splitlines())
    return {line[0] for line in lines if line and line[1] != "COMPLETING"}
