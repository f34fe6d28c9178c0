"""Speed of reading raw files (xtc2), beside plain reading of the same bytes.

`python -m benchmarks.xtc2 [--size small|normal] [--rounds N] [--patience S] [--scratch DIR]`

Plain reading is `os.preadv` into one reused buffer of 64 MiB, and once more into one of 4 MiB, as large as
the reader's blocks, which stays in the cache; decoding is the reader's blocks, one after another. The same
compiled sum runs over every byte, in one thread, on files in the page cache. They take turns; shown are
medians, and the medians of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe
from benchmarks.quiet import undisturbed
from cubeengine.sources.xtc2.run_files import find_run
from cubeengine.sources.xtc2.source import Xtc2Source, open_xtc2
from cubeengine.sources.xtc2.stream import open_stream
from cubeengine.sources.xtc2.writer import OutData, OutField, OutNames, OutStream, RunWriter, Service

BUFFER_NBYTES = 64 * 2**20
BLOCK_NBYTES = 4 * 2**20
STREAM_NBYTES = {"small": 64 * 2**20, "normal": 1024 * 2**20}
N_SCALARS = {"small": 200_000, "normal": 4_000_000}
TARGET_RATIO = 0.8
TARGET_EVENTS = 2e6


@dataclass(frozen=True, slots=True)
class Frames:
    """A stream of frames of 16-bit integers: one or several segments in each datagram."""

    label: str
    shape: tuple[int, ...]
    n_segments: int = 1

    @property
    def nbytes(self) -> int:
        return 2 * math.prod(self.shape) * self.n_segments

    def write(self, folder: Path, n_events: int) -> None:
        """Write it, with frames from a small pool, as only their bytes matter."""
        cameras = [
            OutNames("camera", (OutField("raw", "u2", len(self.shape)), OutField("n", "u8")), segment=i)
            for i in range(self.n_segments)
        ]
        pool = np.random.default_rng(1).integers(0, 2**16, (8, *self.shape), np.uint16)
        with started(folder, cameras) as out:
            for event in range(n_events):
                values = {"raw": pool[event % 8], "n": event}
                out.event(stamp(10 + event), [OutData(camera, values) for camera in cameras])


FRAMES = (
    Frames("10 KiB", (64, 80)),
    Frames("100 KiB", (200, 256)),
    Frames("1 MiB", (512, 1024)),
    Frames("4 x 270 kB, epix10ka", (352, 384), 4),
    Frames("8 MiB", (2048, 2048)),
)


def stamp(tick: int) -> int:
    """Return the packed time of a tick; there are 120 in a second."""
    return (tick // 120) << 32 | (tick % 120) * 8_333_333


@contextmanager
def started(folder: Path, names: Sequence[OutNames]) -> Iterator[RunWriter]:
    """Begin a run of one stream; events are to come from tick 10 on."""
    with RunWriter(folder, "bench", 1, streams=[0]) as out:
        out.configure(stamp(0), [OutStream(0, tuple(names))])
        out.begin_run(stamp(1))
        out.transition(Service.BEGIN_STEP, stamp(2))
        out.transition(Service.ENABLE, stamp(3))
        yield out


@numba.njit(nogil=True)
def total(words: NDArray[np.uint64]) -> np.uint64:
    """Sum 64-bit words; LLVM keeps several vectors of sums."""
    result = np.uint64(0)
    for word in words:
        result += word
    return result


def sum_bytes(data: NDArray[Any]) -> int:
    """Look at every byte, but the last few."""
    flat = data.reshape(-1).view(np.uint8)
    return int(total(flat[: len(flat) // 8 * 8].view(np.uint64)))


def plain(paths: Sequence[Path], buffer: NDArray[np.uint8]) -> int:
    """Read whole files into a buffer, piece after piece."""
    result = 0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        offset = 0
        while size := os.preadv(descriptor, [buffer.data], offset):
            result += sum_bytes(buffer[:size])
            offset += size
        os.close(descriptor)
    return result


def decoded(source: Xtc2Source, field: str) -> int:
    """Read a field of every event, block after block."""
    rows = np.arange(source.n_events)
    blocks = source.reader(field).blocks(rows, elements=slice(None), block_nbytes=BLOCK_NBYTES)
    return sum(sum_bytes(block.data) for block in blocks)


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Compared:
    """Median seconds of plain reading with both buffers and of decoding; plain over decoding for both."""

    plain: float
    plain_cached: float
    decoding: float
    ratio: float
    ratio_cached: float


def compare(source: Xtc2Source, field: str, options: argparse.Namespace) -> Compared:
    """Measure plain reading and decoding in turns."""
    paths = [file.path for stream in source.streams for file in stream.files]
    buffer = np.ones(BUFFER_NBYTES, np.uint8)  # ones: its pages exist before the start
    sides = (
        lambda: plain(paths, buffer),
        lambda: plain(paths, buffer[:BLOCK_NBYTES]),
        lambda: decoded(source, field),
    )

    def turn() -> list[float]:
        return [seconds(side) for side in sides]

    turn()
    turns = np.array([undisturbed(turn, patience=options.patience)[0] for _ in range(options.rounds)])
    ratios = np.median(turns[:, :2] / turns[:, 2:], axis=0)
    return Compared(*np.median(turns, axis=0).tolist(), *ratios.tolist())


def frame_rows(options: argparse.Namespace) -> Iterator[str]:
    """Measure streams of frames."""
    for problem in FRAMES:
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            n_events = STREAM_NBYTES[options.size] // problem.nbytes
            problem.write(Path(folder), n_events)
            found = compare(open_xtc2(Path(folder)), "camera/raw/raw", options)
        nbytes = n_events * problem.nbytes / 1e9
        speeds = (nbytes / value for value in (found.plain, found.plain_cached, found.decoding))
        numbers = " ".join(f"{value:7.1f}" for value in speeds)
        ratios = f"{found.ratio:6.2f} {found.ratio_cached:6.2f}"
        yield f"{problem.label:22} {n_events:9,} {numbers} {ratios} {n_events / found.decoding / 1e6:10.4g}"


def scalar_rows(options: argparse.Namespace) -> Iterator[str]:
    """Measure a stream of small events: reading one number of each, and finding the events."""
    n_events = N_SCALARS[options.size]
    names = OutNames("ipm", (OutField("sum", "f8"), OutField("channels", "f4", 1)))
    ticks = np.arange(10, 10 + n_events, dtype=np.uint64)
    times = (ticks // np.uint64(120)) << np.uint64(32) | ticks % np.uint64(120) * np.uint64(8_333_333)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        with started(Path(folder), [names]) as out:
            values = {
                "sum": np.random.default_rng(2).normal(size=n_events),
                "channels": np.ones((n_events, 4)),
            }
            out.events(times, [OutData(names, values)])
        (files,) = find_run(Path(folder)).streams
        source = open_xtc2(Path(folder))
        work: dict[str, Callable[[], object]] = {
            "one number per event": lambda: decoded(source, "ipm/raw/sum"),
            "index of the smd file": lambda: open_stream(files),
            "the same, run opened": lambda: open_xtc2(Path(folder)),
        }
        for label, call in work.items():
            call()
            took = [
                undisturbed(partial(seconds, call), patience=options.patience)[0]
                for _ in range(options.rounds)
            ]
            yield f"{label:22} {n_events:9,} {'':37} {n_events / float(np.median(took)) / 1e6:10.4g}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=STREAM_NBYTES, default="normal")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for an idle machine")
    parser.add_argument("--scratch", type=Path, help="folder for the files; needs 2 GB at a time")
    options = parser.parse_args()
    print(describe(), "\n")
    print(
        f"one thread; GB/s; targets: ratio {TARGET_RATIO} at 1 MiB, index {TARGET_EVENTS / 1e6:.0f} Mevents/s"
    )
    head = f"{'plain':>7} {'cached':>7} {'decode':>7} {'ratio':>6} {'cached':>6} {'Mevents/s':>10}"
    print(f"{'values':22} {'events':>9} {head}")
    for rows in (frame_rows, scalar_rows):
        for row in rows(options):
            print(row, flush=True)


if __name__ == "__main__":
    main()
