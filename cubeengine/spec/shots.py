"""How a run tells which shots have X-rays and pump laser: status fields, or event codes.

References
----------
slac-lcls/smalldata_tools: lcls1/default_detectors.py and lcls2/default_detectors.py, `lightStatus`
(codes that stand for laser and X-rays; each hutch may choose its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.eventcodes import has_codes
from cubeengine.events.run import Run
from cubeengine.events.window import Window
from cubeengine.spec.resolve import state_cut
from cubeengine.types import BoolArray, FieldInfo, FieldKind

LASER, XRAY = "lightStatus/laser", "lightStatus/xray"
CODE_FIELDS = ("timing/eventcodes", "timing/raw/sequenceValues", "timing/raw/eventcodes")
LASER_ON, LASER_OFF, BEAM, DROPPED = 90, 91, 137, 162
"""Event codes by the usual convention."""


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """What tells the state of laser or X-rays, and in which events it is on and off.

    Attributes
    ----------
    text : str, or None
        As `run.laser` and `run.xray` have it; None where the run does not say.
    on, off : (n_events,) bool
        Where it is surely so.
    """

    text: str | None
    on: BoolArray
    off: BoolArray

    @property
    def by_code(self) -> bool:
        """Whether event codes tell."""
        return self.text is not None and "eventcode(" in self.text


def laser_shots(run: Run, window: Window | None = None) -> Shots:
    """Find what tells the state of the pump laser: its status field, or codes 90 and 91.

    The codes count if each event with a time has just one of them. With a `window` its events are looked at.
    """
    events = window or run.whole
    if LASER in run.fields:
        return _shots(events, LASER)
    on, off = _code(events, LASER_ON), _code(events, LASER_OFF)
    known = on.on | on.off
    unlike = bool((on.on ^ off.on)[known].all())
    return on if on.on.any() and off.on.any() and unlike else _unknown(events)


def xray_shots(run: Run, window: Window | None = None) -> Shots:
    """Find what tells which events have X-rays: their status field, code 137, or that 162 is not there.

    With a `window` its events are looked at.
    """
    events = window or run.whole
    if XRAY in run.fields:
        return _shots(events, XRAY)
    beam, dropped = _code(events, BEAM), _code(events, DROPPED)
    if beam.on.any():
        return beam
    return Shots(f"not {dropped.text}", dropped.off, dropped.on) if dropped.on.any() else _unknown(events)


def _code(events: Window, code: int) -> Shots:
    field = next((name for name in CODE_FIELDS if _holds_codes(events.run.fields, name)), None)
    if field is None:
        return _unknown(events)
    try:
        return _shots(events, f"eventcode(`{field}`, {code})")
    except SpecError:  # its numbers are not those of event codes
        return _unknown(events)


def _holds_codes(fields: Mapping[str, FieldInfo], name: str) -> bool:
    info = fields.get(name)
    return info is not None and info.kind is FieldKind.EVENT and has_codes(info.shape, info.dtype)


def _shots(events: Window, text: str) -> Shots:
    on, off = (events.states(state_cut(text, state)) == states.TRUE for state in ("on", "off"))
    return Shots(text, on, off)


def _unknown(events: Window) -> Shots:
    nowhere = np.zeros(events.n_events, bool)
    return Shots(None, nowhere, nowhere)
