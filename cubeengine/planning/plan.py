"""The plan: decided work, as values. Everything that fixes the bits of the answer is in it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cubeengine.budget import WORKER_BASELINE
from cubeengine.events.scan import is_counter
from cubeengine.schema.texts import variable_name
from cubeengine.types import FieldInfo, FloatArray


@dataclass(frozen=True, slots=True)
class Rejection:
    """A strategy that was not chosen, and why."""

    strategy: str
    reason: str


@dataclass(frozen=True, slots=True)
class Part:
    """A block of the result that is computed and written on its own: bins by elements."""

    bins: tuple[int, int]  # range of flat bins
    elements: tuple[int, int]  # range of the flattened elements of a frame
    leaves: tuple[tuple[int, int], ...]
    """Ranges of the ordered (event, group) pairs; one task each, folded in this order."""


@dataclass(frozen=True)
class SignalPlan:
    """How one signal is reduced.

    Attributes
    ----------
    name, field : str
        Its names in the cube and in the spec.
    info : FieldInfo
        What stands in the cube: the field after its stages.
    unit : str
        Declared unit, or "".
    out_dtype : str
        Type of mean and std on disk.
    strategy : "stream", "by_bin" or "by_tile"
        What tasks are.
    reason : str
        Why, in one sentence.
    rejected : tuple of Rejection
        The other strategies.
    order : "storage" or "group"
        How the pairs of a leaf are ordered: as they lie in storage, or group after group.
    parts : tuple of Part
        The blocks of the result, in the order of their bins and elements.
    tile_elements : int
        Elements of a frame that are reduced together.
    block_nbytes : int
        Decoded bytes read at a time.
    bin_chunks, element_chunks : tuple of int
        Store chunks along the axes and along the element dimensions.
    part_nbytes : int
        Memory of the largest partial result that tasks hand on.
    checkpoint_nbytes : int
        Size of a file that the sums of such a part are kept in.
    leaf_nbytes, merge_nbytes, write_nbytes : int
        Memory of the worst task of each kind, inputs and results included.
    read_nbytes : int
        Bytes that all tasks read from storage, decoded.
    seconds : float
        Estimated time with a usual number of workers, used to compare strategies only.
    late_image : bool
        Whether the last stage, which puts an image together, is done on the finished cube.
    """

    name: str
    field: str
    info: FieldInfo
    unit: str
    out_dtype: str
    strategy: str
    reason: str
    rejected: tuple[Rejection, ...]
    order: str
    parts: tuple[Part, ...]
    tile_elements: int
    block_nbytes: int
    bin_chunks: tuple[int, ...]
    element_chunks: tuple[int, ...]
    part_nbytes: int
    checkpoint_nbytes: int
    leaf_nbytes: int
    merge_nbytes: int
    write_nbytes: int
    read_nbytes: int
    seconds: float
    late_image: bool = False

    @property
    def n_leaves(self) -> int:
        """Leaf tasks of all parts."""
        return sum(len(part.leaves) for part in self.parts)

    @property
    def n_tasks(self) -> int:
        """Tasks in all: leaves, the merges after each but the first leaf of a part, and writes."""
        return 2 * self.n_leaves

    @property
    def worst_task(self) -> tuple[str, int]:
        """Name and memory of the task that needs most."""
        tasks = {"leaf": self.leaf_nbytes, "merge": self.merge_nbytes, "write": self.write_nbytes}
        name = max(tasks, key=lambda task: tasks[task])
        return f"{self.name}/{name}", tasks[name]

    @property
    def busy_nbytes(self) -> int:
        """Bytes of a thread's task, with the partial that it makes or writes."""
        return max(self.leaf_nbytes, self.write_nbytes)

    @property
    def held_nbytes(self) -> int:
        """Bytes beside those: one result that waits, and a fold with both its inputs."""
        return self.part_nbytes + self.merge_nbytes

    def memory(self, threads: int) -> int:
        """Bytes of data a worker process holds at most while `threads` tasks of the signal run in it.

        The graph lets no more leaves be ahead of the finished work than can run.
        """
        return threads * self.busy_nbytes + self.held_nbytes

    @property
    def has_count(self) -> bool:
        """Whether the cube stores a count per element, which floating signals have."""
        return self.info.dtype.kind == "f"


