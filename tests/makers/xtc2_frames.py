"""Seeded xtc2 runs of any size: frames from a pool, and very many small events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service
from tests.makers.xtc2_times import EXPERIMENT, LASER_OFF, LASER_ON, RUN, Clock, event_codes, packed_times

BEAM = OutNames("beam", (OutField("x", "f8"), OutField("i0", "f4"), OutField("codes", "u2", 1)))


@dataclass(frozen=True, slots=True)
class FrameRun:
    """A run of frames that repeat.

    Attributes
    ----------
    folder, files, timestamps
        Chunks of every stream; rising times.
    x, i0, codes : arrays
        `beam/raw/x` (n_events,) float64 in [0, 10), `beam/raw/i0` float32, `beam/raw/codes` (n_events, 18).
    pool : (n_pool, n_segments, *shape)
        The frames that there are.
    choice : (n_events,) int64
        `camera/raw/raw` of event i is `pool[choice[i]]`, with one segment without the axis of segments.
    """

    folder: Path
    files: dict[int, tuple[Path, ...]]
    timestamps: NDArray[np.uint64]
    x: NDArray[np.float64]
    i0: NDArray[np.float32]
    codes: NDArray[np.uint16]
    pool: NDArray[Any]
    choice: NDArray[np.int64]

    def frames(self, events: NDArray[np.int64] | slice = slice(None)) -> NDArray[Any]:
        """Return the frames of some events, as they are read."""
        found = self.pool[self.choice[events]]
        return found[:, 0] if self.pool.shape[1] == 1 else found

    def moments(self, groups: NDArray[np.int64], n_groups: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return mean and spread of the frames of every group, from how often each frame is in it.

        Parameters
        ----------
        groups : (n_events,) int64
            Group of every event; -1 for none.
        """
        kept = groups >= 0
        times = np.zeros((n_groups, len(self.pool)))
        np.add.at(times, (groups[kept], self.choice[kept]), 1)
        frames = self.frames_of_pool().astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = times / times.sum(axis=1, keepdims=True)
        mean = np.tensordot(share, frames, 1)
        spread = [np.tensordot(share[i], (frames - mean[i]) ** 2, 1) for i in range(n_groups)]
        return mean, np.sqrt(spread)

    def frames_of_pool(self) -> NDArray[Any]:
        """Return every frame that there is, as they are read."""
        return self.pool[:, 0] if self.pool.shape[1] == 1 else self.pool


def write_frame_run(
    folder: Path,
    *,
    n_events: int,
    shape: tuple[int, ...] = (512, 1024),
    dtype: str = "u2",
    n_segments: int = 1,
    n_streams: int = 1,
    n_pool: int = 8,
    n_steps: int = 1,
    seed: int = 2,
    small_data: bool = True,
    experiment: str = EXPERIMENT,
    run: int = RUN,
) -> FrameRun:
    """Write frames at the speed of the disk: each is one of few random ones.

    Parameters
    ----------
    shape, dtype
        Of one segment.
    n_segments, n_streams : int
        Segments are dealt to the streams in turn; `beam` is in stream 0.
    n_pool : int
        Different frames; that many are held in memory.
    """
    rng = np.random.default_rng(seed)
    pool = _pool(rng, (n_pool, n_segments, *shape), np.dtype(dtype))
    choice = rng.integers(0, n_pool, n_events)
    laser = rng.random(n_events) < 0.5
    codes = event_codes((LASER_ON, laser), (LASER_OFF, ~laser))
    x, i0 = rng.uniform(0, 10, n_events), rng.random(n_events, np.float32)
    cameras = [
        OutNames("camera", (OutField("raw", dtype, len(shape)),), segment=i) for i in range(n_segments)
    ]
    streams = [
        OutStream(i, tuple(cameras[i::n_streams]) + ((BEAM,) if i == 0 else ())) for i in range(n_streams)
    ]
    clock, times = Clock(), np.zeros(n_events, np.uint64)
    with RunWriter(folder, experiment, run, streams=range(n_streams), small_data=small_data) as out:
        out.configure(clock.now(), streams)
        out.begin_run(clock.now())
        for events in np.array_split(np.arange(n_events), n_steps):
            out.transition(Service.BEGIN_STEP, clock.now())
            out.transition(Service.ENABLE, clock.now())
            for i in events.tolist():
                times[i] = now = clock.now()
                data = [OutData(c, {"raw": frame}) for c, frame in zip(cameras, pool[choice[i]], strict=True)]
                out.event(now, [*data, OutData(BEAM, {"x": x[i], "i0": i0[i], "codes": codes[i]})])
            out.transition(Service.DISABLE, clock.now())
            out.transition(Service.END_STEP, clock.now())
        out.transition(Service.END_RUN, clock.now())
        return FrameRun(folder, out.paths, times, x, i0, codes, pool, choice)


def _pool(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return rng.normal(1000.0, 30.0, shape).astype(dtype)
    top = min(int(np.iinfo(dtype).max) + 1, 2**20)
    return rng.integers(0, top, shape).astype(dtype)


@dataclass(frozen=True, slots=True)
class ScalarRun:
    """Many small events in equal streams.

    Attributes
    ----------
    timestamps : (n_events,) uint64
        Rising.
    values : (n_streams, n_events) float64
        `scalar<i>/raw/value`, one field in each stream.
    present : (n_streams, n_events) bool
        Which stream has which event.
    """

    folder: Path
    files: dict[int, tuple[Path, ...]]
    timestamps: NDArray[np.uint64]
    values: NDArray[np.float64]
    present: NDArray[np.bool_]


def write_scalar_run(
    folder: Path,
    *,
    n_events: int,
    n_streams: int = 1,
    presence: float = 1.0,
    seed: int = 3,
    small_data: bool = True,
    experiment: str = EXPERIMENT,
    run: int = RUN,
) -> ScalarRun:
    """Write many events of one scalar, in one go.

    Parameters
    ----------
    presence : float
        Part of the events that each stream has.
    """
    rng = np.random.default_rng(seed)
    names = [OutNames(f"scalar{i}", (OutField("value", "f8"),)) for i in range(n_streams)]
    times, values = packed_times(n_events, first=10), rng.normal(size=(n_streams, n_events))
    present = rng.random((n_streams, n_events)) < presence
    with RunWriter(folder, experiment, run, streams=range(n_streams), small_data=small_data) as out:
        clock = Clock()
        out.configure(clock.now(), [OutStream(i, (block,)) for i, block in enumerate(names)])
        out.begin_run(clock.now())
        out.transition(Service.BEGIN_STEP, clock.now())
        out.transition(Service.ENABLE, clock.now())
        for block, row, here in zip(names, values, present, strict=True):
            out.events(times[here], [OutData(block, {"value": row[here]})])
        clock.tick = 10 + n_events
        for service in (Service.DISABLE, Service.END_STEP, Service.END_RUN):
            out.transition(service, clock.now())
        return ScalarRun(folder, out.paths, times, values, present)
