"""The dark run of the demonstration: the jungfrau without X-rays, one step in each gain mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.camera import CODES, N_PANELS, PANEL, STUCK, Camera
from cubeengine.demo.columns import SECONDS_PER_EVENT, START
from cubeengine.demo.files import DARK_RUN, EXPERIMENT
from cubeengine.demo.raw import JUNGFRAU, N_WORDS, TICK, TIMING
from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service
from cubeengine.types import BoolArray, IntArray

EVENTS_PER_MODE = 200
MODES = ("dynamic", "forced g1", "forced g2")
NOISE = (6.0, 2.5, 1.5)
"""ADU, of a pixel in each gain range on average."""

NOISY_PIXELS, NOISY = 6, 15.0
"""Pixels with more noise, and how many times more."""

COSMIC, COSMIC_ADU = 2e-5, 900.0
"""Part of the values that a cosmic ray is on top of, and how much it adds on average, in g0."""

DROPPED_CODE = 162
SCAN = OutNames("scan", (OutField("gain_mode", "f8"), OutField("step_docstring", "text")))
STREAMS = (OutStream(0, (TIMING, SCAN)), *(OutStream(1 + i, (panel,)) for i, panel in enumerate(JUNGFRAU)))


@dataclass(frozen=True)
class DarkShots:
    """What the jungfrau sees in the dark; the same seed gives the same."""

    seed: int  # of the run: the camera is that of the run with X-rays
    events_per_mode: int = EVENTS_PER_MODE  # events of each step

    @cached_property
    def camera(self) -> Camera:
        """The jungfrau."""
        return Camera(self.seed)

    @cached_property
    def noisy(self) -> BoolArray:
        """(N_PANELS, *PANEL) whether a pixel has far more noise than others."""
        flags = np.zeros((N_PANELS, *PANEL), bool)
        alive = np.flatnonzero(~self.camera.bad)
        flags.flat[np.random.default_rng([self.seed, 6]).choice(alive, NOISY_PIXELS, replace=False)] = True
        return flags

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """(3, N_PANELS, *PANEL) standard deviation of every pixel in every gain range, ADU."""
        spread = np.random.default_rng([self.seed, 5]).normal(1.0, 0.08, (len(MODES), N_PANELS, *PANEL))
        found: NDArray[np.float64] = np.array(NOISE)[:, None, None, None] * spread
        found[:, self.noisy] *= NOISY
        return found

    def frames(self, mode: int) -> NDArray[np.uint16]:
        """Return the raw frames of a step, (events_per_mode, N_PANELS, *PANEL)."""
        rng = np.random.default_rng([self.seed, 7, mode])
        shape = (self.events_per_mode, N_PANELS, *PANEL)
        values = self.camera.pedestals[mode] + self.noise[mode] * rng.standard_normal(shape)
        if mode == 0:
            values += (rng.random(shape) < COSMIC) * rng.exponential(COSMIC_ADU, shape)
        raw: NDArray[np.uint16] = np.clip(np.rint(values), 0, STUCK).astype(np.uint16)
        raw |= np.uint16(CODES[mode] << 14)
        raw[:, self.camera.bad] = STUCK  # bits of g0 in every mode
        return raw

    def times(self, mode: int) -> IntArray:
        """Return the packed times of the events of a step, some minutes after the run with X-rays."""
        number = np.arange(self.events_per_mode) + mode * (self.events_per_mode + 120)
        nanoseconds = (number * SECONDS_PER_EVENT * 1e9).astype(np.int64)
        return ((START + 600 + nanoseconds // 10**9) << 32) | (nanoseconds % 10**9)


def write_dark_run(folder: Path, *, seed: int = 20, events_per_mode: int = EVENTS_PER_MODE) -> None:
    """Write the dark run: raw data alone, about 7 kB per event.

    Parameters
    ----------
    folder : Path
        Gets the files.
    seed : int
        Of the run with X-rays.
    events_per_mode : int
        Events of each of the three steps.
    """
    shots = DarkShots(seed, events_per_mode)
    with RunWriter(folder, EXPERIMENT, DARK_RUN, streams=[stream.number for stream in STREAMS]) as out:
        first = int(shots.times(0)[0])
        out.configure(first - 5 * TICK, STREAMS)
        out.begin_run(first - 4 * TICK)
        for mode in range(len(MODES)):
            _write_step(out, shots, mode)
        out.transition(Service.END_RUN, int(shots.times(len(MODES) - 1)[-1]) + 3 * TICK)


def _write_step(out: RunWriter, shots: DarkShots, mode: int) -> None:
    times = shots.times(mode)
    first, last = int(times[0]), int(times[-1])
    text = json.dumps({"detname": "scan", "step": mode, "mode": MODES[mode]})
    values = {"gain_mode": float(mode), "step_docstring": text}
    out.transition(Service.BEGIN_STEP, first - 3 * TICK, [OutData(SCAN, values)])
    out.transition(Service.ENABLE, first - 2 * TICK)
    for time, data in zip(times, _events(shots, mode), strict=True):
        out.event(int(time), data)
    out.transition(Service.DISABLE, last + TICK)
    out.transition(Service.END_STEP, last + 2 * TICK)


def _events(shots: DarkShots, mode: int) -> Iterator[list[OutData]]:
    """Yield the contributions of every event: the event code of a dropped shot, and both panels."""
    words = np.zeros(N_WORDS, np.uint16)
    words[DROPPED_CODE // 16] = 1 << DROPPED_CODE % 16
    for number, frame in enumerate(shots.frames(mode), start=mode * shots.events_per_mode):
        timing = OutData(TIMING, {"pulseId": 2 * 10**9 + 7583 * number, "sequenceValues": words})
        panels = [
            OutData(panel, {"raw": frame[i][None], "frame_cnt": number}) for i, panel in enumerate(JUNGFRAU)
        ]
        yield [timing, *panels]
