"""One stream of a run: where its events lie, and its transitions with their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.chunks import find_chunk
from cubeengine.sources.xtc2.content import (
    NO_EVENTS,
    Events,
    FileContent,
    columns_of,
    events_from,
    joined,
    read_content,
)
from cubeengine.sources.xtc2.dgram import Place
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.opening import input_file
from cubeengine.sources.xtc2.pointers import check_has_pointers
from cubeengine.sources.xtc2.run_files import StreamFiles
from cubeengine.sources.xtc2.transitions import Transition
from cubeengine.types import InputFile

__all__ = ["Events", "Stream", "StreamFiles", "Transition", "open_stream"]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One stream of a run."""

    number: int  # as in the file name; 0 for a file whose name has none
    files: tuple[InputFile, ...]  # the files of events, one per chunk
    index_files: tuple[InputFile, ...]
    """The smd file the events and transitions are known from; empty where there is none."""
    schemas: tuple[Schema, ...]  # one per Configure
    events: Events
    transitions: tuple[Transition, ...]  # in the order of the file, Configures included
    notes: tuple[str, ...] = ()
    """What was left off, e.g. a last datagram that is not whole yet."""
    left_off: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """(n,) uint64: Rising times of events that the smd file announces and its file of events does not hold,
    or the other way round, or of which only the beginning is there.
    """


def open_stream(files: StreamFiles) -> Stream:
    """Find all events of a stream and decode its transitions.

    Parameters
    ----------
    files : StreamFiles
        The first file of events, and the smd file where there is one.

    Raises
    ------
    SourceFormatError
        If a file is not what it should be, a chunk is missing, or the events are not in order of time.

    Notes
    -----
    Memory: 32 bytes per event in the result, 8 more while it works; the bytes of the transitions; some MB.
    """
    stream = _from_data(files) if files.index is None else _from_index(files, files.index)
    _check_order(stream)
    return stream


def _from_data(files: StreamFiles) -> Stream:
    """Hop over the files of events themselves."""
    schemas: list[Schema] = []
    paths, contents, pieces = [files.data], list[FileContent](), []
    for number, path in enumerate(paths):  # these become more while they are walked through
        content = read_content(path, schemas, is_index=False)
        file = np.full(len(content.events), number, np.int32)
        pieces.append(columns_of(replace(content.events, file=file)))
        contents.append(replace(content, events=NO_EVENTS))
        for name in content.chunks:
            paths.append(find_chunk(files.data, name, paths))
    _check_configured(schemas, files.data)
    transitions = tuple(transition for content in contents for transition in content.transitions)
    notes = tuple(note for content in contents for note in content.notes)
    inputs = tuple(content.file for content in contents)
    left_off = np.concatenate([content.left_off for content in contents])
    events = Events(*joined(pieces))
    return Stream(files.number, inputs, (), tuple(schemas), events, transitions, notes, left_off)


def _from_index(files: StreamFiles, index: Path) -> Stream:
    """Take offset and size of every event from the smd file."""
    schemas: list[Schema] = []
    content = read_content(index, schemas, is_index=True)
    _check_configured(schemas, index)
    check_has_pointers(schemas, index)
    paths, file = [files.data], content.events.file
    for name in content.chunks[: file[-1] if len(file) else 0]:  # the next one may not be there yet
        paths.append(find_chunk(files.data, name, paths))
    inputs = tuple(map(input_file, paths))
    events, note = _within_files(content.events, inputs)
    beyond, more = _not_in_index(events, inputs) if not note else (content.events.timestamp[:0], ())
    notes = (*content.notes, *note, *more)
    left_off = np.unique(np.concatenate([content.left_off, content.events.timestamp[len(events) :], beyond]))
    return Stream(
        files.number, inputs, (content.file,), tuple(schemas), events, content.transitions, notes, left_off
    )


def _not_in_index(events: Events, files: Sequence[InputFile]) -> tuple[NDArray[np.uint64], tuple[str, ...]]:
    """Find events behind the last one that the smd file points to, in the same file of events."""
    path = files[events.file[-1] if len(events) else 0].path
    start = int(events.offset[-1] + events.size[-1]) if len(events) else 0
    try:
        found = events_from(path, start)
    except SourceFormatError as err:
        return events.timestamp[:0], (
            f"{err}; this is after the last event of the smd file, and is left out",
        )
    note = (
        f"{path}: has {len(found):,} more events, from byte {start:,} on, than its smd file; these are "
        "left out"
    )
    return found, (note,) if len(found) else ()


def _check_configured(schemas: Sequence[Schema], path: Path) -> None:
    if not schemas:
        raise SourceFormatError(
            f"{path}: has no complete Configure, with which a stream begins; is it cut off, just started, "
            "or the continuation of another file?"
        )


def _within_files(events: Events, files: Sequence[InputFile]) -> tuple[Events, tuple[str, ...]]:
    """Leave off the last events where the file of events does not reach as far as the smd file says."""
    beyond = events.offset + events.size > np.array([file.size for file in files])[events.file]
    if not beyond.any():
        return events, ()
    first = int(np.argmax(beyond))
    path, at = files[events.file[first]].path, int(events.offset[first])
    if not beyond[first:].all():
        raise SourceFormatError(
            f"{path}, byte {at:,}: an event of {int(events.size[first]):,} bytes is here, says the smd file, "
            "but the file ends before, although later events are there; are both files of one run?"
        )
    left = len(events) - first
    note = (
        f"{path}: ends before byte {at:,}, where the smd file has the next event: the last {left:,} events "
        "are left out"
    )
    return Events(*(column[:first] for column in columns_of(events))), (note,)


def _check_order(stream: Stream) -> None:
    """Raise SourceFormatError unless the times of the events rise."""
    events = stream.events
    falls = np.flatnonzero(events.timestamp[1:] <= events.timestamp[:-1])
    if len(falls):
        row = int(falls[0]) + 1
        before, here = (f"{int(time):#x}" for time in events.timestamp[row - 1 : row + 1])
        place = Place(stream.files[events.file[row]].path, int(events.offset[row]))
        raise place.error(
            0,
            f"event {row:,} of the stream has the time {here}, but the one before has {before}; events must "
            "be in time order: is the file damaged, or joined from two?",
        )
