"""What one task does: read the frames of a range of slots, and write them as whole store chunks.

Tasks take paths, ranges and values, open files themselves, and can be run again at any time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.graph.retry import persistently
from cubeengine.graph.tasks import LEFT_OUT, RETRY_SECONDS, Tally, at_work, note_leaf
from cubeengine.graph.work import WorkFolder, load_range
from cubeengine.picking.plan import Shape, Variable
from cubeengine.planning.chunks import Chunk, chunk_grid
from cubeengine.sources.base import Block, Reader
from cubeengine.sources.columns import without_value
from cubeengine.store.layout import Region
from cubeengine.store.state import mark_done
from cubeengine.store.write import write_regions
from cubeengine.types import IntArray

_LOG = logging.getLogger(__name__)

READ = "read"
"""State of a frame that is there; all others are those of `LEFT_OUT`."""

STATES = (READ, *LEFT_OUT)


@dataclass(frozen=True, slots=True)
class PickJob:
    """All that the tasks of one variable have in common."""

    rows: Path  # side file of the storage row of every slot, -1 where no event was picked
    store: Path  # temporary store
    variable: Variable  # what is read and written
    selection_slots: int  # slots of one selection
    n_selections: int  # selections
    folder: WorkFolder | Path  # keeps the side files while the job is alive
    on_error: str = "stop"
    """Whether frames that cannot be read end the run ("stop"), or are left out and counted ("skip")."""
    incidents: Path | None = None  # folder to note in what had to be tried again or was left out

    @property
    def label(self) -> str:
        """Names the variable in messages."""
        return self.variable.name

    @property
    def place(self) -> str:
        """The same: a variable is one part."""
        return self.label


def write_frames(
    job: PickJob, reader: Reader, start: int, stop: int, batch: Chunk, running: Path | None, done: Path | None
) -> Tally:
    """Read and write the frames of a batch of slots; gives what was left out.

    The file `running` is there while the task is at work, `done` says that it is done.
    """
    with at_work(running):
        return _write(job, partial(_read, job, reader), (start, stop), batch, done)


def skip_frames(
    job: PickJob,
    reader: Reader,  # noqa: ARG001 - as of `write_frames`
    start: int,
    stop: int,
    batch: Chunk,
    running: Path | None,  # noqa: ARG001
    done: Path | None,
) -> Tally:
    """Write a batch of which no frame can be read: all that were to be are counted as failed."""
    return _write(job, partial(_given_up, job), (start, stop), batch, done)


@dataclass(slots=True)
class Frames:
    """Frames of some slots, and what became of each."""

    values: NDArray[Any]  # (n, n_elements) array: Frames; the fill value where there is none
    states: NDArray[np.uint8]  # (n,) uint8: Index into `STATES`


ReadFrames = Callable[[IntArray], Frames]


def _write(job: PickJob, read: ReadFrames, slots: tuple[int, int], batch: Chunk, done: Path | None) -> Tally:
    rows = load_range(job.rows, *slots)
    states = np.zeros(len(rows), np.uint8)
    write_regions(job.store, _regions(job, read, rows, states, batch))
    counted = _tally(job, states, slots[0])
    if done is not None:
        mark_done(done, counted)
    return counted


def _regions(
    job: PickJob, read: ReadFrames, rows: IntArray, states: NDArray[np.uint8], batch: Chunk
) -> Iterator[tuple[str, Region, NDArray[Any]]]:
    """Yield chunk after chunk, and at last the mask; fills in `states`."""
    variable, shape = job.variable, _lengths(batch.region)
    for chunk in chunk_grid(shape, variable.slot_chunks):
        frames = _of_slots(job, read, rows[chunk.start : chunk.stop])
        states[chunk.start : chunk.stop] = frames.states
        region = _within(batch.region, chunk.region)
        for elements in chunk_grid(variable.info.shape, variable.element_chunks):
            piece = frames.values[:, elements.start : elements.stop]
            where = (*region, *elements.region)
            yield variable.name, where, piece.reshape(_lengths(where))
    if variable.has_mask:
        valid = (states == STATES.index(READ)) & (rows >= 0)
        yield f"{variable.name}_valid", batch.region, valid.reshape(shape)


def _lengths(region: Region) -> Shape:
    return tuple(part.stop - part.start for part in region)


def _within(outer: Region, inner: Region) -> Region:
    pairs = zip(outer, inner, strict=True)
    return tuple(slice(whole.start + part.start, whole.start + part.stop) for whole, part in pairs)


def _of_slots(job: PickJob, read: ReadFrames, rows: IntArray) -> Frames:
    """Read the frames of some slots, in the order of storage; empty slots get the fill value."""
    picked = np.flatnonzero(rows >= 0)
    order = picked[np.argsort(rows[picked], kind="stable")]
    found = read(rows[order])
    if len(order) == len(rows) and bool((np.diff(order) == 1).all()):
        return found
    frames = _empty(job.variable, len(rows))
    frames.values[order], frames.states[order] = found.values, found.states
    return frames


def _empty(variable: Variable, n_frames: int) -> Frames:
    values = np.full((n_frames, variable.info.n_elements), variable.fill, variable.info.dtype)
    return Frames(values, np.zeros(n_frames, np.uint8))


def _given_up(job: PickJob, rows: IntArray) -> Frames:
    frames = _empty(job.variable, len(rows))
    frames.states[:] = STATES.index("failed")
    return frames


def _read(job: PickJob, reader: Reader, rows: IntArray, waits: tuple[float, ...] = RETRY_SECONDS) -> Frames:
    """Read frames, again where that may help; where the spec allows it, those that cannot be are left out."""
    leaf = (int(rows.min(initial=0)), int(rows.max(initial=0)))

    def failed(err: OSError, times: int) -> None:
        note_leaf("tried again", job, leaf, str(err), times=times)

    try:
        return persistently(partial(_read_once, job.variable, reader, rows), waits, failed)
    except OSError as err:
        if job.on_error != "skip":
            where = f"{len(rows):,} picked events, rows {leaf[0]:,} to {leaf[1]:,}"
            raise SourceFormatError(f"signal {job.label!r} ({where}) cannot be read: {err}") from err
        if len(rows) > 1:
            return _by_halves(job, reader, rows)
        _LOG.warning("%s: row %d left out: %s", job.label, leaf[0], err)
        note_leaf("left out", job, leaf, str(err))
        return _given_up(job, rows)


def _by_halves(job: PickJob, reader: Reader, rows: IntArray) -> Frames:
    """Read what can be read of frames of which some cannot; waiting has not helped."""
    halves = [_read(job, reader, part, waits=()) for part in np.array_split(rows, 2)]
    return Frames(
        np.concatenate([half.values for half in halves]), np.concatenate([half.states for half in halves])
    )


def _read_once(variable: Variable, reader: Reader, rows: IntArray) -> Frames:
    frames = _empty(variable, len(rows))
    for block in reader.blocks(rows, elements=slice(None), block_nbytes=variable.block_nbytes):
        _fill_in(frames, block)
    return frames


def _fill_in(frames: Frames, block: Block) -> None:
    states = frames.states[block.start : block.stop]
    if block.valid is not None:
        states[~block.valid] = STATES.index("missing")
    if block.damaged is not None:
        states[block.damaged] = STATES.index("damaged")
    there = np.flatnonzero(states == STATES.index(READ))
    if block.data.dtype.kind == "f":
        empty = without_value(block.data)[block.take[there]]
        states[there[empty]] = STATES.index("missing")
    frames.values[block.start + there] = block.data[block.take[there]]


def _tally(job: PickJob, states: NDArray[np.uint8], first: int) -> Tally:
    """Count what was left out, selection by selection."""
    selection = np.arange(first, first + len(states)) // job.selection_slots
    kinds = len(LEFT_OUT)
    left_out = states != STATES.index(READ)
    numbers = selection[left_out] * kinds + states[left_out] - 1
    counts = np.bincount(numbers, minlength=job.n_selections * kinds)
    return {job.label: counts.tolist()} if counts.any() else {}


def batch_nbytes(variable: Variable, n_slots: int, slots_shape: Shape) -> int:
    """Return the bytes that stand for a batch in the progress: together, what the variable reads."""
    return round(variable.read_nbytes * n_slots / max(math.prod(slots_shape), 1))
