"""Runs of raw frames in memory, with a detector that describes itself, and dark frames of known truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.events.run import Run
from cubeengine.sources.memory import MemorySource
from cubeengine.types import DetectorInfo

FIELD = "cam/raw/raw"


class DetectorSource(MemorySource):
    """Arrays in memory of which one field comes from a detector."""

    detector_info: DetectorInfo | None = None

    def detector(self, name: str) -> DetectorInfo | None:
        return self.detector_info if name == FIELD else None


def run_of(
    frames: NDArray[Any],
    kind: str,
    *,
    valid: NDArray[np.bool_] | None = None,
    unique_id: str = "",
    settings: dict[str, Any] | None = None,
    **columns: NDArray[Any],
) -> Run:
    """Return a run of raw frames, (n_events, ...), with further columns."""
    fields = {FIELD: frames, **{name.replace("__", "/"): values for name, values in columns.items()}}
    source = DetectorSource(fields, valid={} if valid is None else {FIELD: valid})
    segments = tuple(range(frames.shape[1])) if frames.ndim == 4 else (0,)
    info = DetectorInfo("cam", kind, unique_id, segments, settings or {})
    object.__setattr__(source, "detector_info", info)
    return Run(source)


@dataclass(frozen=True)
class Truth:
    """Mean and noise of every pixel, in ADU, before rounding."""

    mean: NDArray[np.float64]
    noise: NDArray[np.float64]

    @classmethod
    def of(cls, shape: tuple[int, ...], *, mean: float = 2000.0, noise: float = 5.0, seed: int = 0) -> Truth:
        rng = np.random.default_rng(seed)
        return cls(rng.normal(mean, 40.0, shape), noise * rng.uniform(0.8, 1.2, shape))

    @property
    def rounded_noise(self) -> NDArray[np.float64]:
        """Noise of whole numbers."""
        return np.sqrt(self.noise**2 + 1 / 12)

    def frames(self, n_events: int, *, seed: int = 1) -> NDArray[np.uint16]:
        rng = np.random.default_rng(seed)
        values = self.mean + self.noise * rng.standard_normal((n_events, *self.mean.shape))
        return np.rint(values).astype(np.uint16)

    def replaced(self, **values: NDArray[np.float64]) -> Truth:
        return replace(self, **values)


def pulls(
    found: NDArray[Any], truth: NDArray[Any], error: NDArray[Any], good: NDArray[np.bool_]
) -> NDArray[Any]:
    """Return the deviations of good pixels in standard errors."""
    return ((found.astype(np.float64) - truth) / error)[good]
