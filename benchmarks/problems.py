"""Seeded problems: a run in the smallData (LCLS-I) layout with one frame dataset, and its cube.

Needs numpy and h5py only (hdf5plugin for the `bitshuffle` layout), so that peers can import it in
environments of their own.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

FRAMES = "jungfrau/ROI_0_area"
DELAY = "enc/lasDelay"
IPM = "ipm2/sum"
XRAY = "lightStatus/xray"
LOW_IPM = 0.3

LAYOUTS = ("contiguous", "chunked", "gzip", "bitshuffle")
CHUNK_EVENTS = 10
# Frames are seeded in groups of this many, so that their values do not depend on how they are written.
_SEED_EVENTS = 64
_WRITE_NBYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Columns:
    """The scalars of every event, in the order of the file.

    Attributes
    ----------
    event_time : (n_events,) int64, seconds << 32 | nanoseconds
    fiducials : (n_events,) int64
    delay : (n_events,) float64, ps; visits the bins in random order, never within 10 % of an edge
    xray : (n_events,) int64, 1 with X-rays (98 %), else 0
    laser : (n_events,) int64, alternating
    ipm : (n_events,) float64
    """

    event_time: NDArray[np.int64]
    fiducials: NDArray[np.int64]
    delay: NDArray[np.float64]
    xray: NDArray[np.int64]
    laser: NDArray[np.int64]
    ipm: NDArray[np.float64]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Events of the selection that is binned."""
        good: NDArray[np.bool_] = (self.xray == 1) & (self.ipm >= LOW_IPM)
        return good


