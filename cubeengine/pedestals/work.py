"""How the work is cut to fit the memory, and the Dask graphs of its two passes.

Sums are of whole numbers, so that no bit of the result depends on the cutting or on the workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cubeengine.budget import Budget, format_size
from cubeengine.errors import BudgetExceeded
from cubeengine.pedestals.tasks import (
    STRIP,
    Job,
    Windows,
    add_events,
    done,
    finish,
    fold,
    look_at_sample,
)
from cubeengine.planning.chunks import split_evenly
from cubeengine.sources.base import Reader

MIB = 2**20
BLOCK_NBYTES, BLOCK_PART = 32 * MIB, 8
"""Data read at a time: so many frames that their windows and sums are fetched once for all of them; of a
thread's memory an eighth at most."""

LEAF_NBYTES = 128 * MIB
"""Least input of a task."""

LEAF_TO_SUMS = 4
"""How many times the sums that it hands on a task reads at least."""

MAX_LEAVES = 2000
LEAST_ELEMENTS = 1024

WINDOW_NBYTES, SUMS_NBYTES = 20, 28
"""Bytes per pixel and slot: windows, a weight and a skewness, with what is made on the way; sums."""

PART_NBYTES, RESULT_NBYTES = 16, 24
"""Bytes per pixel: of the estimates of a slot as tasks give them, which Dask keeps to the end, and of the
result in a gain range."""

EVENT_NBYTES = 4 * 8
"""What is known of an event, in each part of the frame."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What has to be read.

    Attributes
    ----------
    reader : Reader
        Reads raw frames.
    n_elements, n_slots, n_ranges : int
        Pixels of a frame, slots of a pixel, and gain ranges of the constants.
    n_events, n_sampled : int
        Events that count, and those looked at first.
    """

    reader: Reader
    n_elements: int
    n_slots: int
    n_ranges: int
    n_events: int
    n_sampled: int

    def leader_nbytes(self, n_tiles: int) -> int:
        """Return the bytes that the process of the user holds: results, and what is known of every event."""
        copied = self.n_slots if self.n_slots != self.n_ranges else 0
        pixel = PART_NBYTES * self.n_slots + RESULT_NBYTES * (self.n_ranges + copied) + 16
        return pixel * self.n_elements + EVENT_NBYTES * self.n_events * (n_tiles + 4)


@dataclass(frozen=True, slots=True)
class Work:
    """How the work is cut.

    Attributes
    ----------
    tiles : tuple of (int, int)
        Parts of the frame.
    leaves : tuple of (int, int)
        Runs of events, the same for each part.
    block_nbytes : int
        Data read at a time.
    threads : int
        Tasks at a time in one process.
    worker_nbytes, leader_nbytes : int
        Projected memory of the tasks of a process, and of the results in the user's.
    """

    tiles: tuple[tuple[int, int], ...]
    leaves: tuple[tuple[int, int], ...]
    block_nbytes: int
    threads: int
    worker_nbytes: int
    leader_nbytes: int


