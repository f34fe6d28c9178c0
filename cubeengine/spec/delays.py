"""The delays that a run offers: what moves, how it is corrected, and the units to declare by convention.

References
----------
slac-lcls/smalldata_tools: common/SmallDataAna.py, `getDelay`: a scanned lxt, else the encoders lasDelay,
lasDelay2 and ch0, else lxt_ttc and lxt of the slow control; lxt in seconds, encoders in ps unless their
values spread over less than 1e-9. There, lxt of the slow control was added to a scanned lxt, and counted
twice; here a recipe has one nominal delay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cubeengine.events.opening import HasRun
from cubeengine.events.run import Run
from cubeengine.events.scan import leaf
from cubeengine.schema.calls import told
from cubeengine.schema.texts import counted
from cubeengine.spec.conventions import usual_unit
from cubeengine.spec.derived import DelayRecipe
from cubeengine.spec.run_scalars import Scalars
from cubeengine.spec.timetool import TimeTool, find_timetool
from cubeengine.spec.writing import flow
from cubeengine.types import FloatArray
from cubeengine.units import convert

MIN_SETTINGS = 10
"""An encoder with no more distinct values does not move: the original's number."""

MIN_SPREAD_PS = 0.01
"""Standard deviation that an encoder or a slow control has at least when it moves: less is noise."""

SECONDS_SPREAD = 1e-9
"""An encoder whose values spread less is in seconds by the original's rule, else in ps."""

ALIKE = 0.999
"""Correlation from which on two delays are one motion."""

_SCANNED = (r".*lxt.*", r"lasdelay2?")
_ENCODERS = (r"enc\w*/lasdelay", r"enc\w*/lasdelay2", r"enc\w*/ch0")
_EPICS = (r"epics(user|all)?/lxt_ttc", r"epics(user|all)?/lxt")


@dataclass(frozen=True, slots=True)
class DelayOffer:
    """A delay that a run offers: a suggestion, used only if a spec contains it.

    Attributes
    ----------
    recipe : DelayRecipe
        The recipe; to be put under `derive`.
    units : mapping of field to unit
        What is to be declared under `units`, by the facility's convention: files carry no units.
    low, high : float
        Range of the nominal delay, in its unit.
    origin : "scan", "encoder" or "epics"
        What moved it.
    reason : str
        Why it is offered, where its unit comes from, and what to look at.
    laser : str, or None
        What `run.laser` has to say, where the state of the laser is not in its usual field.
    same_as : str, or None
        Nominal field of a better offer that is the same motion: adding the two would count it twice.
    """

    recipe: DelayRecipe
    units: Mapping[str, str]
    low: float
    high: float
    origin: str
    reason: str
    laser: str | None = None
    same_as: str | None = None

    @property
    def nominal(self) -> str:
        """Field of the delay as set."""
        return self.recipe.nominal

    @property
    def unit(self) -> str:
        """Unit of that field."""
        return self.units[self.nominal]

    def __str__(self) -> str:
        lines = (
            *([] if self.laser is None else [f"run: {flow({'laser': self.laser})}"]),
            f"units: {flow(dict(self.units))}",
            f"derive: {flow({'delay': {'delay': self.recipe.to_plain()}})}",
            f"  # {self.reason}",
        )
        return "\n".join(lines)


@told("ce.delay_recipes")
def delay_recipes(run: Run | HasRun) -> tuple[DelayOffer, ...]:
    """Find the delays that a run offers, best first.

    A scanned laser phase comes first, then encoders, then the slow control; of each what moves. Nothing is
    applied: take one, look at its range and its units, and put it in a spec.

    Parameters
    ----------
    run : Run, or session
        The run; scalars are read.

    Examples
    --------
    >>> import cubeengine as ce
    >>> run = ce.Run(ce.MemorySource({"scan/lxt": np.repeat([0, 1e-12, 2e-12], 4)}))
    >>> offer = delay_recipes(run)[0]
    >>> offer.nominal, offer.unit, offer.low, offer.high
    ('scan/lxt', 's', 0.0, 2e-12)
    """
    return find_delays(Scalars.of(run))


