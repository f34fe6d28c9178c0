"""The frozen problems: each makes its result in a folder and returns what is frozen of it.

The bits of floats are those of processors that multiply and add in one rounding, as x86-64 since 2013 does.
`python -m tests.frozen.problems` prints what they give now, in the form of `frozen.json`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cubeengine as ce
from cubeengine.planning.cost import Tuning
from tests.engine.test_resume import Ended, end_after
from tests.makers.frames import forced_plan, frame_arrays, memory_run, write_frames
from tests.makers.smalldata import write_lcls1
from tests.makers.xtc2 import write_small_run
from tests.pedestals.makers import Truth, run_of

Frozen = Mapping[str, str | int]

TWO_AXES = """
cube: map
units: {x: '', i0: mJ}
derive:
  ratio: i0 / (1 + x)
  level: {running: {field: i0, window: 21}}
select:
  bright: ["`i0` > 0.5"]
  steady: ["`level` > 0.45", "`level` < 0.55"]
axes:
  - {field: x, edges: {start: 0, stop: 10, bins: 6}}
  - {field: i0, edges: [0, 0.3, 0.8, 1], unit: mJ}
cubes: [all, bright, steady]
signals: [det/counts, det/volts, ratio, i0]
"""
STAGES = """
cube: stages
units: {x: ''}
axes: [{field: x, edges: {start: 0, stop: 10, bins: 16}}]
signals:
  - {field: det/counts, name: binned, stages: [{threshold: {min: 1000, below: zero}}, {rebin: 2}]}
  - {field: det/volts, name: rows, stages: [{roi: [[2, 14], [3, 19]]}, {project: rows}]}
"""
SMALLDATA = """
cube: delay
run: {smalldata: run.h5}
units: {scan/lxt: s, tt/ttCorr: ps}
derive:
  delay: {delay: {nominal: scan/lxt, timetool: tt/ttCorr, sign: +1, valid: "`tt/AMPL` > 0.02"}}
select:
  good: [{field: ipm2/sum, min: 0.4, max: 2.0}]
  on: {all: [good], laser: on}
  off: {all: [good], laser: off, without: [tt/*]}
axes: [{field: delay, centers: {start: -2, stop: 8, step: 0.5}, unit: ps}]
cubes: [on, off]
signals: [ipm2/sum, epix/ROI_0_area, epix/azav_azav]
"""
RAW = """
cube: raw
signals: [jungfrau/raw/raw]
axes: []
"""


def cube_of(plan: ce.Plan, path: Path, **options: Any) -> Frozen:
    projected = plan.work.projected_memory(threads=2)
    made = plan.to_zarr(path, workers=2, **options)
    return {"hash": ce.cube_hash(made.path), "tasks": plan.work.n_tasks, "memory": projected}


def frames_in(folder: Path, n_events: int = 480, **options: Any) -> ce.Run:
    return write_frames(folder / "frames.h5", frame_arrays(n_events), chunk_events=4, **options)


def strategy(name: str) -> Callable[[Path], Frozen]:
    return lambda folder: cube_of(forced_plan(frames_in(folder), name), folder / "cube.zarr")


def chosen(text: str) -> Callable[[Path], Frozen]:
    """Make a problem of the frames in which the planner chooses the strategies."""
    spec = ce.CubeSpec.loads(text)
    return lambda folder: cube_of(
        ce.plan(frames_in(folder), spec, tuning=Tuning(leaf_nbytes=2**15)), folder / "cube.zarr"
    )


def smalldata(folder: Path) -> Frozen:
    write_lcls1(folder / "run.h5")
    return cube_of(
        ce.plan(ce.open_run(folder / "run.h5"), ce.CubeSpec.loads(SMALLDATA)), folder / "cube.zarr"
    )


def raw(folder: Path) -> Frozen:
    made = write_small_run(folder / "xtc")
    return cube_of(ce.plan(ce.open_run(made.folder), ce.CubeSpec.loads(RAW)), folder / "cube.zarr")


def two_cubes(folder: Path) -> list[Path]:
    spec = ce.CubeSpec.loads(TWO_AXES)
    paths = [folder / "a.zarr", folder / "b.zarr"]
    for seed, path in enumerate(paths):
        arrays = frame_arrays(200, seed=seed)
        ce.plan(memory_run(arrays), spec).to_zarr(path)
    return paths


def merged(folder: Path) -> Frozen:
    result = ce.merge_cubes(two_cubes(folder), folder / "merged.zarr", allow=["same-run"])
    return {"hash": ce.cube_hash(result.path)}


def stacked(folder: Path) -> Frozen:
    result = ce.merge_cubes(two_cubes(folder), folder / "stack.zarr", along="run", runs=[12, 13])
    return {"hash": ce.cube_hash(result.path)}


def rebinned(folder: Path) -> Frozen:
    result = ce.rebin_cube(two_cubes(folder)[0], folder / "coarse.zarr", by={"x": 2})
    return {"hash": ce.cube_hash(result.path)}


def picked(folder: Path) -> Frozen:
    spec = ce.PickSpec.from_dict(
        {
            "cube": "pick",
            "units": {"x": ""},
            "axes": [{"field": "x", "edges": {"start": 0, "stop": 10, "bins": 8}}],
            "signals": ["det/counts", "det/volts", "i0"],
            "pick": {"field": "i0", "which": "largest", "events": 3},
        }
    )
    plan = ce.pick(frames_in(folder), spec)
    return cube_of(plan, folder / "picked.zarr")


def pedestal(folder: Path) -> Frozen:
    frames = Truth.of((2, 24, 64), mean=2900, noise=6).frames(300, seed=1)
    path = ce.pedestal(run_of(frames.astype(np.uint16), "jungfrau"), "cam").save(folder / "dark.h5")
    digest = hashlib.sha256()

    def add(name: str, entry: h5py.Dataset | h5py.Group) -> None:
        if isinstance(entry, h5py.Dataset) and entry.dtype.kind in "iufb":
            digest.update(f"{name} {entry.shape} {entry.dtype.str}".encode() + entry[()].tobytes())

    with h5py.File(path) as file:
        file.visititems(add)
    return {"hash": digest.hexdigest()}


def killed_and_resumed(folder: Path) -> Frozen:
    plan = forced_plan(frames_in(folder), "stream", leaves=24)
    with pytest.MonkeyPatch.context() as patch:
        end_after(patch, 17)
        with pytest.raises(Ended):
            plan.to_zarr(folder / "cube.zarr", workers=1, resume=True)
    return cube_of(plan, folder / "cube.zarr", resume=True)


PROBLEMS: Mapping[str, Callable[[Path], Frozen]] = {
    "stream": strategy("stream"),
    "by_bin": strategy("by_bin"),
    "by_tile": strategy("by_tile"),
    "stages": chosen(STAGES),
    "two axes, running median": chosen(TWO_AXES),
    "smalldata": smalldata,
    "raw": raw,
    "merged": merged,
    "stacked": stacked,
    "rebinned": rebinned,
    "picked": picked,
    "pedestal": pedestal,
    "killed and resumed": killed_and_resumed,
}


def main() -> None:
    found = {}
    for name, problem in PROBLEMS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = dict(problem(Path(folder)))
    json.dump(found, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
