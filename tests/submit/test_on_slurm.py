"""Submitted jobs under a real Slurm: odd names, three runs and their sum, a stopped job that goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cubeengine.cli.jobs import job_rows
from cubeengine.store.read import cube_hash
from cubeengine.submit.records import read_records
from tests.cli.conftest import SPEC
from tests.makers.smalldata import write_lcls1
from tests.waiting import wait_until

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
N_LONG = 24
"""Signals of the long run, all of the same frames."""
RUNNING = ("pending", "configuring", "running", "completing")


@dataclass(frozen=True)
class Place:
    """A folder with runs and specs, in which commands are called."""

    folder: Path

    def call(self, *arguments: object, code: int = 0) -> str:
        command = [sys.executable, "-m", "cubeengine.cli", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    def jobs(self) -> list[dict[str, Any]]:
        return [asdict(row) for row in job_rows(read_records())]

    def wait_for(self, reached: Callable[[], object], what: str) -> None:
        wait_until(reached, what, every=0.2)

    def wait(self) -> list[dict[str, Any]]:
        """Wait until no job waits or runs."""
        self.wait_for(lambda: all(job["state"] not in RUNNING for job in self.jobs()), "the jobs have ended")
        return self.jobs()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if shutil.which("sbatch") is None or "SLURM_CONF" not in os.environ:
        pytest.skip('no Slurm for tests: eval "$(python tests/tools/slurm.py start)"')
    if subprocess.run(["squeue"], capture_output=True, check=False).returncode:
        pytest.skip("Slurm does not answer")
    folder = tmp_path / 'it\'s a 100 % "shared" folder $HOME'
    for part in (folder, folder / "bin", tmp_path / "home"):
        part.mkdir()
    program = folder / "bin" / "cubeengine"
    program.write_text(f'#!/bin/bash\nexec "{sys.executable}" -m cubeengine.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.delenv("SIT_PSDM_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (folder / "delay.yaml").write_text(SPEC)
    frames = "".join(f"  - {{field: epix/ROI_0_area, name: roi{index}}}\n" for index in range(N_LONG))
    (folder / "long.yaml").write_text(SPEC[: SPEC.index("signals:")] + "signals:\n" + frames)
    return Place(folder)


@pytest.fixture(params=["mpi", "processes"])
def launcher(request: pytest.FixtureRequest) -> str:
    if request.param == "mpi" and find_spec("mpi4py") is None:
        pytest.skip("mpi4py is not installed: pip install 'cubeengine[mpi]'")
    return str(request.param)


def options(launcher: str) -> list[str]:
    return ["--launcher", launcher, "--ntasks", "3", "--memory", "700 MiB", "--time", "10"]


def test_three_runs_in_batch_jobs_add_up_to_the_sum_of_those_made_here(place: Place) -> None:
    launcher = "processes" if find_spec("mpi4py") is None else "mpi"
    for run in (7, 8, 9):
        write_lcls1(place.folder / f"xpptest01_Run{run:04d}.h5", n_events=300, seed=run)
    account = 'it\'s "lcls:{experiment}" $HOME'
    batch = [*options(launcher), "--account", account, "--logdir", "my logs"]
    told = place.call("submit", "delay.yaml", "--runs", "7-9", "-d", "batch cubes", *batch)
    jobs = place.wait()
    asked = subprocess.run(
        ["scontrol", "show", "job", jobs[0]["job"]], capture_output=True, text=True, check=True
    )
    place.call("submit", "delay.yaml", "--runs", "7-9", "-d", "here", "--interactive", "--memory", "700 MiB")
    names = [f"xpptest01_r000{run}_delay.zarr" for run in (7, 8, 9)]
    for folder in ("batch cubes", "here"):
        place.call("merge", *(f"{folder}/{name}" for name in names), "-o", f"{folder}/sum.zarr")

    assert told.count("submitted") == 3
    assert [(job["state"], job["progress"].split(" in ")[0]) for job in jobs] == [("completed", "made")] * 3
    assert all(Path(job["log"]).is_file() for job in jobs)
    assert 'Account=it\'s "lcls:xpptest01" $' in asked.stdout
    for name in (*names, "sum.zarr"):
        assert cube_hash(place.folder / "batch cubes" / name) == cube_hash(place.folder / "here" / name)


def test_stopped_job_goes_on_when_it_is_submitted_again(place: Place, launcher: str) -> None:
    packed = {"compression": "gzip", "shuffle": True}
    write_lcls1(place.folder / "xpptest01_Run0007.h5", n_events=2000, frame=(48, 48), compression=packed)
    submit = ["submit", "long.yaml", *options(launcher)]
    place.call(*submit)
    number = place.jobs()[0]["job"]
    place.wait_for(lambda: place.jobs()[0]["progress"].endswith(" left"), "the run tells how far it is")
    # As Slurm does before the time limit: to the shell alone with B:, else to the tasks.
    shell = [] if launcher == "mpi" else ["--batch"]
    subprocess.run(["scancel", *shell, "--signal=TERM", number], check=True)
    stopped = place.wait()[0]
    log = Path(stopped["log"]).read_text()
    left = sorted(path.name for path in place.folder.glob(".*"))
    place.call(*submit)
    made = place.wait()[1]
    place.call("run", "long.yaml", "-o", "here.zarr", "--memory", "700 MiB")

    assert stopped["state"] == "failed"
    assert stopped["progress"].startswith("stopped at ")
    assert "the finished work is kept; run the same command to continue\nterminated" in log
    assert len(left) == 2  # the state of the run, and the store as far as it is
    assert (made["state"], made["progress"][:7]) == ("completed", "made in")
    cube = place.folder / "xpptest01_r0007_delay.zarr"
    assert cube_hash(cube) == cube_hash(place.folder / "here.zarr")
    assert list(place.folder.glob(".*")) == []
