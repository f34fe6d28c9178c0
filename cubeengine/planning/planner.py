"""Choose, for one signal, what tasks are: a pure function from sizes to a plan, with its reasons.

Three strategies, each a way to cut the result into parts and the events of a part into leaves:

stream   one part; leaves are runs of events, whose partial cubes are folded
by_bin   parts are ranges of bins; a leaf reads just the events of its bins; nothing to merge
by_tile  parts are ranges of the frame; within each, as stream

Of those that fit the memory the cheapest is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cubeengine.budget import Budget, format_size
from cubeengine.errors import BudgetExceeded
from cubeengine.planning.chunks import chunk_ranges, chunk_shape, split_evenly
from cubeengine.planning.cost import (
    MIB,
    READ_RATE,
    ROW_SECONDS,
    STAGE_RATE,
    STATE_RATE,
    TASK_SECONDS,
    USUAL_WORKERS,
    Tuning,
    add_seconds,
    decode_seconds,
    events_touched,
    read_buffer_nbytes,
)
from cubeengine.planning.plan import Part, Rejection, SignalPlan
from cubeengine.planning.reasons import reason, why_not
from cubeengine.planning.shape import SignalShape

GROUP_ORDER_NBYTES = 32 * 1024
"""From this size of a frame on, a leaf reads its events group after group: single reads of 64 KiB reach
8.5 GB/s from the page cache where reads in a row reach 13, and not fetching the sums again for every
event spares more than that (measured: equal at 32 KiB, twice as fast at 64 KiB and above)."""

TILE_NBYTES = 512 * 1024
"""Part of a large frame that is read and added at a time: an efficient read, and so small that a block
holds several events of a group."""

MIN_LEAVES = 8
"""A short run is split into so many leaves, even if they are small beside the partial: workers share it."""

MOST_LEAF = 4
"""Long runs get leaves of so many times the least: each costs some 3 ms for its task and its files
(measured: a cube by_bin is made 15 % faster with leaves of 256 MiB than with 64 MiB)."""

CHECKPOINT_HEAD_NBYTES = 64
"""What a file of sums says of itself; see `graph.checkpoints`."""

PAIR_NBYTES = 24
"""Row and group of each event of a leaf, and the group within its part."""

EVENTS_PER_GROUP = 4
"""Events of each group that should meet in a block, so that fetching its sums pays."""

ALIKE = 1.2
"""Estimates that differ by less are alike: what is read twice then burdens the storage for nothing."""

MOST_PARTS = 2**13
"""Parts of a signal at most, which are as many tasks: frames or bins of which there would be more, terabytes
of sums, are refused without listing them."""

EVENTS_PER_TILE_READ = 8
"""Events in a block at least, where tiles are large."""


Strategy = Callable[[SignalShape, Budget, Tuning], SignalPlan]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Store chunks of a signal along bins and along elements."""

    bin_chunks: tuple[int, ...]
    element_chunks: tuple[int, ...]


def plan_signal(shape: SignalShape, budget: Budget, tuning: Tuning) -> SignalPlan:
    """Choose the strategy of one signal.

    Raises
    ------
    BudgetExceeded
        If no strategy fits one worker; names the worst task and what would help.
    """
    candidates = [strategy(shape, budget, tuning) for strategy in _applicable(shape)]
    fitting = [plan for plan in candidates if plan.memory(1) <= budget.usable]
    if not fitting:
        least = min(candidates, key=lambda plan: plan.memory(1))
        raise _too_large(shape, least, budget, tuning)
    best = _cheapest(fitting)
    return replace(
        best,
        reason=reason(best, shape),
        rejected=(
            *(
                Rejection(plan.strategy, why_not(plan, best, budget))
                for plan in candidates
                if plan is not best
            ),
            *_inapplicable(shape),
        ),
    )


def _cheapest(plans: Sequence[SignalPlan]) -> SignalPlan:
    """Return the plan of the least time; where that is about the same, the one that reads least."""
    least = min(plan.seconds for plan in plans)
    return min(plans, key=lambda plan: (plan.seconds > ALIKE * least, plan.read_nbytes, plan.seconds))


def _applicable(shape: SignalShape) -> Iterator[Strategy]:
    yield _stream
    if shape.n_bins > 1:
        yield _by_bin
    if shape.n_elements > 1 and shape.image is None:
        yield _by_tile


def _inapplicable(shape: SignalShape) -> Iterator[Rejection]:
    if shape.n_bins <= 1:
        yield Rejection("by_bin", "there is only one bin")
    if shape.n_elements <= 1:
        yield Rejection("by_tile", "a single number cannot be split")
    elif shape.image is not None:
        yield Rejection("by_tile", "the image is assembled from whole frames, once for the finished cube")


