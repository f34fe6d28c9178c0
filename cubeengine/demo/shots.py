"""The shots of the demonstration run: scalars, frames, and which frames did not arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.camera import N_PANELS, Camera, digitize_line
from cubeengine.demo.columns import Columns, make_columns, setting_of
from cubeengine.demo.physics import DELAYS_PS, frames
from cubeengine.types import BoolArray, FloatArray

LOST, DAMAGED = 0.004, 0.003
"""Part of the panels that did not arrive, and that arrived damaged."""

EPIX_EVERY = 5
"""The epix is slower than the beam."""

BLOCK_EVENTS = 500


@dataclass(frozen=True)
class Shots:
    """All that happens in the run; the same seed gives the same.

    Attributes
    ----------
    n_events, seed : int
        Shots, at 120 Hz; and the seed of all random numbers.
    """

    n_events: int
    seed: int

    @cached_property
    def _made(self) -> tuple[Columns, FloatArray]:
        return make_columns(self.n_events, np.random.default_rng(self.seed))

    @property
    def columns(self) -> Columns:
        """Values of one number, or a few, per event: name -> (n_events, ...) array."""
        return self._made[0]

    @property
    def pumped(self) -> FloatArray:
        """(n_events,) response to the laser, 0 where it is off."""
        return self._made[1]

    @property
    def intensity(self) -> FloatArray:
        """(n_events,) intensity of the X-rays, not negative."""
        return np.maximum(self.columns["ipm2/sum"].astype(np.float64), 0.0)

    @cached_property
    def camera(self) -> Camera:
        """The jungfrau."""
        return Camera(self.seed)

    @cached_property
    def panels(self) -> tuple[BoolArray, BoolArray]:
        """(n_events, N_PANELS) each: panels that are there, and panels that are damaged."""
        chance = np.random.default_rng([self.seed, 2]).random((self.n_events, N_PANELS))
        return chance >= LOST, (chance >= LOST) & (chance < LOST + DAMAGED)

    @property
    def whole(self) -> BoolArray:
        """(n_events,) whether all of the jungfrau is there and undamaged."""
        there, damaged = self.panels
        whole: BoolArray = np.logical_and.reduce(there & ~damaged, axis=1)
        return whole

    def blocks(self) -> Iterator[tuple[int, slice]]:
        """Yield (number of the step, events) in order: short runs of events of one step."""
        borders = np.searchsorted(setting_of(self.n_events), np.arange(len(DELAYS_PS) + 1))
        for step, (first, last) in enumerate(pairwise(borders)):
            for start in range(int(first), int(last), BLOCK_EVENTS):
                yield step, slice(start, min(start + BLOCK_EVENTS, int(last)))

    def photons(self, block: slice) -> NDArray[np.float32]:
        """Return the frames of a block in photons, (n, *FRAME)."""
        rng = np.random.default_rng([self.seed, 3, block.start])
        return frames(self.intensity[block], self.pumped[block], rng)

    def line(self, block: slice) -> NDArray[np.uint16]:
        """Return the raw frames of the epix in a block, (n, *EPIX), for all of its events."""
        rng = np.random.default_rng([self.seed, 4, block.start])
        return digitize_line(self.intensity[block], rng)
