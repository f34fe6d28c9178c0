"""From a bound spec to the plan of all its signals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cubeengine.budget import Budget
from cubeengine.detectors.pipeline import Pipeline
from cubeengine.errors import BudgetExceeded
from cubeengine.planning.bind import Bound, BoundSignal
from cubeengine.planning.cost import Tuning
from cubeengine.planning.grouping import PIECE_PAIRS
from cubeengine.planning.pairs import SORTING_NBYTES
from cubeengine.planning.plan import CubePlan, SignalPlan
from cubeengine.planning.planner import plan_signal
from cubeengine.planning.shape import SignalShape, Staging
from cubeengine.shared import content_digest
from cubeengine.types import FieldInfo, IntArray, Storage


def make_plan(bound: Bound, budget: Budget, tuning: Tuning | None = None) -> CubePlan:
    """Decide all work.

    Parameters
    ----------
    bound : Bound
        The spec on its run.
    budget : Budget
        Memory of one worker.
    tuning : Tuning, optional
        Sizes to aim at.

    Raises
    ------
    BudgetExceeded
        If a signal does not fit the memory in any strategy.
    """
    return CubePlan(
        axes=tuple(axis.axis for axis in bound.axes),
        selections=tuple(bound.selections),
        n_events=bound.considered,
        n_selected=bound.grouping.n_distinct,
        signals=tuple(_planned(forms, budget, tuning or Tuning()) for forms in signal_forms(bound)),
        content=_content(bound, budget),
        leader_nbytes=bound.held_nbytes + _sorting_nbytes(bound),
    )


def _planned(forms: Sequence[SignalShape], budget: Budget, tuning: Tuning) -> SignalPlan:
    """Plan a signal in its cheapest form; where that does not fit the memory, in the next."""
    for shape in forms[:-1]:
        try:
            return plan_signal(shape, budget, tuning)
        except BudgetExceeded:
            continue
    return plan_signal(forms[-1], budget, tuning)


def signal_forms(bound: Bound) -> list[tuple[SignalShape, ...]]:
    """Return every signal in the forms it can be reduced in, the cheapest first.

    Putting an image together moves elements and nothing else, so as the last stage it may as well be
    done once, on the finished cube.
    """
    rows, pairs = _sorted_rows(bound), bound.grouping.bin_pairs
    return [
        tuple(_shape(bound, signal, rows, pairs, late=late) for late in _ways(signal))
        for signal in bound.signals
    ]


def _ways(signal: BoundSignal) -> tuple[bool, ...]:
    late = signal.pipeline is not None and signal.pipeline.gather is not None
    return (True, False) if late else (False,)


def _sorting_nbytes(bound: Bound) -> int:
    """Return the memory to sort pairs into leaves: by pieces, if storage is in the order of events."""
    n_pairs = len(bound.grouping.events)
    return SORTING_NBYTES * (min(n_pairs, PIECE_PAIRS) if bound.run.rows is None else n_pairs)


def _sorted_rows(bound: Bound) -> IntArray:
    events, rows = bound.grouping.events, bound.run.rows
    return events if rows is None else np.sort(rows[events])


def _shape(bound: Bound, signal: BoundSignal, rows: IntArray, pairs: IntArray, *, late: bool) -> SignalShape:
    source, whole = bound.run.fields[signal.source], signal.pipeline
    pipeline = whole.before_gather() if late and whole else whole
    staged = pipeline if pipeline and pipeline.stages else None
    return SignalShape(
        name=signal.name,
        field=signal.field,
        unit=signal.unit,
        out_dtype=signal.dtype,
        info=staged_info(source, staged) if staged else source,
        bins_shape=tuple(axis.axis.n_bins for axis in bound.axes),
        width=bound.grouping.width,
        n_selections=bound.grouping.n_selections,
        rows=rows,
        bin_pairs=pairs,
        staging=Staging(source, staged) if staged else None,
        image=staged_info(source, whole) if late and whole else None,
    )


def staged_info(source: FieldInfo, pipeline: Pipeline) -> FieldInfo:
    """Describe a field after its stages: parts of frames can be had alone only if every stage is local."""
    storage = source.storage
    if not pipeline.local:
        storage = Storage("staged", storage.chunk_events, storage.codecs)
    return replace(source, shape=pipeline.output.shape, dtype=pipeline.output.dtype, storage=storage)


def _content(bound: Bound, budget: Budget) -> str:
    tables = [content_digest(signal.pipeline.stages) for signal in bound.signals if signal.pipeline]
    return hashlib.sha256(f"{bound.content}-{tables}-{budget.per_worker}".encode()).hexdigest()
