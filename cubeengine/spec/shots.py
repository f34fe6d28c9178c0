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
from cubeengine.events.run import Run
from cubeengine.spec.resolve import state_cut
from cubeengine.types import BoolArray, FieldInfo, FieldKind

LASER, XRAY = "lightStatus/laser", "lightStatus/xray"
CODE_FIELDS = ("timing/raw/sequenceValues", "timing/raw/eventcodes")
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


def laser_shots(run: Run) -> Shots:
    """Find what tells the state of the pump laser: its status field, or codes 90 and 91.

    The codes count if each event with a time has just one of them.
    """
    if LASER in run.fields:
        return _shots(run, LASER)
    on, off = _code(run, LASER_ON), _code(run, LASER_OFF)
    known = on.on | on.off
    unlike = bool((on.on ^ off.on)[known].all())
    return on if on.on.any() and off.on.any() and unlike else _unknown(run)


def xray_shots(run: Run) -> Shots:
    """Find what tells which events have X-rays: their status field, code 137, or that 162 is not there."""
    if XRAY in run.fields:
        return _shots(run, XRAY)
    beam, dropped = _code(run, BEAM), _code(run, DROPPED)
    if beam.on.any():
        return beam
    return Shots(f"not {dropped.text}", dropped.off, dropped.on) if dropped.on.any() else _unknown(run)


def _code(run: Run, code: int) -> Shots:
    field = next((name for name in CODE_FIELDS if _holds_codes(run.fields, name)), None)
    if field is None:
        return _unknown(run)
    try:
        return _shots(run, f"eventcode(`{field}`, {code})")
    except SpecError:  # the field has no such code
        return _unknown(run)


def _holds_codes(fields: Mapping[str, FieldInfo], name: str) -> bool:
    info = fields.get(name)
    return (
        info is not None and info.kind is FieldKind.EVENT and info.dtype.kind in "iu" and len(info.shape) == 1
    )


def _shots(run: Run, text: str) -> Shots:
    on, off = (run.states(state_cut(text, state)) == states.TRUE for state in ("on", "off"))
    return Shots(text, on, off)


def _unknown(run: Run) -> Shots:
    nowhere = np.zeros(run.n_events, bool)
    return Shots(None, nowhere, nowhere)
