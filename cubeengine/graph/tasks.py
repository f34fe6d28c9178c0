"""What one task does: reduce a leaf, fold two partials, finish bins, write chunks.

Tasks take paths, ranges and values, open files themselves, and can be run again at any time.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.graph.retry import is_transient, persistently
from cubeengine.graph.work import WorkFolder, load_range
from cubeengine.kernels.moments import GroupedMoments, Partial, Statistics, finish, merge, regroup
from cubeengine.planning.chunks import Chunk
from cubeengine.shared import SharedArray
from cubeengine.sources.base import Block, Reader
from cubeengine.sources.columns import without_value
from cubeengine.store.state import mark_done, note_incident
from cubeengine.store.write import write_regions
from cubeengine.types import BoolArray, IntArray

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sums:
    """What a leaf, or a fold of leaves, hands on."""

    tiles: tuple[Partial, ...]  # partial sums of a part, one for each of its tiles
    left_out: IntArray
    """(3, n_groups) int64: Events of each group that were missing, as the reader says or as no element is
    finite; that were damaged; and that could not be read: the kinds of `LEFT_OUT`.
    """


LEFT_OUT = ("missing", "damaged", "failed")

Tally = dict[str, list[int]]
"""Signal -> for each selection in turn, the events of every kind of `LEFT_OUT`."""

RETRY_SECONDS = (0.2, 2.0, 15.0)
"""Waits before a read is tried again: for a hiccup, for a server that fails over, for one that restarts."""


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
    label : str
        Names the signal in messages.
    on_error : "stop" or "skip"
        Whether a leaf that cannot be read ends the run, or is left out and counted.
    incidents : Path, optional
        Folder to note in what had to be tried again or was left out.
    """

    rows: Path
    groups: Path
    group_range: tuple[int, int]
    tiles: tuple[tuple[int, int], ...]
    block_nbytes: int
    folder: WorkFolder | Path
    label: str = ""
    on_error: str = "stop"
    incidents: Path | None = None

    @property
    def place(self) -> str:
        """Name its part of the cube."""
        return f"{self.label}-{self.group_range[0]}-{self.tiles[0][0]}"

    @property
    def n_groups(self) -> int:
        """Groups of the part."""
        return self.group_range[1] - self.group_range[0]

    def pairs(self, start: int, stop: int) -> tuple[IntArray, NDArray[np.int32]]:
        """Return storage rows, and groups within the part, of the pairs of a leaf."""
        groups = load_range(self.groups, start, stop) - np.int32(self.group_range[0])
        return load_range(self.rows, start, stop), groups


@dataclass(frozen=True, slots=True)
class OutputJob:
    """How partials of one part become arrays of the cube."""

    name: str  # signal
    members: tuple[tuple[int, ...], ...]  # for each selection, the members of a bin it is merged from
    width: int  # groups per bin
    first_bin: int  # first bin of the part
    tiles: tuple[tuple[int, int], ...]  # ranges of elements of the partials
    element_chunks: tuple[Chunk, ...]  # store chunks along the elements, within the part
    dtype: str  # type of mean and std
    per_element: bool  # whether a count per element is stored, rather than one per bin
    gather: SharedArray | None = None
    """For images put together of finished frames: the element that each cell is taken from, or -1."""


def reduce_leaf(
    job: LeafJob,
    reader: Reader,
    start: int,
    stop: int,
    gate: object = None,  # noqa: ARG001
    mark: Path | None = None,
) -> Sums:
    """Add the pairs of one leaf up.

    `gate` is a task that has to be done before: it keeps reading from running ahead of folding. The file
    `mark` is there while the leaf is at work, and holds a byte for every time it was begun: what ends its
    worker is known by it.
    """
    with at_work(mark):
        return _reduce(job, reader, start, stop)


@contextmanager
def at_work(mark: Path | None) -> Iterator[None]:
    """Have a file be there while a task is at work, if one is named; see `reduce_leaf`."""
    if mark is None:
        yield
        return
    with mark.open("ab") as file:
        file.write(b".")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _reduce(job: LeafJob, reader: Reader, start: int, stop: int) -> Sums:
    rows, groups = job.pairs(start, stop)

    def note(what: str, err: OSError, times: int = 1) -> None:
        note_leaf(what, job, (start, stop), str(err), times=times)

    def failed(err: OSError, times: int) -> None:
        note("tried again", err, times)

    sums, left_out, empty = list[Partial](), _no_counts(job), np.ones(len(rows), bool)
    try:
        for tile in job.tiles:
            work = functools.partial(_reduce_tile, job, reader, tile, rows, groups)
            found = persistently(work, RETRY_SECONDS, failed)
            sums.append(found.sums)
            left_out, empty = found.left_out, empty & found.empty  # every tile leaves out the same events
        look = functools.partial(_still_empty, job, reader, rows, empty)
        empty = persistently(look, RETRY_SECONDS, failed)
    except OSError as err:
        if job.on_error == "skip":
            _LOG.warning("%s: %d events left out: %s", job.label, len(rows), err)
            note("left out", err)
            return skip_leaf(job, reader, start, stop)
        raise _named(err, job, rows) from err
    np.add.at(left_out[LEFT_OUT.index("missing")], groups[empty], 1)
    return Sums(tuple(sums), left_out)