def cut(frames: Frames, budget: Budget, threads: int, *, separate: bool) -> Work:
    """Cut the work so that it keeps to the memory: the frame into as few parts as may be.

    Parameters
    ----------
    frames : Frames
        What has to be read.
    budget : Budget
        Memory of one process.
    threads : int
        Tasks at a time that a process can run.
    separate : bool
        Whether tasks run in other processes than the one that holds the results.

    Raises
    ------
    BudgetExceeded
        If not even a small part of the frame fits.
    """
    n_tiles, size, running = 1, frames.n_elements, threads
    block = min(max(budget.usable // (BLOCK_PART * threads), MIB), BLOCK_NBYTES)

    def lacking() -> int:
        tasks = _tasks_nbytes(frames, size, running, block)
        held = 0 if separate else frames.leader_nbytes(math.ceil(frames.n_elements / size))
        return tasks + held - budget.usable

    while size > LEAST_ELEMENTS and lacking() > 0:
        n_tiles += 1 + n_tiles // 8
        size = math.ceil(frames.n_elements / n_tiles)
    while running > 1 and lacking() > 0 and not separate:
        running -= 1
    if lacking() > 0:
        raise BudgetExceeded(
            f"pedestals of {frames.n_elements:,} pixels in {frames.n_slots} gain ranges need "
            f"{format_size(budget.per_worker + lacking())}, but {format_size(budget.per_worker)} is "
            "allowed; allow more memory"
        )
    return _cut(frames, size, running, block)


def _cut(frames: Frames, size: int, threads: int, block_nbytes: int) -> Work:
    tiles = split_evenly(0, frames.n_elements, size)
    width = max(stop - start for start, stop in tiles)
    event_nbytes = width * frames.reader.dtype.itemsize
    least = max(LEAF_NBYTES, LEAF_TO_SUMS * SUMS_NBYTES * frames.n_slots * width)
    n_events = max(math.ceil(least / event_nbytes), math.ceil(frames.n_events * len(tiles) / MAX_LEAVES))
    tasks = _tasks_nbytes(frames, width, threads, block_nbytes)
    leaves = split_evenly(0, frames.n_events, n_events)
    return Work(tiles, leaves, block_nbytes, threads, tasks, frames.leader_nbytes(len(tiles)))


def _tasks_nbytes(frames: Frames, size: int, threads: int, block_nbytes: int) -> int:
    """Return the memory of the tasks of one process, in the hungrier of the two passes."""
    pixels = size * frames.n_slots
    reading = frames.reader.memory_nbytes(size, block_nbytes)
    itemsize = frames.reader.dtype.itemsize
    sample = frames.n_sampled * (size + STRIP) * itemsize + pixels * (WINDOW_NBYTES + 2 * SUMS_NBYTES)
    adding = pixels * WINDOW_NBYTES
    # sums: one each of those that run, as many that wait to be folded, and a fold with its two parts
    sums = (2 * threads + 4) * pixels * SUMS_NBYTES
    return max(threads * (reading + sample), threads * (reading + adding) + sums)


def sample_graph(job: Job) -> tuple[dict[str, Any], list[str]]:
    """Return the tasks that look at the sample, one per part of the frame, and their names in order."""
    shared = f"job-{job.key}"
    names = [f"sample-{job.key}-{tile}" for tile in range(len(job.tiles))]
    tasks = {name: (look_at_sample, shared, tile) for tile, name in enumerate(names)}
    return {shared: job, **tasks}, names


@dataclass(frozen=True, slots=True)
class Passed:
    """The graph of the pass over all events."""

    graph: dict[str, Any]  # name -> task
    results: list[str]  # names of the estimates, one per part of the frame
    weights: dict[str, int]  # name of a marker -> input bytes that are dealt with when it is done


def pass_graph(job: Job, windows: Sequence[Windows], work: Work, *, ahead: int) -> Passed:
    """Return the tasks that add all events up, part after part of the frame.

    Parameters
    ----------
    job, windows : Job, sequence of Windows
        What to do, and the windows of each part.
    work : Work
        How it is cut.
    ahead : int
        How many leaves may be ahead of those that are folded, so that few sums are alive at a time.
    """
    graph: dict[str, Any] = {f"job-{job.key}": job}
    results: list[str] = []
    weights: dict[str, int] = {}
    for tile, known in enumerate(windows):
        graph[f"windows-{job.key}-{tile}"] = known
        folded = _add_leaves(graph, weights, job, work, tile, ahead)
        results.append(f"result-{job.key}-{tile}")
        graph[results[-1]] = (finish, f"job-{job.key}", f"windows-{job.key}-{tile}", folded)
    return Passed(graph, results, weights)


def _add_leaves(
    graph: dict[str, Any], weights: dict[str, int], job: Job, work: Work, tile: int, ahead: int
) -> str:
    """Add the leaves of a part of the frame and their folds; gives the name of the last one."""
    stem, markers, folded = f"{job.key}-{tile}", list(weights), ""
    width = work.tiles[tile][1] - work.tiles[tile][0]
    for number, (start, stop) in enumerate(work.leaves):
        gate = markers[-ahead] if len(markers) >= ahead else None
        leaf = f"leaf-{stem}-{number}"
        graph[leaf] = (add_events, f"job-{job.key}", f"windows-{stem}", tile, start, stop, gate)
        if folded:
            graph[f"fold-{stem}-{number}"] = (fold, folded, leaf)
        folded = f"fold-{stem}-{number}" if folded else leaf
        markers.append(f"gate-{stem}-{number}")
        graph[markers[-1]] = (done, folded)
        weights[markers[-1]] = (stop - start) * width * job.reader.dtype.itemsize
    return folded
