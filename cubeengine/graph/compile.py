"""Plan -> Dask graph: ordinary tasks with names made of the plan's content.

For each part of a signal the leaves are folded one after another, in the plan's order, so few partials
are alive however long the run is. A leaf may start once the fold is at most `window` leaves behind:
that bounds memory when one read is slow, and changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cubeengine.graph.tasks import (
    LeafJob,
    OutputJob,
    cut,
    done,
    finish_bins,
    fold,
    reduce_leaf,
    tiles_of,
    write_bins,
)
from cubeengine.graph.work import WorkFolder
from cubeengine.planning.chunks import Chunk, chunk_grid
from cubeengine.planning.grouping import Grouping
from cubeengine.planning.pairs import order_pairs
from cubeengine.planning.plan import CubePlan, Part, SignalPlan
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
    """

    reader: Reader
    grouping: Grouping
    event_rows: IntArray | None


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
        Key of a marker -> input bytes that are dealt with when it is done; for the progress bar.
    """

    graph: Graph = field(default_factory=dict)
    partials: dict[tuple[str, int], str] = field(default_factory=dict)
    outputs: dict[tuple[str, int], OutputJob] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)


def compile_reduction(
    plan: CubePlan, inputs: Mapping[str, SignalInput], folder: WorkFolder, *, window: int
) -> Compiled:
    """Make the tasks that reduce all signals to the partials of their parts.

    Parameters
    ----------
    plan : CubePlan
        What to do.
    inputs : mapping
        Signal name -> where its events come from.
    folder : WorkFolder
        Takes the side files; must be seen by all workers.
    window : int
        How many leaves reading may be ahead of folding: the number of tasks that can run at a time, plus one.
    """
    compiled = Compiled()
    for signal in plan.signals:
        _compile_signal(compiled, plan, signal, inputs[signal.name], folder, window)
    return compiled


def _compile_signal(
    compiled: Compiled,
    plan: CubePlan,
    signal: SignalPlan,
    source: SignalInput,
    folder: WorkFolder,
    window: int,
) -> None:
    rows, groups = order_pairs(signal, source.grouping, source.event_rows)
    paths = folder.save(f"{signal.name}.rows", rows), folder.save(f"{signal.name}.groups", groups)
    reader = _task_reader(source.reader, signal.name, folder)
    for number, part in enumerate(signal.parts):
        width = source.grouping.width
        job = LeafJob(
            reader=reader,
            rows=paths[0],
            groups=paths[1],
            group_range=(part.bins[0] * width, part.bins[1] * width),
            tiles=tiles_of(part.elements, signal.tile_elements),
            order=signal.order,
            block_nbytes=signal.block_nbytes,
            folder=folder,
        )
        stem = f"{plan.key}-{signal.name}-{number}"
        key = _compile_part(compiled, signal, part, job, stem, window)
        compiled.partials[signal.name, number] = key
        output = _output(signal, part, source.grouping, job)
        compiled.outputs[signal.name, number] = output
        compiled.graph[f"output-{stem}"] = output


def _task_reader(reader: Reader, name: str, folder: WorkFolder) -> Reader:
    """Put an array of memory into a side file, so that every worker can read it."""
    if not isinstance(reader, ArrayReader):
        return reader
    valid = None if reader.valid is None else folder.save(f"{name}.valid", reader.valid)
    return NpyReader.of(folder.save(f"{name}.data", reader.array), valid)


def _output(signal: SignalPlan, part: Part, grouping: Grouping, job: LeafJob) -> OutputJob:
    chunks = chunk_grid(signal.info.shape, signal.element_chunks)
    return OutputJob(
        name=signal.name,
        members=grouping.members,
        width=grouping.width,
        first_bin=part.bins[0],
        tiles=job.tiles,
        element_chunks=tuple(chunk for chunk in chunks if _inside(chunk, part.elements)),
        dtype=signal.out_dtype,
        per_element=signal.has_count,
    )


def _inside(chunk: Chunk, interval: tuple[int, int]) -> bool:
    return interval[0] <= chunk.start and chunk.stop <= interval[1]


def _compile_part(
    compiled: Compiled, signal: SignalPlan, part: Part, job: LeafJob, stem: str, window: int
) -> str:
    graph = compiled.graph
    graph[f"job-{stem}"] = job
    folded: list[str] = []
    for number, (start, stop) in enumerate(part.leaves):
        gate = f"gate-{stem}-{number - window}" if number >= window else None
        leaf = f"leaf-{stem}-{number}"
        graph[leaf] = (reduce_leaf, f"job-{stem}", start, stop, gate)
        folded.append(_fold(graph, folded, leaf, f"fold-{stem}-{number}"))
        marker = f"gate-{stem}-{number}"
        graph[marker] = (done, folded[-1])
        width = part.elements[1] - part.elements[0]
        compiled.weights[marker] = (stop - start) * width * signal.info.dtype.itemsize
    return folded[-1]


def _fold(graph: Graph, folded: Sequence[str], leaf: str, key: str) -> str:
    if not folded:
        return leaf
    graph[key] = (fold, folded[-1], leaf)
    return key


def add_writes(compiled: Compiled, plan: CubePlan, store: Path, *, write_nbytes: int) -> list[str]:
    """Add the tasks that write all chunks of all signals to a store; gives their keys."""
    keys = []
    for signal in plan.signals:
        bins = chunk_grid(plan.bins_shape, signal.bin_chunks)
        for number, part in enumerate(signal.parts):
            own = [chunk for chunk in bins if _inside(chunk, part.bins)]
            output = compiled.outputs[signal.name, number]
            stem = f"{plan.key}-{signal.name}-{number}"
            for batch, chunks in enumerate(_batches(own, _bin_nbytes(output), write_nbytes)):
                key = f"write-{stem}-{batch}"
                folded = compiled.partials[signal.name, number]
                compiled.graph[key] = (write_bins, store, f"output-{stem}", chunks, folded)
                keys.append(key)
    return keys


def _bin_nbytes(output: OutputJob) -> int:
    return (output.tiles[-1][1] - output.tiles[0][0]) * 24 * len(output.members)


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
