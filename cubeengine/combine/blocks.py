"""The work in blocks: whole chunks of the new cube, each made and written by one thread."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cubeengine.budget import WORKER_BASELINE, Budget, format_size
from cubeengine.combine.content import Values
from cubeengine.errors import BudgetExceeded
from cubeengine.store.layout import CubeLayout, Region, choose_chunks, regions
from cubeengine.store.write import create, discard, publish, update_attrs, write_regions

BLOCK_ELEMENTS = 2**20
"""Elements of a block: 8 MiB per array, some 10 ms of work."""

ELEMENT_NBYTES = 112
"""Memory of a block per element: four float64 of the sum, three arrays as read and the chunk they come from
(64 bytes), then three finished arrays and the packed chunk of one (32 bytes more). Measured: 75 to 100."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the work may use."""

    budget: Budget  # memory of this process
    threads: int  # blocks at a time

    @classmethod
    def of(cls, budget: Budget, workers: int | None) -> Limits:
        """Share the budget among threads: as many as fit, up to those wanted.

        Raises
        ------
        BudgetExceeded
            If not even one block fits.
        """
        fitting = budget.usable // (BLOCK_ELEMENTS * ELEMENT_NBYTES)
        if fitting == 0:
            least = WORKER_BASELINE + BLOCK_ELEMENTS * ELEMENT_NBYTES
            wanted = format_size(math.ceil(least / 2**20) * 2**20)
            raise BudgetExceeded(
                f"{format_size(budget.per_worker)} of memory is too little to combine cubes; use --memory "
                f"{wanted!r}, in Python memory={wanted!r}, or more"
            )
        return cls(budget, min(workers or len(os.sched_getaffinity(0)), fitting))


@dataclass(frozen=True, slots=True)
class SignalWork:
    """One signal of the new cube.

    Attributes
    ----------
    name : str
        Its name.
    shape, chunks : tuple of int
        Of mean and std: bins, then elements.
    n_bin_dims : int
        How many of the dimensions are those of `n_events`.
    counted : bool
        Whether every element has a count of its own.
    make : callable
        Region -> count, mean, std; the count over the bins only unless `counted`.
    """

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    n_bin_dims: int
    counted: bool
    make: Callable[[Region], Values]

    @property
    def size(self) -> int:
        """Elements in all."""
        return math.prod(self.shape)

    def blocks(self) -> Iterator[Region]:
        """Return regions of whole chunks."""
        return regions(self.shape, grown(self.chunks, self.shape))

    def pieces(self, region: Region) -> Iterator[tuple[str, Region, NDArray[Any]]]:
        """Make what is to be written of a region; the first block along the elements brings the count."""
        count, mean, std = self.make(region)
        bins, elements = region[: self.n_bin_dims], region[self.n_bin_dims :]
        if self.counted:
            yield f"{self.name}_count", region, count
        elif all(part.start == 0 for part in elements):
            yield f"{self.name}_count", bins, count
        yield f"{self.name}_mean", region, mean
        yield f"{self.name}_std", region, std


def new_chunks(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Choose chunks: those of the source, or parts of them where they are larger than a block.

    Examples
    --------
    >>> new_chunks((2, 40, 512, 512), (1, 4, 512, 512))
    (1, 4, 512, 512)
    >>> new_chunks((2, 40, 1024, 1024), (1, 40, 1024, 1024))
    (1, 1, 1024, 1024)
    """
    chunks = tuple(max(min(part, size), 1) for part, size in zip(wanted, shape, strict=True))
    if math.prod(chunks) <= BLOCK_ELEMENTS:
        return chunks
    return choose_chunks(shape, 8, block=chunks, limit=BLOCK_ELEMENTS * 8)


def grown(chunks: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a block of as many chunks as there may be in one.

    Examples
    --------
    >>> grown((1, 1, 250_000), (2, 10, 250_000))
    (1, 4, 250000)
    """
    block = list(chunks)
    for dim in reversed(range(len(shape))):
        room = max(BLOCK_ELEMENTS // max(math.prod(block), 1), 1)
        n_chunks = -(-shape[dim] // max(chunks[dim], 1))
        block[dim] = min(chunks[dim] * min(room, n_chunks), max(shape[dim], 1))
        if block[dim] < shape[dim]:
            break
    return tuple(block)


def write_cube(
    target: Path,
    layout: CubeLayout,
    small: Mapping[str, NDArray[Any]],
    fill: Callable[[Path], Mapping[str, object]],
    *,
    overwrite: bool,
) -> None:
    """Create a cube, fill it in, and publish it; on any failure nothing is left behind.

    Parameters
    ----------
    fill : callable
        Is given the temporary store, writes the signals, and gives the attributes of the group.

    Raises
    ------
    StoreMismatch
        If something is at `target` that may not be replaced.
    StoreWriteError
        If the file system fails.
    """
    store = create(target, layout, small, overwrite=overwrite)
    try:
        update_attrs(store, fill(store))
        publish(store, target, overwrite=overwrite)
    except BaseException:
        discard(store)
        raise


def block_tasks(store: Path, works: Sequence[SignalWork]) -> Iterator[Callable[[], None]]:
    """Yield one task per block of all signals."""
    for work in works:
        for region in work.blocks():
            yield _BlockTask(store, work, region)


@dataclass(frozen=True, slots=True)
class _BlockTask:
    store: Path
    work: SignalWork
    region: Region

    def __call__(self) -> None:
        write_regions(self.store, self.work.pieces(self.region))


def run_tasks(tasks: Iterable[Callable[[], None]], threads: int) -> None:
    """Run tasks, a few ahead; the first error ends all."""
    waiting = iter(tasks)
    with ThreadPoolExecutor(threads, thread_name_prefix="combine") as pool:
        running: set[Future[None]] = set()
        try:
            while True:
                running |= {pool.submit(task) for task in islice(waiting, 2 * threads - len(running))}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
