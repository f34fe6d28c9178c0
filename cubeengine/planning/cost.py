"""What reading, adding, merging and writing cost, in seconds of one core and in bytes of memory.

The rates only compare strategies with each other, so their ratios matter, not their values. They were
measured with `benchmarks/kernel.py` and `benchmarks/cube.py` on one machine and rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cubeengine.types import FieldInfo, Storage

MIB = 2**20

READ_RATE = 8e9  # bytes/s, plain bytes from the page cache
DECODE_RATE = {"gzip": 0.35e9, "shuffle": 3e9, "fletcher32": 2e9}  # bytes/s of decoded data
OTHER_DECODE_RATE = 1.2e9  # bitshuffle with lz4 or zstd, blosc, ...
KERNEL_RATE = 20e9  # bytes/s of plain input added while its groups' sums are in cache
STAGE_RATE = 2e9  # bytes/s of input that one stage works on
STATE_RATE = 10e9  # bytes/s of partial sums fetched from and returned to memory
ROW_SECONDS = 20e-6  # one more separate place to read from: 3 us from the page cache, far more from a disk
TASK_SECONDS = 3e-3  # scheduling one task
USUAL_WORKERS = 8  # a strategy with fewer leaves than that leaves workers idle; never the real number


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes that the planner aims at."""

    leaf_nbytes: int = 64 * MIB  # least input of a task: below it, scheduling costs more than some percent
    leaf_to_partial: int = 4  # how many times the size of the partial that it hands on a task reads at least
    leaf_nbytes_most: int = 2048 * MIB
    """Most input of a task in one bin's part, so that a lost task costs little; unless there would be more
    than `max_leaves`.
    """
    block_nbytes: int = 4 * MIB  # data read at a time, so that it is still in the cache when it is added
    chunk_nbytes: int = 8 * MIB  # size of a store chunk
    write_nbytes: int = 64 * MIB  # output that one task writes
    max_leaves: int = 2000
    """Most leaves per signal, all parts together and one more for each: a run of any length is some thousand
    tasks, not a million.
    """


def decode_seconds(storage: Storage, nbytes: float) -> float:
    """Estimate the time to undo the filters of that many decoded bytes."""
    rates = [DECODE_RATE.get(codec, OTHER_DECODE_RATE) for codec in storage.codecs]
    return nbytes * sum(1 / rate for rate in rates)


def read_buffer_nbytes(info: FieldInfo, n_elements: int, block_nbytes: int) -> int:
    """Return the memory that reading in blocks takes at most.

    Compressed data are decoded by whole chunks: the compressed bytes, the decoded chunk and one more
    copy to undo the byte shuffle stand beside the block itself.
    """
    row_nbytes = n_elements * info.dtype.itemsize
    chunk_nbytes = info.storage.chunk_events * info.event_nbytes
    if info.storage.addressable:
        return max(block_nbytes, row_nbytes) + MIB
    return max(block_nbytes, chunk_nbytes) + 3 * chunk_nbytes + info.storage.computing + MIB


def events_touched(info: FieldInfo, n_selected: int, n_events: int) -> int:
    """Estimate the events that are decoded so that `n_selected` of `n_events` can be had.

    Chunks are read whole; with events selected at random, a chunk of c events is spared only where
    none of its events is wanted.
    """
    if info.storage.addressable or n_events == 0:
        return n_selected
    wanted = n_selected / n_events
    return round(n_events * (1 - (1 - wanted) ** info.storage.chunk_events))


def add_seconds(info: FieldInfo, n_events: int, *, n_elements: int, n_groups: int, per_group: float) -> float:
    """Estimate the time to add events, when `per_group` events meet each time a group's sums are fetched."""
    nbytes = n_events * n_elements * info.dtype.itemsize
    state_nbytes = 2 * n_elements * state_itemsize(info.dtype) * n_events / max(per_group, 1)
    in_cache = n_groups * n_elements * state_itemsize(info.dtype) <= MIB
    return nbytes / KERNEL_RATE + (0 if in_cache else state_nbytes / STATE_RATE)


def state_itemsize(dtype: np.dtype[np.generic]) -> int:
    """Bytes of sums per group and element; about, as the kernels give the exact figure."""
    return 24 if dtype.kind == "f" or dtype.itemsize > 2 else 16