def find_delays(run: Scalars) -> tuple[DelayOffer, ...]:
    """Find the delays among the scalars of a run: as `delay_recipes` does."""
    tool = find_timetool(run)
    found: list[DelayOffer] = []
    for candidate in _candidates(run):
        found.append(_offer(run, tool, candidate, found))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A field that moves: its unit, and what both rest on in words."""

    field: str
    unit: str
    origin: str
    what: str
    unit_because: str


def _candidates(run: Scalars) -> Iterator[_Candidate]:
    yield from _scanned(run)
    for name in _matching(run, _ENCODERS):
        unit, because = _encoder_unit(_finite(run, name))
        if len(run.distinct(name)) > MIN_SETTINGS and _spread_ps(run, name, unit) > MIN_SPREAD_PS:
            yield _Candidate(name, unit, "encoder", "an encoder that moves", because)
    for name in _matching(run, _EPICS):
        if len(run.distinct(name)) > 1 and _spread_ps(run, name, "s") > MIN_SPREAD_PS:
            what = "a slow control that moves"
            yield _Candidate(name, "s", "epics", what, "the laser's phase is in s")


def _scanned(run: Scalars) -> Iterator[_Candidate]:
    motors = run.run.scan.variables
    for pattern in _SCANNED:
        for name in (name for name in motors if re.fullmatch(pattern, leaf(name), re.IGNORECASE)):
            unit, because = _motor_unit(run, name)
            yield _Candidate(name, unit, "scan", "a scanned motor", because)


def _motor_unit(run: Scalars, name: str) -> tuple[str, str]:
    return usual_unit(name) or _encoder_unit(_finite(run, name))


def _encoder_unit(values: FloatArray) -> tuple[str, str]:
    if len(values) and np.std(values) < SECONDS_SPREAD:
        return "s", f"an encoder is in s if its values spread over less than {SECONDS_SPREAD:g}"
    return "ps", f"an encoder is in ps if its values spread over more than {SECONDS_SPREAD:g}"


def _spread_ps(run: Scalars, name: str, unit: str) -> float:
    values = _finite(run, name)
    return float(np.std(convert(values, unit, "ps"))) if len(values) else 0.0


def _finite(run: Scalars, name: str) -> FloatArray:
    column = run.column(name)
    return column[np.isfinite(column)]


def _matching(run: Scalars, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        yield from (name for name in run.scalars if re.fullmatch(pattern, name, re.IGNORECASE))


def _offer(run: Scalars, tool: TimeTool, candidate: _Candidate, better: list[DelayOffer]) -> DelayOffer:
    settings = run.distinct(candidate.field)
    units = {candidate.field: candidate.unit} | ({} if tool.timetool is None else {tool.timetool: "ps"})
    recipe = DelayRecipe(
        nominal=candidate.field,
        timetool=tool.timetool,
        valid=tool.valid if tool.timetool else None,
        laser=None if any(run.laser) else "none",
    )
    low, high = float(settings[0]), float(settings[-1])
    reason = (
        f"{candidate.field} is {candidate.what}: {counted(len(settings), 'value')} from {low:.6g} to "
        f"{high:.6g} {candidate.unit}, by the convention: {candidate.unit_because}"
    )
    same = next((offer.nominal for offer in better if _one_motion(run, offer.nominal, candidate.field)), None)
    if same is not None:
        reason += f"; it is the same motion as {same}, so use only one of them"
    laser = run.laser_shots.text if run.laser_shots.by_code and recipe.laser is None else None
    return DelayOffer(recipe, units, low, high, candidate.origin, reason, laser, same)


def _one_motion(run: Scalars, first: str, second: str) -> bool:
    a, b = run.column(first), run.column(second)
    both = np.isfinite(a) & np.isfinite(b)
    if np.count_nonzero(both) < 2 or not (np.ptp(a[both]) and np.ptp(b[both])):
        return False
    return bool(abs(np.corrcoef(a[both], b[both])[0, 1]) > ALIKE)
