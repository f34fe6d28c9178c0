"""Plan -> Dask graph: ordinary tasks with names made of the plan's content.

The leaves of all parts of all signals form one sequence. Within a part they are folded one after
another, in the plan's order, and a part is written once it is folded. A leaf may start when the work
is at most `window` leaves behind: so few partials are alive however long the run is and however slow
one read, and no bit of the result changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cubeengine.graph.checkpoints import (
    Checkpoint,
    checkpoints,
    drop_checkpoints,
    finish_part,
    fold_and_keep,
    keep,
    latest_checkpoint,
    load_sums,
)
from cubeengine.graph.inputs import SignalInput, late_gather, leaf_job, task_reader
from cubeengine.graph.tasks import (
    LeafJob,
    OutputJob,
    Sums,
    Tally,
    add_tallies,
    done,
    fold,
    note_leaf,
    reduce_leaf,
    skip_leaf,
    write_bins,
    write_leaf,
)
from cubeengine.graph.work import WorkFolder
from cubeengine.planning.chunks import Chunk, chunk_grid, chunks_within, split_evenly
from cubeengine.planning.disk import leaves_between_checkpoints
from cubeengine.planning.grouping import Grouping
from cubeengine.planning.plan import CubePlan, Part, SignalPlan
from cubeengine.shared import SharedArray
from cubeengine.store.state import RunState

Graph = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Writing:
    """Where results go."""

    store: Path  # temporary store
    batch_nbytes: int  # output that one task writes, before compression
    state: RunState | None = None
    """What is done, of this run or of one that it goes on from, and where to mark more."""
    keeps_sums: bool = False  # whether partial sums are kept there now and then, to go on from


@dataclass
class Compiled:
    """A graph, with what its keys mean."""

    graph: Graph = field(default_factory=dict)  # key -> task
    partials: dict[tuple[str, int], str] = field(default_factory=dict)
    """(signal, part number) -> key of the part's folded partials."""
    outputs: dict[tuple[str, int], OutputJob] = field(default_factory=dict)
    """(signal, part number) -> how they become arrays."""
    weights: dict[str, int] = field(default_factory=dict)
    """Key of a marker, one per leaf in the order of the work -> input bytes that are dealt with when it is
    done. With all markers done, everything is written.
    """
    leaves: dict[str, str] = field(default_factory=dict)  # key of a leaf -> what it is, for messages
    finished: int = 0  # input bytes that an earlier run has dealt with
    tally: Tally = field(default_factory=dict)  # what that run counted


def compile_plan(
    plan: CubePlan,
    inputs: Mapping[str, SignalInput],
    folder: WorkFolder,
    *,
    window: int,
    writing: Writing | None = None,
) -> Compiled:
    """Make the tasks that reduce all signals to the partials of their parts, and write them.

    Parameters
    ----------
    plan : CubePlan
        What to do.
    inputs : mapping
        Signal name -> where its events come from.
    folder : WorkFolder
        Takes the side files; must be seen by all workers.
    window : int
        How many leaves may be ahead of the finished work: somewhat more than can run at a time.
    writing : Writing, optional
        Where to write; without it the partials are left to `lazy_arrays`.
    """
    compiled = Compiled()
    for signal in plan.signals:
        source = inputs[signal.name]
        job, gather = leaf_job(signal, source, folder), late_gather(signal, source, folder)
        job = replace(job, incidents=incidents_of(writing))
        # Once in the graph, not in every job: it knows the place of every chunk of the file.
        compiled.graph[f"reader-{plan.key}-{signal.name}"] = task_reader(signal, source, folder)
        elements = chunk_grid(signal.info.shape, signal.element_chunks)
        bins = chunk_grid(plan.bins_shape, signal.bin_chunks)
        for number, part in enumerate(signal.parts):
            own = _for_part(job, signal, part, source.grouping)
            # The parts of an image that is put together at last are whole.
            inside = elements if gather is not None else chunks_within(elements, part.elements)
            output = _output(signal, part, source.grouping, own, inside, gather)
            one = _OnePart(signal, number, own, output, chunks_within(bins, part.bins))
            _add_part(compiled, plan, one, window, writing)
    return compiled


