"""The launcher mpi under a real mpirun and a real srun: same bits, right exit codes, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cubeengine.store.read import cube_hash
from tests.cluster.conftest import SRUN_JOB, Ended, Place, cubeengine, kill

Starter = Callable[[int], list[str]]
Hashes = Callable[[Path], str]

LONG = cubeengine("run", "long.yaml", "-o", "out/cube.zarr", "--launcher", "mpi")
QUICK = cubeengine("run", "quick.yaml", "-o", "out/cube.zarr", "--launcher", "mpi")


def ending_together(command: list[str]) -> list[str]:
    """Start ranks as docs/launchers.md says: under srun as well, all end at once where one is lost."""
    return [command[0], "--kill-on-bad-exit=1", *command[1:]] if command[0] == "srun" else command


def start_long(place: Place, command: list[str]) -> subprocess.Popen[str]:
    """Start a run and wait until its workers are busy."""
    process = place.start(*command, *LONG)
    place.wait_until_written(process)
    return process


def check_cube(place: Place, ended: Ended, expected: str) -> None:
    assert ended.code == 0, ended.err
    assert ended.quiet, ended.err
    assert cube_hash(place.out / "cube.zarr") == expected
    place.check_nothing_left(cubes=["cube.zarr"])


@pytest.mark.parametrize("ranks", [1, 3, 5])
def test_any_number_of_ranks_makes_the_same_cube(
    place: Place, mpirun: str, hashes: Hashes, ranks: int
) -> None:
    ended = place.run(mpirun, "-n", str(ranks), *QUICK)

    check_cube(place, ended, hashes(place.folder / "quick.yaml"))
    assert ("2 threads" if ranks == 1 else f"{ranks - 1} MPI ranks") in ended.err


@pytest.mark.parametrize("ranks", [1, 4])
def test_srun_makes_the_same_cube(place: Place, mpirun: str, slurm: None, hashes: Hashes, ranks: int) -> None:
    ended = place.run("srun", "--mpi=pmi2", "-n", str(ranks), "-N", str(min(ranks, 3)), *QUICK)

    check_cube(place, ended, hashes(place.folder / "quick.yaml"))


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["--set", "signals=[nonsense]"]),
        (2, ["--workers", "2"]),
        (3, ["--set", "run.smalldata=nowhere.h5"]),
        (4, ["--memory", "1 MB"]),
        (5, ["-o", "/proc/cube.zarr"]),
    ],
)
def test_error_in_rank_0_ends_all_ranks_with_its_code(
    place: Place, starter: Starter, code: int, arguments: list[str]
) -> None:
    ended = place.run(*starter(3), *QUICK, *arguments)

    assert ended.code == code, ended.err
    assert ended.err.count("error: ") - ended.err.count("srun: error: ") == 1
    assert ended.quiet
    place.check_nothing_left()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_the_run_with_its_code(
    place: Place, starter: Starter, number: signal.Signals, code: int
) -> None:
    command = starter(3)
    process = start_long(place, command)
    if command[0] == "srun" and number == signal.SIGTERM:
        # To the ranks, as at the time limit. One to srun itself has Slurm kill them at once.
        subprocess.run(["scancel", f"--signal={number.name}", f"--name={SRUN_JOB}"], check=True)
    else:
        process.send_signal(number)
    ended = place.end(process)

    assert ended.code == code, ended.err
    assert ended.quiet, ended.err
    place.check_nothing_left()


def test_run_survives_a_dead_worker(place: Place, starter: Starter, hashes: Hashes) -> None:
    process = start_long(place, starter(3))
    kill(place.workers()[0])
    ended = place.end(process)

    check_cube(place, ended, hashes(place.folder / "long.yaml"))


@pytest.mark.parametrize("rank", [0, 1])
def test_dead_rank_ends_the_job_with_an_error(place: Place, starter: Starter, rank: int) -> None:
    process = start_long(place, ending_together(starter(3)))
    kill(place.rank(rank))
    ended = place.end(process)

    assert ended.code in (9, 137), ended.err
    place.wait_for_end()


def test_dead_rank_while_rank_0_plans_ends_the_job(place: Place, starter: Starter) -> None:
    process = place.start(*ending_together(starter(3)), *LONG)
    # Rank 0 imports what reads data when MPI has started in all ranks.
    place.wait_for(
        lambda: any("h5py" in part.path for found in place.processes() for part in found.memory_maps()),
        "rank 0 plans",
    )
    kill(place.rank(2))
    ended = place.end(process)

    assert ended.code in (9, 137), ended.err
    place.wait_for_end()


def test_ranks_that_mpi_does_not_bring_together_are_refused(place: Place, mpirun: str, slurm: None) -> None:
    ended = place.run("srun", "-n", "2", *QUICK)

    assert ended.code == 5
    assert "2 processes were started, but MPI treats each as a separate job" in ended.err
    place.check_nothing_left()
