"""What the tasks of a signal share: its reader with its stages, and the order of its events, in files."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.pipeline import Pipeline
from cubeengine.graph.staged import StagedReader
from cubeengine.graph.tasks import LeafJob
from cubeengine.graph.work import WorkFolder
from cubeengine.planning.grouping import Grouping
from cubeengine.planning.pairs import order_key, order_pairs
from cubeengine.planning.plan import SignalPlan
from cubeengine.shared import SharedArray, in_files
from cubeengine.sources.base import Reader
from cubeengine.sources.memory import ArrayReader, NpyReader
from cubeengine.types import IntArray


@dataclass(frozen=True)
class SignalInput:
    """Where the events of a signal come from."""

    reader: Reader  # reads its rows
    grouping: Grouping  # which events go where
    event_rows: IntArray | None  # (n_events,) int64, or None: Storage row of each event
    pipeline: Pipeline | None = None  # what is done to every frame
    on_error: str = "stop"
    """Whether events that cannot be read end the run ("stop"), or are left out and counted ("skip")."""


def leaf_job(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> LeafJob:
    """Put the ordered pairs of a signal into files; parts and tiles are filled in later.

    Signals whose pairs are in the same order share the files.
    """
    rows, groups = _pair_files(signal, source, folder)
    return LeafJob(
        rows=rows,
        groups=groups,
        group_range=(0, source.grouping.n_groups),
        tiles=(),
        block_nbytes=signal.block_nbytes,
        folder=folder,
        label=signal.name,
        on_error=source.on_error,
    )


def _pair_files(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> tuple[Path, Path]:
    def fill(rows: NDArray[Any], groups: NDArray[Any]) -> None:
        order_pairs(signal, source.grouping, source.event_rows, (rows, groups))

    n_pairs, stem = len(source.grouping.events), f"pairs-{order_key(signal)}"
    wanted: dict[str, np.dtype[Any]] = {
        f"{stem}.rows": np.dtype(np.int64),
        f"{stem}.groups": np.dtype(np.int32),
    }
    rows, groups = folder.made_once(wanted, n_pairs, fill)
    return rows, groups


def task_reader(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> Reader:
    """Return the reader that tasks use: stages included, arrays of memory in side files for every worker."""
    pipeline = source.pipeline
    if pipeline is not None and signal.late_image:
        pipeline = pipeline.before_gather()
    return shared_reader(source.reader, pipeline, signal.name, folder)


def shared_reader(reader: Reader, pipeline: Pipeline | None, name: str, folder: WorkFolder) -> Reader:
    """Return a reader, with the stages that every event goes through, that any worker can use."""
    shared = reader_in_files(reader, name, folder)
    if pipeline is None or not pipeline.stages:
        return shared
    stages = in_files(pipeline.stages, folder.save, f"{name}.stages")
    return StagedReader(shared, replace(pipeline, stages=stages))


def reader_in_files(reader: Reader, name: str, folder: WorkFolder) -> Reader:
    """Return a reader whose arrays of memory are in files of a folder, under a name, for every worker."""
    moved: Reader = in_files(reader if folder.local else _in_files(reader, folder), folder.save, name)
    return moved


def _in_files(reader: Any, folder: WorkFolder) -> Any:
    """Replace what reads arrays of memory, also inside other readers: arrays must not travel with tasks."""
    if isinstance(reader, ArrayReader):
        valid = None if reader.valid is None else folder.save_once(reader.valid)
        return NpyReader.of(folder.save_once(reader.array), valid)
    if isinstance(reader, tuple):
        return tuple(_in_files(part, folder) for part in reader)
    if not is_dataclass(reader) or isinstance(reader, type):
        return reader
    inner = {name: getattr(reader, name) for name in ("reader", "readers") if hasattr(reader, name)}
    return replace(reader, **{name: _in_files(part, folder) for name, part in inner.items()})


def late_gather(signal: SignalPlan, source: SignalInput, folder: WorkFolder) -> SharedArray | None:
    """Return where images take their elements from, if they are put together on the finished cube."""
    if not signal.late_image or source.pipeline is None or source.pipeline.gather is None:
        return None
    return in_files(source.pipeline.gather, folder.save, f"{signal.name}.gather")
