"""Memory is bounded, however large the cubes: measured of whole processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cubeengine.store import write
from cubeengine.store.layout import STRING, ArrayLayout, CubeLayout, regions
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
MEMORY = 560 * 2**20  # two threads
SHAPE, CHUNKS = (1, 40, 1024, 1024), (1, 1, 1024, 1024)  # 1 GB with count, mean and std

SCRIPT = """
import json, sys
from cubeengine import merge_cubes, rebin_cube
from cubeengine.measure import PeakMemory

what, memory, out, *cubes = sys.argv[1:]
with PeakMemory() as peak:
    if what == "rebin":
        rebin_cube(cubes[0], out, by={"delay": 8}, memory=memory, workers=2)
    elif what == "drop":
        rebin_cube(cubes[0], out, drop=["delay"], memory=memory, workers=2)
    else:
        merge_cubes(cubes, out, along=None if what == "add" else "run", memory=memory, workers=2)
print(json.dumps(peak.total))
"""


def write_large_cube(target: Path, run: int) -> Path:
    dims = ("selection", "delay", "frame_dim0", "frame_dim1")
    n = SHAPE[1]
    arrays = [
        ArrayLayout("selection", dims[:1], (1,), (1,), STRING),
        ArrayLayout("delay", dims[1:2], (n,), (n,), "float64", {"units": "ps"}),
        ArrayLayout("delay_bnds", ("delay", "bnds"), (n, 2), (n, 2), "float64", coordinate=True),
        ArrayLayout("n_events", dims[:2], SHAPE[:2], SHAPE[:2], "int64"),
        ArrayLayout("frame_count", dims, SHAPE, CHUNKS, "int64"),
        ArrayLayout("frame_mean", dims, SHAPE, CHUNKS, "float64"),
        ArrayLayout("frame_std", dims, SHAPE, CHUNKS, "float64"),
    ]
    edges = np.arange(n + 1.0)
    small = {
        "selection": np.array(["all"], dtype=np.dtypes.StringDType()),
        "delay": edges[:-1] + 0.5,
        "delay_bnds": np.stack([edges[:-1], edges[1:]], 1),
        "n_events": np.full(SHAPE[:2], 9, "i8"),
    }
    temporary = write.create(target, CubeLayout(tuple(arrays), {"run": f"xpptest01:{run}"}), small)
    mean = np.random.default_rng(run).normal(size=CHUNKS).astype("f4").astype("f8")
    for region in regions(SHAPE, CHUNKS):
        write.write_region(temporary, "frame_count", region, np.full(CHUNKS, 9, "i8"))
        write.write_region(temporary, "frame_mean", region, mean)
        write.write_region(temporary, "frame_std", region, np.ones(CHUNKS))
    write.publish(temporary, target)
    return target


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("large")
    return [write_large_cube(folder / f"r{run}.zarr", run) for run in (1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["add", "stack", "rebin", "drop"])
def test_cubes_larger_than_the_memory_are_combined(large: list[Path], tmp_path: Path, what: str) -> None:
    command = [sys.executable, "-c", SCRIPT, what, str(MEMORY), str(tmp_path / "out.zarr"), *map(str, large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=PATIENCE)
    measured = json.loads(done.stdout)

    assert 3 * 8 * np.prod(SHAPE) > 1.5 * MEMORY
    assert measured < MEMORY, f"{measured / 2**20:.0f} MiB"
