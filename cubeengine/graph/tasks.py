"""What one task does: reduce a leaf, fold two partials, finish bins, write chunks.

Tasks take paths, ranges and values, open files themselves, and can be run again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.graph.work import WorkFolder, load_range
from cubeengine.kernels.moments import GroupedMoments, Partial, Statistics, finish, merge, regroup
from cubeengine.planning.chunks import Chunk
from cubeengine.sources.base import Block, Reader
from cubeengine.store.write import write_regions
from cubeengine.types import IntArray

Partials = tuple[Partial, ...]
"""Partial sums of a part, one for each of its tiles."""


@dataclass(frozen=True, slots=True)
class LeafJob:
    """All that the leaves of one part have in common.

    Attributes
    ----------
    rows, groups : Path
        Side files of the ordered pairs.
    group_range : (int, int)
        Groups of the part.
    tiles : tuple of (int, int)
        Ranges of elements, reduced one after another.
    block_nbytes : int
        Decoded bytes per block.
    folder : WorkFolder or Path
        Keeps the side files while the job is alive.
    """

    rows: Path
    groups: Path
    group_range: tuple[int, int]
    tiles: tuple[tuple[int, int], ...]
    block_nbytes: int
    folder: WorkFolder | Path


@dataclass(frozen=True, slots=True)
class OutputJob:
    """How partials of one part become arrays of the cube.

    Attributes
    ----------
    name : str
        Signal.
    members : tuple of tuple of int
        For each selection, the members of a bin it is merged from.
    width : int
        Groups per bin.
    first_bin : int
        First bin of the part.
    tiles : tuple of (int, int)
        Ranges of elements of the partials.
    element_chunks : tuple of Chunk
        Store chunks along the elements, within the part.
    dtype : str
        Type of mean and std.
    per_element : bool
        Whether a count per element is stored, rather than one per bin.
    """

    name: str
    members: tuple[tuple[int, ...], ...]
    width: int
    first_bin: int
    tiles: tuple[tuple[int, int], ...]
    element_chunks: tuple[Chunk, ...]
    dtype: str
    per_element: bool


def reduce_leaf(job: LeafJob, reader: Reader, start: int, stop: int, gate: None = None) -> Partials:  # noqa: ARG001
    """Add the pairs of one leaf up.

    `gate` is a task that has to be done before: it keeps reading from running ahead of folding.
    """
    rows = load_range(job.rows, start, stop)
    groups = load_range(job.groups, start, stop) - np.int32(job.group_range[0])
    return tuple(_reduce_tile(job, reader, tile, rows, groups) for tile in job.tiles)


def _reduce_tile(
    job: LeafJob, reader: Reader, tile: tuple[int, int], rows: IntArray, groups: NDArray[np.int32]
) -> Partial:
    n_groups = job.group_range[1] - job.group_range[0]
    moments = GroupedMoments(reader.dtype, n_groups, tile[1] - tile[0])
    for block in reader.blocks(rows, elements=slice(*tile), block_nbytes=job.block_nbytes):
        _add_block(moments, block, groups)
    return moments.partial()


def _add_block(moments: GroupedMoments, block: Block, groups: NDArray[np.int32]) -> None:
    take, wanted = block.take, groups[block.start : block.stop]
    if block.valid is not None:
        take, wanted = take[block.valid], wanted[block.valid]
    moments.add(block.data, take, wanted)


def fold(earlier: Partials, later: Partials) -> Partials:
    """Merge two partials of the same part."""
    return tuple(merge(a, b) for a, b in zip(earlier, later, strict=True))


def done(*results: object) -> None:
    """Mark that results exist: a task that others can wait for without holding them."""


def finish_bins(job: OutputJob, partials: Partials, start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Turn partials into statistics of some bins.

    Returns
    -------
    dict
        "mean", "std": (n_selections, n_bins, n_elements); "count" the same, or
        (n_selections, n_bins) where it is the same for all elements.
    """
    selections = range(len(job.members))
    parts = [_finish_selection(job, partials, (start, stop), selection) for selection in selections]
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _finish_selection(
    job: OutputJob, partials: Partials, bins: tuple[int, int], selection: int
) -> dict[str, NDArray[Any]]:
    members = _members(job, bins, selection)
    if len(partials) == 1 and partials[0].n_elements:  # as a rule: nothing to put together, no copies
        return _named(job, finish(regroup(partials[0], members)))
    n_bins, first = bins[1] - bins[0], job.tiles[0][0]
    n_elements = job.tiles[-1][1] - first
    mean, std = (np.empty((n_bins, n_elements), job.dtype) for _ in range(2))
    count = np.zeros((n_bins, n_elements if job.per_element else 1), np.int64)
    for (low, high), partial in zip(job.tiles, partials, strict=True):
        statistics = finish(regroup(partial, members))
        mean[:, low - first : high - first] = statistics.mean
        std[:, low - first : high - first] = statistics.std
        count[:, low - first : high - first] = _count(statistics, per_element=job.per_element)
    return {"mean": mean, "std": std, "count": count if job.per_element else count[:, 0]}


def _named(job: OutputJob, statistics: Statistics) -> dict[str, NDArray[Any]]:
    mean, std = (values.astype(job.dtype, copy=False) for values in (statistics.mean, statistics.std))
    return {
        "mean": mean,
        "std": std,
        "count": statistics.count if job.per_element else statistics.count[:, 0],
    }


def _count(statistics: Statistics, *, per_element: bool) -> NDArray[np.int64]:
    return statistics.count if per_element else statistics.count[:, :1]


def _members(job: OutputJob, bins: tuple[int, int], selection: int) -> list[IntArray]:
    members = np.array(job.members[selection], np.int64)
    return [(number - job.first_bin) * job.width + members for number in range(*bins)]


def cut(
    finished: dict[str, NDArray[Any]], statistic: str, job: OutputJob, bins: Chunk, elements: Chunk
) -> Any:
    """Cut one chunk out of finished bins and give it its dimensions."""
    values = finished[statistic]
    shape = (len(values), *_shape(bins))
    if values.ndim == 2:
        return values.reshape(shape)
    first = job.tiles[0][0]
    piece = values[:, :, elements.start - first : elements.stop - first]
    return piece.reshape(*shape, *_shape(elements))


def _shape(chunk: Chunk) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in chunk.region)


def write_bins(store: Path, job: OutputJob, bin_chunks: Sequence[Chunk], partials: Partials) -> None:
    """Write the store chunks of some bins of a part, selection by selection."""
    write_regions(store, _regions(job, bin_chunks, partials))


def _regions(
    job: OutputJob, bin_chunks: Sequence[Chunk], partials: Partials
) -> Iterator[tuple[str, tuple[slice, ...], NDArray[Any]]]:
    for bins in bin_chunks:
        for selection in range(len(job.members)):
            finished = _finish_selection(job, partials, (bins.start, bins.stop), selection)
            for elements in job.element_chunks:
                yield from _chunk_regions(job, finished, selection, bins, elements)


def _chunk_regions(
    job: OutputJob, finished: dict[str, NDArray[Any]], selection: int, bins: Chunk, elements: Chunk
) -> Iterator[tuple[str, tuple[slice, ...], NDArray[Any]]]:
    region = (slice(selection, selection + 1), *bins.region)
    for statistic in finished:
        if finished[statistic].ndim == 1 and elements.start > 0:
            continue  # one count for all elements: written once, by the part that holds the first
        values = cut({statistic: finished[statistic][None]}, statistic, job, bins, elements)
        where = region if finished[statistic].ndim == 1 else (*region, *elements.region)
        yield f"{job.name}_{statistic}", where, values
