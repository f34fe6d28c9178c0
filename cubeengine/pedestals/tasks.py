"""What one task does: look at a sample of a part of the frame, add a run of events up, fold, estimate.

Tasks take paths, ranges and values, open files themselves, and can be run again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.graph.retry import persistently
from cubeengine.graph.tasks import RETRY_SECONDS
from cubeengine.pedestals.compiled import WEIGHT, add_frames, estimate, find_windows
from cubeengine.pedestals.slots import Slots
from cubeengine.shared import SharedArray
from cubeengine.sources.base import Reader
from cubeengine.types import BoolArray, IntArray

STRIP = 4096
"""Pixels of a sample that are turned at a time, so that the values of each lie together."""

SHOWN = 20_000
"""Pixels of a part whose skewness and noise stand for all of them in the checks."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """All that the tasks have in common.

    Attributes
    ----------
    key : str
        Begins the names of the tasks: a hash of what is asked.
    reader : Reader
        Reads raw frames.
    rows, sample : SharedArray of (n,) int64
        Storage rows of all events that count, and of those that are looked at first.
    slots : Slots
        How raw pixels are told apart.
    tiles : tuple of (int, int)
        Parts of the frame.
    block_nbytes : int
        Data read at a time.
    clip : float
        Half width of a window in standard deviations.
    fewest_sampled, fewest : int
        Values of a pixel in a range that a window needs, and that an estimate needs.
    most_rejected : float
        Part of a pixel's values outside the window above which the pixel is set aside in the checks.
    """

    key: str
    reader: Reader
    rows: SharedArray
    sample: SharedArray
    slots: Slots
    tiles: tuple[tuple[int, int], ...]
    block_nbytes: int
    clip: float
    fewest_sampled: int
    fewest: int
    most_rejected: float

    def fixed(self, tile: int) -> BoolArray:
        """Tell which pixels of a part are in slot 0 whatever their bits say."""
        flags = np.asarray(self.slots.fixed.load(), np.bool_)
        return flags[slice(*self.tiles[tile])] if flags.size else flags


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What counts as near the median, in a part of the frame.

    Attributes
    ----------
    centre, half : SharedArray of (n_slots, n_elements) int32
        Median of the sample and half width; -1 where there is no window.
    """

    centre: SharedArray
    half: SharedArray


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What tells whether events were dark, from a part of the frame; parts and events add up.

    Attributes
    ----------
    events : (4, n_events) int64
        Of each event: pixels seen, those below their window and above it, and the weighted sum; see
        `add_frames`. Events without a frame have seen nothing.
    pixels : (4,) int64
        Pixels (one in each of its ranges) with values; those set aside as they are often outside; and of
        the others, values, and values above less values below.
    noise, skew : (n_slots, n_shown) float32
        Of some pixels, spread over the part; NaN where there is none.
    """

    events: IntArray
    pixels: IntArray
    noise: NDArray[np.float32]
    skew: NDArray[np.float32]

    @classmethod
    def none(cls, n_slots: int, n_events: int) -> Evidence:
        """Return that of no part of the frame."""
        empty = np.empty((n_slots, 0), np.float32)
        return cls(np.zeros((4, n_events), np.int64), np.zeros(4, np.int64), empty, empty)

    def __add__(self, other: Evidence) -> Evidence:
        noise, skew = (
            np.concatenate(pair, axis=1) for pair in ((self.noise, other.noise), (self.skew, other.skew))
        )
        return Evidence(self.events + other.events, self.pixels + other.pixels, noise, skew)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over some events in a part of the frame; see `add_frames`."""

    counts: NDArray[np.int32]  # (3, n_slots, n_elements) int32
    sums: IntArray  # (2, n_slots, n_elements) int64
    events: tuple[IntArray, ...]  # tuple of (4, n) int64: Of these events, in order
    missing: IntArray  # (2,) int64: Events without a frame: missing, damaged


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """What came out for a part of the frame.

    Attributes
    ----------
    mean, noise : (n_slots, n_elements) float32
        ADU; NaN where there were too few values.
    used, rejected : (n_slots, n_elements) int32
        Values inside the window, and outside.
    evidence : Evidence
        From all events.
    missing : (2,) int64
        Events without a frame: missing, damaged.
    """

    mean: NDArray[np.float32]
    noise: NDArray[np.float32]
    used: NDArray[np.int32]
    rejected: NDArray[np.int32]
    evidence: Evidence
    missing: IntArray


def look_at_sample(job: Job, tile: int) -> tuple[Windows, Evidence]:
    """Find the windows of a part of the frame from a sample of the events, and how dark these are."""
    frames, missing = _read_sample(job, tile)
    n_elements = frames.shape[1]
    centre, half = (np.empty((job.slots.n_slots, n_elements), np.int32) for _ in range(2))
    skew = np.empty(centre.shape, np.float32)
    fixed, told = job.fixed(tile), _told(job.slots)
    for start in range(0, n_elements, STRIP):
        part = slice(start, start + STRIP)
        turned = np.ascontiguousarray(frames[:, part].T)
        found = [values[:, part] for values in (centre, half, skew)]
        find_windows(turned, *told, fixed[part], job.clip, job.fewest_sampled, *found)
    sums = _empty_sums(centre.shape, len(frames), missing)
    everything = np.arange(len(frames))
    add_frames(frames, everything, everything, *told, fixed, *_with_weight(centre, half), *_parts(sums))
    evidence = _evidence(job, sums, (centre, half), skew)
    return Windows(SharedArray(centre), SharedArray(half)), evidence


