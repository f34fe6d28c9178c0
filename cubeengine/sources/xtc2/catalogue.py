"""All fields of a raw run by name, and the detectors that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from cubeengine.sources.xtc2.configured import Configuration, RunValue, configuration, run_values
from cubeengine.sources.xtc2.contributors import find_contributors
from cubeengine.sources.xtc2.frames import EventField, event_fields
from cubeengine.sources.xtc2.histories import History, find_histories
from cubeengine.sources.xtc2.names import Names
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.sources.xtc2.survey import Survey
from cubeengine.types import DetectorInfo, FieldInfo, FieldKind


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """What a raw run holds."""

    fields: Mapping[str, FieldInfo]
    """All fields, for users: those of events, scan, EPICS, and those of the run."""
    event_fields: Mapping[str, EventField]  # fields of events; those with a `problem` cannot be read
    held: Mapping[str, History]  # scan and EPICS variables
    once: Mapping[str, RunValue]  # what is once per run
    declared: Mapping[tuple[str, int], tuple[Names, ...]]
    configured: Configuration

    def run_value(self, name: str) -> NDArray[Any]:
        """Return the value of a field that is once per run."""
        return self.held[name].texts() if name in self.held else self.once[name].value

    def detector(self, name: str) -> DetectorInfo | None:
        """Describe the detector of an event field; None for other fields."""
        if name not in self.event_fields:
            return None
        (detector, _), segments = self.event_fields[name].group, tuple(self.event_fields[name].segments)
        blocks = [self.declared[detector, segment] for segment in segments]
        kinds = [names.kind for block in blocks for names in block]
        kind = kinds[0] if kinds else ""
        serials = [_unique_id(block) for block in blocks]
        return DetectorInfo(
            detector,
            kind,
            "_".join([kind, *serials]),
            segments,
            _settings(detector, segments, self.configured),
        )


def make_catalogue(streams: Sequence[Stream], surveys: Sequence[Survey], n_events: int) -> Catalogue:
    """Find all fields. Of equal names that of the events is meant, then that of scan and EPICS."""
    frames = {field.name: field for field in event_fields(find_contributors(streams, surveys))}
    held = dict(find_histories(streams))
    once = {value.name: value for value in run_values(streams)}
    # What is announced for events but comes only with transitions is no event field.
    unsent = {name for name, field in frames.items() if not field.sent and (name in once or name in held)}
    lacking = {name: frames[name].lacking(streams) for name in unsent if frames[name].group[1] != "config"}
    frames = {name: field for name, field in frames.items() if name not in unsent}
    infos = {name: value.info() for name, value in once.items()}
    infos |= {name: history.info(n_events) for name, history in held.items()}
    infos |= {
        name: replace(infos[name], note="; ".join(filter(None, (text, infos[name].note))))
        for name, text in lacking.items()
        if infos[name].kind is FieldKind.RUN
    }
    infos |= {name: field.info(n_events, streams) for name, field in frames.items()}
    order = [*frames, *held, *once]
    return Catalogue(
        {name: infos[name] for name in order},
        frames,
        {name: history for name, history in held.items() if name not in frames},
        once,
        _declared(streams),
        configuration(streams),
    )


def _declared(streams: Sequence[Stream]) -> dict[tuple[str, int], tuple[Names, ...]]:
    """Return all Names of each segment of each detector."""
    declared: dict[tuple[str, int], tuple[Names, ...]] = {}
    for stream in streams:
        for schema in stream.schemas:
            for names in schema.names.values():
                place = names.detector, names.segment
                declared[place] = (*declared.get(place, ()), names)
    return declared


def _unique_id(names: Sequence[Names]) -> str:
    """Return the serial numbers of a segment: those of its configuration, as data blocks often have none."""
    configured = [block.unique_id for block in names if block.alg == "config" and block.unique_id]
    return next(iter([*configured, *(block.unique_id for block in names if block.unique_id)]), "")


def _settings(
    detector: str, segments: Sequence[int], configured: Configuration
) -> dict[str, tuple[NDArray[Any], ...]]:
    """Return the configuration values that all of these segments have."""
    settings = {}
    for (owner, alg), values in configured.items():
        if owner == detector and all(segment in values for segment in segments):
            for plain in values[segments[0]]:
                if all(plain in values[segment] for segment in segments):
                    settings[f"{alg}/{plain}"] = tuple(values[segment][plain] for segment in segments)
    return settings
