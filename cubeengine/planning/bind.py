"""Bind a spec to a run: names to fields, selections to masks, axes to bins. Reads scalars only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

import cubeengine
from cubeengine.detectors.base import Context, Coordinate, Frame, Options
from cubeengine.detectors.pipeline import Pipeline, build_pipeline
from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.derived import DelayCounts
from cubeengine.events.run import Run
from cubeengine.events.selections import CutRow, Node, describe, rows
from cubeengine.events.states import States
from cubeengine.kernels.bins import flat_index
from cubeengine.planning.axes import BinnedAxis, bin_axis
from cubeengine.planning.derive import add_derived
from cubeengine.planning.fates import Fates, count_fates
from cubeengine.planning.grouping import Grouping, group_events
from cubeengine.planning.plan import Axis
from cubeengine.planning.units import column_in
from cubeengine.schema.problems import spec_error
from cubeengine.schema.texts import amount_in
from cubeengine.spec.axes import Axis as AxisSpec
from cubeengine.spec.axes import axis_unit
from cubeengine.spec.check import check_fields
from cubeengine.spec.model import CubeSpec, Signal
from cubeengine.spec.resolve import resolve_selection, selections_of
from cubeengine.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class BoundSignal:
    """A signal of the cube.

    Attributes
    ----------
    name, field : str
        Its names in the cube and in the spec.
    source : str
        The run's field it is read from: an axis in another unit is a derived one.
    unit, dtype : str
        Unit, and type of mean and std.
    stages : tuple of Options
        What is done to every frame, as the spec says it.
    pipeline : Pipeline, or None
        The same, ready for the frames of this run; None where nothing is done.
    """

    name: str
    field: str
    source: str
    unit: str
    dtype: str
    stages: tuple[Options, ...] = ()
    pipeline: Pipeline | None = None

    def coordinates(self, run: Run) -> Mapping[int, Coordinate]:
        """Give the coordinates of element dimensions: the stages', or the file's if the shape is the same."""
        if self.pipeline and self.pipeline.input.shape != self.pipeline.output.shape:
            return self.pipeline.coordinates()
        known = run.element_coordinates(self.source)
        return {number: Coordinate(name, values) for number, (name, values) in known.items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """Which events are looked at: all, or a quick try.

    Attributes
    ----------
    events : int, optional
        Only the first so many.
    every : int, optional
        Only every so-manieth of them.
    """

    events: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("events", self.events), ("every", self.every)):
            if value is not None and value < 1:
                raise SpecError(f"{name} must be at least 1, got {value}")

    def mask(self, n_events: int) -> BoolArray:
        """Give the events that are looked at."""
        numbers = np.arange(n_events)
        chosen: BoolArray = numbers < (n_events if self.events is None else self.events)
        chosen &= numbers % (self.every or 1) == 0
        return chosen

    def __str__(self) -> str:
        first = "" if self.events is None else f"{self.events:,} events" if self.events > 1 else "event"
        every = "" if self.every in (None, 1) else f"every {_ordinal(self.every or 1)} event"
        return ", ".join([f"the first {first}"] * bool(first) + [every] * bool(every))


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


@dataclass(frozen=True)
class Bound:
    """A spec on a run: all that is known before heavy data are read.

    Attributes
    ----------
    run : Run
        With derived variables and axes in memory.
    spec : CubeSpec
        What was asked for.
    axes : tuple of BinnedAxis
        Edges, and the bin of every event.
    selections : mapping
        Name -> state of every event, in the order of the cube.
    cut_flows : mapping
        Name -> its cuts.
    fates : mapping
        Name -> what became of the events.
    grouping : Grouping
        Which events are added where.
    signals : tuple of BoundSignal
        Axes included.
    delays : mapping
        Derived delay -> how its events came about.
    considered : int
        Number of events that are looked at.
    sample : Sample
        Which these are.
    """

    run: Run
    spec: CubeSpec
    axes: tuple[BinnedAxis, ...]
    selections: Mapping[str, States]
    cut_flows: Mapping[str, tuple[CutRow, ...]]
    fates: Mapping[str, Fates]
    grouping: Grouping
    signals: tuple[BoundSignal, ...]
    delays: Mapping[str, DelayCounts]
    considered: int
    sample: Sample

    @property
    def n_events(self) -> IntArray:
        """(n_selections, n_bins) selected events."""
        return self.grouping.counts()

    def signal(self, name: str) -> BoundSignal:
        """Give the signal of a name."""
        return next(signal for signal in self.signals if signal.name == name)

    @property
    def held_nbytes(self) -> int:
        """Bytes of the scalars, masks and bins that the leading process holds for all events."""
        arrays: list[NDArray[np.generic]] = [
            *self.selections.values(),
            self.grouping.events,
            self.grouping.groups,
        ]
        arrays += [array for axis in self.axes for array in (axis.index, axis.states)]
        tables = sum(signal.pipeline.held_nbytes for signal in self.signals if signal.pipeline)
        return self.run.held_nbytes + sum(array.nbytes for array in arrays) + tables

    @property
    def content(self) -> str:
        """Hash of spec, sample and input files: what the answer depends on, beside the plan."""
        files = [(str(file.path), file.size, file.mtime_ns) for file in self.run.source.files]
        facts = [self.spec.to_dict(), asdict(self.sample), files, self.run.identity, cubeengine.__version__]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def bind(run: Run, spec: CubeSpec, *, sample: Sample | None = None) -> Bound:
    """Bind a spec to a run.

    Parameters
    ----------
    run : Run
        The run as opened.
    spec : CubeSpec
        What is asked for.
    sample : Sample, optional
        For a quick try on part of the events.

    Raises
    ------
    SpecError
        With all problems of names, kinds and units.
    PlanError
        If edges cannot be found in the data.
    """
    sample = sample or Sample()
    run = prepare_run(run, spec)
    if errors := [
        found for found in check_fields(spec, None, run.fields, run.label) if found.severity == "error"
    ]:
        raise spec_error(errors)
    run, units, delays = add_derived(run, spec)
    nodes = {name: resolve_selection(spec, name) for name in selections_of(spec)}
    masks = {name: run.states(node) for name, node in nodes.items()}
    considered = sample.mask(run.n_events)
    cut_flows = {name: count_cuts(run, node, considered) for name, node in nodes.items()}
    kept = [(mask == states.TRUE) & considered for mask in masks.values()]
    axes = tuple(_bin_one(run, axis, units, np.any(kept, axis=0)) for axis in spec.axes)
    run = run.with_columns(
        {_converted_name(axis.axis): axis.values for axis in axes if _converted(run, axis)}
    )
    shape = tuple(axis.axis.n_bins for axis in axes)
    bins = _flat(axes, shape, run.n_events)
    return Bound(
        run=run,
        spec=spec,
        axes=axes,
        selections=masks,
        cut_flows=cut_flows,
        fates={name: count_fates(mask, axes, considered) for name, mask in masks.items()},
        grouping=group_events(kept, bins, int(np.prod(shape, dtype=np.int64))),
        signals=_signals(run, spec, axes, units),
        delays=delays,
        considered=int(np.count_nonzero(considered)),
        sample=sample,
    )


def prepare_run(run: Run, spec: CubeSpec) -> Run:
    """Give the run whose events the spec means: an align group's, with declared marks of missing values."""
    if spec.run.events:
        run = run.aligned(spec.run.events)
    return run.with_missing(dict(spec.missing)) if spec.missing else run


