"""Bins of an axis on real events: edges from the spec or the data, and the bin of every event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import PlanError
from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.events.states import States
from cubeengine.kernels.bins import bin_index
from cubeengine.planning.plan import Axis
from cubeengine.spec.axes import Axis as AxisSpec
from cubeengine.spec.axes import edges_of
from cubeengine.types import BoolArray, Column, FloatArray

STEP_TOLERANCE = 1e-6
"""Part of a scan's range by which readings of one setting may differ, where the spec states nothing."""


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
        TRUE in a bin, FALSE outside; NAN or MISSING where that is not known.
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
        centers, index = find_steps(numbers(binned), tolerance, name=spec.field)
        edges = _midway(centers)
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
            f"at most {len(distinct) - 1} bins: use quantiles: {len(distinct) - 1}, edges, or steps: auto"
        )
    return edges


def find_steps(
    values: FloatArray, tolerance: float | None, *, name: str
) -> tuple[FloatArray, NDArray[np.int32]]:
    """Find the distinct settings of a scan.

    Parameters
    ----------
    values : (n_events,) float64
        Readings; NaN where there is none.
    tolerance : float, optional
        Neighbouring readings that differ by no more belong to one setting. Default: `STEP_TOLERANCE`
        of the range.
    name : str
        For messages.

    Returns
    -------
    centers : (n_settings,) float64
        Mean reading of each setting, rising.
    index : (n_events,) int32
        Setting of every event, -1 where there is no reading.

    Raises
    ------
    PlanError
        If there is no reading at all.
    """
    finite = np.isfinite(values)
    readings, inverse, n_each = np.unique(values[finite], return_inverse=True, return_counts=True)
    if not len(readings):
        raise PlanError(f"axis {name!r}: steps: no event has a value of it; check the field with --stats")
    width = STEP_TOLERANCE * (readings[-1] - readings[0]) if tolerance is None else tolerance
    setting = np.concatenate([[0], np.cumsum(np.diff(readings) > width)])
    weight = np.bincount(setting, n_each)
    first = readings[np.searchsorted(setting, np.arange(len(weight)))]
    centers = first + np.bincount(setting, n_each * (readings - first[setting])) / weight
    index = np.full(len(values), -1, np.int32)
    index[finite] = setting[inverse]
    return centers, index


def _midway(centers: FloatArray) -> FloatArray:
    """Put edges midway between settings, and as far beyond the outer ones; one setting gets a thin bin."""
    if len(centers) == 1:
        half = max(abs(centers[0]) * 1e-6, 1e-15)
        return np.array([centers[0] - half, centers[0] + half])
    inner = (centers[:-1] + centers[1:]) / 2
    return np.array([2 * centers[0] - inner[0], *inner, 2 * centers[-1] - inner[-1]])
