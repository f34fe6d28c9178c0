"""How picked events are read and written: slots, chunks and tasks, as values.

A *slot* is a place for one event in the store: (selection, bins..., pick), numbered in C order. A task owns a
range of slots, a *batch*, of one variable; it reads the frames of one store chunk after another straight from
their places in the files, and writes each chunk whole. Nothing has to be merged, so tasks need nothing of
one another, and memory is that of a chunk however many bins there are.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cubeengine.budget import WORKER_BASELINE, Budget, format_size
from cubeengine.errors import BudgetExceeded
from cubeengine.graph.staged import StagedReader
from cubeengine.picking.candidates import Picked
from cubeengine.picking.spec import VALUE
from cubeengine.planning.bind import Bound, BoundSignal
from cubeengine.planning.chunks import chunk_shape
from cubeengine.planning.cost import MIB, USUAL_WORKERS, Tuning, events_touched
from cubeengine.planning.make import staged_info
from cubeengine.planning.plan import Axis
from cubeengine.shared import content_digest
from cubeengine.sources.base import Reader
from cubeengine.types import FieldInfo, IntArray

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of picked events.

    Attributes
    ----------
    name, field : str
        Its names in the store and in the run.
    source : FieldInfo
        What is read.
    info : FieldInfo
        What is written: the field after its stages.
    unit : str
        Declared unit, or "".
    slot_chunks, element_chunks : tuple of int
        Store chunks along the slots and along the elements.
    batch : tuple of int
        Slots of one task, in whole chunks.
    n_tasks : int
        Tasks.
    block_nbytes : int
        Bytes read at a time.
    task_nbytes : int
        Memory of a task.
    read_nbytes : int
        Bytes that all tasks read, decoded.
    """

    name: str
    field: str
    source: FieldInfo
    info: FieldInfo
    unit: str
    slot_chunks: Shape
    element_chunks: Shape
    batch: Shape
    n_tasks: int
    block_nbytes: int
    task_nbytes: int
    read_nbytes: int

    @property
    def has_mask(self) -> bool:
        """Whether a mask tells what is missing: integers and truth values have no NaN."""
        return self.info.dtype.kind != "f"

    @property
    def fill(self) -> float | int:
        """What stands where nothing is: NaN, or the number that is least likely to be taken for a value."""
        return fill_of(self.info.dtype)


def fill_of(dtype: np.dtype[Any]) -> float | int:
    """Return NaN, or of integers the lowest number, the highest if there is no sign."""
    if dtype.kind == "f":
        return math.nan
    if dtype.kind == "b":
        return 0
    limits = np.iinfo(dtype)
    return int(limits.min if dtype.kind == "i" else limits.max)


@dataclass(frozen=True)
class PickWork:
    """All that was decided."""

    axes: tuple[Axis, ...]  # binned axes
    selections: tuple[str, ...]  # names of the selections
    picked: Picked  # which events
    variables: tuple[Variable, ...]  # what is read of them
    n_events: int  # events that were looked at
    content: str  # hash of all that the answer depends on, beside what is here
    leader_nbytes: int  # memory for scalars, masks, bins and picked events in the process that leads

    @property
    def bins_shape(self) -> Shape:
        """Bins along every axis."""
        return tuple(axis.n_bins for axis in self.axes)

    @property
    def slots_shape(self) -> Shape:
        """Selections, bins along every axis, events per bin."""
        return (len(self.selections), *self.bins_shape, self.picked.events.shape[-1])

    @property
    def slot_dims(self) -> tuple[str, ...]:
        """Names of these dimensions."""
        return ("selection", *(axis.name for axis in self.axes), "pick")

    @property
    def n_tasks(self) -> int:
        """Tasks of all variables."""
        return sum(variable.n_tasks for variable in self.variables)

    @property
    def read_nbytes(self) -> int:
        """Bytes that all tasks read, decoded."""
        return sum(variable.read_nbytes for variable in self.variables)

    @property
    def output_nbytes(self) -> int:
        """Bytes of the store before compression."""
        n_slots = math.prod(self.slots_shape)
        return n_slots * sum(one.info.event_nbytes + one.has_mask for one in self.variables)

    def worker_memory(self, threads: int) -> int:
        """Anonymous memory of a worker process at its peak."""
        return WORKER_BASELINE + threads * max((one.task_nbytes for one in self.variables), default=0)

    def projected_memory(self, *, threads: int = 1, workers: int = 0) -> int:
        """Anonymous memory of the whole run at its peak; see `CubePlan.projected_memory`."""
        if workers:
            return WORKER_BASELINE + self.leader_nbytes + workers * self.worker_memory(threads)
        return self.leader_nbytes + self.worker_memory(threads)

    @cached_property
    def key(self) -> str:
        """Hash of the work: equal for equal work on equal data, the root of all task names."""
        facts = json.dumps([variable_facts(one) for one in self.variables], sort_keys=True)
        digest = hashlib.sha256((self.content + facts).encode())
        digest.update(np.ascontiguousarray(self.picked.events).data)
        return digest.hexdigest()[:16]


def variable_facts(variable: Variable) -> dict[str, Any]:
    """Return what fixes how a variable is had, as plain data."""
    facts = asdict(variable)
    for name in ("source", "info"):
        facts[name] = [*facts[name]["shape"], str(facts[name]["dtype"])]
    return facts


