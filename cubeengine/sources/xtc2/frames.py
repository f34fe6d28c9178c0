"""The event fields of a run: of single segments, and of all segments of a detector stacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cubeengine.sources.xtc2.contributors import Contributor, GroupName, SegmentField
from cubeengine.sources.xtc2.datagrams import StreamEvents
from cubeengine.sources.xtc2.names import Schema
from cubeengine.sources.xtc2.reader import Xtc2Reader
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.types import FieldInfo, FieldKind, Storage

STORAGE = Storage("xtc2", chunk_events=1, direct=True)
"""Every value lies at a place of its own that can be read alone, and in parts."""

_LABELS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class EventField:
    """One event field."""

    name: str
    group: GroupName  # detector and algorithm
    segments: Mapping[int, SegmentField]
    """Number of a segment -> its part of the field, in the order of the elements."""
    problem: str = ""  # why it cannot be read event by event; "" where it can
    remark: str = ""  # what else to know

    @property
    def streams(self) -> tuple[int, ...]:
        """Numbers of the streams it is in."""
        return tuple(sorted({part.contributor.stream for part in self.segments.values()}))

    @property
    def sent(self) -> bool:
        """Whether any event that was looked at has it."""
        return any(part.contributor.count for part in self.segments.values())

    def lacking(self, streams: Sequence[Stream]) -> str:
        """Tell which files have none of the events that smd files announce; "" where the field was sent."""
        empty = [streams[s] for s in self.streams if len(streams[s].left_off) and not len(streams[s].events)]
        if self.sent or not empty:
            return ""
        return "; ".join(
            f"{stream.files[0].path} ({stream.files[0].size:,} bytes) has none of the "
            f"{len(stream.left_off):,} events that its smd file announces: still being written, or cut off, "
            "copy it again"
            for stream in empty
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's value; () where there is a problem."""
        first = next(iter(self.segments.values())).shape
        return () if self.problem or first is None else stacked_shape(len(self.segments), first)

    def reader(self, events: Sequence[StreamEvents]) -> Xtc2Reader:
        """Return its reader; `events` of all streams of the run."""
        parts = [part.part(self.streams.index(part.contributor.stream)) for part in self.segments.values()]
        dtype, part_shape = next(iter(self.segments.values())).form
        return Xtc2Reader(
            self.name,
            dtype,
            self.shape,
            part_shape or (),
            tuple(events[s] for s in self.streams),
            tuple(parts),
        )

    def info(self, n_events: int, streams: Sequence[Stream]) -> FieldInfo:
        """Describe it for users."""
        name = next(iter(self.segments.values())).name
        problem = self.lacking(streams) or self.problem
        return FieldInfo(
            self.name,
            self.shape,
            name.dtype.newbyteorder("="),
            FieldKind.RAGGED if self.problem else FieldKind.EVENT,
            STORAGE,
            str(streams[self.streams[0]].files[0].path),
            n_events,
            note="; ".join(filter(None, (problem, self.remark, _labels(self, streams)))),
        )


def stacked_shape(n_segments: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of several segments together.

    One segment: as it is. A first axis of length 1, as of a module of several panels, is the one along which
    they are put together; else they get a new first axis.

    Examples
    --------
    >>> stacked_shape(8, (1, 512, 1024)), stacked_shape(4, (352, 384)), stacked_shape(1, (352, 384))
    ((8, 512, 1024), (4, 352, 384), (352, 384))
    """
    if n_segments == 1:
        return shape
    return (n_segments, *(shape[1:] if shape[:1] == (1,) else shape))


def event_fields(groups: Mapping[GroupName, Mapping[int, Contributor]]) -> Iterator[EventField]:
    """Yield every event field of every detector, stacked ones ahead of those of their segments."""
    for (detector, alg), contributors in groups.items():
        parts_of: dict[str, dict[int, SegmentField]] = {}
        for segment, contributor in contributors.items():
            for plain in contributor.plain_names:
                parts_of.setdefault(plain, {})[segment] = contributor.describe(plain)
        for plain, parts in parts_of.items():
            yield from _fields(detector, alg, plain, parts, several=len(contributors) > 1)


def _fields(
    detector: str, alg: str, plain: str, parts: Mapping[int, SegmentField], *, several: bool
) -> Iterator[EventField]:
    sending = {segment: part for segment, part in parts.items() if part.contributor.count} or parts
    silent = [segment for segment in parts if segment not in sending]
    remark = f"segments {', '.join(map(str, silent))} send no data and are left out" if silent else ""
    remark = "; ".join(filter(None, (remark, *map(_elsewhere, sending.values()))))
    unlike = len({part.form for part in sending.values()}) > 1
    problem = next((part.problem for part in sending.values() if part.problem), "")
    if problem or not unlike:
        yield EventField(f"{detector}/{alg}/{plain}", (detector, alg), sending, problem, remark)
    if not several:
        return
    apart = "segments differ in shape or type, so no field combines them all" if unlike else ""
    for segment, part in parts.items():
        name = f"{detector}/{segment}/{alg}/{plain}"
        remark = "; ".join(filter(None, (apart if not problem else "", _elsewhere(part))))
        yield EventField(name, (detector, alg), {segment: part}, part.problem, remark)


def _elsewhere(part: SegmentField) -> str:
    others = part.contributor.others
    return f"also sent by stream {', '.join(map(str, others))}, which is left out" if others else ""


def _labels(field: EventField, streams: Sequence[Stream]) -> str:
    """Return the labels of an enum field as a note."""
    part = next(iter(field.segments.values()))
    if not part.name.is_enum:
        return ""
    schemas: Sequence[Schema] = streams[part.contributor.stream].schemas
    for schema, names, number in zip(schemas, part.contributor.names, part.places, strict=True):
        if names is not None and number is not None:
            return label_words(schema.labels(names, names.fields[number]))
    return ""


def label_words(labels: Mapping[int, str]) -> str:
    """Write labels of an enum: "0 = low, 1 = high"."""
    shown = [f"{value} = {label}" for value, label in sorted(labels.items())[:_LABELS_SHOWN]]
    more = f", and {len(labels) - _LABELS_SHOWN} more" if len(labels) > _LABELS_SHOWN else ""
    return ", ".join(shown) + more
