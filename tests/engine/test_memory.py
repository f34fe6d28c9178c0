"""Memory: ten times the events cost no more of it, and the projection is kept, in every strategy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.makers.frames import STRATEGIES
from tests.waiting import PATIENCE

FRAME = (256, 512)  # of uint16: 256 KiB
N_BINS = 50
LONG, SHORT = 20_000, 2_000  # events: 5.2 GB and 0.52 GB
PARTIAL_NBYTES = 100 * 10**6
MORE_NBYTES = 2 * FRAME[0] * FRAME[1] * (LONG - SHORT)


def write_sparse_run(path: Path, n_events: int) -> None:
    """Write a run whose frames take no disk: allocated, never written, so they read as zeros."""
    seconds, ticks = np.divmod(np.arange(n_events), 120)
    with h5py.File(path, "w") as file:
        file["event_time"] = (seconds + 1_425_000_000 << 32) | ticks * 8_333_333
        file["fiducials"] = np.arange(n_events)
        file["x"] = np.random.default_rng(3).uniform(0, N_BINS, n_events)
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        group = file.create_group("det")
        space = h5py.h5s.create_simple((n_events, *FRAME))
        h5py.h5d.create(group.id, b"counts", h5py.h5t.NATIVE_UINT16, space, creation)


SCRIPT = """
import json, sys
from cubeengine import api
from cubeengine.spec.model import CubeSpec
from tests.makers.frames import forced_plan

path, strategy, n_bins, out = sys.argv[1:]
spec = CubeSpec.loads(
    "{cube: m, units: {x: ''}, signals: [det/counts],"
    " axes: [{field: x, edges: {start: 0, stop: %s, bins: %s}}]}" % (n_bins, n_bins)
)
run = api.open_run(path)
leaves = run.fields["det/counts"].nbytes // 2**26  # of 64 MiB, the least there are: many folds
plan = forced_plan(run, strategy, leaves=leaves, block_nbytes=2**22, spec=spec)
result = plan.to_zarr(out, workers=2)
(frames,) = [signal for signal in plan.work.signals if signal.info.shape]
print(json.dumps([result.measured_memory, result.projected_memory, frames.part_nbytes, frames.n_leaves]))
"""


def measured(path: Path, strategy: str, out: Path) -> dict[str, int]:
    command = [sys.executable, "-c", SCRIPT, str(path), strategy, str(N_BINS), str(out)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=PATIENCE)
    names = ("measured", "projected", "partial", "leaves")
    return dict(zip(names, json.loads(done.stdout), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ten_times_the_events_cost_no_more_memory(tmp_path, strategy):
    found = {}
    for n_events in (SHORT, LONG):
        path = tmp_path / f"{n_events}.h5"
        write_sparse_run(path, n_events)
        found[n_events] = measured(path, strategy, tmp_path / f"{n_events}.zarr")
        assert found[n_events]["measured"] < found[n_events]["projected"]
    assert found[LONG]["leaves"] > 2 * found[SHORT]["leaves"] or strategy == "by_bin"
    assert strategy != "stream" or found[SHORT]["partial"] >= PARTIAL_NBYTES
    # What is measured depends on which leaves happen to run at once; what is promised must not grow.
    assert found[LONG]["projected"] <= 1.1 * found[SHORT]["projected"]
    assert found[LONG]["measured"] - found[SHORT]["measured"] < MORE_NBYTES / 20