def _no_counts(job: LeafJob) -> IntArray:
    return np.zeros((len(LEFT_OUT), job.n_groups), np.int64)


def skip_leaf(
    job: LeafJob,
    reader: Reader,
    start: int,
    stop: int,
    gate: object = None,  # noqa: ARG001 - as of `reduce_leaf`
    mark: Path | None = None,  # noqa: ARG001
) -> Sums:
    """Count the pairs of a leaf as failed, in place of adding them up."""
    left_out = _no_counts(job)
    np.add.at(left_out[LEFT_OUT.index("failed")], job.pairs(start, stop)[1], 1)
    tiles = (GroupedMoments(reader.dtype, job.n_groups, high - low).partial() for low, high in job.tiles)
    return Sums(tuple(tiles), left_out)


class Noted(Protocol):
    """A job whose incidents are recorded: what it makes, which part of it, and where to note."""

    @property
    def label(self) -> str:
        """Names the signal."""

    @property
    def place(self) -> str:
        """Names the part."""

    @property
    def incidents(self) -> Path | None:
        """Folder to note in, if any."""


def note_leaf(what: str, job: Noted, leaf: tuple[int, int], reason: str, *, times: int = 1) -> None:
    """Note that a leaf had to be tried again, or was left out, and why."""
    folder = job.incidents
    if folder is None:
        return
    name = f"{job.place}-{leaf[0]}-{what.replace(' ', '-')}"
    incident = {"what": what, "signal": job.label, "events": list(leaf), "times": times, "reason": reason}
    note_incident(folder, name, incident)


def _named(error: OSError, job: LeafJob, rows: IntArray) -> SourceFormatError:
    """Say which signal and which rows of storage could not be read."""
    tries = f" after {len(RETRY_SECONDS) + 1} tries" if is_transient(error) else ""
    where = f"{len(rows):,} events, rows {rows.min():,} to {rows.max():,}" if len(rows) else "no events"
    return SourceFormatError(f"signal {job.label!r} ({where}) cannot be read{tries}: {error}")


@dataclass(frozen=True, slots=True)
class _Tile:
    """What was found in a range of the elements of a leaf's events."""

    sums: Partial
    left_out: IntArray  # (3, n_groups) int64: As the reader says
    empty: BoolArray
    """(n_pairs,) bool: Events that the reader gives a value of, of which no element in the range is finite.
    """


def _reduce_tile(
    job: LeafJob, reader: Reader, tile: tuple[int, int], rows: IntArray, groups: NDArray[np.int32]
) -> _Tile:
    moments = GroupedMoments(reader.dtype, job.n_groups, tile[1] - tile[0])
    left_out = _no_counts(job)
    empty = np.zeros(len(rows), bool)
    for block in reader.blocks(rows, elements=slice(*tile), block_nbytes=job.block_nbytes):
        kept = _add_block(moments, left_out, block, groups[block.start : block.stop])
        empty[block.start : block.stop] = _no_finite(block, kept)
    return _Tile(moments.partial(), left_out, empty)


def _no_finite(block: Block, there: BoolArray) -> BoolArray:
    """Find the events of a block that have no finite element, of those that are there."""
    found = np.zeros(len(block.take), bool)
    if block.data.dtype.kind == "f":
        found[there] = without_value(block.data)[block.take[there]]  # a block of missing events has no data
    return found


def _still_empty(job: LeafJob, reader: Reader, rows: IntArray, empty: BoolArray) -> BoolArray:
    """Find the events of a leaf without a finite element anywhere, of those `empty` in the elements added.

    A part of the first elements looks at the others, for these events alone; other parts tell of no events.
    """
    if job.tiles[0][0] > 0:
        return np.zeros(len(rows), bool)
    still, seen, n_elements = empty.copy(), job.tiles[-1][1], math.prod(reader.shape)
    width = max(high - low for low, high in job.tiles)
    for low in range(seen, n_elements if empty.any() else seen, max(width, 1)):
        suspects, part = np.flatnonzero(still), slice(low, min(low + width, n_elements))
        for block in reader.blocks(rows[suspects], elements=part, block_nbytes=job.block_nbytes):
            # A formula may mark what it cannot compute for these rows, and have NaN beside other rows.
            there = np.ones(len(block.take), bool) if block.valid is None else block.valid
            still[suspects[block.start : block.stop]] = ~there | _no_finite(block, there)
    return still


def _add_block(
    moments: GroupedMoments, left_out: IntArray, block: Block, groups: NDArray[np.int32]
) -> BoolArray:
    """Add the events of a block that are there; returns which are."""
    damaged = np.zeros(len(groups), bool) if block.damaged is None else block.damaged
    missing = np.zeros(len(groups), bool) if block.valid is None else ~block.valid & ~damaged
    for number, lacking in enumerate((missing, damaged)):
        if lacking.any():
            np.add.at(left_out[number], groups[lacking], 1)
    kept = ~(missing | damaged)
    if kept.all():
        moments.add(block.data, block.take, groups)
    else:
        moments.add(block.data, block.take[kept], groups[kept])
    return kept


