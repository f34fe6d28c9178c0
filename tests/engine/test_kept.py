"""What a run keeps on the disk for --resume: bounded by the plan, and enough to do nothing twice."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from cubeengine import api
from cubeengine.budget import format_size
from cubeengine.graph.work import WorkFolder
from cubeengine.planning.disk import disk_use, leaves_between_checkpoints
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_hash, open_cube
from tests.engine.test_resume import Ended, end_after
from tests.makers.frames import STRATEGIES, forced_plan, frame_arrays, memory_run, write_frames
from tests.quick import first_quick

LEAVES, N_BINS, SHAPE = 24, 2, (16, 20)
N_PIXELS = 16 * 20
SPEC = CubeSpec.loads(
    f"""
cube: kept
units: {{x: ''}}
axes: [{{field: x, edges: {{start: 0, stop: 10, bins: {N_BINS}}}}}]
signals: [det/counts, det/volts]
"""
)
"""Few bins: each leaf reads many times its sums, as in a long run."""

NOTES_NBYTES = 4096
"""Of each small file that says what is done, at most."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return {
        n_events: write_frames(folder / f"{n_events}.h5", frame_arrays(n_events, SHAPE))
        for n_events in (2400, 9600)
    }


@pytest.fixture(scope="module")
def plans(runs):
    return {strategy: forced_plan(runs[2400], strategy, leaves=LEAVES, spec=SPEC) for strategy in STRATEGIES}


