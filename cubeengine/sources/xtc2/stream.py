"""One stream of a run: where its events lie, and its transitions with their values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.dgram import Service
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.run_files import StreamFiles
from cubeengine.sources.xtc2.values import Contribution
from cubeengine.types import InputFile, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """A datagram that is not an event.

    Attributes
    ----------
    service : Service
    timestamp : int
        Packed (seconds << 32 | nanoseconds).
    damage : int
        That of the datagram.
    schema : int
        Number in `Stream.schemas`; that of a Configure is its own.
    contributions : tuple of Contribution
        Its values.
    path : Path
    offset : int
        Where it was read, for messages.
    """

    service: Service
    timestamp: int
    damage: int
    schema: int
    contributions: tuple[Contribution, ...]
    path: Path
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Every event of a stream, as stored: arrays of equal length.

    Attributes
    ----------
    timestamp : (n,) uint64
        Rising strictly.
    file : (n,) int32
        Number in `Stream.files`.
    offset, size : (n,) int64
        The datagram in that file, header included: it ends within the file.
    schema : (n,) int32
        Number in `Stream.schemas`.
    """

    timestamp: NDArray[np.uint64]
    file: NDArray[np.int32]
    offset: IntArray
    size: IntArray
    schema: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.timestamp)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One stream of a run.

    Attributes
    ----------
    number : int
        As in the file name; 0 for a file whose name has none.
    files : tuple of InputFile
        The files of events, one per chunk.
    index_files : tuple of InputFile
        The smd file the events and transitions are known from; empty where there is none.
    schemas : tuple of Schema
        One per Configure.
    events : Events
    transitions : tuple of Transition
        In the order of the file, Configures included.
    notes : tuple of str
        What was left off, e.g. a last datagram that is not whole yet.
    """

    number: int
    files: tuple[InputFile, ...]
    index_files: tuple[InputFile, ...]
    schemas: tuple[Schema, ...]
    events: Events
    transitions: tuple[Transition, ...]
    notes: tuple[str, ...] = ()


def open_stream(files: StreamFiles) -> Stream:
    """Find all events of a stream and decode its transitions.

    Parameters
    ----------
    files : StreamFiles
        The first file of events, and the smd file where there is one.

    Raises
    ------
    SourceFormatError
        If a file is not what it should be, or a chunk is missing.
    """
    raise NotImplementedError
