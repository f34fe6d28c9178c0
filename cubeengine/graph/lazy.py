"""The reduction as dask arrays: the same tasks, with the last step left to who computes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cubeengine.graph.compile import Compiled
from cubeengine.graph.tasks import cut, finish_bins
from cubeengine.planning.chunks import Chunk, chunk_grid, chunks_within
from cubeengine.planning.plan import CubePlan, SignalPlan


def lazy_arrays(compiled: Compiled, plan: CubePlan, signal: SignalPlan) -> dict[str, Any]:
    """Return mean, std and count of a signal as dask arrays over the reduction's graph."""
    import dask.array as da

    statistics = {"mean": signal.out_dtype, "std": signal.out_dtype, "count": "int64"}
    names = {statistic: f"{signal.name}_{statistic}-{plan.key}" for statistic in statistics}
    graph: dict[Any, Any] = dict(compiled.graph)
    grid = chunk_grid(plan.bins_shape, signal.bin_chunks)
    for number in range(len(signal.parts)):
        _add_finishes(graph, compiled, plan, signal, number, grid, names)
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
    grid: Sequence[Chunk],
    names: Mapping[str, str],
) -> None:
    """Add, for every chunk of bins of a part, one task that finishes them, and the cuts of its chunks."""
    part, stem = signal.parts[number], f"{plan.key}-{signal.name}-{number}"
    for bins in chunks_within(grid, part.bins):
        key = f"finish-{stem}-{bins.start}"
        folded = compiled.partials[signal.name, number]
        graph[key] = (finish_bins, f"output-{stem}", folded, bins.start, bins.stop)
        for chunk in compiled.outputs[signal.name, number].element_chunks:
            for place, statistic in _places(signal, names, bins, chunk):
                graph[place] = (cut, key, statistic, f"output-{stem}", bins, chunk)


def _places(
    signal: SignalPlan, names: Mapping[str, str], bins: Chunk, chunk: Chunk
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the blocks of dask arrays that a chunk fills; a count without elements comes with the first."""
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