@dataclass(frozen=True)
class Axis:
    """A cube axis.

    Attributes
    ----------
    name, field : str
        Its names in the cube and in the spec.
    unit : str
        Of edges and labels.
    edges : tuple of float
        Edges of the bins, rising.
    labels : tuple of float
        Coordinate of every bin: its setting, the centre that was asked for, or the middle of its edges.
    steps : str
        Field whose settings the bins are; "" where the edges make the bins.
    tolerance : float, or None
        Width of a setting at most; None where the edges make the bins.
    """

    name: str
    field: str
    unit: str
    edges: tuple[float, ...]
    labels: tuple[float, ...]
    steps: str = ""
    tolerance: float | None = None

    @property
    def n_bins(self) -> int:
        """Bins between the edges."""
        return len(self.labels)

    @property
    def is_named(self) -> bool:
        """Whether it was given a name of its own."""
        return self.name != variable_name(self.field)

    @property
    def centers(self) -> FloatArray:
        """(n_bins,) labels of the bins."""
        return np.asarray(self.labels, np.float64)

    @property
    def counts_steps(self) -> bool:
        """Whether the labels are numbers of steps, and no values of the field."""
        return self.steps != self.field and is_counter(self.steps)

    @property
    def long_name(self) -> str:
        """What the labels are values of; the name of an axis that was given one."""
        if self.is_named:
            return self.name
        return self.steps if self.counts_steps else self.field


@dataclass(frozen=True)
class CubePlan:
    """All signals of a cube, and what was found about its events."""

    axes: tuple[Axis, ...]
    selections: tuple[str, ...]
    n_events: int
    n_selected: int
    signals: tuple[SignalPlan, ...]
    content: str  # hash of everything that the answer depends on beside the plan itself
    leader_nbytes: int = 0  # scalars, masks and bins of all events, in the process that leads

    @property
    def bins_shape(self) -> tuple[int, ...]:
        """Bins along every axis."""
        return tuple(axis.n_bins for axis in self.axes)

    @property
    def n_bins(self) -> int:
        """Bins of all axes together."""
        return math.prod(self.bins_shape)

    @property
    def n_tasks(self) -> int:
        """Tasks of all signals."""
        return sum(signal.n_tasks for signal in self.signals)

    @property
    def read_nbytes(self) -> int:
        """Bytes read from storage, decoded."""
        return sum(signal.read_nbytes for signal in self.signals)

    def worker_memory(self, threads: int) -> int:
        """Anonymous memory of a worker process at its peak.

        Signals are worked on one after another. But with several threads the next ones begin while the
        last part of one is folded and written, so what these hold is added up.
        """
        needs = (
            threads * max(signal.busy_nbytes for signal in group)
            + sum(signal.held_nbytes for signal in group)
            for group in self._at_work_together(threads)
        )
        return WORKER_BASELINE + max(needs, default=0)

    def projected_memory(self, *, threads: int = 1, workers: int = 0) -> int:
        """Anonymous memory of the whole run at its peak.

        Parameters
        ----------
        threads : int
            Tasks that run at a time in each process that runs tasks.
        workers : int
            Worker processes beside the one that leads; 0 where that one runs the tasks itself.
        """
        if workers:
            return WORKER_BASELINE + self.leader_nbytes + workers * self.worker_memory(threads)
        return self.leader_nbytes + self.worker_memory(threads)

    def _at_work_together(self, threads: int) -> Iterator[list[SignalPlan]]:
        """Yield the signals that any `threads` successive leaves can belong to: so many are under way."""
        for number, first in enumerate(self.signals):
            group, n_leaves = [first], 1
            for signal in self.signals[number + 1 :]:
                if n_leaves >= threads:
                    break
                group.append(signal)
                n_leaves += signal.n_leaves
            yield group

    @cached_property
    def key(self) -> str:
        """Hash of the plan: equal for equal plans on equal data, the root of all task names."""
        facts = json.dumps([_facts(signal) for signal in self.signals], sort_keys=True)
        return hashlib.sha256((self.content + facts).encode()).hexdigest()[:16]


def _facts(signal: SignalPlan) -> dict[str, Any]:
    facts = {
        "name": signal.name, "field": signal.info.name, "order": signal.order, "tile": signal.tile_elements,
        "block": signal.block_nbytes, "parts": [asdict(part) for part in signal.parts],
        "chunks": [signal.bin_chunks, signal.element_chunks], "dtype": signal.out_dtype,
        "late_image": signal.late_image,
    }  # fmt: skip
    return facts
