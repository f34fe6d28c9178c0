"""Along what a scan is shown: its steps, or bins of a variable; the bins are those that a cube has."""

from __future__ import annotations

from typing import TypeAlias

from cubeengine.errors import PlanError, SpecError
from cubeengine.events.run import Run
from cubeengine.events.scan import candidates, variables_among
from cubeengine.look.bins import Bins, even_edges, find_limits
from cubeengine.look.events import Events, look_at
from cubeengine.look.selecting import RunLike, Select
from cubeengine.planning.axes import AxisFinder, BinnedAxis
from cubeengine.spec.axes import Axis

AxisLike: TypeAlias = str | Axis | None
"""A field or expression, an axis as a spec has it, or None for what the scan moves."""

SCAN_BINS = 50
"""Of a variable that is not stepped."""

PERCENTILES = (0.5, 99.5)
"""Between these lie bins that nobody chose."""


def find_axis(source: RunLike, axis: AxisLike, bins: Bins | None, select: Select) -> tuple[Run, BinnedAxis]:
    """Find the bins to show a scan in.

    Parameters
    ----------
    source : Run, or what holds one
        The run.
    axis : str, Axis or None
        The variable; what the scan moves where left out.
    bins : int, edges or None
        Where left out: one bin for each setting of a stepped variable, else 50 bins between percentiles 0.5
        and 99.5.
    select : Select
        The events that bins are made for, where they follow from the values.

    Returns
    -------
    run : Run
        With the variable, if that is an expression.
    axis : BinnedAxis

    Raises
    ------
    SpecError
        If nothing is scanned, or `bins` are given twice.
    """
    if isinstance(axis, Axis):
        if bins is not None:
            raise SpecError(f"axis {axis.field!r} already has bins; leave out bins")
        events = look_at(source, [axis.field], select)
        return events.run, _found(events, axis)
    events = look_at(source, [axis or scanned(source)], select)
    (name,) = events.names
    if bins is None:
        try:
            return events.run, _found(events, Axis(field=name, steps="auto"))
        except PlanError:  # it is not stepped
            bins = SCAN_BINS
    return events.run, _found(events, Axis(field=name, edges=_edges(events, bins)))


def scanned(source: RunLike) -> str:
    """Return the variable that the scan moves, the first of several.

    Raises
    ------
    SpecError
        If there is none.
    """
    run = source if isinstance(source, Run) else source.run
    names = candidates(run.fields)
    if names:
        limits = find_limits(look_at(run, names))
        moving = [name for name, seen in zip(names, limits, strict=True) if seen and seen[0] < seen[1]]
        if moving:
            return variables_among(moving)[0]
    raise SpecError(f"run {run.label} is not a scan; give the axis, e.g. axis='delay' or axis='ipm2/sum'")


def _edges(events: Events, bins: Bins) -> tuple[float, ...]:
    if not isinstance(bins, int):
        return tuple(map(float, bins))
    (limits,) = find_limits(events, PERCENTILES)
    dtype = events.run.fields[events.names[0]].dtype
    return tuple(even_edges(*(limits or (0.0, 1.0)), bins, dtype).tolist())


def _found(events: Events, axis: Axis) -> BinnedAxis:
    """Find the edges of an axis as a plan does."""
    run = events.run
    units = {name: unit for name in events.names if (unit := run.fields.unit(name)) is not None}
    if axis.steps not in (None, "auto") and (unit := run.fields.unit(str(axis.steps))) is not None:
        units[str(axis.steps)] = unit
    finder = AxisFinder(run, axis, units)
    if finder.needs_values:
        for part in events.parts():
            finder.add(part.window, part.finite)
    return finder.found()
