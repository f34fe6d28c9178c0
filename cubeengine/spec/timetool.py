"""The time tool of a run, under the names of any generation: what is there, and where its fit is good.

References
----------
slac-lcls/smalldata_tools: lcls1/default_detectors.py, `ttDetector` (a position of 0 means that no edge was
found, and the correction is then 0 as well), lcls2/default_detectors.py (lower-case names),
common/SmallDataAna.py, `_getTTstr` (older names).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cubeengine.events.opening import HasRun
from cubeengine.events.run import Run
from cubeengine.schema.calls import told
from cubeengine.spec.nice import rounded
from cubeengine.spec.run_scalars import Scalars
from cubeengine.types import BoolArray

_KINDS = {
    "ttcorr": "correction", "tt": "correction", "fltpos": "position", "fltpos_ps": "position_ps",
    "ampl": "amplitude", "amplnxt": "next_amplitude", "fltposfwhm": "fwhm", "refampl": "ref_amplitude",
}  # fmt: skip
"""What the last part of a name stands for, in lower case."""

_NAME = re.compile(
    r"(?:(tt|[^/]+/ttfex)/(?:(\w+)_)?(ttcorr|fltpos_ps|fltposfwhm|fltpos|amplnxt|refampl|ampl)|ttcorr/(tt))",
    re.IGNORECASE,
)

LEAST_AMPLITUDE = 0.3
"""Of the usual amplitude: what is below has no edge that could be trusted."""

WIDTHS = 0.5, 2.0
"""Of the usual width: what is beyond is no edge, or two."""


@dataclass(frozen=True, slots=True)
class TimeTool:
    """Fields of a time tool, by their content; None for a field that the run lacks.

    Attributes
    ----------
    correction : str, or None
        The correction of the delay, in ps by convention.
    position, position_ps : str, or None
        Place of the edge, in pixels and in ps.
    amplitude, next_amplitude, fwhm, ref_amplitude : str, or None
        Height of the edge, height of the next best, width of the edge, light on the reference.
    least_amplitude : float, or None
        0.3 of the median amplitude of laser-on events in which an edge was found.
    usual_fwhm : (float, float), or None
        From half to twice the median width of these.
    """

    correction: str | None = None
    position: str | None = None
    position_ps: str | None = None
    amplitude: str | None = None
    next_amplitude: str | None = None
    fwhm: str | None = None
    ref_amplitude: str | None = None
    least_amplitude: float | None = None
    usual_fwhm: tuple[float, float] | None = None

    @property
    def timetool(self) -> str | None:
        """The field that corrects a delay: the correction, else the position in ps."""
        return self.correction or self.position_ps

    @property
    def valid(self) -> str | None:
        """Expression that holds where an edge was found; the correction is 0 elsewhere, not missing."""
        field = self.position or self.timetool
        return None if field is None else f"`{field}` != 0"

    @property
    def quality(self) -> str | None:
        """Expression that holds for usual fits, by amplitude and width: look at their histograms first."""
        parts = []
        if self.least_amplitude is not None:
            parts.append(f"`{self.amplitude}` >= {self.least_amplitude:g}")
        if self.usual_fwhm is not None:
            low, high = self.usual_fwhm
            parts.append(f"{low:g} <= `{self.fwhm}` <= {high:g}")
        return " and ".join(parts) or None

    @property
    def names(self) -> Mapping[str, str]:
        """The fields that are there: what they hold -> name."""
        found = ((kind, getattr(self, kind)) for kind in dict.fromkeys(_KINDS.values()))
        return {kind: name for kind, name in found if name is not None}

    def __str__(self) -> str:
        lines = [f"{kind:<15}{name}" for kind, name in self.names.items()]
        lines += [f"valid          {self.valid}"] if self.valid else []
        lines += [f"quality        {self.quality}"] if self.quality else []
        return "\n".join(lines) or "no time tool"


@told("ce.timetool_fields")
def timetool_fields(run: Run | HasRun) -> TimeTool:
    """Find the time tool of a run, under the names of any generation.

    Parameters
    ----------
    run : Run, or session
        The run; its time tool's scalars and the states of laser and X-rays are read.

    Returns
    -------
    TimeTool
        Without any field where the run has no time tool.

    Examples
    --------
    >>> import cubeengine as ce
    >>> events = {"tt/FLTPOS": [0.0, 311.0], "tt/ttCorr": [0.0, -0.12], "tt/AMPL": [0.001, 0.05]}
    >>> tool = timetool_fields(ce.Run(ce.MemorySource(events)))
    >>> tool.correction, tool.amplitude, tool.valid
    ('tt/ttCorr', 'tt/AMPL', '`tt/FLTPOS` != 0')
    """
    return find_timetool(Scalars.of(run))


def find_timetool(run: Scalars) -> TimeTool:
    """Find the time tool among the scalars of a run: as `timetool_fields` does."""
    found = TimeTool(**_first_of_each(run.scalars, lambda name: len(run.distinct(name)) > 1))
    fitted = run.pumped
    if found.position is not None:
        fitted = fitted & (run.column(found.position) != 0)
    amplitude, fwhm = (_median(run, name, fitted) for name in (found.amplitude, found.fwhm))
    return replace(
        found,
        least_amplitude=None if amplitude is None else rounded(LEAST_AMPLITUDE * amplitude),
        usual_fwhm=None if fwhm is None else (rounded(WIDTHS[0] * fwhm), rounded(WIDTHS[1] * fwhm)),
    )


def _first_of_each(names: Iterable[str], moves: Callable[[str], bool]) -> dict[str, Any]:
    """Return the first field of each kind: of the plainest names, and of those that are not all the same."""
    found: dict[str, Any] = {}
    matches = (match for name in names if (match := _NAME.fullmatch(name)))
    for match in sorted(matches, key=_rank):
        kind = _KINDS[(match[3] or match[4]).lower()]
        if kind not in found and (kind not in {"correction", "position_ps"} or moves(match[0])):
            found[kind] = match[0]
    return found


def _rank(match: re.Match[str]) -> tuple[bool, bool, str]:
    """Fields of the group tt before others, names without a prefix before those with one."""
    return (match[1] or "").lower() != "tt", bool(match[2]), match[0]


def _median(run: Scalars, name: str | None, fitted: BoolArray) -> float | None:
    """Return the median of a field where an edge was found."""
    values = np.empty(0) if name is None else run.column(name)[fitted]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None