def count_cuts(run: Run, node: Node, considered: BoolArray) -> tuple[CutRow, ...]:
    """Count the events that each cut of a selection keeps, of those that are looked at."""
    found, kept = [], considered
    for part in rows(node):
        passed = considered & (run.states(part) == states.TRUE)
        kept = kept & passed
        found.append(CutRow(describe(part), int(np.count_nonzero(passed)), int(np.count_nonzero(kept))))
    return tuple(found)


def _bin_one(run: Run, axis: AxisSpec, units: Mapping[str, str], kept: BoolArray) -> BinnedAxis:
    wanted = axis_unit(axis)
    unit = units.get(axis.field, "") if wanted is None else wanted
    values = column_in(run, axis.field, units, unit, f"axis {axis.field!r}")
    other = axis.steps if axis.steps not in (None, "auto") else None
    settings = None if other is None else column_in(run, other, units, unit, f"axis {axis.field!r}")
    tolerance = None if axis.tolerance is None else amount_in(axis.tolerance, unit, f"axis {axis.field!r}")
    return bin_axis(axis, unit, values, settings=settings, tolerance=tolerance, kept=kept)


def _flat(axes: Sequence[BinnedAxis], shape: tuple[int, ...], n_events: int) -> IntArray:
    if not axes:
        return np.zeros(n_events, np.int64)
    return flat_index([axis.index for axis in axes], shape)


def _converted(run: Run, axis: BinnedAxis) -> bool:
    return axis.values is not run.column(axis.axis.field)


def _converted_name(axis: Axis) -> str:
    return f"{axis.field} [{axis.unit}]"


def _signals(
    run: Run, spec: CubeSpec, axes: Sequence[BinnedAxis], units: Mapping[str, str]
) -> tuple[BoundSignal, ...]:
    """Axes first, then what the spec asks for; an axis that is also asked for comes once."""
    signals = {}
    for binned in axes:
        axis, converted = binned.axis, _converted_name(binned.axis)
        source = converted if converted in run.fields else axis.field
        signals[axis.name] = BoundSignal(axis.name, axis.field, source, axis.unit, "float64")
    for signal in spec.signals:
        if not run.fields[signal.field].n_elements:
            raise SpecError(
                f"signal {signal.field!r}: holds no values, its shape is {run.fields[signal.field].shape}"
            )
        if signal.variable not in signals:
            signals[signal.variable] = _bind_signal(run, spec, signal, units.get(signal.field, ""))
    return tuple(signals.values())


def _bind_signal(run: Run, spec: CubeSpec, signal: Signal, unit: str) -> BoundSignal:
    plain = BoundSignal(signal.variable, signal.field, signal.field, unit, signal.dtype)
    if not signal.stages:
        return plain
    info = run.fields[signal.field]
    context = Context(signal.field, spec.folder, run.detector(signal.field))
    pipeline = build_pipeline(Frame(info.shape, info.dtype, unit), signal.stages, context)
    return replace(plain, unit=pipeline.output.unit, stages=signal.stages, pipeline=pipeline)
