"""Plan -> Dask graph: ordinary tasks with names made of the plan's content.

The leaves of all parts of all signals form one sequence. Within a part they are folded one after
another, in the plan's order, and a part is written once it is folded. A leaf may start when the work
is at most `window` leaves behind: so few partials are alive however long the run is and however slow
one read, and no bit of the result changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine.detectors.base import Stage
from cubeengine.detectors.pipeline import Pipeline
from cubeengine.graph.staged import StagedReader
from cubeengine.graph.tasks import (
    LeafJob,
    OutputJob,
    cut,
    done,
    finish_bins,
    fold,
    reduce_leaf,
    write_bins,
)
from cubeengine.graph.work import WorkFolder
from cubeengine.planning.chunks import Chunk, chunk_grid, split_evenly
from cubeengine.planning.grouping import Grouping
from cubeengine.planning.pairs import order_pairs
from cubeengine.planning.plan import CubePlan, Part, SignalPlan
from cubeengine.shared import SharedArray, in_files
from cubeengine.sources.base import Reader
from cubeengine.sources.memory import ArrayReader, NpyReader
from cubeengine.types import IntArray

Graph = dict[str, Any]


@dataclass(frozen=True)
class SignalInput:
    """Where the events of a signal come from.

    Attributes
    ----------
    reader : Reader
        Reads its rows.
    grouping : Grouping
        Which events go where.
    event_rows : (n_events,) int64, or None
        Storage row of each event.
    pipeline : Pipeline, or None
        What is done to every frame.
    """

    reader: Reader
    grouping: Grouping
    event_rows: IntArray | None
    pipeline: Pipeline | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """Where results go.

    Attributes
    ----------
    store : Path
        Temporary store.
    batch_nbytes : int
        Output that one task writes, before compression.
    """

    store: Path
    batch_nbytes: int


@dataclass
class Compiled:
    """A graph, with what its keys mean.

    Attributes
    ----------
    graph : dict
        Key -> task.
    partials : dict
        (signal, part number) -> key of the part's folded partials.
    outputs : dict
        (signal, part number) -> how they become arrays.
    weights : dict
        Key of a marker, one per leaf in the order of the work -> input bytes that are dealt with when it
        is done. With all markers done, everything is written.
    """

    graph: Graph = field(default_factory=dict)
    partials: dict[tuple[str, int], str] = field(default_factory=dict)
    outputs: dict[tuple[str, int], OutputJob] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)


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
        job = _leaf_job(signal, source, folder)
        # Once in the graph, not in every job: it knows the place of every chunk of the file.
        compiled.graph[f"reader-{plan.key}-{signal.name}"] = _task_reader(signal, source, folder)
        gather = _late_gather(signal, source, folder)
        for number, part in enumerate(signal.parts):
            stem = f"{plan.key}-{signal.name}-{number}"
            own = _for_part(job, signal, part, source.grouping)
            output = _output(signal, part, source.grouping, own, gather)
            compiled.graph |= {f"job-{stem}": own, f"output-{stem}": output}
            folded = _add_leaves(compiled, plan, signal, number, window)
            compiled.partials[signal.name, number] = folded[-1]
            compiled.outputs[signal.name, number] = output
            ends = [folded[-1]] if writing is None else _add_writes(compiled, plan, signal, number, writing)
            compiled.graph[f"gate-{stem}-{len(folded) - 1}"] = (done, *ends)
    return compiled


def _leaf_job(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> LeafJob:
    rows, groups = order_pairs(signal, source.grouping, source.event_rows)
    return LeafJob(
        rows=folder.save(f"{signal.name}.rows", rows),
        groups=folder.save(f"{signal.name}.groups", groups),
        group_range=(0, source.grouping.n_groups),
        tiles=(),
        block_nbytes=signal.block_nbytes,
        folder=folder,
    )


def _for_part(job: LeafJob, signal: SignalPlan, part: Part, grouping: Grouping) -> LeafJob:
    groups = part.bins[0] * grouping.width, part.bins[1] * grouping.width
    return replace(job, group_range=groups, tiles=split_evenly(*part.elements, signal.tile_elements))


def _task_reader(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> Reader:
    """Give the reader that tasks use: stages included, arrays of memory in side files for every worker."""
    reader: Reader = in_files(_in_file(source.reader, signal.name, folder), folder.save, signal.name)
    stages = _stages(signal, source.pipeline)
    if not stages or source.pipeline is None:
        return reader
    pipeline = Pipeline(source.pipeline.input, in_files(stages, folder.save, f"{signal.name}.stages"))
    return StagedReader(reader, pipeline)


def _stages(signal: SignalPlan, pipeline: Pipeline | None) -> tuple[Stage, ...]:
    """Give the stages that every event goes through."""
    if pipeline is None:
        return ()
    return pipeline.before_gather().stages if signal.late_image else pipeline.stages


def _in_file(reader: Reader, name: str, folder: WorkFolder) -> Reader:
    if not isinstance(reader, ArrayReader):
        return reader
    valid = None if reader.valid is None else folder.save(f"{name}.valid", reader.valid)
    return NpyReader.of(folder.save(f"{name}.data", reader.array), valid)


def _late_gather(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> SharedArray | None:
    if not signal.late_image or source.pipeline is None or source.pipeline.gather is None:
        return None
    return in_files(source.pipeline.gather, folder.save, f"{signal.name}.gather")


def _output(
    signal: SignalPlan, part: Part, grouping: Grouping, job: LeafJob, gather: SharedArray | None
) -> OutputJob:
    chunks = chunk_grid(signal.info.shape, signal.element_chunks)
    # The parts of an image that is put together at last are whole.
    whole = gather is not None
    return OutputJob(
        name=signal.name,
        members=grouping.members,
        width=grouping.width,
        first_bin=part.bins[0],
        tiles=job.tiles,
        element_chunks=tuple(chunk for chunk in chunks if whole or _inside(chunk, part.elements)),
        dtype=signal.out_dtype,
        per_element=signal.has_count,
        gather=gather,
    )


def _inside(chunk: Chunk, interval: tuple[int, int]) -> bool:
    return interval[0] <= chunk.start and chunk.stop <= interval[1]


def _add_leaves(
    compiled: Compiled, plan: CubePlan, signal: SignalPlan, part_number: int, window: int
) -> list[str]:
    """Add the leaves of a part and their folds; gives the key of every fold, the last for the whole part."""
    graph, markers, part = compiled.graph, list(compiled.weights), signal.parts[part_number]
    stem, reader = f"{plan.key}-{signal.name}-{part_number}", f"reader-{plan.key}-{signal.name}"
    event_nbytes = _weight(signal, part)
    folded: list[str] = []
    for number, (start, stop) in enumerate(part.leaves):
        gate = markers[-window] if len(markers) >= window else None
        leaf = f"leaf-{stem}-{number}"
        graph[leaf] = (reduce_leaf, f"job-{stem}", reader, start, stop, gate)
        if folded:
            graph[f"fold-{stem}-{number}"] = (fold, folded[-1], leaf)
        folded.append(f"fold-{stem}-{number}" if folded else leaf)
        markers.append(f"gate-{stem}-{number}")
        graph[markers[-1]] = (done, folded[-1])
        compiled.weights[markers[-1]] = round((stop - start) * event_nbytes)
    return folded


def _weight(signal: SignalPlan, part: Part) -> float:
    """Give the bytes that stand for one event of a part: together they are what the signal reads."""
    sizes = [(other.elements[1] - other.elements[0], other.leaves) for other in signal.parts]
    units = sum(width * (leaves[-1][1] - leaves[0][0]) for width, leaves in sizes)
    return (part.elements[1] - part.elements[0]) * signal.read_nbytes / max(units, 1)


def _add_writes(
    compiled: Compiled, plan: CubePlan, signal: SignalPlan, number: int, writing: Writing
) -> list[str]:
    """Add the tasks that write all chunks of a part; gives their keys."""
    stem, part = f"{plan.key}-{signal.name}-{number}", signal.parts[number]
    bins = [chunk for chunk in chunk_grid(plan.bins_shape, signal.bin_chunks) if _inside(chunk, part.bins)]
    nbytes = (part.elements[1] - part.elements[0]) * 24 * len(plan.selections)
    keys = []
    for batch, chunks in enumerate(_batches(bins, nbytes, writing.batch_nbytes)):
        keys.append(f"write-{stem}-{batch}")
        folded = compiled.partials[signal.name, number]
        compiled.graph[keys[-1]] = (write_bins, writing.store, f"output-{stem}", chunks, folded)
    return keys


def _batches(chunks: Sequence[Chunk], bin_nbytes: int, limit: int) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    for chunk in chunks:
        if batch and (chunk.stop - batch[0].start) * bin_nbytes > limit:
            yield batch
            batch = []
        batch.append(chunk)
    yield batch


def lazy_arrays(compiled: Compiled, plan: CubePlan, signal: SignalPlan) -> dict[str, Any]:
    """Give mean, std and count of a signal as dask arrays over the reduction's graph."""
    import dask.array as da

    statistics = {"mean": signal.out_dtype, "std": signal.out_dtype, "count": "int64"}
    names = {statistic: f"{signal.name}_{statistic}-{plan.key}" for statistic in statistics}
    graph: dict[Any, Any] = dict(compiled.graph)
    for number in range(len(signal.parts)):
        _add_finishes(graph, compiled, plan, signal, number, names)
    sizes = ((len(plan.selections),), *_sizes(plan.bins_shape, signal.bin_chunks))
    frame = _sizes(signal.info.shape, signal.element_chunks)
    return {
        statistic: da.Array(
            graph,
            names[statistic],
            (*sizes, *(frame if _has_elements(statistic, signal) else ())),
            dtype=np.dtype(dtype),
        )
        for statistic, dtype in statistics.items()
    }


