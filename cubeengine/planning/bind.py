"""Bind a spec to a run: names to fields, selections to masks, axes to bins. Reads scalars only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

import cubeengine
from cubeengine.detectors.base import Context, Coordinate, Frame, Options
from cubeengine.detectors.pipeline import Pipeline, build_pipeline
from cubeengine.errors import SpecError
from cubeengine.events import states
from cubeengine.events.derived import DelayCounts, NearCounts
from cubeengine.events.run import Run
from cubeengine.events.selections import CutRow, Node
from cubeengine.events.states import States
from cubeengine.events.streamed import Streamed, is_streamed
from cubeengine.planning.axes import AxisFinder, BinnedAxis
from cubeengine.planning.census import Census, take_census
from cubeengine.planning.derive import add_derived
from cubeengine.planning.evidence import Evidence, damage_fields
from cubeengine.planning.fates import Fates
from cubeengine.planning.grouping import Grouping
from cubeengine.planning.percentiles import FoundPercentile, found_percentiles, with_numbers
from cubeengine.planning.sample import Sample
from cubeengine.planning.units import FieldIn
from cubeengine.schema.problems import Problem, in_order, problems_in, spec_error
from cubeengine.spec.check import check_fields, positions_of
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.positions import Positions
from cubeengine.spec.resolve import resolve_selection, selections_of, state_cut
from cubeengine.types import FieldKind, IntArray


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
        """Return the coordinates of element dimensions: the stages', or the file's if the shapes agree."""
        if self.pipeline and self.pipeline.input.shape != self.pipeline.output.shape:
            return self.pipeline.coordinates()
        known = run.element_coordinates(self.source)
        return {number: Coordinate(name, values) for number, (name, values) in known.items()}


class SelectedStates(Mapping[str, States]):
    """Name of a selection -> state of every event, found when asked for.

    Parameters
    ----------
    run : Run
        The events.
    nodes : mapping
        Name -> what the selection asks for, in the order of the cube.
    """

    def __init__(self, run: Run, nodes: Mapping[str, Node]) -> None:
        self._run, self._nodes = run, nodes

    def __getitem__(self, name: str) -> States:
        node = self._nodes[name]
        return np.concatenate([window.states(node) for window in self._run.windows()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


@dataclass(frozen=True)
class Bound:
    """A spec on a run: all that is known before heavy data are read."""

    run: Run  # with derived variables and axes; those that are signals with their values
    spec: CubeSpec  # what was asked for
    axes: tuple[BinnedAxis, ...]  # edges, and the bin of every event
    selections: Mapping[str, States]
    """Name -> state of every event, in the order of the cube; found when asked for."""
    census: Census  # what was counted of all events, and which are added where
    signals: tuple[BoundSignal, ...]  # axes included
    sample: Sample  # which events are looked at
    percentiles: Mapping[str, tuple[FoundPercentile, ...]] = field(default_factory=dict)
    """Selection -> the numbers of its cuts at percentiles."""

    @property
    def cut_flows(self) -> Mapping[str, tuple[CutRow, ...]]:
        """Selection -> its cuts."""
        return {name: counts.cut_flow for name, counts in self.census.counts.items()}

    @property
    def fates(self) -> Mapping[str, Fates]:
        """Selection -> what became of the events."""
        return {name: counts.fates for name, counts in self.census.counts.items()}

    @property
    def grouping(self) -> Grouping:
        """Which events are added where."""
        return self.census.grouping

    @property
    def delays(self) -> Mapping[str, DelayCounts]:
        """Derived delay -> how its events came about."""
        return self.census.delays

    @property
    def near(self) -> Mapping[str, NearCounts]:
        """Derived variable that looks at other events -> on how many its values rest."""
        return self.census.near

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """Signal -> in how many selected events its detector lacks, as the run says; signals with any."""
        found = {}
        told = damage_fields(self.run, (signal.source for signal in self.signals))
        for signal in self.signals:
            counts = self.census.damage[told[signal.source]] if signal.source in told else ()
            if any(counts):
                events = dict(zip(self.selections, counts, strict=True))
                found[signal.name] = Evidence(told[signal.source], events)
        return found

    @property
    def considered(self) -> int:
        """Number of events that are looked at."""
        return self.census.considered

    @property
    def n_events(self) -> IntArray:
        """(n_selections, n_bins) selected events."""
        return self.grouping.counts()

    def signal(self, name: str) -> BoundSignal:
        """Return the signal of a name."""
        return next(signal for signal in self.signals if signal.name == name)

    @property
    def held_nbytes(self) -> int:
        """Bytes of scalars, masks and bins in the leading process: of a window, and what is kept of all."""
        tables = sum(signal.pipeline.held_nbytes for signal in self.signals if signal.pipeline)
        return self.run.held_nbytes + self.census.window_nbytes + self.grouping.held_nbytes + tables

    @property
    def content(self) -> str:
        """Hash of spec, sample and input files: what the answer depends on, beside the plan."""
        files = [(str(file.path), file.size, file.mtime_ns) for file in self.run.source.files]
        facts = [self.spec.to_dict(), asdict(self.sample), files, self.run.identity, cubeengine.__version__]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def bind(
    run: Run, spec: CubeSpec, *, sample: Sample | None = None, further: Mapping[str, str] | None = None
) -> Bound:
    """Bind a spec to a run.

    Parameters
    ----------
    run : Run
        The run as opened.
    spec : CubeSpec
        What is asked for.
    sample : Sample, optional
        For a quick try on part of the events.
    further : mapping, optional
        Signals that are wanted beside those of the spec: name -> field.

    Raises
    ------
    SpecError
        With all problems of names and kinds of fields, and of stages.
    PlanError
        If edges cannot be found in the data.
    """
    sample = sample or Sample()
    run = chosen_events(run, spec)
    positions = positions_of(spec)
    if errors := [
        found for found in check_fields(spec, positions, run.fields, run.label) if found.severity == "error"
    ]:
        more = signal_problems(run, spec, positions)
        raise spec_error(in_order([*errors, *more]), positions.name)
    run, units = add_derived(with_declared(run, spec), spec)
    pipelines, wrong = _pipelines(run, spec, units)
    if wrong:
        raise spec_error(_placed(wrong, positions), positions.name)
    asked = {name: resolve_selection(spec, name) for name in selections_of(spec)}
    nodes = {name: with_numbers(run, node) for name, node in asked.items()}
    percentiles = found_percentiles(run, asked)
    axes = _find_axes(run, spec, units, nodes, sample)
    converted = {_converted_name(axis.source): axis.source for axis in axes if axis.source.converts}
    run = run.with_columns(converted)
    plain = (_plain_signal(name, field, units) for name, field in (further or {}).items())
    signals = (*_signals(run, spec, axes, units, pipelines), *plain)
    census = take_census(
        run,
        nodes,
        axes,
        off=state_cut(spec.run.laser, "off"),
        sample=sample,
        keep=_kept(run, {signal.source for signal in signals}),
        damage=set(damage_fields(run, (signal.source for signal in signals)).values()),
    )
    run = run.with_values(census.values, census.digests)
    return Bound(
        run=run,
        spec=spec,
        axes=tuple(replace(axis, run=run) for axis in axes),
        selections=SelectedStates(run, nodes),
        census=census,
        signals=signals,
        sample=sample,
        percentiles=percentiles,
    )


def chosen_events(run: Run, spec: CubeSpec) -> Run:
    """Return the run whose events the spec means: the run itself, or an align group's."""
    return run.aligned(spec.run.events) if spec.run.events else run


