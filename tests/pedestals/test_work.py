"""The same bits for any cutting and any workers; memory within what was promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cubeengine as ce
from cubeengine.budget import Budget
from cubeengine.demo import write_dark_run
from cubeengine.launch.threads import ThreadExecutor
from cubeengine.pedestals import Pedestal, pedestal, work
from cubeengine.pedestals.work import Frames, cut
from cubeengine.progress import Progress
from cubeengine.sources.memory import ArrayReader
from tests.makers.simulated import FRAMES, simulated_run
from tests.pedestals.makers import Truth, run_of
from tests.quick import first_quick

SHAPE = (2, 40, 64)


def is_same(a: Pedestal, b: Pedestal) -> bool:
    names = ("pedestals", "noise", "status", "used", "rejected")
    return all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in names)


@pytest.fixture(scope="module")
def dark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dark")
    write_dark_run(folder)
    return folder


@pytest.mark.slow
def test_every_launcher_gives_the_same_bits(dark: Path, tmp_path: Path) -> None:
    run = ce.open_run(dark)
    first = pedestal(run, "jungfrau")

    assert is_same(first, pedestal(run, "jungfrau", workers=1))
    assert is_same(first, pedestal(run, "jungfrau", launcher="processes", workers=2, folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("elements", first_quick([100, 1000, 5120]))
@pytest.mark.parametrize("leaf_nbytes", [1, 10**6])
def test_every_cutting_gives_the_same_bits(
    elements: int, leaf_nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = Truth.of(SHAPE).frames(150)
    frames[::7, 0, 0, 0] = 9000
    run = run_of(frames, "jungfrau")
    whole = pedestal(run, "cam")

    def smaller(frames: Frames, budget: Budget, threads: int, *, separate: bool) -> work.Work:
        del budget, separate
        return work._cut(frames, elements, threads, 5000)

    monkeypatch.setattr("cubeengine.pedestals.measure.cut", smaller)
    monkeypatch.setattr(work, "LEAF_NBYTES", leaf_nbytes)
    monkeypatch.setattr(work, "LEAF_TO_SUMS", 0)
    monkeypatch.setattr(work, "MAX_LEAVES", 150)
    assert is_same(whole, pedestal(run, "cam"))


def test_workers_that_run_already_are_used_and_kept() -> None:
    executor = ThreadExecutor(1)
    run = run_of(Truth.of(SHAPE).frames(60), "jungfrau")
    assert is_same(pedestal(run, "cam", launcher=executor), pedestal(run, "cam", launcher=executor))


def test_progress_rises_to_the_total() -> None:
    told: list[Progress] = []
    pedestal(run_of(Truth.of(SHAPE).frames(60), "jungfrau"), "cam", on_progress=told.append)
    done = [progress.done for progress in told]

    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == told[-1].total


def frames_of(n_elements: int, n_events: int = 1000) -> Frames:
    reader = ArrayReader(np.zeros((1, 1), np.uint16))
    return Frames(reader, n_elements, 3, 3, n_events, 256)


def test_four_megapixels_of_three_ranges_fit_two_gibibytes_in_parts() -> None:
    budget = Budget(2 * 2**30)
    made = cut(frames_of(4 * 2**20), budget, 2, separate=False)

    assert len(made.tiles) > 1
    assert made.worker_nbytes + made.leader_nbytes <= budget.usable
    assert made.threads == 2
    assert cut(frames_of(4 * 2**20), budget, 16, separate=False).threads >= 1


def test_parts_cover_the_frame_once_and_leaves_the_events() -> None:
    made = cut(frames_of(4 * 2**20, 100_000), Budget(2 * 2**30), 2, separate=True)

    assert [start for start, _ in made.tiles[1:]] == [stop for _, stop in made.tiles[:-1]]
    assert made.tiles[-1][1] == 4 * 2**20
    assert made.leaves[-1][1] == 100_000
    assert len(made.tiles) * len(made.leaves) <= work.MAX_LEAVES + len(made.tiles)


def test_what_cannot_fit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ce.BudgetExceeded, match=r"4,194,304 pixels in 3 .* allow more memory"):
        cut(frames_of(4 * 2**20), Budget(500 * 2**20), 2, separate=False)


SCRIPT = """
import json, sys
from pathlib import Path
from cubeengine.budget import Budget
from cubeengine.measure import PeakMemory
from cubeengine.pedestals import measure, pedestal
from tests.makers.simulated import FRAMES, simulated_run

works = []
cut = measure.cut
measure.cut = lambda *args, **options: works.append(cut(*args, **options)) or works[-1]
run = simulated_run(Path(sys.argv[1]), int(sys.argv[3]), (int(sys.argv[2]), 1024))
with PeakMemory() as peak:
    found = pedestal(run, FRAMES, kind="jungfrau", memory=sys.argv[4])
from cubeengine.budget import WORKER_BASELINE
made = works[0]
print(json.dumps([peak.total, WORKER_BASELINE + made.worker_nbytes + made.leader_nbytes, len(made.tiles)]))
"""


@pytest.mark.slow
def test_peak_is_below_what_was_projected_and_allowed(tmp_path: Path) -> None:
    rows, n_events, memory = 512, 100, 450 * 2**20
    arguments = [str(tmp_path / "frames"), str(rows), str(n_events), str(memory)]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    peak, projected, n_tiles = json.loads(ended.stdout)

    assert n_tiles > 1
    assert peak < projected <= memory


def test_zero_frames_are_no_reason_to_fail(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "frames", 60, (8, 8))
    found = pedestal(run, FRAMES, kind="jungfrau")

    assert (found.status[0] == 2 + 32).all()  # no noise, and a pedestal at the converter's end