def _add_finishes(
    graph: dict[Any, Any],
    compiled: Compiled,
    plan: CubePlan,
    signal: SignalPlan,
    number: int,
    names: Mapping[str, str],
) -> None:
    """Add, for every chunk of bins of a part, one task that finishes them, and the cuts of its chunks."""
    part, stem = signal.parts[number], f"{plan.key}-{signal.name}-{number}"
    for bins in chunk_grid(plan.bins_shape, signal.bin_chunks):
        if not _inside(bins, part.bins):
            continue
        key = f"finish-{stem}-{bins.start}"
        folded = compiled.partials[signal.name, number]
        graph[key] = (finish_bins, f"output-{stem}", folded, bins.start, bins.stop)
        for chunk in compiled.outputs[signal.name, number].element_chunks:
            for place, statistic in _places(signal, names, bins, chunk):
                graph[place] = (cut, key, statistic, f"output-{stem}", bins, chunk)


def _places(
    signal: SignalPlan, names: Mapping[str, str], bins: Chunk, chunk: Chunk
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Give the blocks of dask arrays that a chunk fills; a count without elements comes with the first."""
    where = (0, *_block(bins, signal.bin_chunks))
    for statistic, name in names.items():
        if _has_elements(statistic, signal):
            yield (name, *where, *_block(chunk, signal.element_chunks)), statistic
        elif chunk.start == 0:
            yield (name, *where), statistic


def _has_elements(statistic: str, signal: SignalPlan) -> bool:
    return statistic != "count" or signal.has_count


def _block(chunk: Chunk, chunks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(part.start // size for part, size in zip(chunk.region, chunks, strict=True))


def _sizes(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(min(step, size - low) for low in range(0, size, step))
        for size, step in zip(shape, chunks, strict=True)
    )
