"""What lies on the disk beside a cube while it is made: how much, and how often partial sums are kept.

store  the cube itself, under a temporary name; published, it is the cube
side   what tasks share: which events go where, tables of stages, arrays that are in memory and in no file
sums   partial sums of the parts that are under way, kept with --resume alone

None of it grows with the bytes that are read, but for 12 bytes per event in `side`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cubeengine.planning.cost import USUAL_WORKERS
from cubeengine.planning.pairs import order_key
from cubeengine.planning.plan import CubePlan, SignalPlan

KEEP_RATIO = 16
"""Sums are kept once so many times their bytes were read: writing them over an older copy, in memory, then
takes some percent of the time (measured: 8 ms for 31 MB, where reading and adding 500 MB from the page cache
takes 160 ms of one core, and far more from a disk)."""

LASTING_RATIO = 128
"""They are brought to the disk once so many times their bytes were read: at 200 MB/s that is some percent of
reading at 1 GB/s, and what a lost node costs is seconds to minutes."""

SLOTS = 3
"""Files of sums per part: the last one on the disk, the last of all, and the one that is being written."""

PAIR_FILE_NBYTES = 8 + 4
"""Row and group of an event in the side files."""

NPY_HEAD_NBYTES = 128


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Most bytes of each kind, before the cube is compressed; see the module."""

    store: int
    side: int
    sums: int


def disk_use(plan: CubePlan, tables_nbytes: int, *, workers: int = USUAL_WORKERS) -> DiskUse:
    """Return what lies beside the cube of a plan while it is made.

    Parameters
    ----------
    plan : CubePlan
        The decided work.
    tables_nbytes : int
        Tables of stages, and arrays that are in memory and in no file.
    workers : int
        Tasks that run at a time: so many leaves may be ahead of the finished work.
    """
    pairs = {order_key(signal): signal.parts[-1].leaves[-1][1] for signal in plan.signals}
    side = sum(PAIR_FILE_NBYTES * n_pairs + 2 * NPY_HEAD_NBYTES for n_pairs in pairs.values())
    return DiskUse(output_nbytes(plan), side + tables_nbytes, max(_sums_under_way(plan, workers), default=0))


def output_nbytes(plan: CubePlan) -> int:
    """Return the size of the cube's signals before compression."""
    total = 0
    for signal in plan.signals:
        n_values = len(plan.selections) * plan.n_bins * signal.info.n_elements
        counts = n_values if signal.has_count else len(plan.selections) * plan.n_bins
        total += 2 * n_values * np.dtype(signal.out_dtype).itemsize + 8 * counts
    return total


def leaves_between_checkpoints(signal: SignalPlan) -> tuple[int, int]:
    """Return the leaves between two checkpoints, and the checkpoints between two lasting ones."""
    leaf_nbytes = max(signal.read_nbytes / max(signal.n_leaves, 1), 1)
    every = max(math.ceil(KEEP_RATIO * signal.part_nbytes / leaf_nbytes), 1)
    return every, max(math.ceil(LASTING_RATIO * signal.part_nbytes / (leaf_nbytes * every)), 1)


def _sums_under_way(plan: CubePlan, workers: int) -> Iterator[int]:
    """Give, for each part, the sums of it and of the parts whose leaves may begin before it is written."""
    parts = [
        (len(part.leaves), SLOTS * signal.checkpoint_nbytes if _is_kept(signal, len(part.leaves)) else 0)
        for signal in plan.signals
        for part in signal.parts
    ]
    ahead = workers + 1 + workers // 8  # as `engine.window_of`
    for first in range(len(parts)):
        total = n_leaves = 0
        for number, (leaves, nbytes) in enumerate(parts[first:]):
            if n_leaves >= ahead:
                break
            total += nbytes
            n_leaves += leaves if number else 0
        yield total


def _is_kept(signal: SignalPlan, n_leaves: int) -> bool:
    return 1 < n_leaves >= leaves_between_checkpoints(signal)[0]