def with_declared(run: Run, spec: CubeSpec) -> Run:
    """Return the run with the declared marks of missing values."""
    return run.with_missing(spec.missing) if spec.missing else run


def signal_problems(run: Run, spec: CubeSpec, positions: Positions) -> list[Problem]:
    """Return what is wrong with the signals that are fields of a run: with their shapes and their stages.

    Parameters
    ----------
    run : Run
        The run, as `chosen_events` gives it.
    spec : CubeSpec
        The spec, or what remains of one with problems.
    positions : Positions
        Where its values stand in the text.
    """
    return _placed(_pipelines(run, spec, spec.units)[1], positions)


def _placed(problems: Sequence[Problem], positions: Positions) -> list[Problem]:
    return [replace(positions.problem(one.path, one.message), cause=one.cause) for one in problems]


def _pipelines(
    run: Run, spec: CubeSpec, units: Mapping[str, str]
) -> tuple[Mapping[int, Pipeline], list[Problem]]:
    """Make the stages of signals, by number; also all that is wrong."""
    made: dict[int, Pipeline] = {}
    problems: list[Problem] = []
    for number, signal in enumerate(spec.signals):
        info, path = run.fields.get(signal.field), ("signals", number)
        if info is None or info.kind is not FieldKind.EVENT or info.dtype.kind not in "biuf":
            continue  # that is told elsewhere
        if not info.n_elements:
            message = f"signal {signal.field!r}: holds no values, its shape is {info.shape}"
            problems.append(Problem((*path, "field"), message))
        elif signal.stages:
            frame = Frame(info.shape, info.dtype, units.get(signal.field, ""))
            context = Context(signal.field, spec.folder, run.detector(signal.field))
            try:
                made[number] = build_pipeline(frame, signal.stages, context)
            except SpecError as err:
                problems += [replace(one, path=(*path, "stages", *one.path)) for one in problems_in(err)]
    return made, problems