def note_lost_worker(compiled: Compiled, leaf: str, reason: str) -> None:
    """Note that a leaf ended its worker again and again, and is left out."""
    _, job, _, start, stop, *_ = compiled.graph[leaf]
    own = compiled.graph[job]
    note_leaf("left out", own, (start, stop), reason)


def incidents_of(writing: Writing | None) -> Path | None:
    """Return the folder to note in what went wrong; none where nothing is written."""
    return writing.state.incidents if writing and writing.state else None


@dataclass(frozen=True, slots=True)
class _OnePart:
    """A part of a signal, and what its tasks share."""

    signal: SignalPlan
    number: int
    job: LeafJob
    output: OutputJob
    bins: Sequence[Chunk]  # its store chunks along the axes

    @property
    def part(self) -> Part:
        return self.signal.parts[self.number]

    def stem(self, plan: CubePlan) -> str:
        """Begin the names of its tasks."""
        return f"{plan.key}-{self.signal.name}-{self.number}"


def _add_part(
    compiled: Compiled, plan: CubePlan, one: _OnePart, window: int, writing: Writing | None
) -> None:
    """Add the tasks of a part; of one that an earlier run began, those that are not done."""
    stem, place = one.stem(plan), (one.signal.name, one.number)
    compiled.outputs[place] = one.output
    writes = {} if writing is None else _writes(plan, one, writing)
    state = writing.state if writing else None
    if state is not None:
        counted = {key: state.done(key) for key in writes}
        for counts in counted.values():
            compiled.tally = add_tallies(compiled.tally, counts or {})
        writes = {key: chunks for key, chunks in writes.items() if counted[key] is None}
        if not writes:
            drop_checkpoints(state.partials, stem)  # the earlier run was killed before it did
            compiled.finished += round(_weight(one) * sum(stop - start for start, stop in one.part.leaves))
            return
    compiled.graph |= {f"job-{stem}": one.job, f"output-{stem}": one.output}
    last = _add_leaves(compiled, plan, one, window, writing)
    compiled.partials[place] = last
    if writing is None:
        return
    parts = _add_writes(compiled.graph, one, writing, writes, last, stem)
    end = (finish_part, state.partials, stem) if state else (done,)
    marker = f"gate-{stem}-{len(one.part.leaves) - 1}"
    compiled.graph[marker] = (*end, *parts)
    compiled.weights.setdefault(marker, 0)


def _add_writes(
    graph: Graph, one: _OnePart, writing: Writing, writes: Mapping[str, list[Chunk]], last: str, stem: str
) -> list[str]:
    """Have a part written; gives the keys of the tasks that do it.

    A part of one leaf is written by the task that makes it. Its sums, which may be hundreds of megabytes,
    are then never sent to another process, and no process holds more of them than it has tasks.
    """
    state, output = writing.state, f"output-{stem}"
    marks = {key: state.marker(key) if state else None for key in writes}
    if len(one.part.leaves) == 1:
        work, *arguments = graph[last]
        batches = [(chunks, marks[key]) for key, chunks in writes.items()]
        graph[last] = (write_leaf, *arguments, work, writing.store, output, batches)
        return [last]
    for key, chunks in writes.items():
        graph[key] = (write_bins, writing.store, output, chunks, last, marks[key])
    return list(writes)


def _for_part(job: LeafJob, signal: SignalPlan, part: Part, grouping: Grouping) -> LeafJob:
    groups = part.bins[0] * grouping.width, part.bins[1] * grouping.width
    return replace(job, group_range=groups, tiles=split_evenly(*part.elements, signal.tile_elements))


def _output(
    signal: SignalPlan,
    part: Part,
    grouping: Grouping,
    job: LeafJob,
    chunks: Sequence[Chunk],
    gather: SharedArray | None,
) -> OutputJob:
    return OutputJob(
        name=signal.name,
        members=grouping.members,
        width=grouping.width,
        first_bin=part.bins[0],
        tiles=job.tiles,
        element_chunks=tuple(chunks),
        dtype=signal.out_dtype,
        per_element=signal.has_count,
        gather=gather,
    )


