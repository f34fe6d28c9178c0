"""Bins of an axis on real events: edges from the spec or the data, and the bin of every event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import PlanError, SpecError
from cubeengine.events import states
from cubeengine.events.blocks import joined
from cubeengine.events.derived import numbers
from cubeengine.events.run import Run
from cubeengine.events.scan import is_counter, settings_tolerance
from cubeengine.events.settings import Settings
from cubeengine.events.states import States
from cubeengine.events.streamed import Streamed
from cubeengine.events.values import INT64
from cubeengine.events.window import Window
from cubeengine.kernels.bins import bin_index
from cubeengine.planning.distinct import Distinct, n_chains, quantile_edges, settings, smallest_gap
from cubeengine.planning.plan import Axis
from cubeengine.planning.units import FieldIn, field_in
from cubeengine.schema.texts import amount_in
from cubeengine.spec.axes import Axis as AxisSpec
from cubeengine.spec.axes import axis_unit, check_range, edges_of, labels_of, middles
from cubeengine.types import BoolArray, Column, FloatArray

MOST_SURE_STEPS = 100  # so many settings are believed to be steps
EVENTS_PER_STEP = 2  # more need that many events each: a continuous variable has about one


@dataclass(frozen=True, slots=True)
class Binned:
    """Where some events fall on an axis."""

    values: Column  # the field in the axis's unit: becomes the signal `<axis>`
    index: NDArray[np.int32]  # (n_events,) int32: Bin of every event, -1 outside
    states: States
    """(n_events,) int8: TRUE in a bin, FALSE outside; NAN, MISSING or DAMAGED where that is not known."""

    @property
    def nbytes(self) -> int:
        """Bytes beside the values."""
        return self.index.nbytes + self.states.nbytes


@dataclass(frozen=True)
class BinnedAxis:
    """An axis and how events fall on it."""

    axis: Axis  # name, unit and edges
    source: FieldIn  # the field in the axis's unit
    given: bool  # whether the spec gives the edges; else they are made of the values
    steps: Steps | None  # the settings that make the bins; None where the edges do
    run: Run  # whose events they are

    def bins(self, window: Window) -> Binned:
        """Find the bins of the events of a window."""
        values = self.source.column(window)
        if self.steps is None:
            binned, index = values, bin_index(values.data, np.asarray(self.axis.edges))
        else:
            binned = self.steps.source.column(window)
            index = self.steps.settings.index(binned.data)
        if binned.valid is not None:
            index = np.where(binned.valid, index, np.int32(-1))
        return Binned(values, index, _states(binned, index))

    @property
    def values(self) -> Column:
        """The field in the axis's unit, of all events of the run."""
        return joined([self.source.column(window) for window in self.run.windows()])

    @property
    def index(self) -> NDArray[np.int32]:
        """(n_events,) bin of every event of the run, -1 outside."""
        return np.concatenate([self.bins(window).index for window in self.run.windows()])


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Settings as bins."""

    source: FieldIn  # the field whose settings they are
    settings: Settings  # what readings belong to each
    gap: float | None = None
    """Smallest distance of two readings, where a tolerance that was asked for makes one setting of all."""


def _states(binned: Column, index: NDArray[np.int32]) -> States:
    found = np.where(index >= 0, states.TRUE, states.FALSE)
    if binned.data.dtype.kind == "f":
        found[~np.isfinite(binned.data)] = states.NAN
    if binned.valid is not None:
        found[~binned.valid] = states.MISSING
    if binned.damaged is not None:
        found[binned.damaged] = states.DAMAGED
    return found


class AxisFinder:
    """Finds the edges of an axis; where they come from the data, of all windows that are added.

    Parameters
    ----------
    run : Run
        Whose events they are.
    spec : spec.axes.Axis
        The axis as asked for.
    units : mapping
        Field -> declared unit.

    Raises
    ------
    SpecError
        If the axis has a unit that its field does not convert to.
    """

    def __init__(self, run: Run, spec: AxisSpec, units: Mapping[str, str]) -> None:
        wanted, where = axis_unit(spec), f"axis {spec.field!r}"
        self._run, self._spec = run, spec
        self._unit = units.get(spec.field, "") if wanted is None else wanted
        self._source = field_in(spec.field, units, self._unit, where)
        other = spec.field if spec.steps in (None, "auto") else str(spec.steps)
        counted = other != spec.field and is_counter(other)
        self._settings = FieldIn(other, "", "") if counted else field_in(other, units, self._unit, where)
        self._tolerance = (
            None if spec.tolerance is None else amount_in(spec.tolerance, self._settings.unit, where)
        )
        self._distinct = Distinct()

    @property
    def needs_values(self) -> bool:
        """Whether the bins come from the data."""
        return self._spec.form in {"steps", "quantiles"}

    @property
    def whole_run(self) -> bool:
        """Whether the bins are those of the whole run, also where a part of it is looked at: settings are."""
        return self._spec.form == "steps"

    def add(self, window: Window, kept: BoolArray) -> None:
        """Look at the events of a window that some selection keeps."""
        column = (self._settings if self._spec.form == "steps" else self._source).column(window)
        if self._spec.form == "steps":
            self._check_whole(window)
            values = column.data[kept if column.valid is None else kept & column.valid]
        else:
            values = numbers(column)[kept]
        self._distinct.add(values[np.isfinite(values)])

    def found(self) -> BinnedAxis:
        """Return the axis.

        Raises
        ------
        PlanError
            If quantiles or settings cannot be found in the data.
        """
        spec, given = self._spec, edges_of(self._spec)
        if spec.form == "steps":
            return self._found_steps()
        edges = self._checked(_quantile_edges(spec, self._distinct)) if given is None else given
        labels = labels_of(spec) if given is not None else None
        labels = middles(edges) if labels is None else labels
        axis = Axis(spec.variable, spec.field, self._unit, tuple(edges.tolist()), tuple(labels.tolist()))
        return BinnedAxis(axis, self._source, given is not None, None, self._run)

    def _found_steps(self) -> BinnedAxis:
        spec, distinct, source = self._spec, self._distinct, self._settings
        if not distinct.n_values:
            raise PlanError(
                f"axis {spec.field!r}: steps: no selected event has a value of {source.field!r}; see its "
                "values with  cubeengine fields SOURCE --stats,  and the cut flow of a plan without this axis"
            )
        low, high = map(float, distinct.limits)
        self._checked(np.array([low, high]))
        tolerance = self._tolerance
        if tolerance is None:
            tolerance = settings_tolerance(distinct.dtype, low, high)
        self._check_steps(n_chains(distinct, tolerance), tolerance)
        found = settings(distinct, tolerance)
        self._check_steps(len(found), tolerance)
        self._check_exact(found, tolerance)
        edges = self._checked(_midway(found.values, reach=tolerance))
        joined_all = spec.tolerance is not None and len(found) == 1 and high - low <= tolerance
        gap = smallest_gap(distinct) if joined_all and low < high else None
        axis = Axis(
            spec.variable, spec.field, source.unit, tuple(edges.tolist()), tuple(found.values.tolist()),
            source.field, tolerance,
        )  # fmt: skip
        return BinnedAxis(axis, self._source, False, Steps(source, found, gap), self._run)

    def _checked(self, edges: FloatArray) -> FloatArray:
        try:
            check_range(edges)
        except SpecError as err:
            raise PlanError(f"axis {self._spec.field!r}: {err}") from err
        return edges

    def _check_whole(self, window: Window) -> None:
        """Raise where a formula takes whole numbers that become floats in it: unlike ones would be equal."""
        name = self._settings.field
        variable = self._run.derived.get(name)
        if not isinstance(variable, Streamed) or window.column(name).data.dtype.kind != "f":
            return
        for field in sorted(variable.expression.fields):
            column = window.column(field)
            kept = column.data if column.valid is None else column.data[column.valid]
            if kept.dtype == np.uint64 and kept.max(initial=0) > INT64.max:
                raise PlanError(
                    f"axis {self._spec.field!r}: steps: {name!r} is computed of {field!r}, whose whole "
                    "numbers of 2**63 and more become floats in formulas, so that unlike ones may be equal; "
                    "give edges, or steps of another field"
                )

    def _check_exact(self, found: Settings, tolerance: float) -> None:
        """Raise where whole numbers that differ by more than the tolerance are one number as float64."""
        pairs = zip(found.lowest.tolist(), found.highest.tolist(), strict=True)
        for low, high in pairs if found.lowest.dtype.kind in "iu" else ():
            if high - low > tolerance:
                derive = f"derive: {{steps: '`{self._settings.field}` - {low}'}}"
                wanted = f"take a large number off first:  {derive}"
                if high > INT64.max:
                    wanted = "whole numbers of 2**63 and more cannot be steps: give edges, or another field"
                raise PlanError(
                    f"axis {self._spec.field!r}: steps: {low} and {high} differ, but not as float64, "
                    f"which bins are made of; {wanted}"
                )

    def _check_steps(self, n_found: int, tolerance: float) -> None:
        n_values, unit = self._distinct.n_values, self._settings.unit
        if n_found > MOST_SURE_STEPS and n_found * EVENTS_PER_STEP > n_values:
            raise PlanError(
                f"axis {self._spec.field!r}: steps: the {n_values:,} readings have {n_found:,} values that "
                f"differ by more than {tolerance:.3g}{' ' * bool(unit)}{unit}; if the settings are noisy "
                "readings, give  tolerance: WIDTH,  wider than the noise and narrower than a step; "
                "otherwise give edges"
            )


def _quantile_edges(spec: AxisSpec, distinct: Distinct) -> FloatArray:
    n_bins = spec.quantiles or 1
    if distinct.n_values < 2:
        raise PlanError(
            f"axis {spec.field!r}: quantiles need at least 2 selected events with a value, found "
            f"{distinct.n_values}"
        )
    edges = quantile_edges(distinct, n_bins)
    unequal = np.unique(edges)
    if len(unequal) == 1:
        return _midway(unequal)
    if len(unequal) < len(edges):
        raise PlanError(
            f"axis {spec.field!r}: {n_bins} quantiles give equal edges, because many events share a value; "
            f"use quantiles: {_possible_quantiles(distinct, len(unequal) - 1)}, edges, or steps: auto"
        )
    return edges


def _possible_quantiles(distinct: Distinct, n_bins: int) -> int:
    """Return a number of bins, at most `n_bins`, whose edges are distinct."""
    n_distinct = len(np.unique(quantile_edges(distinct, n_bins)))
    return n_bins if n_distinct > n_bins else _possible_quantiles(distinct, n_distinct - 1)


def _midway(centers: FloatArray, reach: float = 0.0) -> FloatArray:
    """Put edges midway between settings, and as far beyond the outer ones; one setting gets a thin bin."""
    if len(centers) == 1:
        half = max(abs(centers[0]) * 1e-6, 1e-15, reach)
        return np.array([centers[0] - half, centers[0] + half])
    inner = middles(centers)
    with np.errstate(over="ignore"):
        return np.array([2 * centers[0] - inner[0], *inner, 2 * centers[-1] - inner[-1]])