def make_work(
    bound: Bound,
    picked: Picked,
    readers: Mapping[str, Reader],
    budget: Budget,
    tuning: Tuning | None = None,
) -> PickWork:
    """Decide all work.

    Parameters
    ----------
    bound : Bound
        The spec on its run.
    picked : Picked
        Which events.
    readers : mapping
        Signal -> what reads its rows.
    budget : Budget
        Memory of one worker.
    tuning : Tuning, optional
        Sizes to aim at.

    Raises
    ------
    BudgetExceeded
        If a task does not fit the memory.
    """
    axes = tuple(axis.axis for axis in bound.axes)
    slots = (len(bound.selections), *(axis.n_bins for axis in axes), picked.events.shape[-1])
    n_picked = int(picked.n_picked.sum())
    variables = tuple(
        _variable(bound, signal, readers[signal.name], slots, n_picked, tuning or Tuning())
        for signal in bound.signals
    )
    for variable in variables:
        _check_fits(variable, budget)
    tables = [content_digest(signal.pipeline.stages) for signal in bound.signals if signal.pipeline]
    return PickWork(
        axes=axes,
        selections=tuple(bound.selections),
        picked=picked,
        variables=variables,
        n_events=bound.considered,
        content=f"{bound.content}-{tables}-{budget.per_worker}",
        leader_nbytes=bound.held_nbytes + picked.nbytes,
    )


def _variable(
    bound: Bound, signal: BoundSignal, reader: Reader, slots: Shape, n_picked: int, tuning: Tuning
) -> Variable:
    source, pipeline = bound.run.fields[signal.source], signal.pipeline
    staged = pipeline if pipeline and pipeline.stages else None
    info = staged_info(source, staged) if staged else source
    frame_nbytes = max(info.event_nbytes, 1)
    per_chunk = max(tuning.chunk_nbytes // frame_nbytes, 1)
    slot_chunks, batch = nested_chunks(slots, per_chunk, _per_task(math.prod(slots), frame_nbytes, tuning))
    n_held = math.prod(slot_chunks)
    reading = StagedReader(reader, staged) if staged else reader
    read = reading.memory_nbytes(info.n_elements, tuning.block_nbytes)
    n_read = events_touched(source, n_picked, bound.run.n_events)
    return Variable(
        name=stored_name(bound, signal),
        field=signal.field,
        source=source,
        info=info,
        unit=signal.unit,
        slot_chunks=slot_chunks,
        element_chunks=chunk_shape(info.shape, tuning.chunk_nbytes // info.dtype.itemsize),
        batch=batch,
        n_tasks=math.prod(math.ceil(size / part) for size, part in zip(slots, batch, strict=True)),
        block_nbytes=tuning.block_nbytes,
        # the frames of a chunk, one store chunk as it is packed and once more packed, what reading takes
        task_nbytes=n_held * frame_nbytes + 2 * min(n_held * frame_nbytes, tuning.chunk_nbytes) + read + MIB,
        read_nbytes=n_read * source.event_nbytes,
    )


def stored_name(bound: Bound, signal: BoundSignal) -> str:
    """Name a signal in the store, where the names of the axes stand for their bins."""
    return signal.name + VALUE if signal.name in {axis.axis.name for axis in bound.axes} else signal.name


def _per_task(n_slots: int, frame_nbytes: int, tuning: Tuning) -> int:
    """Return the slots of a task: enough to be worth one, some for every worker, at most thousands."""
    worth = tuning.write_nbytes // frame_nbytes
    shared = math.ceil(n_slots / USUAL_WORKERS) if n_slots * frame_nbytes > tuning.chunk_nbytes else n_slots
    return max(min(worth, shared), math.ceil(n_slots / tuning.max_leaves), 1)


def nested_chunks(shape: Shape, inner: int, outer: int) -> tuple[Shape, Shape]:
    """Return chunks of at most `inner` items and blocks of about `outer`, so that chunks divide blocks.

    Both are contiguous ranges of the flat index; a block is a chunk at least.

    Examples
    --------
    >>> nested_chunks((2, 50, 3), 9, 70)
    ((1, 3, 3), (1, 21, 3))
    """
    chunks, blocks = chunk_shape(shape, inner), chunk_shape(shape, max(outer, inner))
    split = next((axis for axis in range(len(shape)) if blocks[axis] > 1), 0)
    if blocks[split] < shape[split]:
        whole = blocks[split] // chunks[split] * chunks[split]
        blocks = (*blocks[:split], whole, *blocks[split + 1 :])
    return chunks, blocks


def _check_fits(variable: Variable, budget: Budget) -> None:
    if variable.task_nbytes > budget.usable:
        needed, frame = variable.task_nbytes + WORKER_BASELINE, variable.info.event_nbytes
        raise BudgetExceeded(
            f"a task of {variable.name!r} needs {format_size(needed)} for frames of {format_size(frame)}, "
            f"but a worker has {format_size(budget.per_worker)}; raise resources.memory, or cut the frames "
            "with stages such as roi"
        )


def picked_rows(picked: Picked, rows: IntArray | None) -> IntArray:
    """Return the storage row of every slot; -1 where no event was picked.

    Returns
    -------
    (n_slots,) int64
    """
    events = picked.events.ravel()
    return np.where(events >= 0, events if rows is None else rows[events], -1)
