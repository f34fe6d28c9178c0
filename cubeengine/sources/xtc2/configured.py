"""What is once per run: the configuration of detectors, and what the run says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.contributors import GroupName
from cubeengine.sources.xtc2.dgram import Service
from cubeengine.sources.xtc2.frames import label_words
from cubeengine.sources.xtc2.histories import HELD_DETECTORS
from cubeengine.sources.xtc2.names import Names
from cubeengine.sources.xtc2.stream import Stream
from cubeengine.sources.xtc2.values import EnumValue
from cubeengine.types import FieldInfo, FieldKind, Storage

_SERVICES = (Service.CONFIGURE, Service.BEGIN_RUN, Service.BEGIN_STEP)
"""Later ones may update what a Configure gave. As for psana, that is what counts; see `_merge`."""
_OF_FILES = ("smdinfo", "chunkinfo")
"""Detectors that say where things lie: nothing for users."""


@dataclass(frozen=True, slots=True, eq=False)
class RunValue:
    """One field that is once per run."""

    name: str
    value: NDArray[Any]  # a number, an array, or text
    origin: str  # the file
    note: str = ""  # what a user should know

    def info(self) -> FieldInfo:
        """Describe it for users."""
        value = self.value
        return FieldInfo(
            self.name,
            value.shape,
            value.dtype,
            FieldKind.RUN,
            Storage("memory"),
            self.origin,
            1,
            note=self.note,
        )


@dataclass(slots=True, eq=False)
class _Found:
    """The values of one segment, and which of them changed during the run."""

    names: Names
    values: dict[str, Any]
    origin: str
    changed: set[str]


Configuration = Mapping[GroupName, Mapping[int, Mapping[str, NDArray[Any]]]]
"""(detector, algorithm) -> segment -> field -> value."""


def configuration(streams: Sequence[Stream]) -> Configuration:
    """Return the configuration values of every detector segment."""
    return {
        group: {
            segment: {plain: as_array(value) for plain, value in found.values.items()}
            for segment, found in segments.items()
        }
        for group, segments in _find(streams).items()
    }


def run_values(streams: Sequence[Stream]) -> Iterator[RunValue]:
    """Yield every run-level field: of all segments together where these are alike, and of each."""
    for (detector, alg), segments in _find(streams).items():
        for plain in dict.fromkeys(plain for found in segments.values() for plain in found.values):
            having = {number: found for number, found in segments.items() if plain in found.values}
            yield from _run_values(detector, alg, plain, having, several=len(segments) > 1)


def _run_values(
    detector: str, alg: str, plain: str, having: Mapping[int, _Found], *, several: bool
) -> Iterator[RunValue]:
    arrays = {number: as_array(found.values[plain]) for number, found in having.items()}
    origin = next(iter(having.values())).origin
    if len({(array.shape, array.dtype.kind) for array in arrays.values()}) == 1:
        value = np.stack(list(arrays.values())) if several else next(iter(arrays.values()))
        yield RunValue(f"{detector}/{alg}/{plain}", value, origin, _note(plain, having))
    for number, array in arrays.items() if several else ():
        found = {number: having[number]}
        name = f"{detector}/{number}/{alg}/{plain}"
        yield RunValue(name, array, having[number].origin, _note(plain, found))


def _note(plain: str, having: Mapping[int, _Found]) -> str:
    value = next(iter(having.values())).values[plain]
    labels = label_words(value.labels) if isinstance(value, EnumValue) else ""
    changed = any(plain in found.changed for found in having.values())
    words = "changed during the run: this is what the last Configure said" if changed else ""
    return "; ".join(filter(None, (labels, words)))


def _find(streams: Sequence[Stream]) -> dict[GroupName, dict[int, _Found]]:
    groups: dict[GroupName, dict[int, _Found]] = {}
    for service in _SERVICES:
        for stream in streams:
            for transition in stream.transitions:
                for part in transition.contributions if transition.service is service else ():
                    if part.names.detector not in (*HELD_DETECTORS, *_OF_FILES):
                        group = groups.setdefault((part.names.detector, part.names.alg), {})
                        found = group.setdefault(
                            part.names.segment, _Found(part.names, {}, str(transition.path), set())
                        )
                        _merge(found, part.values, again=service is Service.CONFIGURE)
    return {group: dict(sorted(segments.items())) for group, segments in groups.items() if segments}


def _merge(found: _Found, values: Mapping[str, Any], *, again: bool) -> None:
    """Add values: those of another Configure replace what is known, updates only mark it as changed."""
    found.changed |= {
        plain
        for plain, value in values.items()
        if plain in found.values and not np.array_equal(as_array(value), as_array(found.values[plain]))
    }
    found.values |= values if again else {**values, **found.values}


def as_array(value: Any) -> NDArray[Any]:
    """Return a decoded value as an array of its own, aligned, in native byte order; an enum as its number."""
    if isinstance(value, EnumValue):
        return np.array(value.value, np.int32)
    array = np.array(value)
    return array.astype(array.dtype.newbyteorder("="), copy=False)