def fold(earlier: Sums, later: Sums) -> Sums:
    """Merge two partials of the same part."""
    tiles = tuple(merge(a, b) for a, b in zip(earlier.tiles, later.tiles, strict=True))
    return Sums(tiles, earlier.left_out + later.left_out)


def done(*results: Tally | Sums | None) -> Tally:
    """Mark that results exist: a task that others can wait for without holding them.

    Gives the sum of what was counted where they were written.
    """
    total: Tally = {}
    for result in results:
        if isinstance(result, dict):
            total = add_tallies(total, result)
    return total


def add_tallies(a: Tally, b: Tally) -> Tally:
    """Add what was counted, signal by signal."""
    both = {name: [x + y for x, y in zip(a[name], b[name], strict=True)] for name in a.keys() & b.keys()}
    return a | b | both


def finish_bins(job: OutputJob, sums: Sums, start: int, stop: int) -> dict[str, NDArray[Any]]:
    """Turn partials into statistics of some bins.

    Returns
    -------
    dict
        "mean", "std": (n_selections, n_bins, n_elements); "count" the same, or
        (n_selections, n_bins) where it is the same for all elements.
    """
    selections = range(len(job.members))
    parts = [_finish_selection(job, sums.tiles, (start, stop), selection) for selection in selections]
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def _finish_selection(
    job: OutputJob, partials: Sequence[Partial], bins: tuple[int, int], selection: int
) -> dict[str, NDArray[Any]]:
    members = _members(job, bins, selection)
    if len(partials) == 1 and partials[0].n_elements:  # as a rule: nothing to put together, no copies
        finished = _as_asked(job, finish(regroup(partials[0], members)))
    else:
        finished = _joined(job, partials, members)
    return finished if job.gather is None else _gathered(finished, job.gather.load())


def _joined(
    job: OutputJob, partials: Sequence[Partial], members: Sequence[IntArray]
) -> dict[str, NDArray[Any]]:
    n_bins, first = len(members), job.tiles[0][0]
    n_elements = job.tiles[-1][1] - first
    mean, std = (np.empty((n_bins, n_elements), job.dtype) for _ in range(2))
    count = np.zeros((n_bins, n_elements if job.per_element else 1), np.int64)
    for (low, high), partial in zip(job.tiles, partials, strict=True):
        statistics = finish(regroup(partial, members))
        mean[:, low - first : high - first] = statistics.mean
        std[:, low - first : high - first] = statistics.std
        count[:, low - first : high - first] = _count(statistics, per_element=job.per_element)
    return {"mean": mean, "std": std, "count": count if job.per_element else count[:, 0]}


def _gathered(finished: dict[str, NDArray[Any]], index: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Put images together; cells that no element belongs to are empty."""
    empty = index < 0
    images = {name: np.take(values, index, axis=1, mode="clip") for name, values in finished.items()}
    for name, values in images.items():
        values[:, empty] = 0 if name == "count" else np.nan
    return images


def _as_asked(job: OutputJob, statistics: Statistics) -> dict[str, NDArray[Any]]:
    with np.errstate(over="ignore"):  # infinite as float32: said in the guide
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


def write_bins(
    store: Path, job: OutputJob, bin_chunks: Sequence[Chunk], sums: Sums, mark: Path | None = None
) -> Tally:
    """Write the store chunks of some bins of a part, selection by selection; the file `mark` says it is done.

    Gives the events that were left out of these bins, if the part holds the first element: others tell
    of the same events.
    """
    write_regions(store, _regions(job, bin_chunks, sums.tiles))
    counted = _tally(job, bin_chunks, sums) if job.tiles[0][0] == 0 else {}
    if mark is not None:
        mark_done(mark, counted)
    return counted


def write_leaf(
    job: LeafJob,
    reader: Reader,
    start: int,
    stop: int,
    gate: object,
    running: Path | None,
    work: Callable[..., Sums],
    store: Path,
    output: OutputJob,
    batches: Sequence[tuple[Sequence[Chunk], Path | None]],
) -> Tally:
    """Make a leaf that is all of its part (`work` is `reduce_leaf` or `skip_leaf`), and write it."""
    sums = work(job, reader, start, stop, gate, running)
    total: Tally = {}
    for chunks, mark in batches:
        total = add_tallies(total, write_bins(store, output, chunks, sums, mark))
    return total


def _tally(job: OutputJob, bin_chunks: Sequence[Chunk], sums: Sums) -> Tally:
    counts = []
    for selection in range(len(job.members)):
        groups = [_members(job, (bins.start, bins.stop), selection) for bins in bin_chunks]
        chosen = np.concatenate([members for chunk in groups for members in chunk])
        counts += sums.left_out[:, chosen].sum(axis=1).tolist()
    return {job.name: counts} if any(counts) else {}


def _regions(
    job: OutputJob, bin_chunks: Sequence[Chunk], partials: Sequence[Partial]
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
