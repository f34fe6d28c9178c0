"""The ranks of an MPI job, and the few short messages between them.

Messages are JSON: nothing that is received can run code. Ranks wait by asking now and then, as a blocking
receive keeps a processor busy in most MPI libraries; and all calls may find that a rank is no more.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from cubeengine.errors import LaunchError, MissingExtra
from cubeengine.launch.network import INTERFACE

TAG = 7
POLL_SECONDS = 0.02
FAILED = 5
"""Exit code of a job that has lost a rank."""

Message = dict[str, Any]


class World:
    """All ranks of the job.

    Attributes
    ----------
    rank, size : int
        Number of this rank, and of all.
    others : range
        The ranks that serve rank 0.
    lost : set of int
        Those of them that did not answer in time.

    Raises
    ------
    MissingExtra
        If mpi4py is not installed, or finds no MPI library.
    LaunchError
        If several processes were started that MPI does not bring together.
    """

    def __init__(self) -> None:
        self._mpi = _load_mpi()
        self._comm = self._mpi.COMM_WORLD
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self.others = range(1, self.size)
        self.lost: set[int] = set()
        self._on_the_way: list[tuple[Any, bytes]] = []
        self._lock = threading.Lock()
        started = _started_processes()
        if self.size == 1 and started > 1:
            raise LaunchError(
                f"{started} processes were started, but MPI treats each as a separate job; use 'srun "
                "--mpi=pmi2' ('srun --mpi=list' shows the choices), or the mpirun of mpi4py's library"
            )

    @property
    def threads_may_send(self) -> bool:
        """Whether this MPI library allows calls from several threads at a time."""
        return bool(self._mpi.Query_thread() == self._mpi.THREAD_MULTIPLE)

    def send(self, message: Message, rank: int) -> None:
        """Send a message and do not wait; one to a lost rank goes nowhere."""
        data = json.dumps(message).encode()
        with self._lock, suppress(RuntimeError):
            self._on_the_way = [pair for pair in self._on_the_way if not pair[0].Test()]
            self._on_the_way.append((self._comm.Isend([data, self._mpi.BYTE], rank, TAG), data))

    def receive(self) -> tuple[int, Message] | None:
        """Return the rank and text of a message that has come; None if there is none."""
        status = self._mpi.Status()
        if not self._comm.Iprobe(self._mpi.ANY_SOURCE, TAG, status):
            return None
        buffer = bytearray(status.Get_count(self._mpi.BYTE))
        self._comm.Recv([buffer, self._mpi.BYTE], status.Get_source(), TAG)
        return status.Get_source(), json.loads(bytes(buffer))

    def finalize(self) -> None:
        """End MPI, together with all ranks; mpirun takes a rank that does not for failed."""
        self._mpi.Finalize()

    def abort_at_exit(self, code: int) -> None:
        """End all ranks in whatever state they are, once this process has said what it has to say."""
        atexit.register(self._comm.Abort, code or FAILED)


def _load_mpi() -> Any:
    keep_to_interface(os.environ)
    try:
        import mpi4py

        mpi4py.rc.finalize = False  # at exit it would wait for ever for a rank that is lost
        from mpi4py import MPI
    except (ImportError, RuntimeError) as err:
        raise MissingExtra(
            f"--launcher mpi needs mpi4py and an MPI library ({err}); pip install 'cubeengine[mpi]'"
        ) from err
    return MPI


def keep_to_interface(environment: MutableMapping[str, str]) -> None:
    """Have MPI over TCP listen where we do; it would take all interfaces, also for ranks of one node.

    MPICH and Intel MPI heed these variables of libfabric and of UCX, whichever they were built with; others,
    and faster networks, have settings of their own. Where a site has chosen how UCX connects, that holds.
    """
    local, size = environment.get("MPI_LOCALNRANKS"), environment.get("PMI_SIZE")
    one_node = environment.get("SLURM_STEP_NUM_NODES") == "1" or (size is not None and local == size)
    interface = environment.get(INTERFACE) or ("lo" if one_node else None)
    if interface:
        environment.setdefault("FI_TCP_IFACE", interface)
        if "UCX_TLS" not in environment:
            environment.setdefault("UCX_NET_DEVICES", interface)


def _started_processes() -> int:
    """Return how many processes a starter says it started; 1 if it speaks a language of MPI."""
    if "PMI_SIZE" in os.environ or "PMIX_RANK" in os.environ:
        return 1
    return max(int(os.environ.get(name, "1")) for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"))
