"""What a starter spec needs to know of a run: its scan, intensity monitors, laser, time tool, signals.

Names and units follow the conventions of the facility's smallData; files carry no units.

References
----------
slac-lcls/smalldata_tools: lcls1/default_detectors.py and lcls2/default_detectors.py (names),
common/SmallDataAna.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cubeengine.spec.delays import DelayOffer, find_delays
from cubeengine.spec.run_scalars import Scalars
from cubeengine.spec.timetool import TimeTool, find_timetool
from cubeengine.types import FieldInfo

_I0 = (
    r"ipm2/sum", r"ipm\w*/sum", r"(dg|bmmon|xcs_ipm|mfx_dg)\w*/sum", r"gas_detector/\w+",
    r"x?gmd/\w*energy\w*", r"x?gmd/\w+", r"fim\w*/\w*sum\w*", r"fim\w*/(pulse|energy|i0)\w*",
    r"\w*i0\w*(/sum)?",
    r"ipm2/raw/TotalIntensity", r"(\w*ipm|dg|bmmon)\w*/raw/TotalIntensity", r"gasdet\w*/raw/\w*enrc",
    r"x?gmd/raw/(\w*energy\w*|milliJoulesPerPulse)", r"fim\w*/\w+/(pulse|energy|i0|sum)\w*",
)  # fmt: skip
_HOUSEKEEPING = re.compile(
    r"(scan|epics\w*|evr|damage|timing|lightStatus|tt|ttCorr|enc|ebeam|phase_cav|pcav|EvtID|intg)/.*"
    r"|event_time|fiducials|timestamp|.*/(timestamp|frame_?(cnt|count|no)|fiducials|pulse_?id|aux|trailer)",
    re.IGNORECASE,
)
_SCALAR_SIGNAL = re.compile(r"diode\w*/.*|.*/sum|.*_sum", re.IGNORECASE)
_SEGMENT = re.compile(r"([^/]+)/[0-9]+/(.+)")
_NO_ARRAY_SIGNAL = re.compile(r".*(_com|_x|_y|_adu|_npix|_row|_col)|.*/ragged_.*", re.IGNORECASE)


@dataclass(frozen=True)
class Survey(Scalars):
    """A run, asked for what a starter spec is made of. Reads scalars, each when first needed."""

    @cached_property
    def arrays(self) -> tuple[FieldInfo, ...]:
        """Detector fields with an array of numbers per event, small ones first."""
        found = [
            info
            for name, info in self.fields.items()
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
    def delay(self) -> DelayOffer | None:
        """The delay to bin in; None if none moves, or a motor that is no delay was scanned.

        A slow control that moves beside a scanned motor is not the delay that is meant.
        """
        best = next(iter(find_delays(self)), None)
        return None if best is None or (best.origin == "epics" and self.run.scan.variables) else best

    @cached_property
    def timetool(self) -> TimeTool:
        """The time tool, of whichever generation of names."""
        return find_timetool(self)

    def _in_stack(self, name: str) -> bool:
        """Whether a field is one segment of a detector whose segments are there together."""
        match = _SEGMENT.fullmatch(name)
        return match is not None and f"{match[1]}/{match[2]}" in self.fields


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if re.fullmatch(pattern, name)]
