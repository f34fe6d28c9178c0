"""Derived variables: the pump-probe delay, and what each event's value of it rests on."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from operator import add
from typing import TypeAlias

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.expressions import Columns, Expression
from cubeengine.events.states import States
from cubeengine.events.values import blame
from cubeengine.types import BoolArray, Column, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class DelayCounts:
    """How the events of a run got their delay; the five add up to the events of the run."""

    laser_on: int  # laser on: nominal delay, corrected by the time tool where the recipe has one
    laser_off: int  # laser off: the nominal delay, as the time tool means nothing
    unknown: int  # state of the laser unknown: no delay
    no_timetool: int  # laser on, but the time tool is missing, NaN or not valid: no delay
    no_nominal: int = 0  # laser on or off, but the nominal delay is missing or NaN: no delay

    @property
    def n_events(self) -> int:
        """Events of the run."""
        return self.laser_on + self.laser_off + self.unknown + self.no_timetool + self.no_nominal

    def __add__(self, other: DelayCounts) -> DelayCounts:
        return DelayCounts(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class NearCounts:
    """What the values of a variable rest on that looks at other events; the four add up to the events."""

    complete: int  # on all the events that were asked for
    partial: int  # on fewer: there are no more, or the others have no value
    nothing: int  # no other event is there, or none of them has a value: no value
    missing: int = 0  # the event itself has no value, and needs one: no value

    def __add__(self, other: NearCounts) -> NearCounts:
        return NearCounts(*map(add, astuple(self), astuple(other)))

    @classmethod
    def of(cls, found: IntArray, wanted: int | IntArray, missing: BoolArray | None = None) -> NearCounts:
        """Count events by how many others each found, and how many it should have.

        Parameters
        ----------
        found : (n_events,) int64
        wanted : int, or (n_events,) int64
        missing : (n_events,) bool, optional
            Where the event's own value is needed and not there.
        """
        there = np.ones(len(found), bool) if missing is None else ~missing
        some = there & (found > 0)
        complete = int(np.count_nonzero(some & (found >= wanted)))
        partial = int(np.count_nonzero(some)) - complete
        nothing = int(np.count_nonzero(there)) - complete - partial
        return cls(complete, partial, nothing, len(found) - complete - partial - nothing)


Counts: TypeAlias = DelayCounts | NearCounts


def delay(
    nominal: Column,
    timetool: Column | None = None,
    *,
    sign: int = 1,
    t0: float = 0.0,
    laser: States | None = None,
    valid: States | None = None,
) -> tuple[Column, DelayCounts]:
    """Compute the pump-probe delay of every event.

    Laser on: nominal + sign * timetool - t0, NaN where the time tool is missing or not valid.
    Laser off: nominal - t0. Laser unknown: NaN.

    Parameters
    ----------
    nominal : Column of n_events, in ps
        Delay as it was set.
    timetool : Column of n_events, in ps; or None
        Correction by the time tool; None where there is none, so that nothing is corrected.
    sign : 1 or -1
        Sign of the correction.
    t0 : float, in ps
        Time zero.
    laser : (n_events,) int8 states, or None
        TRUE for laser on, FALSE for off, anything else for unknown; None counts every event as on.
    valid : (n_events,) int8 states, or None
        Where the time tool can be trusted: only where TRUE. None trusts it everywhere.

    Returns
    -------
    Column
        float64, in ps.
    DelayCounts
        How many events there are of each kind.

    Raises
    ------
    SpecError
        If `sign` is not 1 or -1, `t0` is not finite, or a column has more than one value per event.
    """
    _check(sign, t0, nominal, timetool)
    n_events = len(nominal)
    laser = np.full(n_events, states.TRUE) if laser is None else laser
    set_to = numbers(nominal)
    correction = _correction(timetool, valid, n_events)
    on, off = laser == states.TRUE, laser == states.FALSE
    value = np.where(on, set_to + sign * correction, set_to) - t0
    value[~(on | off)] = np.nan
    inputs = [nominal] if timetool is None else [nominal, timetool]
    marks = [column.damaged for column in inputs if column.damaged is not None]
    damaged = blame(Column(value), marks) if marks else None
    return Column(value, damaged=damaged), _count(on, off, np.isnan(set_to), np.isnan(correction))


def laser_states(column: Column) -> States:
    """Return the state of the laser from its status field: 1 on, 0 off, all else (-1, missing) unknown.

    A condition (booleans), as an event code gives it, does as well.
    """
    found = np.full(len(column), states.MISSING)
    found[column.data == 1] = states.TRUE
    found[column.data == 0] = states.FALSE
    if column.valid is not None:
        found[~column.valid] = states.MISSING
    if column.damaged is not None:
        found[column.damaged] = states.DAMAGED
    return found


def numbers(column: Column) -> FloatArray:
    """Return a column as float64, NaN where it is missing."""
    data = column.data.astype(np.float64)
    return data if column.valid is None else np.where(column.valid, data, np.nan)


def derive(expression: Expression, columns: Columns, n_events: int) -> Column:
    """Compute a derived variable by expression: one value, or one array, per event."""
    return expression.evaluate(columns, n_events)


def _correction(timetool: Column | None, valid: States | None, n_events: int) -> FloatArray:
    found = np.zeros(n_events) if timetool is None else numbers(timetool)
    return found if valid is None else np.where(valid == states.TRUE, found, np.nan)


def _check(sign: int, t0: float, *columns: Column | None) -> None:
    if sign not in {1, -1}:
        raise SpecError(f"delay: sign must be +1 or -1, got {sign!r}")
    if not np.isfinite(t0):
        raise SpecError(f"delay: t0 must be a finite time, got {t0!r}")
    for column in columns:
        if column is not None and (column.data.ndim != 1 or column.data.dtype.kind not in "biuf"):
            found = f"{column.data.dtype} of shape {column.data.shape[1:]} per event"
            raise SpecError(f"delay: needs one number per event, got {found}")


def _count(on: BoolArray, off: BoolArray, no_nominal: BoolArray, no_timetool: BoolArray) -> DelayCounts:
    def events(mask: BoolArray) -> int:
        return int(np.count_nonzero(mask))

    return DelayCounts(
        laser_on=events(on & ~no_nominal & ~no_timetool),
        laser_off=events(off & ~no_nominal),
        unknown=events(~(on | off)),
        no_timetool=events(on & no_timetool & ~no_nominal),
        no_nominal=events((on | off) & no_nominal),
    )
