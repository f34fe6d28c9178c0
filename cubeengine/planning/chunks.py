"""Chunk grids whose chunks are contiguous ranges of the flat index, so that tasks own whole chunks.

A chunk of shape (1, ..., 1, c, full, ..., full) covers consecutive flat indices. Restricted to that
form, "bins 12 to 24" and "elements 0 to 8192" name whole chunks of any number of dimensions.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: a range of the flat index and the same as a region of the array."""

    start: int
    stop: int
    region: tuple[slice, ...]


def chunk_shape(shape: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """Return the largest contiguous chunk of at most `limit` items (at least one).

    Examples
    --------
    >>> chunk_shape((4, 6, 10), 30)
    (1, 3, 10)
    >>> chunk_shape((), 30)
    ()
    """
    chosen = [1] * len(shape)
    room = max(limit, 1)
    for axis in reversed(range(len(shape))):
        chosen[axis] = max(min(shape[axis], room), 1)
        if chosen[axis] < shape[axis]:
            break
        room //= shape[axis]
    return tuple(chosen)


def chunk_grid(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[Chunk, ...]:
    """List the chunks of a grid in the order of the flat index.

    Examples
    --------
    >>> [(chunk.start, chunk.stop) for chunk in chunk_grid((2, 5), (1, 3))]
    [(0, 3), (3, 5), (5, 8), (8, 10)]
    """
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    corners = [range(0, size, step) for size, step in zip(shape, chunks, strict=True)]
    return tuple(_chunk(corner, shape, chunks, strides) for corner in product(*corners))


def chunks_within(grid: Sequence[Chunk], interval: tuple[int, int]) -> Sequence[Chunk]:
    """Return the chunks of a grid that lie in a range of the flat index."""
    first = bisect_left(grid, interval[0], key=attrgetter("start"))
    return grid[first : bisect_right(grid, interval[1], key=attrgetter("stop"))]


def chunk_ranges(shape: tuple[int, ...], chunks: tuple[int, ...], most: int) -> Iterator[tuple[int, int]]:
    """Join neighbouring chunks of a grid into ranges of at most `most` items, one chunk at least.

    Computed from the shape, however many chunks there are: the work is that of the ranges that are taken.

    Examples
    --------
    >>> list(chunk_ranges((2, 5), (1, 3), 6))
    [(0, 5), (5, 10)]
    """
    n_items = math.prod(shape)
    split = next((axis for axis, (n, chunk) in enumerate(zip(shape, chunks, strict=True)) if chunk > 1), 0)
    row, step = math.prod(shape[split:]), math.prod(chunks)
    start = 0
    while start < n_items:
        whole_rows, rest = divmod(start + most, row)
        stop = min(whole_rows * row + rest // step * step, n_items)
        if stop <= start:  # not even one chunk
            stop = min(start + step, (start // row + 1) * row)
        yield start, stop
        start = stop


def _chunk(
    corner: tuple[int, ...], shape: tuple[int, ...], chunks: tuple[int, ...], strides: list[int]
) -> Chunk:
    region = tuple(
        slice(low, min(low + step, size)) for low, step, size in zip(corner, chunks, shape, strict=True)
    )
    start = sum(low * stride for low, stride in zip(corner, strides, strict=True))
    size = math.prod(part.stop - part.start for part in region)
    return Chunk(start, start + size, region)


def split_evenly(start: int, stop: int, limit: int) -> tuple[tuple[int, int], ...]:
    """Split a range into the fewest pieces of at most `limit`, as equal as can be.

    Examples
    --------
    >>> split_evenly(0, 10, 4)
    ((0, 4), (4, 7), (7, 10))
    """
    n_items = stop - start
    n_pieces = max(math.ceil(n_items / max(limit, 1)), 1)
    size, extra = divmod(n_items, n_pieces)
    edges = [start + piece * size + min(piece, extra) for piece in range(n_pieces + 1)]
    return tuple(pairwise(edges))
