"""Cases: the files of a run or two, a spec, and how the cube is made: plain data that can be cut down."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Part = dict[str, Array]
"""Datasets of one file, row by row as they stand there; `time` is the packed event time."""

MARK = -99999
"""What the writers put where an integer is missing."""


@dataclass(frozen=True)
class Run:
    """The files of one run.

    Attributes
    ----------
    layout : "event_time", "EvtID" or "timestamp"
        LCLS-I (two ages of it) or LCLS-II.
    parts : tuple of mappings
        One file; or the parts of several writers, to be joined by virtual datasets.
    """

    layout: str
    parts: tuple[Part, ...]

    @property
    def n_events(self) -> int:
        return sum(len(part["time"]) for part in self.parts)


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes
    ----------
    seed : int
        Of which it was made.
    runs : tuple of Run
        One; or two, whose cubes are merged.
    spec : mapping
        The spec, as it stands in YAML.
    how : mapping
        How files are stored, and how the cube is planned and computed: nothing that changes the answer.
    files : mapping
        File name -> what the stages' files hold: an array (.npy), several (.npz), or text.
    """

    seed: int
    runs: tuple[Run, ...]
    spec: dict[str, Any]
    how: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}", f"how: {json.dumps(self.how)}"]
        lines += [f"  {key}: {json.dumps(value)}" for key, value in self.spec.items()]
        for number, run in enumerate(self.runs):
            lines.append(f"run {number} ({run.layout})")
            for part in run.parts:
                lines += [f"  -- {len(part['time'])} events"] + [_shown(*item) for item in part.items()]
        lines += [f"file {name}: {content}" for name, content in self.files.items()]
        return "\n".join(lines)


def _shown(name: str, values: Array) -> str:
    with np.printoptions(threshold=24, edgeitems=6, linewidth=10_000, precision=17):
        flat = str(values.reshape(len(values), math.prod(values.shape[1:])).squeeze()).replace("\n", "")
    return f"  {name} {values.dtype.str} {values.shape[1:] or ''}: {flat}"


def write_files(case: Case, folder: Path) -> list[Path]:
    """Write everything a case needs; return the smallData file of every run."""
    for name, content in case.files.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
        elif isinstance(content, Mapping):
            np.savez(folder / name, **content)
        else:
            np.save(folder / name, content)
    return [_write_run(run, folder, f"run{number}", case.how) for number, run in enumerate(case.runs)]


def _write_run(run: Run, folder: Path, name: str, how: Mapping[str, Any]) -> Path:
    path = folder / f"{name}.h5"
    if len(run.parts) == 1:
        _write_part(path, run.layout, run.parts[0], how)
        return path
    sources = [folder / f"{name}_part{number}.h5" for number in range(len(run.parts))]
    for source, part in zip(sources, run.parts, strict=True):
        _write_part(source, run.layout, part, how)
    _write_joined(path, run, sources)
    return path


def _write_part(path: Path, layout: str, part: Part, how: Mapping[str, Any]) -> None:
    with h5py.File(path, "w", libver="latest" if layout == "timestamp" else "earliest") as file:
        for name, values in part.items():
            dataset, stored = (layout, values) if name != "time" else time_dataset(layout, values)
            file.create_dataset(name if name != "time" else dataset, data=stored, **_storage(stored, how))


def _storage(values: Array, how: Mapping[str, Any]) -> dict[str, Any]:
    rows = min(how.get("chunk_events") or 0, len(values))
    if not rows or not values.size:
        return {}
    return {"chunks": (rows, *values.shape[1:]), "maxshape": (None, *values.shape[1:]), **how["filters"]}


def time_dataset(layout: str, packed: Array) -> tuple[str, Array]:
    """Return the dataset that holds event times, and what stands in it."""
    if layout == "EvtID":
        return "EvtID/time", np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1).astype(np.int32)
    return layout, packed


def _write_joined(path: Path, run: Run, sources: list[Path]) -> None:
    names = dict.fromkeys(name for part in run.parts for name in part)
    with h5py.File(path, "w", libver="latest") as file:
        for name in names:
            like = next(part[name] for part in run.parts if name in part)
            layout = h5py.VirtualLayout((run.n_events, *like.shape[1:]), like.dtype)
            first, dataset = 0, run.layout if name == "time" else name
            for part, source in zip(run.parts, sources, strict=True):
                last = first + len(part["time"])
                if name in part and last > first:
                    layout[first:last] = h5py.VirtualSource(source.name, dataset, part[name].shape)
                first = last
            file.create_virtual_dataset(dataset, layout, fillvalue=_fill(like.dtype))


def _fill(dtype: np.dtype[Any]) -> Any:
    """Return NaN, or the mark clipped to what the integer can hold, as joined files have it."""
    if dtype.kind != "f":
        return 0 if dtype.kind == "b" else max(MARK, np.iinfo(dtype).min)
    return np.nan
