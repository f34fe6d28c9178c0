"""The scalars of a run, each read when it is first asked for, and the states of laser and X-rays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from cubeengine.events.derived import numbers
from cubeengine.events.opening import HasRun, as_source
from cubeengine.events.run import Run
from cubeengine.events.window import Window
from cubeengine.spec.shots import Shots, laser_shots, xray_shots
from cubeengine.types import BoolArray, FieldInfo, FieldKind, FloatArray


@dataclass(frozen=True)
class Scalars:
    """A run, asked for what a proposal rests on: values of scalars, and which events count.

    Attributes
    ----------
    run : Run
        The run.
    window : Window, or None
        The events that are looked at; None for all.
    """

    run: Run
    window: Window | None = None

    @classmethod
    def of(cls, source: Run | HasRun) -> Self:
        """Look at all events of a run, or of what holds one."""
        given = as_source(source)
        return cls(given if isinstance(given, Run) else given.run)

    @property
    def events(self) -> Window:
        """The events that are looked at."""
        return self.window or self.run.whole

    @cached_property
    def fields(self) -> dict[str, FieldInfo]:
        """Fields with numbers for every event."""
        return {
            name: info
            for name, info in self.run.fields.items()
            if info.kind is FieldKind.EVENT and info.dtype.kind in "biuf" and name.isprintable()
        }

    @cached_property
    def scalars(self) -> tuple[str, ...]:
        """Fields with one number per event, in the order of the file."""
        return tuple(name for name, info in self.fields.items() if not info.shape)

    @cached_property
    def laser_shots(self) -> Shots:
        """Which events have the laser on, and off."""
        return laser_shots(self.run, self.window)

    @cached_property
    def xray_shots(self) -> Shots:
        """Which events have X-rays."""
        return xray_shots(self.run, self.window)

    @property
    def laser(self) -> tuple[bool, bool]:
        """Whether there are events with the laser on, and with it off."""
        return bool(self.laser_shots.on.any()), bool(self.laser_shots.off.any())

    @property
    def has_xray(self) -> bool:
        """Whether the run says which events have X-rays, and some do."""
        return bool(self.xray_shots.on.any())

    @property
    def lit(self) -> BoolArray:
        """(n_events,) whether there are X-rays; everywhere if the run does not say."""
        return self.xray_shots.on if self.has_xray else np.ones(self.events.n_events, bool)

    @property
    def pumped(self) -> BoolArray:
        """(n_events,) whether there are X-rays and laser; as far as the run says."""
        return self.lit & self.laser_shots.on if self.laser_shots.text is not None else self.lit

    def column(self, name: str) -> FloatArray:
        """Return the values of a scalar, NaN where it is missing."""
        return numbers(self.events.column(name))

    def values(self, name: str, *, pumped: bool = False) -> FloatArray:
        """Return the finite values of a scalar in events with X-rays (and with the laser on)."""
        column = self.column(name)
        return column[np.isfinite(column) & (self.pumped if pumped else self.lit)]

    def distinct(self, name: str) -> FloatArray:
        """Return the distinct finite values of a scalar."""
        column = self.column(name)
        return np.unique(column[np.isfinite(column)])
