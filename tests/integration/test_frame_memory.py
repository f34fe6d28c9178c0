"""Frames of 4 megapixels in 100 bins: their sums are 10 GB, a worker has 2 GiB, and the run is larger."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cubeengine.store.read import open_cube
from tests.makers.xtc2 import FrameRun, write_frame_run
from tests.waiting import PATIENCE

FRAME = (2048, 2048)  # of float32: 16 MiB
N_EVENTS = 160  # 2.5 GiB
N_BINS = 100
BUDGET = 2 * 2**30

SCRIPT = """
import json, sys
from dataclasses import replace
import cubeengine as ce
from cubeengine.budget import Budget
from cubeengine.planning import planner
from cubeengine.planning.cost import Tuning
from cubeengine.planning.make import signal_forms

folder, strategy, out = sys.argv[1:]
spec = ce.CubeSpec.loads(
    "{cube: m, axes: [{field: beam/raw/x, edges: {start: 0, stop: 10, bins: 100}}],"
    " units: {beam/raw/x: ''}, signals: [{field: camera/raw/raw, name: camera, dtype: float32}]}"
)
plan = ce.plan(ce.open_run(folder), spec, memory="2 GiB")
budget = Budget(2 * 2**30)
signals = [
    getattr(planner, "_" + strategy)(forms[0], budget, Tuning()) if forms[0].n_elements > 1 else chosen
    for forms, chosen in zip(signal_forms(plan.bound), plan.work.signals, strict=True)
]
forced = ce.Plan(plan.bound, replace(plan.work, signals=tuple(signals)), plan.budget)
result = forced.to_zarr(out, launcher="processes", workers=2)
chosen = plan.work.signals[-1].strategy
per_worker = forced.work.worker_memory(1)
print(json.dumps([chosen, result.measured_memory, result.projected_memory, per_worker]))
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> FrameRun:
    folder = tmp_path_factory.mktemp("frames")
    return write_frame_run(folder, n_events=N_EVENTS, shape=FRAME, dtype="f4", n_pool=6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["by_bin", "by_tile"])
def test_cube_far_larger_than_the_memory_keeps_to_it_and_is_right(frames, tmp_path, strategy):
    out = tmp_path / "cube.zarr"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, frames.folder, strategy, out],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=PATIENCE,
    )  # fmt: skip
    chosen, measured, projected, per_worker = json.loads(done.stdout)

    assert chosen in ("by_bin", "by_tile")  # the whole cube does not fit
    assert per_worker <= BUDGET
    assert measured < projected
    assert_right(open_cube(out), frames)


def assert_right(cube, frames):
    bins = np.digitize(frames.x, np.linspace(0, 10, N_BINS + 1)) - 1
    np.testing.assert_array_equal(cube["n_events"][0], np.bincount(bins, minlength=N_BINS))
    fullest = np.argsort(-np.bincount(bins, minlength=N_BINS))[:3]
    for number in [*fullest, 17, 99]:
        chosen = frames.frames(np.flatnonzero(bins == number)).astype(np.float64)
        found = cube.isel(selection=0, beam__raw__x=number)
        assert (found["camera_count"] == len(chosen)).all()
        if len(chosen):
            np.testing.assert_allclose(found["camera_mean"], chosen.mean(axis=0), rtol=1e-6)
            np.testing.assert_allclose(found["camera_std"], chosen.std(axis=0), rtol=1e-6, atol=1e-4)
        else:
            assert np.isnan(found["camera_mean"]).all()
