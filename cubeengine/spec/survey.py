"""What a starter spec needs to know of a run: its scan, intensity monitors, laser, time tool, signals.

Names and units follow the conventions of the facility's smallData; files carry no units.

References
----------
slac-lcls/smalldata_tools: lcls1/default_detectors.py and lcls2/default_detectors.py (names),
common/SmallDataAna.py, `getDelay` and `_getTTstr` (where a delay comes from, names of time tools).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cubeengine.events.derived import numbers
from cubeengine.events.run import Run
from cubeengine.events.window import Window
from cubeengine.spec.shots import Shots, laser_shots, xray_shots
from cubeengine.types import FieldInfo, FieldKind, FloatArray

MIN_FAST_SETTINGS = 10  # fewer distinct values of a delay encoder are no fast scan
_I0 = (
    r"ipm2/sum", r"ipm\w*/sum", r"(dg|bmmon|xcs_ipm|mfx_dg)\w*/sum", r"gas_detector/\w+",
    r"x?gmd/\w*energy\w*", r"x?gmd/\w+", r"fim\w*/\w*sum\w*", r"fim\w*/(pulse|energy|i0)\w*",
    r"\w*i0\w*(/sum)?",
    r"ipm2/raw/TotalIntensity", r"(\w*ipm|dg|bmmon)\w*/raw/TotalIntensity", r"gasdet\w*/raw/\w*enrc",
    r"x?gmd/raw/(\w*energy\w*|milliJoulesPerPulse)", r"fim\w*/\w+/(pulse|energy|i0|sum)\w*",
)  # fmt: skip
_ENCODERS = ("enc/lasDelay", "enc/lasDelay2")
_LASER_CLOCKS = ("epics/lxt_ttc", "epics/lxt")
_TIMETOOL = (
    (r"tt/ttCorr", r"tt/AMPL", r"tt/FLTPOS"),
    (r"tt/\w*FLTPOS_PS", r"tt/\w*AMPL", r"tt/\w*FLTPOS"),
    (r"tt/fltpos_ps", r"tt/ampl", r"tt/fltpos"),
    (r"ttCorr/tt", r"tt/\w*AMPL", r"tt/\w*FLTPOS"),
)
_HOUSEKEEPING = re.compile(
    r"(scan|epics\w*|evr|damage|timing|lightStatus|tt|ttCorr|enc|ebeam|phase_cav|pcav|EvtID|intg)/.*"
    r"|event_time|fiducials|timestamp|.*/(timestamp|frame_?(cnt|count|no)|fiducials|pulse_?id|aux|trailer)",
    re.IGNORECASE,
)
_SCALAR_SIGNAL = re.compile(r"diode\w*/.*|.*/sum|.*_sum", re.IGNORECASE)
_SEGMENT = re.compile(r"([^/]+)/[0-9]+/(.+)")
_TIME_UNIT = re.compile(r".*_(fs|ps|ns|us|ms|s)", re.IGNORECASE)
_NO_ARRAY_SIGNAL = re.compile(r".*(_com|_x|_y|_adu|_npix|_row|_col)|.*/ragged_.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TimeTool:
    """Fields of a time tool: its correction in ps, and what tells whether there was a fit."""

    correction: str
    amplitude: str | None
    position: str | None


@dataclass(frozen=True)
class Survey:
    """A run, asked for what a starter spec is made of. Reads scalars, each when first needed.

    Attributes
    ----------
    run : Run
        The run.
    window : Window, or None
        The events whose values are looked at; None for all.
    """

    run: Run
    window: Window | None = None

    @cached_property
    def scalars(self) -> tuple[str, ...]:
        """Fields with one number per event, in the order of the file."""
        return tuple(name for name, info in self._events.items() if not info.shape)

    @cached_property
    def arrays(self) -> tuple[FieldInfo, ...]:
        """Detector fields with an array of numbers per event, small ones first."""
        found = [
            info
            for name, info in self._events.items()
            if info.shape and info.n_elements > 0 and not self._in_stack(name)
            and not _HOUSEKEEPING.fullmatch(name) and not _NO_ARRAY_SIGNAL.fullmatch(name)
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda info: info.n_elements))

    @cached_property
    def scalar_signals(self) -> tuple[str, ...]:
        """Scalars that are usually averaged: intensity monitors, diodes, sums; else the first few."""
        candidates = [
            name for name in self.scalars if not (_HOUSEKEEPING.fullmatch(name) or self._in_stack(name))
        ]
        found = [name for name in candidates if name in self.i0_candidates or _SCALAR_SIGNAL.fullmatch(name)]
        return tuple(dict.fromkeys([*self.i0_candidates, *(found or candidates[:4])]))

    @cached_property
    def i0_candidates(self) -> tuple[str, ...]:
        """Intensity monitors that vary, the most usual first."""
        found = [name for pattern in _I0 for name in sorted(_matching(pattern, self.scalars))]
        return tuple(name for name in dict.fromkeys(found) if len(self.distinct(name)) > 2)

    @property
    def i0(self) -> str | None:
        """The intensity monitor to cut on."""
        return self.i0_candidates[0] if self.i0_candidates else None

    @cached_property
    def laser_shots(self) -> Shots:
        """Which events have the laser on, and off."""
        return laser_shots(self.run)

    @cached_property
    def xray_shots(self) -> Shots:
        """Which events have X-rays."""
        return xray_shots(self.run)

    @property
    def laser(self) -> tuple[bool, bool]:
        """Whether there are events with the laser on, and with it off."""
        return bool(self.laser_shots.on.any()), bool(self.laser_shots.off.any())

    @property
    def has_xray(self) -> bool:
        """Whether the run says which events have X-rays, and some do."""
        return bool(self.xray_shots.on.any())

    @cached_property
    def delay_clock(self) -> tuple[str, str] | None:
        """Field and unit of the nominal delay; None if the delay does not move.

        By convention: a scanned `lxt` is in s, or in the unit at the end of its name, `enc/lasDelay` in ps,
        EPICS `lxt` in s.
        """
        motors = self.run.scan.variables
        stepped = [
            (name, _unit_in(name) or "s") for name in motors if "lxt" in name.rsplit("/", 1)[-1].lower()
        ]
        if stepped or any(name.rsplit("/", 1)[-1].lower() == "lasdelay" for name in motors):
            return (stepped or [(name, "ps") for name in motors])[0]
        fast = [(name, "ps") for name in _ENCODERS if len(self._moves(name)) > MIN_FAST_SETTINGS]
        if fast or motors:
            return fast[0] if fast else None
        return next(((name, "s") for name in _LASER_CLOCKS if len(self._moves(name)) > 1), None)

    @cached_property
    def timetool(self) -> TimeTool | None:
        """The time tool, of whichever generation of names."""
        for correction, amplitude, position in _TIMETOOL:
            found = _matching(correction, self.scalars)
            if found and len(self.distinct(found[0])) > 1:
                return TimeTool(found[0], self._first(amplitude), self._first(position))
        return None

    def values(self, name: str, *, pumped: bool | None = None) -> FloatArray:
        """Give the finite values of a scalar in events with X-rays (and with the laser on, or off)."""
        keep = np.isfinite(self._column(name))
        if self.has_xray:
            keep &= self.xray_shots.on
        if pumped is not None and self.laser_shots.text is not None:
            keep &= self.laser_shots.on if pumped else self.laser_shots.off
        return self._column(name)[keep]

    def distinct(self, name: str) -> FloatArray:
        """Give the distinct finite values of a scalar."""
        column = self._column(name)
        return np.unique(column[np.isfinite(column)])

    @cached_property
    def _events(self) -> dict[str, FieldInfo]:
        return {
            name: info
            for name, info in self.run.fields.items()
            if info.kind is FieldKind.EVENT and info.dtype.kind in "biuf" and name.isprintable()
        }

    def _column(self, name: str) -> FloatArray:
        return numbers((self.window or self.run).column(name))

    def _moves(self, name: str) -> FloatArray:
        return self.distinct(name) if name in self.scalars else np.empty(0)

    def _in_stack(self, name: str) -> bool:
        """Whether a field is one segment of a detector whose segments are there together."""
        match = _SEGMENT.fullmatch(name)
        return match is not None and f"{match[1]}/{match[2]}" in self._events

    def _first(self, pattern: str) -> str | None:
        return next(iter(_matching(pattern, self.scalars)), None)


def _unit_in(name: str) -> str | None:
    """Give the unit of time that a name ends with."""
    match = _TIME_UNIT.fullmatch(name)
    return match[1].lower() if match else None


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if re.fullmatch(pattern, name)]
