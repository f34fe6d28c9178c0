"""What a scan moved: its variables, their settings, and the setting of every event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.events.derived import numbers
from cubeengine.events.expressions import Columns
from cubeengine.events.settings import find_settings
from cubeengine.schema.texts import counted
from cubeengine.types import Column, FieldInfo, FieldKind, FloatArray, IntArray

PREFIX = "scan/"
RELATIVE_TOLERANCE = 1e-9
"""Settings closer than this share of the scan's range are one setting: far above the rounding of
float64, far below any step that is meant."""

_POSITION = re.compile(r"var[0-9]+", re.IGNORECASE)  # the same motors again, by number
_COUNTERS = tuple(
    re.compile(name, re.IGNORECASE) for name in ("step_?index", "varstep", "step_?value", "step")
)
"""Names of step counters: that of the steps that were made first, then those that a file keeps."""

STEP_INDEX = PREFIX + "step_index"
"""Number of the step that the DAQ made. In smallData, which has no such field, the file's own counter."""
_NO_VARIABLE = re.compile(r"(^|/)var_|none|damage|userdatacfg|epics", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VariableSettings:
    """The distinct settings of one variable."""

    values: FloatArray  # (n_settings,) float64: Rising; the median reading of the events of each
    index: IntArray
    """(n_events,) int64: Number of every event's setting; -1 between settings, and where the value is missing
    or not finite.
    """
    tolerance: float  # width of a setting at most

    @property
    def events(self) -> IntArray:
        """(n_settings,) events at each setting."""
        return np.bincount(self.index[self.index >= 0], minlength=len(self.values)).astype(np.int64)


def distinct_settings(values: NDArray[Any], tolerance: float | None = None) -> VariableSettings:
    """Find the distinct settings among the values of events.

    Parameters
    ----------
    values : (n_events,) numbers
        NaN and infinite ones are at no setting.
    tolerance : float, optional
        Width of a setting at most. Where left out, 1e-9 of the range and the rounding of floats, 0 of whole
        numbers.
    """
    seen, events = np.unique(values[np.isfinite(values)], return_counts=True)
    tolerance = _tolerance(values.dtype, seen) if tolerance is None else tolerance
    found = find_settings(seen, events.astype(np.int64), tolerance)
    return VariableSettings(found.values, found.index(values).astype(np.int64), tolerance)


def _tolerance(dtype: np.dtype[Any], seen: NDArray[Any]) -> float:
    return settings_tolerance(dtype, float(seen[0]), float(seen[-1])) if len(seen) else 0.0


def settings_tolerance(dtype: np.dtype[Any], low: float, high: float) -> float:
    """Return how wide a setting of readings of a type may be, between the lowest and the highest of them.

    Whole numbers are exact: those that differ are different settings.
    """
    if dtype.kind != "f":
        return 0.0
    rounding = 4 * float(np.finfo(dtype).eps)
    return max(RELATIVE_TOLERANCE * (high - low), rounding * max(abs(low), abs(high)))


class Scan:
    """The scan of a run.

    Parameters
    ----------
    columns : mapping
        Name -> column of the candidates, as `candidates` gives them.
    n_events : int
        Events of the run.
    """

    def __init__(self, columns: Mapping[str, Column], n_events: int) -> None:
        settings = {name: distinct_settings(_values(column)) for name, column in columns.items()}
        moving = {name: found for name, found in settings.items() if len(found.values) > 1}
        self._settings = {name: moving[name] for name in variables_among(moving)}
        self._n_events = n_events
        self._counter = step_counter(settings)
        self._n_counted = 0 if self._counter is None else len(settings[self._counter].values)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the fields that the scan moves; empty for a run that is no scan."""
        return tuple(self._settings)

    @property
    def step_field(self) -> str | None:
        """Name of the field that counts the steps, where the run has one."""
        return self._counter

    @property
    def n_counted(self) -> int | None:
        """Steps that the data acquisition made, as `step_field` counts them; None where nothing does.

        More than `n_steps` where settings were repeated, or changed without a scan variable.
        """
        return None if self._counter is None else self._n_counted

    @property
    def values(self) -> Mapping[str, FloatArray]:
        """Distinct settings of each variable, rising."""
        return {name: found.values for name, found in self._settings.items()}

    def settings(self, variable: str) -> VariableSettings:
        """Return the settings of one variable, and the setting of every event."""
        return self._settings[variable]

    @cached_property
    def _steps(self) -> tuple[int, IntArray]:
        if not self._settings:
            return (1 if self._n_events else 0), np.zeros(self._n_events, np.int64)
        numbers_of = np.stack([found.index for found in self._settings.values()])
        known = (numbers_of >= 0).all(axis=0)
        found, inverse = np.unique(numbers_of[:, known], axis=1, return_inverse=True)
        index = np.full(self._n_events, -1, np.int64)
        index[known] = inverse.reshape(-1)
        return found.shape[1], index

    @property
    def n_steps(self) -> int:
        """Distinct settings of all variables together; 1 for a run that is no scan."""
        return self._steps[0]

    @property
    def step_index(self) -> IntArray:
        """(n_events,) number of every event's setting, from 0, in rising order; -1 where unknown."""
        return self._steps[1]

    @property
    def events_per_step(self) -> IntArray:
        """(n_steps,) events at each setting."""
        index = self.step_index
        return np.bincount(index[index >= 0], minlength=self.n_steps).astype(np.int64)

    @property
    def is_fly(self) -> bool:
        """Whether settings hardly repeat, as when the motor moves all the time."""
        return len(self.variables) > 0 and 2 * self.n_steps > self._n_events

    def __repr__(self) -> str:
        if not self.variables:
            return "Scan: none (no scan variable moves)"
        lines = [self._line(name) for name in self.variables]
        if self.n_counted not in (None, self.n_steps) and not self.is_fly:
            lines.append(f"{counted(self.n_counted or 0, 'step')} by {self.step_field}")
        return f"Scan: {'; '.join(lines)}"

    def _line(self, name: str) -> str:
        found = self._settings[name]
        low, high = found.values[0], found.values[-1]
        if 2 * len(found.values) > self._n_events:
            return f"{name} moves from {low:.6g} to {high:.6g}"
        fewest, most = int(found.events.min()), int(found.events.max())
        each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        each = f"{each} {'event' if most == 1 else 'events'}"
        return f"{name}, {counted(len(found.values), 'setting')} from {low:.6g} to {high:.6g}, {each} each"


def _values(column: Column) -> NDArray[Any]:
    return column.data if column.valid is None else numbers(column)


def leaf(name: str) -> str:
    """Return the last part of a field's name."""
    return name.rsplit("/", 1)[-1]


def is_counter(name: str) -> bool:
    """Return whether a field counts steps, by its name."""
    return name.startswith(PREFIX) and any(counter.fullmatch(leaf(name)) for counter in _COUNTERS)


def step_counter(names: Iterable[str]) -> str | None:
    """Return the field that counts the steps; None where there is none."""
    counters = [name for name in names if is_counter(name)]
    found = (name for counter in _COUNTERS for name in counters if counter.fullmatch(leaf(name)))
    return next(found, None)


def candidates(fields: Mapping[str, FieldInfo]) -> tuple[str, ...]:
    """Return fields that may be scan variables or step counters: numbers, one per event, under `scan/`."""
    return tuple(
        name
        for name, info in fields.items()
        if name.startswith(PREFIX) and info.kind is FieldKind.EVENT and not info.shape
        and info.dtype.kind in "biuf" and not _NO_VARIABLE.search(name.removeprefix(PREFIX))
    )  # fmt: skip


def find_scan(fields: Mapping[str, FieldInfo], columns: Columns, n_events: int) -> Scan:
    """Read the scan fields of a run and see what moves."""
    return Scan({name: columns(name) for name in candidates(fields)}, n_events)


def variables_among(moving: Iterable[str]) -> list[str]:
    """Return motors by name; where there are none, motors by number; and where there are none, counters."""
    names = list(moving)
    counter = step_counter(names)
    numbered = [name for name in names if _POSITION.fullmatch(leaf(name))]
    motors = [name for name in names if not is_counter(name) and name not in numbered]
    return motors or numbered or ([] if counter is None else [counter])