@pytest.fixture(scope="module")
def hashes(plans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return {name: cube_hash(plan.to_zarr(folder / f"{name}.zarr").path) for name, plan in plans.items()}


def n_leaves(plan) -> int:
    return sum(signal.n_leaves for signal in plan.work.signals)


def sizes(folder: Path, pattern: str) -> dict[str, int]:
    found = {}
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # removed meanwhile
            found |= {path.name: path.stat().st_size} if path.is_file() else {}
    return found


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("n_done", first_quick([0, 1, 2, 9, 20, 40], 2))
def test_no_leaf_that_was_kept_is_done_again(plans, hashes, tmp_path, monkeypatch, strategy, n_done):
    plan, target = plans[strategy], tmp_path / "cube.zarr"
    every = [leaves_between_checkpoints(signal)[0] for signal in plan.work.signals if signal.info.shape]
    again_at_most = max(every) - 1
    assert again_at_most <= (strategy == "by_tile")
    n_done = min(n_done, n_leaves(plan) - 1)
    with monkeypatch.context() as patch:
        end_after(patch, n_done)
        with pytest.raises(Ended):
            plan.to_zarr(target, workers=1, resume=True)
    with monkeypatch.context() as patch:
        again = end_after(patch, -1)
        path = plan.to_zarr(target, workers=1, resume=True).path
    left = n_leaves(plan) - n_done
    assert left <= len(again) <= left + again_at_most
    assert cube_hash(path) == hashes[strategy]


def test_a_run_that_ends_early_again_and_again_comes_to_its_end(plans, hashes, tmp_path, monkeypatch):
    plan, target, read = plans["stream"], tmp_path / "cube.zarr", 0
    for _ in range(n_leaves(plan)):
        with monkeypatch.context() as patch:
            done = end_after(patch, 3)
            try:
                path = plan.to_zarr(target, workers=1, resume=True).path
                break
            except Ended:
                read += len(done)
    assert read + len(done) == n_leaves(plan)
    assert cube_hash(path) == hashes["stream"]


class Watched:
    """Looks at what lies beside the target, whenever a leaf is done."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.most = folder, {"sums": 0, "side": 0, "store": 0, "notes": 0}

    def __call__(self, _progress: object) -> None:
        state = ".*.state-*"
        found = {
            "sums": sizes(self.folder, f"{state}/partials/*"),
            "side": sizes(self.folder, f"{state}/.cubeengine-work-*/*"),
            "store": sizes(self.folder, ".*.tmp-*/det*/c.*"),
            "notes": sizes(self.folder, f"{state}/*") | sizes(self.folder, f"{state}/[dris]*/*"),
        }
        assert all(size <= NOTES_NBYTES for size in found["notes"].values())
        for kind, files in found.items():
            self.most[kind] = max(self.most[kind], sum(files.values()))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_kept_is_bounded_by_the_plan_and_does_not_grow_with_the_run(runs, tmp_path, strategy):
    sums = 3 * N_BINS * N_PIXELS  # three files, of a sum per bin and pixel; tiles and left-out events beside
    for n_events, run in runs.items():
        plan = forced_plan(run, strategy, leaves=LEAVES, spec=SPEC)
        use = disk_use(plan.work, 0, workers=2)
        assert use.sums <= 1.2 * sums * (24 + 16) + 3 * 2 * 1000  # of the floats and of the integers
        watched = Watched(tmp_path)
        plan.to_zarr(tmp_path / f"{n_events}.zarr", workers=2, resume=True, on_progress=watched)
        assert watched.most["sums"] <= use.sums
        assert (watched.most["sums"] > 0) == (strategy != "by_bin")
        assert watched.most["side"] <= use.side
        assert use.side <= 12 * n_events * 2 + 1000
        assert watched.most["store"] <= use.store + 1000


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_resume_no_sums_are_kept(plans, tmp_path, strategy):
    watched = Watched(tmp_path)
    plans[strategy].to_zarr(tmp_path / "cube.zarr", workers=2, on_progress=watched)
    assert watched.most["sums"] == 0


def test_what_killed_runs_were_writing_does_not_pile_up(plans, hashes, tmp_path, monkeypatch):
    plan, target = plans["by_tile"], tmp_path / "cube.zarr"
    with monkeypatch.context() as patch:
        end_after(patch, 30)
        with pytest.raises(Ended):
            plan.to_zarr(target, workers=1, resume=True)
    state, store = next(tmp_path.glob(".*.state-*")), next(tmp_path.glob(".*.tmp-*"))
    done = next((state / "done").iterdir()).stem.removeprefix("write-").rpartition("-")[0]
    litter = [
        state / "partials" / f"{done}.1.sums",  # killed between the mark and the removal
        store / "det__counts_mean" / f"c.0.0.0.{'0' * 32}.partial",
        state / ".cubeengine-work-killed" / "pairs.npy",
    ]
    litter[2].parent.mkdir()
    for path in litter:
        path.write_bytes(bytes(1000))
    seen: list[bool] = []
    path = plan.to_zarr(
        target, workers=1, resume=True, on_progress=lambda _: seen.append(any(p.exists() for p in litter))
    ).path
    assert seen
    assert not any(seen)
    assert cube_hash(path) == hashes["by_tile"]


def test_plan_says_how_much_lies_beside_the_cube(plans):
    plan = plans["stream"]
    disk = plan.to_dict()["disk"]
    floats, integers = 24 * N_BINS * N_PIXELS, 16 * N_BINS * N_PIXELS
    assert 3 * (floats + integers) <= disk["sums"] <= 3 * (floats + integers) * 1.2  # the second begins early
    assert disk["store"] == plan.to_dict()["output_nbytes"]
    text = str(plan)
    assert "disk needed beside the finished cube while it is made: at most " in text
    assert f"with --resume {format_size(disk['sums'])} more for partial sums" in text


def test_sums_larger_than_what_a_leaf_reads_are_kept_less_often(runs):
    often = forced_plan(runs[2400], "stream", leaves=LEAVES, spec=SPEC).work.signals[-1]
    many_bins = SPEC.model_copy(
        update={"axes": CubeSpec.loads(SPEC.to_yaml().replace("bins: 2", "bins: 64")).axes}
    )
    seldom = forced_plan(runs[2400], "stream", leaves=LEAVES, spec=many_bins).work.signals[-1]
    every, lasting = leaves_between_checkpoints(seldom)
    assert leaves_between_checkpoints(often)[0] == 1
    assert every == np.ceil(16 * seldom.part_nbytes / (seldom.read_nbytes / seldom.n_leaves))
    assert every * lasting * seldom.read_nbytes / seldom.n_leaves >= 128 * seldom.part_nbytes


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "copies"), [("threads", 0), ("processes", 1)])
def test_arrays_in_memory_are_copied_once_at_most_however_many_signals_read_them(
    tmp_path, monkeypatch, launcher, copies
):
    arrays = frame_arrays(300, SHAPE)
    spec = CubeSpec.loads(SPEC.to_yaml().replace("- det/volts", "- {field: det/counts, name: b}"))
    plan = api.plan(memory_run(arrays), spec)
    saved, plain = [], WorkFolder.save
    monkeypatch.setattr(
        WorkFolder, "save", lambda self, name, array: saved.append(array.nbytes) or plain(self, name, array)
    )
    cube = plan.to_zarr(tmp_path / "cube.zarr", launcher=launcher, workers=1)
    assert sum(nbytes == arrays["det/counts"].nbytes for nbytes in saved) == copies
    means = open_cube(cube.path)
    x = arrays["x"]
    for low, high, place in ((0, 5, 0), (5, 10, 1)):
        there = (x >= low) & ((x < high) | ((x == 10) & (place == 1)))
        expected = arrays["det/counts"][there].astype(float).mean(axis=0)
        for name in ("det__counts_mean", "b_mean"):
            np.testing.assert_allclose(means[name][0, place], expected, rtol=1e-14)
