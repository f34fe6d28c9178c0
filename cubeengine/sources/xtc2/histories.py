"""What transitions say: scan and EPICS variables, which hold for the events that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.dgram import DROPPED, Service
from cubeengine.sources.xtc2.frames import label_words
from cubeengine.sources.xtc2.held import HeldReader, Setting
from cubeengine.sources.xtc2.names import INT64, Name
from cubeengine.sources.xtc2.stream import Stream, Transition
from cubeengine.sources.xtc2.values import Contribution, EnumValue
from cubeengine.types import FieldInfo, FieldKind, Storage

HELD_DETECTORS = ("scan", "epics")

STEP_INDEX = "scan/step_index"
"""Number of the step that an event is in, from 0: each BeginStep begins one, also without a scan value."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """All values of one variable."""

    name: str  # of the field: "scan/motor1"
    declared: Name  # its type
    settings: tuple[Setting, ...]  # rising in time
    origin: str  # file of the first

    @property
    def problem(self) -> str:
        """Why it is not one number or array per event; "" where it is."""
        if self.declared.is_text:
            return "text, with one value per transition that has it"
        if len({np.shape(setting.value) for setting in self.settings}) > 1:
            return "its shape varies from one transition to the next"
        return ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one value; of texts, their number."""
        if self.declared.is_text:
            return (len(self.settings),)
        return () if self.problem else np.shape(self.settings[0].value)

    def info(self, n_events: int) -> FieldInfo:
        """Describe it for users."""
        kind = FieldKind.RAGGED if self.problem else FieldKind.EVENT
        values = self.texts() if self.declared.is_text else None
        return FieldInfo(
            self.name,
            self.shape,
            self.declared.dtype.newbyteorder("=") if values is None else values.dtype,
            kind if values is None else FieldKind.RUN,
            Storage("memory"),
            self.origin,
            n_events if values is None else 1,
            note="; ".join(filter(None, (self.problem, self._labels))),
        )

    def texts(self) -> NDArray[Any]:
        """Return all values of text, in time order."""
        return np.array([setting.value for setting in self.settings])

    def reader(self, timestamps: NDArray[np.uint64]) -> HeldReader:
        """Return the reader of a variable without problem."""
        dtype = self.declared.dtype.newbyteorder("=")
        values = np.array([_number(setting.value) for setting in self.settings], dtype)
        times = np.array([setting.timestamp for setting in self.settings], np.uint64)
        damaged = np.array([setting.damaged for setting in self.settings])
        return HeldReader.of(values, np.searchsorted(timestamps, times, side="left"), damaged)

    @property
    def _labels(self) -> str:
        value = self.settings[0].value
        return label_words(value.labels) if isinstance(value, EnumValue) else ""


def find_histories(streams: Sequence[Stream]) -> Mapping[str, History]:
    """Collect scan and EPICS variables from the transitions of all streams.

    Of equal times the stream with the lowest number counts. A variable that is declared with several types
    keeps the values of the first. The steps are numbered, unless the files hold a variable of that name.
    """
    found: dict[str, list[tuple[int, int, Name, Setting, str]]] = {}
    for stream in streams:
        for transition in stream.transitions:
            for contribution in transition.contributions:
                if contribution.names.detector in HELD_DETECTORS:
                    for name, setting in _settings(transition, contribution):
                        field = f"{contribution.names.detector}/{name.plain}"
                        entry = (setting.timestamp, -stream.number, name, setting, str(transition.path))
                        found.setdefault(field, []).append(entry)
    return _step_numbers(streams) | {field: _history(field, entries) for field, entries in found.items()}


def _step_numbers(streams: Sequence[Stream]) -> dict[str, History]:
    """Return the numbers of the steps: one begins where any stream has a BeginStep."""
    begins = {
        transition.timestamp: str(transition.path)
        for stream in reversed(streams)
        for transition in stream.transitions
        if transition.service == Service.BEGIN_STEP
    }
    if not begins:
        return {}
    settings = tuple(Setting(timestamp, number) for number, timestamp in enumerate(sorted(begins)))
    declared = Name(STEP_INDEX.partition("/")[2], INT64, 0)
    return {STEP_INDEX: History(STEP_INDEX, declared, settings, begins[min(begins)])}


def _history(field: str, entries: list[tuple[int, int, Name, Setting, str]]) -> History:
    ordered = sorted(entries, key=lambda entry: entry[:2])
    declared = ordered[0][2]
    alike = [entry for entry in ordered if (entry[2].type, entry[2].rank) == (declared.type, declared.rank)]
    by_time = {entry[0]: entry[3] for entry in alike}
    return History(field, declared, tuple(by_time.values()), ordered[0][4])


def _settings(transition: Transition, contribution: Contribution) -> list[tuple[Name, Setting]]:
    """Return the values of one contribution; one that could not be decoded gives none."""
    damage = contribution.damage | (transition.damage | contribution.above) & ~DROPPED
    declared = {name.plain: name for name in contribution.names.fields if not name.is_label}
    return [
        (declared[plain], Setting(transition.timestamp, value, damage != 0))
        for plain, value in contribution.values.items()
        if plain in declared
    ]


def _number(value: Any) -> Any:
    return value.value if isinstance(value, EnumValue) else value