def _stream(shape: SignalShape, budget: Budget, tuning: Tuning) -> SignalPlan:
    grid = _grid(shape, tuning)
    return _folded(shape, budget, tuning, grid, "stream", ((0, shape.n_elements),))


def _by_tile(shape: SignalShape, budget: Budget, tuning: Tuning) -> SignalPlan:
    # A fold holds some five partials. Where tiles are cheap to read, several threads get room as well.
    room = budget.usable // (12 if shape.info.storage.addressable else 6)
    per_element = max(shape.partial(shape.n_bins, 1), 1)
    most = max(min(room // per_element, math.ceil(shape.n_elements / 2)), shape.n_elements // MOST_PARTS, 1)
    tuned = replace(tuning, chunk_nbytes=min(tuning.chunk_nbytes, most * 8))
    grid = _grid(shape, tuned, most_elements=most)
    tiles = tuple(chunk_ranges(shape.output.shape, grid.element_chunks, most))
    return _folded(shape, budget, tuning, grid, "by_tile", tiles)


def _folded(
    shape: SignalShape,
    budget: Budget,
    tuning: Tuning,
    grid: _Grid,
    strategy: str,
    ranges: Sequence[tuple[int, int]],
) -> SignalPlan:
    """Plan parts of all bins and some elements, each folded from runs of consecutive events."""
    widest = max(stop - start for start, stop in ranges)
    partial = shape.partial(shape.n_bins, widest)
    event_nbytes = max(shape.read_nbytes(elements) for elements in ranges)
    part_input = shape.n_pairs * event_nbytes
    worth_folding = min(tuning.leaf_to_partial * partial, part_input / MIN_LEAVES)
    # Compressed frames are read in large blocks. A leaf fills its block, so that short runs take the
    # memory that long ones do.
    block = _reading(shape, budget, tuning, n_groups=shape.n_bins * shape.width, n_elements=widest)[2]
    block = 0 if shape.info.storage.addressable else _input_block(shape, ranges[0], block)[1]
    fewest = len(ranges) * part_input / tuning.max_leaves
    least = max(_leaf_input(part_input, tuning), worth_folding, fewest, block)
    events_per_leaf = max(int(least / max(event_nbytes, 1)), 1)
    leaves = _event_runs(shape, events_per_leaf)
    parts = tuple(Part((0, shape.n_bins), elements, leaves) for elements in ranges)
    per_group = events_per_leaf / max(shape.n_bins * shape.width, 1)
    return _assemble(shape, budget, tuning, grid, strategy, parts, per_group=per_group, passes=len(parts))


def _leaf_input(part_input: float, tuning: Tuning) -> float:
    """Return the bytes that a leaf should read: enough to be worth a task, in leaves for some workers."""
    return min(max(part_input / MIN_LEAVES, tuning.leaf_nbytes), MOST_LEAF * tuning.leaf_nbytes)


def _by_bin(shape: SignalShape, budget: Budget, tuning: Tuning) -> SignalPlan:
    per_bin = shape.partial(1, shape.n_elements)
    mean_input = shape.input_nbytes / max(shape.n_bins, 1)
    if shape.info.storage.separable:
        worth_a_task = math.ceil(_leaf_input(shape.input_nbytes, tuning) / max(mean_input, 1))
        bins = max(worth_a_task, math.ceil(shape.n_bins / tuning.max_leaves))
        room = min(budget.usable // 4, per_bin * bins)
    else:
        room = budget.usable * 2 // 5  # every part decodes what it shares chunks with: few large parts
    most = int(np.clip(room // max(per_bin, 1), max(shape.n_bins // MOST_PARTS, 1), shape.n_bins))
    tuned = replace(tuning, chunk_nbytes=min(tuning.chunk_nbytes, most * shape.output.n_elements * 8))
    grid = _grid(shape, tuned)
    parts = _bin_parts(shape, tuning, tuple(chunk_ranges(shape.bins_shape, grid.bin_chunks, most)))
    per_group = shape.n_pairs / max(shape.n_bins * shape.width, 1)
    codec_passes = min(len(parts), shape.info.storage.chunk_events)
    passes = 1 if shape.info.storage.separable else codec_passes
    return _assemble(shape, budget, tuning, grid, "by_bin", parts, per_group=per_group, passes=passes)


def _bin_parts(shape: SignalShape, tuning: Tuning, ranges: Sequence[tuple[int, int]]) -> tuple[Part, ...]:
    edges = np.concatenate([[0], np.cumsum(shape.bin_pairs)])
    fewest = math.ceil(shape.n_pairs / tuning.max_leaves)
    most = max(tuning.leaf_nbytes_most // max(shape.event_nbytes, 1), fewest, 1)
    if not shape.info.storage.separable:
        most = max(shape.n_pairs, 1)  # partials are large then: one leaf a part, so that none is folded
    return tuple(
        Part(bins, (0, shape.n_elements), split_evenly(int(edges[bins[0]]), int(edges[bins[1]]), most))
        for bins in ranges
    )


def _event_runs(shape: SignalShape, events_per_leaf: int) -> tuple[tuple[int, int], ...]:
    """Split the pairs, in the order of storage, into runs that share no storage chunk."""
    runs = split_evenly(0, shape.n_pairs, events_per_leaf)
    per_chunk = shape.info.storage.chunk_events
    starts = np.array([start for start, _ in runs[1:]], np.int64)
    chunk_starts = shape.rows[starts] // per_chunk * per_chunk
    borders = np.unique([0, *np.searchsorted(shape.rows, chunk_starts), shape.n_pairs])
    pairs = zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)
    return tuple(pairs) or ((0, 0),)


def _grid(shape: SignalShape, tuning: Tuning, most_elements: int | None = None) -> _Grid:
    limit = max(tuning.chunk_nbytes // 8, 1)
    element_limit = min(limit, most_elements or limit)
    element_chunks = chunk_shape(shape.output.shape, element_limit)
    whole_frame = math.prod(element_chunks) == shape.output.n_elements
    per_chunk = max(limit // max(shape.output.n_elements, 1), 1) if whole_frame else 1
    bin_chunks = chunk_shape(shape.bins_shape, per_chunk)
    return _Grid(bin_chunks, element_chunks)


def _assemble(
    shape: SignalShape,
    budget: Budget,
    tuning: Tuning,
    grid: _Grid,
    strategy: str,
    parts: tuple[Part, ...],
    *,
    per_group: float,
    passes: int,
) -> SignalPlan:
    n_bins = max(part.bins[1] - part.bins[0] for part in parts)
    n_elements = max(part.elements[1] - part.elements[0] for part in parts)
    n_groups = n_bins * shape.width
    order, tile, block = _reading(shape, budget, tuning, n_groups=n_groups, n_elements=n_elements)
    partial = shape.partial(n_bins, n_elements)
    pairs = max(stop - start for part in parts for start, stop in part.leaves)
    buffer = _buffer_nbytes(shape, parts, tile, block) + PAIR_NBYTES * pairs
    chunk_nbytes = math.prod(grid.bin_chunks) * math.prod(grid.element_chunks) * 8
    merging = any(len(part.leaves) > 1 for part in parts)
    read_nbytes = _read_nbytes(shape, parts, passes)
    return SignalPlan(
        name=shape.name,
        field=shape.field,
        info=shape.output,
        unit=shape.unit,
        out_dtype=shape.out_dtype,
        strategy=strategy,
        reason="",
        rejected=(),
        order=order,
        parts=parts,
        tile_elements=tile,
        block_nbytes=block,
        bin_chunks=grid.bin_chunks,
        element_chunks=grid.element_chunks,
        part_nbytes=partial,
        checkpoint_nbytes=_checkpoint_nbytes(partial, n_groups, math.ceil(n_elements / tile)),
        leaf_nbytes=partial + buffer,
        merge_nbytes=3 * partial if merging else 0,
        write_nbytes=partial + _finished_nbytes(shape, grid, n_elements) + 4 * chunk_nbytes,
        read_nbytes=read_nbytes,
        seconds=_seconds(shape, parts, order, per_group, read_nbytes, n_groups, partial),
        late_image=shape.image is not None,
    )


def _checkpoint_nbytes(partial: int, n_groups: int, n_tiles: int) -> int:
    """Return the size of a file of sums: besides the sums of each tile, what was left out of every group."""
    return partial + 8 * n_groups * (3 + n_tiles - 1) + CHECKPOINT_HEAD_NBYTES + 8 * n_tiles


def _finished_nbytes(shape: SignalShape, grid: _Grid, n_elements: int) -> int:
    """Return the memory of mean, std and count of the bins that are finished together."""
    written = n_elements + (shape.image.n_elements if shape.image else 0)
    return 3 * 8 * math.prod(grid.bin_chunks) * written


def _read_nbytes(shape: SignalShape, parts: Sequence[Part], passes: int) -> int:
    """Return the bytes that all leaves read; what is decoded in chunks is decoded in every pass."""
    source = shape.source
    if source.storage.addressable:
        return shape.n_pairs * sum(shape.read_nbytes(elements) for elements in {p.elements for p in parts})
    touched = events_touched(source, shape.n_pairs, max(source.n_rows, shape.n_pairs))
    return touched * source.read_nbytes * passes


def _input_block(shape: SignalShape, elements: tuple[int, int], block: int) -> tuple[int, int]:
    """Return elements and bytes of a block as it is read, for a block of what is added."""
    if shape.staging:
        return shape.staging.input_of(elements, block)
    return elements[1] - elements[0], block


def _buffer_nbytes(shape: SignalShape, parts: Sequence[Part], tile: int, block: int) -> int:
    """Return the memory to read in blocks and to work on them."""
    ranges = {(0, tile)} if shape.info.storage.addressable else {part.elements for part in parts}
    reading = max(read_buffer_nbytes(shape.source, *_input_block(shape, r, block)) for r in ranges)
    if shape.staging is None:
        return reading
    return reading + max(shape.staging.memory_nbytes(elements, block) for elements in ranges)


def _reading(
    shape: SignalShape, budget: Budget, tuning: Tuning, *, n_groups: int, n_elements: int
) -> tuple[str, int, int]:
    """Decide order of the events in a leaf, elements per tile, and bytes per block of what is added."""
    info = shape.info
    row_nbytes = n_elements * info.dtype.itemsize
    most = max(min(256 * MIB, budget.usable // 8), tuning.block_nbytes)
    if info.storage.addressable and row_nbytes >= GROUP_ORDER_NBYTES:
        tile = min(n_elements, TILE_NBYTES // info.dtype.itemsize)
        n_tiles = math.ceil(n_elements / tile)
        tile = math.ceil(n_elements / n_tiles)
        return "group", tile, max(tuning.block_nbytes, EVENTS_PER_TILE_READ * tile * info.dtype.itemsize)
    if shape.source.storage.addressable and row_nbytes >= GROUP_ORDER_NBYTES:
        # Stages that need whole frames: these cannot be read in tiles, but one by one in any order.
        return "group", n_elements, int(np.clip(EVENTS_PER_TILE_READ * row_nbytes, tuning.block_nbytes, most))
    wanted = EVENTS_PER_GROUP * n_groups * info.event_nbytes
    return "storage", n_elements, int(np.clip(wanted, tuning.block_nbytes, most))


def _seconds(
    shape: SignalShape,
    parts: Sequence[Part],
    order: str,
    per_group: float,
    read_nbytes: int,
    n_groups: int,
    partial: int,
) -> float:
    info = shape.info
    n_leaves = sum(len(part.leaves) for part in parts)
    pieces = len({part.elements for part in parts}) > 1 and info.storage.addressable
    scattered = order == "group" or pieces or len({part.bins for part in parts}) > 1
    places = shape.n_pairs * len({part.elements for part in parts}) if scattered else 0
    meeting = min(per_group, EVENTS_PER_TILE_READ if order == "group" else EVENTS_PER_GROUP)
    work = (
        read_nbytes / READ_RATE
        + decode_seconds(shape.source.storage, read_nbytes)
        + (len(shape.staging.pipeline.stages) * read_nbytes / STAGE_RATE if shape.staging else 0)
        + places * ROW_SECONDS
        + add_seconds(info, shape.n_pairs, n_elements=shape.n_elements, n_groups=n_groups, per_group=meeting)
        + 3 * partial * (n_leaves - len(parts)) / STATE_RATE
        + n_leaves * TASK_SECONDS
    )
    return work / min(n_leaves, USUAL_WORKERS)


def _too_large(shape: SignalShape, plan: SignalPlan, budget: Budget, tuning: Tuning) -> BudgetExceeded:
    name, nbytes = plan.worst_task
    need = plan.memory(1) + (budget.per_worker - budget.usable)
    return BudgetExceeded(
        f"task {name!r} needs {format_size(nbytes)}, and a worker running it {format_size(need)} in all, "
        f"but a worker has {format_size(budget.per_worker)}; even {plan.strategy} does not fit: "
        f"use resources.memory >= {_enough(shape, need, tuning):,} GiB, fewer bins or selections, "
        f"or a smaller signal ({shape.n_elements:,} elements in each of {shape.n_bins:,} bins now)"
    )


def _enough(shape: SignalShape, need: int, tuning: Tuning) -> float:
    """Find a memory, in GiB, that some strategy fits: sizes follow the budget, so it is tried out."""
    quarters = math.ceil(need / 2**28)
    while not any(
        plan.memory(1) <= Budget(quarters * 2**28).usable
        for plan in (strategy(shape, Budget(quarters * 2**28), tuning) for strategy in _applicable(shape))
    ):
        quarters += math.ceil(quarters / 8)
    return quarters / 4


STRATEGIES: Mapping[str, Strategy] = {"stream": _stream, "by_bin": _by_bin, "by_tile": _by_tile}
"""Each strategy by its name, for those who want to compare them; `plan_signal` chooses."""
