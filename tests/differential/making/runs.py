"""Runs: events in any order, at doubled times, with values that are NaN, infinite, missing or marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.differential.case import MARK, Array, Part, Run
from tests.differential.making.chance import Chance
from tests.differential.making.fields import Field

UNIX, EPICS = 1_425_000_000, 1_078_500_000
"""Seconds of the first event: LCLS-I counts from 1970, LCLS-II from 1990."""


class Runs:
    """Makes runs that hold the same fields.

    Attributes
    ----------
    lcls2 : bool
        Whether they are in the layout of LCLS-II.
    scan_unit : "s" or "ps"
        Unit of `scan/lxt`.
    """

    def __init__(self, chance: Chance, fields: Sequence[Field]) -> None:
        self._chance, self._fields = chance, fields
        self._layout = chance.pick("event_time", "event_time", "EvtID", "timestamp", "timestamp", "timestamp")
        self.lcls2 = self._layout == "timestamp"
        self.scan_unit = "ps" if fields[0].kind == "i" else chance.pick("s", "ps")
        self._seen: dict[str, Array] = {}

    def run(self) -> Run:
        """Return the next run."""
        chance = self._chance
        n = chance.between(1, 90) if chance.happens(0.9) else chance.between(90, 250)
        packed = self._times(n)
        columns: Part = {field.name: self._values(field, n) for field in self._fields}
        self._seen = self._seen or columns
        if self.lcls2 and chance.happens(0.4) and n > 3:
            return self._joined(packed, columns)
        order = np.arange(n)
        if chance.happens(0.5):
            away = chance.pick(3, n)
            order = np.argsort(order + chance.numpy.normal(0, away, n))
        stored = {name: values[order] for name, values in columns.items()}
        return Run(self._layout, ({"time": packed[order], **stored},))

    def seen(self, field: Field) -> Any:
        """Return a number that the field holds, as it would be written in a spec."""
        values = self._seen[field.name].reshape(-1)
        values = values[np.isfinite(values)] if field.kind == "f" else values
        return self._chance.pick(*values.tolist()) if values.size else 1

    def _times(self, n: int) -> Array:
        """Return packed times: 120 Hz with gaps over the borders of seconds, some events at one time."""
        gaps = self._chance.numpy.choice([8_333_333, 8_333_333, 8_333_333, 16_666_667, 700_000_000, 0], n)
        if self._chance.happens(0.6):
            gaps[gaps == 0] = 8_333_333
        nanoseconds = 400_000_000 + np.cumsum(gaps)
        start = EPICS if self.lcls2 else UNIX
        packed: Array = ((start + nanoseconds // 10**9) << 32) | (nanoseconds % 10**9)
        return packed

    def _joined(self, packed: Array, columns: Part) -> Run:
        """Return batches of events to several writers in turn; some write what others never saw."""
        chance = self._chance
        n, n_parts, batch = len(packed), chance.between(2, 3), chance.between(1, 20)
        owner = np.arange(n) // batch % n_parts
        some = [field.name for field in self._fields[6:] if chance.happens(0.15)]
        rare = {name: chance.between(0, n_parts - 1) for name in some}
        parts = []
        for part in range(n_parts):
            rows = np.flatnonzero(owner == part)
            if chance.happens(0.3):
                rows = chance.numpy.permutation(rows)
            kept = {name: v[rows] for name, v in columns.items() if rare.get(name, part) == part}
            parts.append({"time": packed[rows], **kept})
        return Run(self._layout, tuple(parts))

    def _values(self, field: Field, n: int) -> Array:
        """Return the values of a field, event by event."""
        random, shape, dtype = self._chance.numpy, (n, *field.shape), np.dtype(field.dtype)
        if field.name == "scan/lxt":
            values = self._settings(n, dtype)
        elif field.name.startswith("lightStatus"):
            values = random.choice(self._chance.pick([1, 1, 0], [1, 1, 1, 0, 0, -1]), n)
        elif field.codes:
            values = random.random(shape) < 0.4 if n_flags(field) else random.integers(0, 2**16, shape)
        elif dtype.kind == "b":
            values = random.random(n) < 0.5
        else:
            values = self._floats(field, shape) if dtype.kind == "f" else self._integers(field, shape)
        return self._with_missing(field, np.asarray(values).astype(dtype))

    def _settings(self, n: int, dtype: np.dtype[Any]) -> Array:
        """Return the readings of a scan: steps that may be uneven, repeated, in any order, noisy."""
        chance, random = self._chance, self._chance.numpy
        steps = np.arange(chance.between(1, 8)) - chance.between(0, 3)
        if chance.happens(0.3):
            steps = np.array([-10, -1, 0, 1, 3, 30])[: len(steps)]
        which = random.integers(0, len(steps), n)
        values = steps[np.sort(which) if chance.happens(0.6) else which]
        if dtype.kind != "f":
            return values
        readings: Array = values * chance.pick(0.1, 0.1, 0.5)
        if chance.happens(0.3):  # of an encoder
            readings = readings + random.integers(-4, 5, n) / chance.pick(100, 1000)
        if chance.happens(0.2):  # taken while the motor moved
            moving = random.random(n) < 0.1
            readings[moving] = random.uniform(-1, 1, int(moving.sum()))
        return readings * 1e-12 if self.scan_unit == "s" else readings

    def _floats(self, field: Field, shape: tuple[int, ...]) -> Array:
        chance, random = self._chance, self._chance.numpy
        if field.tame:
            values: Array = random.integers(-8, 24, shape) / 8
        else:
            top = 100 if field.itemsize == 2 else 1e4
            values = random.normal(chance.pick(0, 0, 1, top), chance.pick(1, 0.01, 30), shape)
            if field.itemsize == 8 and chance.happens(0.1):
                values = values * chance.pick(1e100, 1e-100)
        values[random.random(shape) < 0.02] = -0.0
        values[random.random(shape) < chance.pick(0, 0, 0.05, 0.3)] = np.nan
        values[random.random(shape) < chance.pick(0, 0, 0, 0.05)] = chance.pick(np.inf, -np.inf)
        return values

    def _integers(self, field: Field, shape: tuple[int, ...]) -> Array:
        chance, random = self._chance, self._chance.numpy
        limits = np.iinfo(field.dtype)
        if field.tame:
            return random.integers(max(-3, limits.min), 7, shape)
        low, high = chance.pick((limits.min, limits.max), (max(limits.min, -1000), min(limits.max, 60_000)))
        dtype = np.dtype(field.dtype).newbyteorder("=")
        values = random.integers(low, high, shape, dtype=dtype, endpoint=True)
        ends = random.random(shape) < 0.1
        values[ends] = random.choice(np.array([limits.min, limits.max], dtype), int(ends.sum()))
        return values

    def _with_missing(self, field: Field, values: Array) -> Array:
        """Leave the value out of some events, as the writers do: NaN, or their mark as the type holds it."""
        chance = self._chance
        lacking = chance.numpy.random(len(values)) < chance.pick(0, 0, 0.1, 0.3)
        if field.kind == "f":
            values[lacking] = np.nan
        elif field.kind != "b" and not (field.codes and field.itemsize == 1):
            values[lacking] = np.array(MARK).astype(values.dtype)
        if chance.happens(0.1) and field.name != "scan/lxt":
            values[: chance.between(0, min(len(values), 12))] = 0
        return values


def n_flags(field: Field) -> int:
    """Return how many flags of event codes a field holds; 0 where it holds words of bits."""
    return field.shape[0] if field.shape[0] >= 256 else 0
