"""A run of any number of events that takes neither disk nor memory: scalars of an event follow from its
number, frames lie by offset in a sparse file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.sources.base import Block, Reader
from cubeengine.sources.leading import leading_zeros
from cubeengine.sources.plain import PlainReader
from cubeengine.spec.model import CubeSpec
from cubeengine.types import Column, FieldInfo, InputFile, Storage

FRAMES = "det/frames"
N_STEPS = 50
SPEC = CubeSpec.loads(
    """
cube: simulated
units: {scan/lxt: s, tt/ttCorr: ps}
derive:
  delay: {delay: {nominal: scan/lxt, timetool: tt/ttCorr}}
select:
  good: [{field: ipm2/sum, min: 0.2}]
  on: {all: [good, '`tt/AMPL` > 0.02'], laser: on}
  off: {all: [good], laser: off}
axes: [{field: delay, edges: {start: -1.1, stop: 4.1, bins: 52}, unit: ps}]
cubes: [good, on, off]
signals: [det/frames]
"""
)
DTYPES = {
    "scan/lxt": "f8", "tt/ttCorr": "f8", "tt/AMPL": "f8", "ipm2/sum": "f8", "lightStatus/laser": "i8",
}  # fmt: skip


def uniform(events: np.ndarray, salt: int) -> np.ndarray:
    """Return numbers in [0, 1) that look random, each made of an event's number (splitmix64)."""
    state = events.astype(np.uint64) + np.uint64(salt << 40)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) / 2**53


def values_of(name: str, events: np.ndarray, n_events: int) -> np.ndarray:
    """Return the values of a scalar for some events."""
    if name == "lightStatus/laser":
        return (events % 6 != 5).astype(np.int64)
    if name == "scan/lxt":
        return (-1.0 + events * N_STEPS // n_events * 0.1) * 1e-12
    scale, salt = {"tt/ttCorr": (0.2, 1), "tt/AMPL": (0.4, 2), "ipm2/sum": (2.0, 3)}[name]
    return uniform(events, salt) * scale


@dataclass(frozen=True, slots=True, eq=False)
class ScalarReader:
    """Makes the values of a scalar when they are read."""

    name: str
    n_events: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(DTYPES[self.name])

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def blocks(self, rows: np.ndarray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        step = max(block_nbytes // 8, 1)
        for start in range(0, len(rows), step):
            data = values_of(self.name, rows[start : start + step], self.n_events)[:, None]
            yield Block(data, start, start + len(data), np.arange(len(data)))

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        return 4 * block_nbytes


@dataclass(frozen=True, eq=False)
class SimulatedSource:
    """Events in the order of time, 120 a second."""

    n_events: int
    path: Path
    frame_shape: tuple[int, ...] = (64, 64)
    rows: None = field(init=False, default=None)

    @property
    def frames(self) -> FieldInfo:
        contiguous = Storage("contiguous", 1, (), direct=True)
        return FieldInfo(
            FRAMES, self.frame_shape, np.dtype("u2"), storage=contiguous, origin="det", n_rows=self.n_events
        )

    @property
    def files(self) -> tuple[InputFile, ...]:
        return (InputFile(self.path, self.frames.nbytes, 0),)

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        scalars = {
            name: FieldInfo(name, (), np.dtype(dtype), n_rows=self.n_events) for name, dtype in DTYPES.items()
        }
        return {**scalars, FRAMES: self.frames}

    @property
    def timestamps(self) -> np.ndarray:
        seconds, ticks = np.divmod(np.arange(self.n_events, dtype=np.uint64), np.uint64(120))
        return (seconds + np.uint64(1_425_000_000) << np.uint64(32)) | ticks * np.uint64(8_333_333)

    @property
    def time(self) -> np.ndarray:
        return (np.arange(self.n_events) * 8_333_333).view("datetime64[ns]")

    @property
    def held_nbytes(self) -> int:
        return 0

    def read(self, name: str, events: slice | None = None) -> Column:
        first, stop, _ = (events or slice(None)).indices(self.n_events)
        return Column(values_of(name, np.arange(first, stop), self.n_events))

    def reader(self, name: str) -> Reader:
        if name != FRAMES:
            return ScalarReader(name, self.n_events)
        return PlainReader(
            InputFile.of(self.path), np.dtype("u2"), self.frame_shape, self.n_events, np.zeros(1, np.int64)
        )

    def leading_zero_rows(self, name: str) -> int:
        return leading_zeros(self.reader(name), self.n_events)

    def coordinates(self, name: str) -> Mapping[int, tuple[str, np.ndarray]]:
        return {}

    def detector(self, name: str) -> None:
        return None

    def aligned(self, group: str) -> SimulatedSource:
        raise SpecError(f"align group {group!r}: there are none")

    def with_missing(self, marks: Mapping[str, str]) -> SimulatedSource:
        raise SpecError("no values are missing")


def simulated_run(path: Path, n_events: int, frame_shape: tuple[int, ...] = (64, 64)) -> Run:
    """Make a run; its frames, all zero, take no disk. The file is left out if no file can be as large."""
    source = SimulatedSource(n_events, path, frame_shape)
    if source.frames.nbytes < 2**43:
        with path.open("wb") as file:
            file.truncate(source.frames.nbytes)
    return Run(source)