def _kept(run: Run, wanted: set[str]) -> list[str]:
    """Return the variables whose values tasks need: signals, and what formulas of frames are computed of."""
    found: set[str] = set()
    while wanted:
        name = run.fields.resolve(wanted.pop())
        item = run.derived.get(name)
        if isinstance(item, Streamed) and is_streamed(item):
            wanted |= item.expression.fields
        elif item is not None:
            found.add(name)
    return [name for name in run.derived if name in found]


def _find_axes(
    run: Run, spec: CubeSpec, units: Mapping[str, str], nodes: Mapping[str, Node], sample: Sample
) -> tuple[BinnedAxis, ...]:
    """Find the edges of all axes: in one pass over the events, if any come from the data."""
    finders = [AxisFinder(run, axis, units) for axis in spec.axes]
    looking = [finder for finder in finders if finder.needs_values]
    for window in run.windows() if looking else ():
        kept = np.any([window.states(node) == states.TRUE for node in nodes.values()], axis=0)
        for finder in looking:
            finder.add(window, kept if finder.whole_run else kept & sample.mask(window.events))
    return tuple(finder.found() for finder in finders)


def _converted_name(source: FieldIn) -> str:
    return f"{source.field} [{source.unit}]"


def _signals(
    run: Run,
    spec: CubeSpec,
    axes: Sequence[BinnedAxis],
    units: Mapping[str, str],
    pipelines: Mapping[int, Pipeline],
) -> tuple[BoundSignal, ...]:
    """Axes first, then what the spec asks for; an axis that is also asked for comes once."""
    signals = {}
    for binned in axes:
        axis, converted = binned.axis, _converted_name(binned.source)
        source = converted if converted in run.fields else axis.field
        signals[axis.name] = BoundSignal(axis.name, axis.field, source, binned.source.unit, "float64")
    for number, signal in enumerate(spec.signals):
        if signal.variable not in signals:
            pipeline = pipelines.get(number)
            unit = pipeline.output.unit if pipeline else units.get(signal.field, "")
            signals[signal.variable] = BoundSignal(
                signal.variable, signal.field, signal.field, unit, signal.dtype, signal.stages, pipeline
            )
    return tuple(signals.values())


def _plain_signal(name: str, field: str, units: Mapping[str, str]) -> BoundSignal:
    return BoundSignal(name, field, field, units.get(field, ""), "float64")