def _add_leaves(
    compiled: Compiled, plan: CubePlan, one: _OnePart, window: int, writing: Writing | None
) -> str:
    """Add the leaves of a part and their folds; gives the key of the last fold, for the whole part."""
    graph, stem, weight = compiled.graph, one.stem(plan), _weight(one)
    job, reader, markers = f"job-{stem}", f"reader-{plan.key}-{one.signal.name}", list(compiled.weights)
    state = writing.state if writing else None
    latest, kept = _checkpoints_of(one, stem, writing)
    folded = ""
    for number, (start, stop) in enumerate(one.part.leaves):
        nbytes = round((stop - start) * weight)
        if latest and number <= latest.leaf:
            compiled.finished += nbytes
            folded = f"kept-{stem}"
            graph[folded] = (load_sums, latest, job, reader)
            continue
        gate = markers[-window] if len(markers) >= window else None
        leaf = f"leaf-{stem}-{number}"
        graph[leaf] = (_leaf_work(leaf, state), job, reader, start, stop, gate, _running(leaf, state))
        compiled.leaves[leaf] = f"signal {one.signal.name!r}, events {start:,} to {stop - 1:,} of its order"
        folded = _add_fold(graph, f"fold-{stem}-{number}", folded, leaf, kept.get(number))
        markers.append(f"gate-{stem}-{number}")
        graph[markers[-1]] = (done, folded)
        compiled.weights[markers[-1]] = nbytes
    return folded


def _checkpoints_of(
    one: _OnePart, stem: str, writing: Writing | None
) -> tuple[Checkpoint | None, dict[int, Checkpoint]]:
    """Return the checkpoint that a part goes on from, and those to be made; a part of one leaf has none."""
    n_leaves = len(one.part.leaves)
    if writing is None or writing.state is None or n_leaves == 1:
        return None, {}
    folder = writing.state.partials
    every, lasting = leaves_between_checkpoints(one.signal)
    chosen = checkpoints(folder, stem, n_leaves, every=every, lasting=lasting) if writing.keeps_sums else {}
    return latest_checkpoint(folder, stem), chosen


def _leaf_work(leaf: str, state: RunState | None) -> Callable[..., Sums]:
    return skip_leaf if state is not None and state.is_skipped(leaf) else reduce_leaf


def _running(leaf: str, state: RunState | None) -> Path | None:
    return None if state is None else state.running(leaf)


def _add_fold(graph: Graph, key: str, folded: str, leaf: str, kept: Checkpoint | None) -> str:
    """Add the fold of a leaf to those before it, kept where that is asked for; gives the result's key."""
    if folded:
        graph[key] = (fold, folded, leaf) if kept is None else (fold_and_keep, folded, leaf, kept)
        return key
    if kept is None:
        return leaf
    graph[key] = (keep, leaf, kept)
    return key


def _weight(one: _OnePart) -> float:
    """Return the bytes that stand for one event of a part: together they are what the signal reads."""
    sizes = [(other.elements[1] - other.elements[0], other.leaves) for other in one.signal.parts]
    units = sum(width * (leaves[-1][1] - leaves[0][0]) for width, leaves in sizes)
    return (one.part.elements[1] - one.part.elements[0]) * one.signal.read_nbytes / max(units, 1)


def _writes(plan: CubePlan, one: _OnePart, writing: Writing) -> dict[str, list[Chunk]]:
    """Return the tasks that write all chunks of a part: key -> chunks of bins."""
    nbytes = (one.part.elements[1] - one.part.elements[0]) * 24 * len(plan.selections)
    batches = enumerate(_batches(one.bins, nbytes, writing.batch_nbytes))
    return {f"write-{one.stem(plan)}-{batch}": chunks for batch, chunks in batches}


def _batches(chunks: Sequence[Chunk], bin_nbytes: int, limit: int) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    for chunk in chunks:
        if batch and (chunk.stop - batch[0].start) * bin_nbytes > limit:
            yield batch
            batch = []
        batch.append(chunk)
    yield batch
