"""The launcher slurm on a real Slurm: workers in jobs of their own, kept at their number, and gone after."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cubeengine.budget import Budget
from cubeengine.launch import launch
from cubeengine.store.read import cube_hash
from tests.cluster.conftest import Ended, Place, cubeengine, kill

Hashes = Callable[[Path], str]

OPTIONS = ("-o", "out/cube.zarr", "--launcher", "slurm", "--memory", "1 GiB")


def jobs() -> list[str]:
    """Return the numbers of the workers' jobs that wait or run."""
    command = ["squeue", "-h", "-n", "cubeengine-worker", "-o", "%i %T"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(line.split()[0] for line in lines if "COMPLETING" not in line)


def check_cube(place: Place, ended: Ended, expected: str) -> None:
    assert ended.code == 0, ended.err
    assert ended.quiet, ended.err
    assert cube_hash(place.out / "cube.zarr") == expected
    check_nothing_left(place, cubes=["cube.zarr"])


def check_nothing_left(place: Place, *, cubes: list[str]) -> None:
    assert jobs() == []
    place.check_nothing_left(cubes=cubes)


def test_jobs_make_the_same_cube_and_are_gone(place: Place, slurm: None, hashes: Hashes) -> None:
    ended = place.run(*cubeengine("run", "quick.yaml", *OPTIONS, "--workers", "2"))

    check_cube(place, ended, hashes(place.folder / "quick.yaml"))
    assert "2 workers in 2 Slurm jobs" in ended.err


def test_several_workers_in_a_job_and_names_that_need_quotes(
    place: Place, slurm: None, hashes: Hashes
) -> None:
    odd = place.folder / 'it\'s a 100 % "shared" folder $HOME'
    for name in ("", "logs"):
        (odd / name).mkdir()
    ended = place.run(
        *cubeengine("run", "quick.yaml", *OPTIONS, "--workers", "3"),
        CUBEENGINE_SLURM_FOLDER=str(odd),
        CUBEENGINE_SLURM_LOGS=str(odd / "logs"),
        CUBEENGINE_SLURM_SCRATCH=str(odd / "logs"),
        CUBEENGINE_SLURM_PROCESSES="2",
        CUBEENGINE_SLURM_ACCOUNT="lcls:it's",
        CUBEENGINE_SLURM_TIME="00:10:00",
    )

    check_cube(place, ended, hashes(place.folder / "quick.yaml"))
    assert "4 workers in 2 Slurm jobs" in ended.err
    assert [path.name for path in odd.iterdir()] == ["logs"]
    assert len(list((odd / "logs").glob("worker-*.log"))) == 2


def test_cancelled_job_is_replaced_and_the_cube_is_the_same(
    place: Place, slurm: None, hashes: Hashes, record_testsuite_property: Callable[[str, object], None]
) -> None:
    process = place.start(*cubeengine("run", "long.yaml", *OPTIONS, "--workers", "2"))
    place.wait_until_written(process)
    before = jobs()
    subprocess.run(["scancel", before[0]], check=True)
    begin = time.monotonic()
    place.wait_for(lambda: len(jobs()) == 2 and jobs() != before, "the job is replaced")
    replaced = time.monotonic() - begin
    place.wait_for(lambda: len(place.workers()) == 2 or process.poll() is not None, "its worker is there")
    record_testsuite_property("seconds until the job was replaced", round(replaced, 1))
    record_testsuite_property("seconds until its worker ran", round(time.monotonic() - begin, 1))
    ended = place.end(process)

    check_cube(place, ended, hashes(place.folder / "long.yaml"))


def test_job_that_was_cancelled_before_it_began_is_replaced(place: Place, slurm: None) -> None:
    """dask-jobqueue alone would wait for it for ever."""
    process = place.start(
        *cubeengine("run", "quick.yaml", *OPTIONS, "--workers", "1"),
        CUBEENGINE_SLURM_EXTRA="--begin=now+600",
    )
    place.wait_for(jobs, "the job waits")
    before = jobs()
    subprocess.run(["scancel", *before], check=True)
    place.wait_for(lambda: jobs() and jobs() != before, "the job is replaced")
    process.send_signal(signal.SIGINT)

    assert place.end(process).code == 130
    check_nothing_left(place, cubes=[])


def test_dead_worker_of_a_job_is_started_again(place: Place, slurm: None, hashes: Hashes) -> None:
    process = place.start(*cubeengine("run", "long.yaml", *OPTIONS, "--workers", "2"))
    place.wait_until_written(process)
    kill(place.workers()[0])

    check_cube(place, place.end(process), hashes(place.folder / "long.yaml"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_cancels_the_jobs(place: Place, slurm: None, number: int, code: int) -> None:
    process = place.start(*cubeengine("run", "long.yaml", *OPTIONS, "--workers", "2"))
    place.wait_until_written(process)
    process.send_signal(number)
    ended = place.end(process)

    assert ended.code == code, ended.err
    assert ended.quiet, ended.err
    check_nothing_left(place, cubes=[])


def test_killed_run_ends_its_jobs(place: Place, slurm: None) -> None:
    process = place.start(*cubeengine("run", "long.yaml", *OPTIONS, "--workers", "2"))
    place.wait_until_written(process)
    process.kill()
    process.communicate()

    place.wait_for(lambda: not jobs(), "the jobs notice that there is no scheduler")
    place.wait_for_end()


def test_refusal_of_slurm_is_told(place: Place, slurm: None) -> None:
    ended = place.run(
        *cubeengine("run", "quick.yaml", *OPTIONS, "--workers", "2"), CUBEENGINE_SLURM_PARTITION="none such"
    )

    assert ended.code == 5
    assert "sbatch refused the jobs of the workers" in ended.err
    assert "invalid partition" in ended.err
    check_nothing_left(place, cubes=[])


def test_jobs_that_cannot_start_end_the_run_with_their_log(place: Place, slurm: None) -> None:
    ended = place.run(
        *cubeengine("run", "quick.yaml", *OPTIONS, "--workers", "1"),
        CUBEENGINE_SLURM_EXTRA="--export=ALL,PYTHONHOME=/nowhere",
    )

    assert ended.code == 5
    assert "the jobs of the workers ended before the workers started; the end of the last log:" in ended.err
    assert "No module named 'encodings'" in ended.err
    check_nothing_left(place, cubes=[])


def test_one_cluster_serves_several_cubes(
    place: Place, slurm: None, hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cubeengine.api import open_spec, plan

    monkeypatch.setenv("CUBEENGINE_SLURM_FOLDER", str(place.folder / "home"))
    monkeypatch.chdir(place.folder)
    executor = launch("slurm", workers=2, budget=Budget(2**30))
    try:
        for name in ("first", "second"):
            spec, run = open_spec(place.folder / "quick.yaml")
            cube = plan(run, spec, memory="1 GiB").to_zarr(place.out / f"{name}.zarr", launcher=executor)
            assert cube_hash(cube.path) == hashes(place.folder / "quick.yaml")
    finally:
        executor.close()
    assert jobs() == []