def add_events(
    job: Job,
    windows: Windows,
    tile: int,
    start: int,
    stop: int,
    gate: object = None,  # noqa: ARG001 - a task to wait for, so that reading does not run ahead of folding
) -> Sums:
    """Add some events up in a part of the frame."""
    return persistently(
        lambda: _add_events(job, windows, tile, (start, stop)), RETRY_SECONDS, lambda *_: None
    )


def _add_events(job: Job, windows: Windows, tile: int, events: tuple[int, int]) -> Sums:
    centre, half = windows.centre.load(), windows.half.load()
    known = _with_weight(centre, half)
    sums = _empty_sums(centre.shape, events[1] - events[0], np.zeros(2, np.int64))
    rows = np.array(job.rows.load()[slice(*events)])
    for frames, take, where in _frames(job, rows, tile, sums.missing):
        add_frames(frames, take, where, *_told(job.slots), job.fixed(tile), *known, *_parts(sums))
    return sums


def fold(earlier: Sums, later: Sums) -> Sums:
    """Add the sums of later events to those of earlier ones."""
    return Sums(
        earlier.counts + later.counts,
        earlier.sums + later.sums,
        earlier.events + later.events,
        earlier.missing + later.missing,
    )


def finish(job: Job, windows: Windows, sums: Sums) -> Estimates:
    """Estimate mean and noise of every pixel of a part of the frame."""
    known = windows.centre.load(), windows.half.load()
    mean, noise = _estimate(job, sums, known)
    used, rejected = sums.counts[0], sums.counts[1] + sums.counts[2]
    evidence = _evidence(job, sums, known, np.empty((len(mean), 0), np.float32))
    return Estimates(mean, noise, used, rejected, evidence, sums.missing)


def done(*results: object) -> None:
    """Mark that results exist: a task that others can wait for without holding them."""
    del results


def _read_sample(job: Job, tile: int) -> tuple[NDArray[np.integer], IntArray]:
    rows, missing = np.array(job.sample.load()), np.zeros(2, np.int64)
    start, stop = job.tiles[tile]
    frames = np.empty((len(rows), stop - start), job.reader.dtype)
    n_read = 0

    def read() -> int:
        missing[:], n_read = 0, 0
        for block, take, _ in _frames(job, rows, tile, missing):
            frames[n_read : n_read + len(take)] = block[take]
            n_read += len(take)
        return n_read

    n_read = persistently(read, RETRY_SECONDS, lambda *_: None)
    return frames[:n_read], missing


def _frames(
    job: Job, rows: IntArray, tile: int, missing: IntArray
) -> Iterator[tuple[NDArray[np.integer], IntArray, IntArray]]:
    """Read frames, block by block: the frames, which of them to take, and their events; counts the others."""
    elements = slice(*job.tiles[tile])
    for block in job.reader.blocks(rows, elements=elements, block_nbytes=job.block_nbytes):
        damaged = np.zeros(len(block.take), bool) if block.damaged is None else block.damaged
        there = ~damaged if block.valid is None else block.valid & ~damaged
        missing += (np.count_nonzero(~there & ~damaged), np.count_nonzero(damaged))
        yield block.data, block.take[there], block.start + np.flatnonzero(there)


def _told(slots: Slots) -> tuple[int, int, IntArray]:
    return slots.shift, slots.value_bits, slots.codes


def _with_weight(
    centre: NDArray[np.int32], half: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    return centre, half, (WEIGHT // np.maximum(half, 1)).astype(np.int32)


def _empty_sums(shape: tuple[int, ...], n_events: int, missing: IntArray) -> Sums:
    counts, sums = np.zeros((3, *shape), np.int32), np.zeros((2, *shape), np.int64)
    return Sums(counts, sums, (np.zeros((4, n_events), np.int64),), missing)


def _parts(sums: Sums) -> tuple[NDArray[np.int32], IntArray, IntArray]:
    return sums.counts, sums.sums, sums.events[0]


def _estimate(
    job: Job, sums: Sums, windows: tuple[NDArray[np.int32], NDArray[np.int32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean, noise = (np.empty(windows[0].shape, np.float32) for _ in range(2))
    flat = (
        np.ascontiguousarray(values).reshape(*values.shape[:-2], -1)
        for values in (*windows, sums.counts, sums.sums)
    )
    estimate(*flat, job.fewest, mean.reshape(-1), noise.reshape(-1))
    return mean, noise


def _evidence(
    job: Job,
    sums: Sums,
    windows: tuple[NDArray[np.int32], NDArray[np.int32]],
    skew: NDArray[np.float32],
) -> Evidence:
    inside, below, above = sums.counts
    values = sums.counts.sum(axis=0)
    often = below + above > job.most_rejected * values
    steady = (values > 0) & ~often
    pixels = [
        np.count_nonzero(values), np.count_nonzero(often), values[steady].sum(dtype=np.int64),
        (above - below)[steady].sum(dtype=np.int64),
    ]  # fmt: skip
    step = max(inside.shape[1] // SHOWN, 1)
    shown = Sums(
        np.ascontiguousarray(sums.counts[..., ::step]), np.ascontiguousarray(sums.sums[..., ::step]),
        sums.events, sums.missing,
    )  # fmt: skip
    near = windows[0][:, ::step], windows[1][:, ::step]
    noise = _estimate(job, shown, near)[1]
    events = np.concatenate(sums.events, axis=1)
    return Evidence(events, np.array(pixels, np.int64), noise, skew[:, ::step].copy())
