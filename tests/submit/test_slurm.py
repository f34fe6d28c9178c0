from __future__ import annotations

from pathlib import Path

import pytest

from cubeengine.errors import LaunchError
from cubeengine.submit.slurm import JobState, job_states, submit_script
from tests.submit.fakes import words, write_command


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_script_is_submitted_by_its_whole_name(programs: Path, tmp_path: Path) -> None:
    write_command(programs, "sbatch", out="4711\n")

    assert submit_script(tmp_path / "my job.sh") == "4711"
    assert words(programs, "sbatch") == ["--parsable", str(tmp_path / "my job.sh")]


def test_number_is_given_without_the_cluster(programs: Path, tmp_path: Path) -> None:
    write_command(programs, "sbatch", out="4711;roma\n")

    assert submit_script(tmp_path / "job.sh") == "4711"


def test_options_of_sbatch_in_the_environment_do_not_win(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_command(programs, "sbatch", out="1")
    for name in ("SBATCH_PARTITION", "SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SLURM_CONF", "MINE"):
        monkeypatch.setenv(name, "x")
    submit_script(tmp_path / "job.sh")

    seen = (programs / "sbatch.words.env").read_text()
    assert "SLURM_CONF=x" in seen
    assert "MINE=x" in seen
    assert not any(name in seen for name in ("SBATCH_", "SLURM_JOB_ID", "SLURM_MEM"))


def test_refused_job_is_told_in_the_words_of_slurm(programs: Path, tmp_path: Path) -> None:
    write_command(programs, "sbatch", err="sbatch: error: invalid partition specified: x\n", code=1)

    with pytest.raises(LaunchError, match=r"sbatch refused .*: invalid partition specified: x"):
        submit_script(tmp_path / "job.sh")


@pytest.mark.parametrize("out", ["", "Submitted batch job 1", "1\n2"])
def test_answer_without_a_number_is_an_error(programs: Path, tmp_path: Path, out: str) -> None:
    write_command(programs, "sbatch", out=out)

    with pytest.raises(LaunchError, match="sbatch refused"):
        submit_script(tmp_path / "job.sh")


def test_missing_sbatch_is_told(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="no sbatch command here"):
        submit_script(tmp_path / "job.sh")


def test_states_are_those_of_squeue_then_of_sacct(programs: Path) -> None:
    write_command(programs, "squeue", out="1|RUNNING|1:02|None\n2|PENDING|0:00|Priority\n9|RUNNING|5|None\n")
    write_command(programs, "sacct", out="3|CANCELLED by 1000|00:10:00\n")

    assert job_states(["1", "2", "3", "4"]) == {
        "1": JobState("RUNNING", "1:02"),
        "2": JobState("PENDING", "waits: Priority"),
        "3": JobState("CANCELLED", "00:10:00"),
    }
    assert "--jobs=3,4" in words(programs, "sacct")


def test_slurm_that_is_not_there_or_fails_knows_no_job(programs: Path) -> None:
    assert job_states(["1"]) == {}
    write_command(programs, "squeue", err="squeue: error: slurm_load_jobs error", code=1)
    write_command(programs, "sacct", out="nonsense\n")
    assert job_states(["1"]) == {}
