"""Picked events -> Dask graph: a task for every batch of slots of every variable; none waits for another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cubeengine.detectors.pipeline import Pipeline
from cubeengine.graph.compile import Compiled, Writing, incidents_of
from cubeengine.graph.inputs import shared_reader
from cubeengine.graph.tasks import add_tallies
from cubeengine.graph.work import WorkFolder
from cubeengine.picking.plan import PickWork, Variable, picked_rows
from cubeengine.picking.tasks import PickJob, batch_nbytes, skip_frames, write_frames
from cubeengine.planning.chunks import Chunk, chunk_grid
from cubeengine.sources.base import Reader
from cubeengine.types import IntArray


@dataclass(frozen=True)
class PickInputs:
    """Where picked events come from."""

    readers: Mapping[str, Reader]  # variable -> what reads its rows
    pipelines: Mapping[str, Pipeline]  # variable -> what is done to every frame, if anything is
    event_rows: IntArray | None  # (n_events,) int64, or None: Storage row of each event
    on_error: str
    """Whether frames that cannot be read end the run ("stop"), or are left out and counted ("skip")."""


def compile_picks(
    work: PickWork,
    inputs: PickInputs,
    folder: WorkFolder,
    *,
    window: int,  # noqa: ARG001 - as of `compile_plan`; here tasks hand nothing on
    writing: Writing,
) -> Compiled:
    """Make the tasks that are not done; see `engine.Compile`.

    Parameters
    ----------
    work : PickWork
        What to do.
    inputs : PickInputs
        Where frames come from.
    folder : WorkFolder
        Takes the side files; must be seen by all workers.
    window : int
        Not needed.
    writing : Writing
        Where to write, and what is done.
    """
    compiled = Compiled()
    rows = folder.save("slots.rows", picked_rows(work.picked, inputs.event_rows))
    for variable in work.variables:
        name = variable.name
        reader = shared_reader(inputs.readers[name], inputs.pipelines.get(name), name, folder)
        compiled.graph[f"reader-{work.key}-{name}"] = reader
        compiled.graph[f"job-{work.key}-{name}"] = _job(work, variable, inputs, rows, folder, writing)
        for number, batch in enumerate(chunk_grid(work.slots_shape, variable.batch)):
            _add_task(compiled, work, variable, number, batch, writing)
    return compiled


def _job(
    work: PickWork, variable: Variable, inputs: PickInputs, rows: Path, folder: WorkFolder, writing: Writing
) -> PickJob:
    n_selections = len(work.selections)
    return PickJob(
        rows=rows,
        store=writing.store,
        variable=variable,
        selection_slots=work.picked.events.size // n_selections,
        n_selections=n_selections,
        folder=folder,
        on_error=inputs.on_error,
        incidents=incidents_of(writing),
    )


def _add_task(
    compiled: Compiled, work: PickWork, variable: Variable, number: int, batch: Chunk, writing: Writing
) -> None:
    key, state = f"frames-{work.key}-{variable.name}-{number}", writing.state
    nbytes = batch_nbytes(variable, batch.stop - batch.start, work.slots_shape)
    counted = None if state is None else state.done(key)
    if counted is not None:
        compiled.finished += nbytes
        compiled.tally = add_tallies(compiled.tally, counted)
        return
    skipped = state is not None and state.is_skipped(key)
    compiled.graph[key] = (
        skip_frames if skipped else write_frames,
        f"job-{work.key}-{variable.name}",
        f"reader-{work.key}-{variable.name}",
        batch.start,
        batch.stop,
        batch,
        None if state is None else state.running(key),
        None if state is None else state.marker(key),
    )
    compiled.weights[key] = nbytes
    compiled.leaves[key] = f"signal {variable.name!r}, slots {batch.start:,} to {batch.stop - 1:,}"