@dataclass(frozen=True, slots=True)
class Cube:
    """What every implementation returns.

    Attributes
    ----------
    mean, std : (n_bins, *frame_shape) floating; NaN where count is 0
    count : (n_bins,) integer for integer frames; (n_bins, *frame_shape) for floating ones
    """

    mean: NDArray[Any]
    std: NDArray[Any]
    count: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """A run of chosen size and storage layout, and the cube wanted of it.

    Attributes
    ----------
    n_events : int
    frame_shape : tuple of int
    dtype : str
        "uint16", or "float32" with one element in a thousand NaN.
    layout : str
        One of `LAYOUTS`; all but the first in chunks of `CHUNK_EVENTS` whole frames.
    n_bins : int
    seed : int
    """

    n_events: int
    frame_shape: tuple[int, ...]
    dtype: str = "uint16"
    layout: str = "contiguous"
    n_bins: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout {self.layout!r} is not one of {LAYOUTS}")

    @property
    def n_elements(self) -> int:
        """Elements of one frame."""
        return math.prod(self.frame_shape)

    @property
    def frame_nbytes(self) -> int:
        """Bytes of one frame, decoded."""
        return self.n_elements * np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all frames, decoded."""
        return self.frame_nbytes * self.n_events

    @property
    def floating(self) -> bool:
        """Whether elements may be NaN, so that every element has a count of its own."""
        return np.dtype(self.dtype).kind == "f"

    @property
    def cube_nbytes(self) -> int:
        """Bytes of the cube: mean, std and count."""
        per_element = 24 if self.floating else 16
        return self.n_bins * (self.n_elements * per_element + 8)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Bin edges of the delay, ps."""
        return np.asarray(-1.0 + 0.1 * np.arange(self.n_bins + 1), np.float64)

    def columns(self) -> Columns:
        """Make the scalars."""
        rng = np.random.default_rng([self.seed, 0])
        number = np.arange(self.n_events)
        time_ns = number * (10**9 // 120)
        bins = rng.integers(0, self.n_bins, self.n_events)
        return Columns(
            event_time=((1_600_000_000 + time_ns // 10**9) << 32) | (time_ns % 10**9),
            fiducials=(3 * number) % 131_040,
            delay=-1.0 + 0.1 * (bins + rng.uniform(0.1, 0.9, self.n_events)),
            xray=(rng.random(self.n_events) >= 0.02).astype(np.int64),
            laser=number % 2,
            ipm=rng.gamma(16.0, 1 / 16, self.n_events),
        )

    def bin_index(self, columns: Columns) -> NDArray[np.int64]:
        """Return each event the number of its bin, -1 where it is not selected."""
        index = np.digitize(columns.delay, self.edges) - 1
        return np.where(columns.good & (index < self.n_bins), index, -1)

    def write(self, path: Path) -> Path:
        """Write the file in bounded memory, down to the disk; every dataset is as long as the run."""
        columns = self.columns()
        scalars = {
            "event_time": columns.event_time, "fiducials": columns.fiducials, DELAY: columns.delay,
            XRAY: columns.xray, "lightStatus/laser": columns.laser, IPM: columns.ipm,
        }  # fmt: skip
        with h5py.File(path, "w") as file:
            for name, values in scalars.items():
                file.create_dataset(name, data=values, chunks=(min(4096, self.n_events),))
            frames = file.create_dataset(
                FRAMES, shape=(self.n_events, *self.frame_shape), dtype=self.dtype, **self._storage()
            )
            step = max(1, _WRITE_NBYTES // (self.frame_nbytes * _SEED_EVENTS)) * _SEED_EVENTS
            # Whole chunks at a time: 320 is the common multiple of seed groups and chunks.
            step = math.ceil(step / 320) * 320 if self.layout != "contiguous" else step
            for start in range(0, self.n_events, step):
                stop = min(start + step, self.n_events)
                frames[start:stop] = self._frames(columns, start, stop)
        # Written down now, or it would go on while others are timed.
        with path.open("rb") as written:
            os.fsync(written)
        return path

    def truth(self, path: Path) -> Cube:
        """Make the cube with plain numpy, all frames in memory: for small problems only."""
        with h5py.File(path) as file:
            frames = file[FRAMES][...].astype(np.float64)
        index = self.bin_index(self.columns())
        members = [frames[index == number] for number in range(self.n_bins)]
        count = np.stack([np.isfinite(member).sum(axis=0) for member in members])
        if not self.floating:
            count = np.array([len(member) for member in members])
        return Cube(
            mean=np.stack([np.nanmean(member, axis=0) for member in members]),
            std=np.stack([np.nanstd(member, axis=0) for member in members]),
            count=count,
        )

    def spec(self, path: Path, *, memory: str = "2 GiB") -> str:
        """Write the cube spec, for a file at `path`, as YAML."""
        return f"""\
cube: bench
run: {{smalldata: {json.dumps(str(path))}}}
units: {{{DELAY}: ps}}
select:
  good:
    - {{field: {XRAY}, equal: 1}}
    - {{field: {IPM}, min: {LOW_IPM}}}
axes:
  - {{field: {DELAY}, edges: {{start: -1.0, stop: {self.edges[-1]:.1f}, bins: {self.n_bins}}}, unit: ps}}
cubes: [good]
signals:
  - {{field: {FRAMES}, name: frames}}
resources: {{memory: {memory}}}
"""

    def to_json(self) -> str:
        """Write the parameters, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Problem:
        """Read what `to_json` wrote."""
        parameters = json.loads(text)
        return cls(**parameters | {"frame_shape": tuple(parameters["frame_shape"])})

    def _storage(self) -> dict[str, Any]:
        if self.layout == "contiguous":
            return {}
        chunks = {"chunks": (min(CHUNK_EVENTS, self.n_events), *self.frame_shape)}
        if self.layout == "chunked":
            return chunks
        if self.layout == "gzip":
            return chunks | {"shuffle": True, "compression": "gzip", "compression_opts": 1}
        import hdf5plugin

        return chunks | dict(hdf5plugin.Bitshuffle(cname="lz4"))

    def _frames(self, columns: Columns, start: int, stop: int) -> NDArray[Any]:
        """Make frames: a fixed pattern that follows the delay, six bits of noise on top."""
        groups = range(start // _SEED_EVENTS, math.ceil(stop / _SEED_EVENTS))
        noise = np.concatenate([self._noise(group) for group in groups])
        noise = noise[start % _SEED_EVENTS :][: stop - start]
        pattern = 100 + (np.arange(self.n_elements) % 997)
        signal = (10 * (columns.delay[start:stop] + 1)).astype(np.uint16)
        noise += pattern.astype(noise.dtype)
        noise += signal[:, None].astype(noise.dtype)
        return noise.reshape(-1, *self.frame_shape)

    def _noise(self, group: int) -> NDArray[Any]:
        rng = np.random.default_rng([self.seed, 1, group])
        shape = (_SEED_EVENTS, self.n_elements)
        if not self.floating:
            bits = np.frombuffer(rng.bytes(2 * _SEED_EVENTS * self.n_elements), np.uint16)
            return (bits & 63).astype(self.dtype).reshape(shape)
        noise = rng.standard_normal(shape, dtype=np.float32).astype(self.dtype) * 8
        noise.flat[rng.integers(0, noise.size, noise.size // 1000)] = np.nan
        return noise
