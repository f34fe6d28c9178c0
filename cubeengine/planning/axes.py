"""Bins of an axis on real events: edges from the spec or the data, and the bin of every event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import PlanError
from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.events.scan import Settings, distinct_settings
from cubeengine.events.states import States
from cubeengine.kernels.bins import bin_index
from cubeengine.planning.plan import Axis
from cubeengine.spec.axes import Axis as AxisSpec
from cubeengine.spec.axes import edges_of
from cubeengine.types import BoolArray, Column, FloatArray

MOST_SURE_STEPS = 100  # so many settings are believed to be steps
EVENTS_PER_STEP = 2  # more need that many events each: a continuous variable has about one


@dataclass(frozen=True)
class BinnedAxis:
    """An axis and where the events fall on it.

    Attributes
    ----------
    axis : Axis
        Name, unit and edges.
    values : Column
        The field in the axis's unit: becomes the signal `<axis>`.
    index : (n_events,) int32
        Bin of every event, -1 outside.
    states : (n_events,) int8
        TRUE in a bin, FALSE outside; NAN, MISSING or DAMAGED where that is not known.
    """

    axis: Axis
    values: Column
    index: NDArray[np.int32]
    states: States


def bin_axis(
    spec: AxisSpec,
    unit: str,
    values: Column,
    *,
    settings: Column | None = None,
    tolerance: float | None = None,
    kept: BoolArray,
) -> BinnedAxis:
    """Find the edges of an axis and the bin of every event.

    Parameters
    ----------
    spec : spec.axes.Axis
        The axis as asked for.
    unit : str
        Its unit, in which `values` and `settings` are.
    values : Column
        One number per event.
    settings : Column, optional
        For `steps`: the field whose distinct settings make the bins.
    tolerance : float, optional
        For `steps`: readings that differ by no more are one setting.
    kept : (n_events,) bool
        Events that some selection keeps: those that quantiles are taken of.

    Raises
    ------
    PlanError
        If quantiles or settings cannot be found in the data.
    """
    if spec.form == "steps":
        binned = values if settings is None else settings
        readings = binned.data if binned.valid is None else numbers(binned)
        found = find_steps(readings, tolerance, name=spec.field)
        edges, index = _midway(found.values, reach=found.tolerance), found.index.astype(np.int32)
    else:
        binned, edges = values, _edges(spec, values, kept)
        index = bin_index(values.data, edges)
    if binned.valid is not None:
        index = np.where(binned.valid, index, np.int32(-1))
    axis = Axis(spec.variable, spec.field, unit, tuple(edges.tolist()))
    return BinnedAxis(axis, values, index, _states(binned, index))


def _states(binned: Column, index: NDArray[np.int32]) -> States:
    found = np.where(index >= 0, states.TRUE, states.FALSE)
    if binned.data.dtype.kind == "f":
        found[~np.isfinite(binned.data)] = states.NAN
    if binned.valid is not None:
        found[~binned.valid] = states.MISSING
    if binned.damaged is not None:
        found[binned.damaged] = states.DAMAGED
    return found


def _edges(spec: AxisSpec, values: Column, kept: BoolArray) -> FloatArray:
    edges = edges_of(spec)
    return edges if edges is not None else _quantile_edges(spec, numbers(values)[kept])


def _quantile_edges(spec: AxisSpec, values: FloatArray) -> FloatArray:
    n_bins = spec.quantiles or 1
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        raise PlanError(
            f"axis {spec.field!r}: quantiles need 2 selected events with a value or more, found {len(finite)}"
        )
    edges = np.quantile(finite, np.linspace(0, 1, n_bins + 1))
    distinct = np.unique(edges)
    if len(distinct) == 1:
        return _midway(distinct)
    if len(distinct) < len(edges):
        raise PlanError(
            f"axis {spec.field!r}: {n_bins} quantiles make equal edges, as many events share a value; "
            f"use quantiles: {_possible_quantiles(finite, len(distinct) - 1)}, edges, or steps: auto"
        )
    return edges


def _possible_quantiles(values: FloatArray, n_bins: int) -> int:
    """Give a number of bins, at most `n_bins`, whose edges are distinct."""
    n_distinct = len(np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1))))
    return n_bins if n_distinct > n_bins else _possible_quantiles(values, n_distinct - 1)


def find_steps(values: NDArray[Any], tolerance: float | None, *, name: str) -> Settings:
    """Find the distinct settings of a scan.

    Raises
    ------
    PlanError
        If there is no reading at all, or the readings are not those of a step scan.
    """
    found = distinct_settings(values, tolerance)
    n_settings, n_readings = len(found.values), int(found.events.sum())
    if not n_settings:
        raise PlanError(f"axis {name!r}: steps: no event has a value of it; check the field with --stats")
    if n_settings > MOST_SURE_STEPS and n_settings * EVENTS_PER_STEP > n_readings:
        raise PlanError(
            f"axis {name!r}: steps: {n_readings:,} readings at {n_settings:,} settings are no step scan; "
            f"give a tolerance above {found.tolerance:.3g}, or edges"
        )
    return found


def _midway(centers: FloatArray, reach: float = 0.0) -> FloatArray:
    """Put edges midway between settings, and as far beyond the outer ones; one setting gets a thin bin."""
    if len(centers) == 1:
        half = max(abs(centers[0]) * 1e-6, 1e-15, reach)
        return np.array([centers[0] - half, centers[0] + half])
    inner = (centers[:-1] + centers[1:]) / 2
    return np.array([2 * centers[0] - inner[0], *inner, 2 * centers[-1] - inner[-1]])
