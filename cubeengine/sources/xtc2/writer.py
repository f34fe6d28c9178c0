"""Writes runs as xtc2 files: for the demonstration, and for tests and benchmarks of the reader.

Datagram goes after datagram, so a run may be of any size. Files appear under their names when the run
is complete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.writer_files import OutFiles
from cubeengine.sources.xtc2.writer_names import (
    RUNINFO,
    OutData,
    OutField,
    OutNames,
    OutStream,
    Service,
)
from cubeengine.sources.xtc2.writer_stream import StreamWriter, as_one
from cubeengine.types import IntArray

__all__ = ["OutData", "OutField", "OutNames", "OutStream", "RunWriter", "Service"]

_NO_DAMAGE: Mapping[int, int] = {}


class RunWriter:
    """Writes one run, all streams of it.

    A context manager: at its end what it wrote is published, or removed if there was an error.

    Parameters
    ----------
    folder : Path
        Where the files go; it is made.
    experiment, run
        As in the names of the files, and in BeginRun.
    streams : sequence of int
        Numbers of the streams; they may have gaps.
    small_data : bool
        Whether to write the small-data files.
    garbage : Generator, optional
        Fills the bytes that mean nothing, as real files have it. Without it they are zero.

    Notes
    -----
    Memory: the datagram in hand; for many events at once 24 bytes for each, and a few MB.
    """

    def __init__(
        self,
        folder: Path,
        experiment: str,
        run: int,
        *,
        streams: Sequence[int],
        small_data: bool = True,
        garbage: np.random.Generator | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._experiment, self._run, self._garbage = experiment, run, garbage
        stem = f"{experiment}-r{run:04d}"
        self._streams = {
            number: StreamWriter(OutFiles(folder, f"{stem}-s{number:03d}", small_data=small_data), garbage)
            for number in streams
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            for file in stream.files.all:
                if kind is None:
                    file.publish()
                else:
                    file.discard()

    @property
    def paths(self) -> dict[int, tuple[Path, ...]]:
        """The data files of every stream, as they are named when the run is complete."""
        return {
            number: tuple(chunk.path for chunk in stream.files.chunks)
            for number, stream in self._streams.items()
        }

    def configure(self, timestamp: int, streams: Sequence[OutStream], data: Sequence[OutData] = ()) -> None:
        """Describe what follows in every stream, and give the settings of detectors.

        Parameters
        ----------
        timestamp : int
            Seconds since 1990 << 32 | nanoseconds.
        streams : sequence of OutStream
            Every stream of the run.
        data : sequence of OutData
            Settings, which go into the stream that their names belong to.
        """
        if [stream.number for stream in streams] != list(self._streams):
            raise SourceFormatError(f"streams {list(self._streams)} must all be described, in this order")
        for stream in streams:
            self._streams[stream.number].configure(timestamp, stream, data)

    def begin_run(self, timestamp: int) -> None:
        """Begin the run: experiment and number, in every stream."""
        data = OutData(RUNINFO, {"expt": self._experiment, "runnum": self._run})
        for stream in self._streams.values():
            stream.transition(Service.BEGIN_RUN, timestamp, [data], 0)

    def transition(
        self,
        service: Service,
        timestamp: int,
        data: Sequence[OutData] = (),
        *,
        damage: Mapping[int, int] = _NO_DAMAGE,
    ) -> None:
        """Write a transition into every stream.

        Parameters
        ----------
        data : sequence of OutData
            Scan values, EPICS values, ...: each goes into the stream that its names belong to.
        damage : mapping of stream to int
            Damage of the datagrams.
        """
        self._check_known(data)
        for number, stream in self._streams.items():
            stream.transition(service, timestamp, data, damage.get(number, 0))

    def roll_over(self, timestamp: int, names: Mapping[int, str | None]) -> None:
        """Write an Enable after which some streams go on in their next chunk.

        Parameters
        ----------
        names : mapping of stream to name
            Name of the next file; None for the usual one.
        """
        for number, stream in self._streams.items():
            if number in names:
                stream.roll_over(timestamp, names[number])
            else:
                stream.transition(Service.ENABLE, timestamp, (), 0)

    def event(
        self,
        timestamp: int,
        data: Sequence[OutData],
        *,
        damage: Mapping[int, int] = _NO_DAMAGE,
        node_damage: Mapping[int, int] = _NO_DAMAGE,
    ) -> None:
        """Write one event into the streams that contribute to it, or that are named in `damage`.

        Parameters
        ----------
        damage : mapping of stream to int
            Damage of the datagrams. A stream that is named takes part, even without a contribution.
        node_damage : mapping of node to int
            Damage of the Parents of nested streams.
        """
        single = [as_one(part) for part in data]
        stamps = np.array([timestamp], np.uint64)
        self._check_known(data)
        for number, stream in self._streams.items():
            stream.events(stamps, single, damage.get(number, 0), node_damage, takes_part=number in damage)

    def events(
        self, timestamps: ArrayLike, data: Sequence[OutData], *, damage: Mapping[int, IntArray] | None = None
    ) -> None:
        """Write many events that are alike: the same contributions, of the same shapes.

        Streams need not have the same events: write those of one stream, then those of the other.

        Parameters
        ----------
        timestamps : (n_events,) uint64
            Rising.
        data : sequence of OutData
            With values of `n_events` rows.
        damage : mapping of stream to (n_events,) int64
            Damage of the datagrams.
        """
        stamps = np.asarray(timestamps, np.uint64)
        self._check_known(data)
        for number, stream in self._streams.items():
            stream.events(stamps, data, (damage or {}).get(number, 0), {}, takes_part=False)

    def _check_known(self, data: Sequence[OutData]) -> None:
        known = [stream.keys for stream in self._streams.values()]
        for part in data:
            if not any(part.names in keys for keys in known):
                raise SourceFormatError(
                    f"{part.names.detector}/{part.names.alg} is not in a configured stream"
                )
