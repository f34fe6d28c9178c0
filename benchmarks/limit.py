"""The limit: how fast the same bytes can be read at all.

h5py `read_direct` into one reused 64 MiB buffer, with as many spawned processes as cores, each with
its share of the events. Compressed frames are read and decompressed. Start-up, opening the file
included, is not counted: processes meet at a barrier, and time runs from there to the last finish.
"""

from __future__ import annotations

import importlib
import multiprocessing as mp
import time
from contextlib import ExitStack
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import h5py
import numpy as np

from benchmarks.problems import CHUNK_EVENTS, FRAMES, Problem
from benchmarks.processes import n_cores

BUFFER_NBYTES = 64 * 2**20


def limit_seconds(path: Path, problem: Problem, *, n_processes: int | None = None) -> float:
    """Read all frames once and give the seconds it took.

    Parameters
    ----------
    path : Path
        The problem's file; read it once before, so that it is in the page cache.
    problem : Problem
    n_processes : int, optional
        As many as cores by default.
    """
    shares = _shares(problem, n_processes or n_cores())
    context = mp.get_context("spawn")
    barrier = context.Barrier(len(shares))
    with ExitStack() as stack:
        answers = []
        for share in shares:
            answer, sender = context.Pipe(duplex=False)
            process = context.Process(target=_read_share, args=(path, problem, share, barrier, sender))
            process.start()
            sender.close()  # so that a process that dies ends the wait for its answer
            stack.callback(process.join)
            stack.callback(process.terminate)
            answers.append(answer)
        times = [answer.recv() for answer in answers]
    return float(max(stop for _, stop in times) - min(start for start, _ in times))


def _shares(problem: Problem, n_processes: int) -> list[tuple[int, int]]:
    """Cut the events into consecutive shares, at borders of chunks."""
    borders = np.linspace(0, problem.n_events, n_processes + 1) // CHUNK_EVENTS * CHUNK_EVENTS
    borders[-1] = problem.n_events
    return [(int(start), int(stop)) for start, stop in pairwise(borders)]


def _read_share(
    path: Path, problem: Problem, share: tuple[int, int], barrier: Barrier, answer: Connection
) -> None:
    """Read events [start, stop) and send the times of the start and the finish."""
    start, stop = share
    if problem.layout == "bitshuffle":
        importlib.import_module("hdf5plugin")  # registers its decoders with HDF5
    step = max(1, BUFFER_NBYTES // problem.frame_nbytes // CHUNK_EVENTS) * CHUNK_EVENTS
    buffer = np.ones((step, *problem.frame_shape), problem.dtype)  # ones: its pages exist before the start
    with h5py.File(path) as file:
        frames = file[FRAMES]
        barrier.wait(timeout=120)
        began = time.monotonic()
        for low in range(start, stop, step):
            high = min(low + step, stop)
            frames.read_direct(buffer, np.s_[low:high], np.s_[: high - low])
        answer.send((began, time.monotonic()))
