"""Where the datagrams of a stream lie, as tasks use them; and their files, while they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cubeengine.errors import SourceFormatError
from cubeengine.shared import SharedArray
from cubeengine.sources.bytesio import check_unchanged
from cubeengine.sources.xtc2.dgram import Service
from cubeengine.sources.xtc2.events import compose
from cubeengine.sources.xtc2.gather import FILE, OFFSET, SCHEMA, SIZE, TIMESTAMP
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.types import InputFile, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class StreamEvents:
    """The events of a run as one stream has them.

    Attributes
    ----------
    files : tuple of InputFile
        The files, as they were when the run was opened.
    growing : bool
        Whether the files may have become longer since: the run had not ended. Events that came later are
        not looked at; those that are known lie where they were.
    numbers : SharedArray of (n_events,) int64, or None
        Number of each event's datagram, -1 for none; None where every event's datagram has its number.
    timestamp, file, offset, size, schema : SharedArray
        Of every datagram; see `stream.Events`.
    """

    files: tuple[InputFile, ...]
    growing: bool
    numbers: SharedArray | None
    timestamp: SharedArray
    file: SharedArray
    offset: SharedArray
    size: SharedArray
    schema: SharedArray

    @classmethod
    def of(cls, stream: Stream, numbers: IntArray | None) -> StreamEvents:
        """Describe the events of an opened stream."""
        ended = any(transition.service is Service.END_RUN for transition in stream.transitions)
        columns = (getattr(stream.events, name) for name in ("timestamp", "file", "offset", "size", "schema"))
        shared = None if numbers is None else SharedArray(numbers)
        return cls(stream.files, not ended, shared, *map(SharedArray, columns))

    def matched(self, match: IntArray) -> StreamEvents:
        """Return the same for other rows, where `match` gives the event of each, or -1."""
        numbers = None if self.numbers is None else self.numbers.load()
        return replace(self, numbers=SharedArray(compose(numbers, match)))


class OpenEvents:
    """Events of a stream while they are read; files are opened when they are first needed."""

    def __init__(self, events: StreamEvents, stack: ExitStack) -> None:
        self.files, self._growing, self._stack = events.files, events.growing, stack
        self._numbers = None if events.numbers is None else events.numbers.load()
        self._columns = [
            column.load()
            for column in (events.offset, events.size, events.timestamp, events.schema, events.file)
        ]
        self._descriptors = np.full(len(events.files), -1)

    def numbers(self, rows: IntArray) -> IntArray:
        """Return the datagram of each event; -1 for none."""
        return rows if self._numbers is None else self._numbers[rows]

    def places(self, numbers: IntArray) -> IntArray:
        """Return where datagrams lie, with their files open: (n, 5) int64, see `gather`."""
        places = np.empty((len(numbers), 5), np.int64)
        for column, values in zip((OFFSET, SIZE, TIMESTAMP, SCHEMA, FILE), self._columns, strict=True):
            picked = values[numbers]
            places[:, column] = picked.view(np.int64) if column == TIMESTAMP else picked
        for file in np.unique(places[:, FILE]).tolist() if len(self.files) > 1 else [0][: len(places)]:
            if self._descriptors[file] < 0:
                self._descriptors[file] = self._stack.enter_context(
                    opened_run_file(self.files[file], growing=self._growing)
                )
        places[:, FILE] = self._descriptors[places[:, FILE]]
        return places

    def path(self, number: int) -> Path:
        """Return the file of a datagram."""
        return self.files[int(self._columns[-1][number])].path


@contextmanager
def opened_run_file(file: InputFile, *, growing: bool) -> Iterator[int]:
    """Open a file of a run for reading.

    Raises
    ------
    SourceFormatError
        If it changed after the run was opened; one that is `growing` may have become longer.
    """
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        hint = "; if the run has ended since, open it again" if growing else ""
        raise SourceFormatError(f"{file.path}: cannot be opened ({err.strerror}){hint}") from err
    try:
        status = os.fstat(descriptor)
        if not (growing and status.st_size >= file.size):
            check_unchanged(file, status)
        yield descriptor
    finally:
        os.close(descriptor)
