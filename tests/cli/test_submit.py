"""Submitting through the command line, with a batch system of shell scripts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from cubeengine.store.read import cube_hash
from tests.cli.conftest import SPEC, Call
from tests.makers.smalldata import write_lcls1
from tests.submit.fakes import words, write_command

SITE = '[batch]\npartition = "roma"\nntasks = 4\ntime = "10"\n'


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of commands on PATH, an own state folder, and no variables of a batch system."""
    for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM_", "CUBEENGINE_"))]:
        monkeypatch.delenv(name)
    for name in ("EXPERIMENT", "RUN_NUM", "SIT_PSDM_DATA", "JID_UPDATE_COUNTERS"):
        monkeypatch.delenv(name, raising=False)
    commands = tmp_path / "commands"
    commands.mkdir()
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_command(commands, "sbatch", out="4711\n")
    write_command(commands, "cubeengine")
    return commands


@pytest.fixture
def runs(folder: Path) -> Path:
    """Two runs, and a site."""
    write_lcls1(folder / "xpptest01_Run0008.h5", n_events=240, seed=2)
    (folder / "site.toml").write_text(SITE)
    return folder


def test_a_script_per_run_is_submitted_and_noted(call: Call, runs: Path, cluster: Path) -> None:
    outcome = call("submit", "delay.yaml", "--runs", "7-8", "--site", "site.toml", "-d", "cubes")

    assert outcome.code == 0
    logs = runs / "cubes" / "logs"
    scripts = [logs / f"xpptest01_r000{run}_delay.sh" for run in (7, 8)]
    assert words(cluster, "sbatch") == ["--parsable", str(scripts[0]), "--parsable", str(scripts[1])]
    assert "--run 8" in scripts[1].read_text()
    assert f"--output {runs}/cubes/xpptest01_r0008_delay.zarr" in scripts[1].read_text()
    rows = [line.split() for line in outcome.out.splitlines()[2:]]
    assert [row[:3] for row in rows] == [["7", "submitted", "4711"], ["8", "submitted", "4711"]]
    assert f"{logs}/xpptest01_r0008_delay_4711.log" in outcome.out
    noted = [json.loads(line) for line in (runs / "state/cubeengine/jobs.jsonl").read_text().splitlines()]
    assert [(record["job"], record["run"]) for record in noted] == [("4711", 7), ("4711", 8)]


def test_dry_run_prints_the_script_and_leaves_nothing(call: Call, runs: Path, cluster: Path) -> None:
    before = {path.name for path in runs.rglob("*")}
    outcome = call("submit", "delay.yaml", "--site", "site.toml", "--dry-run")

    assert outcome.code == 0
    assert outcome.out.startswith("#!/bin/bash\n")
    assert outcome.out.count("#!/bin/bash") == 1
    assert "#SBATCH --partition=roma\n" in outcome.out
    assert "--run" not in outcome.out  # it is the spec's
    assert {path.name for path in runs.rglob("*")} == before


def test_missing_runs_and_missing_fields_are_told_and_left_out(call: Call, runs: Path, cluster: Path) -> None:
    camera = ["--set", "signals=[ipm2/sum, camera/area]"]
    missing = call("submit", "delay.yaml", "--runs", "7,9,8", "--site", "site.toml")
    lacking = call("submit", "delay.yaml", "--runs", "7-8", "--site", "site.toml", *camera)

    assert missing.code == 3
    assert [line.split()[:2] for line in missing.out.splitlines()[2:]] == [
        ["7", "submitted"], ["9", "left"], ["8", "submitted"],
    ]  # fmt: skip
    assert "xpptest01_Run0009.h5" in missing.err
    assert lacking.code == 2
    assert lacking.out.count("left out") == 2
    assert "camera/area" in lacking.out
    assert len(words(cluster, "sbatch")) == 4


def test_runs_need_not_be_there_without_a_check(call: Call, runs: Path, cluster: Path) -> None:
    outcome = call("submit", "delay.yaml", "--runs", "90-92", "--site", "site.toml", "--no-check")

    assert outcome.code == 0
    assert outcome.out.count("submitted") == 3


def test_flags_of_lcls_scripts_are_known(call: Call, runs: Path, cluster: Path) -> None:
    flags = ["-r", "8", "-q", "ampere", "-c", "12", "-n", "100", "-d", "out", "--logdir", "logs"]
    flags += ["--account", "lcls:{experiment}", "--reservation", "night shift"]
    text = call("submit", "delay.yaml", "-e", "xpptest01", *flags, "--site", "site.toml", "--dry-run").out

    for line in (
        "#SBATCH --partition=ampere", "#SBATCH --ntasks=12", "#SBATCH --account=lcls:xpptest01",
        '#SBATCH --reservation="night shift"', f"#SBATCH --output={runs}/logs/xpptest01_r0008_delay_%j.log",
        f"  --output {runs}/out/xpptest01_r0008_delay.zarr \\", "  --events 100 \\",
    ):  # fmt: skip
        assert line in text.splitlines()


def test_flags_win_over_the_environment_with_a_warning(
    call: Call, runs: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUN_NUM", "7")
    monkeypatch.setenv("SBATCH_PARTITION", "ampere")
    monkeypatch.setenv("SBATCH_ACCOUNT", "physics")
    outcome = call("submit", "delay.yaml", "-r", "8", "-p", "milano", "--site", "site.toml", "--dry-run")

    assert "#SBATCH --partition=milano\n" in outcome.out
    assert "#SBATCH --account=physics\n" in outcome.out
    assert "warning: --runs 8 is used, although the environment sets RUN_NUM=7" in outcome.err
    taken = "warning: --partition milano is used, although the environment sets SBATCH_PARTITION=ampere"
    assert taken in outcome.err


def test_experiment_of_the_environment_is_taken_and_told(
    call: Call, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPERIMENT", "xppother")
    template = ["--set", "run.smalldata=xpptest01_Run{run:04d}.h5"]
    outcome = call("submit", "delay.yaml", "--site", "site.toml", "--dry-run", *template)

    assert "EXPERIMENT=xppother is used, although the spec names 'xpptest01'" in outcome.err
    assert outcome.code == 2  # the file is that of xpptest01 in any case


def test_site_gives_the_data_root(call: Call, runs: Path) -> None:
    (runs / "data").mkdir()
    (runs / "xpptest01_Run0008.h5").rename(runs / "data" / "xpptest01_Run0008.h5")
    (runs / "site.toml").write_text(SITE + f'[paths]\ndata = "{runs}/data"\n')
    outcome = call(
        "submit", "delay.yaml", "-r", "8", "--site", "site.toml", "--dry-run",
        "--set", "run={experiment: xpptest01, run: 7}",
    )  # fmt: skip

    assert outcome.code == 0
    assert f"export SIT_PSDM_DATA={runs}/data\n" in outcome.out
    assert "SIT_PSDM_DATA" not in os.environ


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--runs", "9-7"], "is reversed"),
        (["--site", "s3fd"], "nearest: 's3df'"),
        (["--time", "tomorrow"], "must be a time limit"),
        (["--nodes", "many"], "number of nodes"),
        (["--mem", "much"], "memory size"),
        (["--runs", "7-8", "-o", "one.zarr"], "{run:04d}"),
        (["--account", "a\nb"], "printable"),
        (["--logdir", "a\\b"], "backslash"),
        (["--launcher", "mpi", "--memory", "much"], "memory size"),
    ],
)
def test_wrong_options_are_told_before_anything_is_submitted(
    call: Call, runs: Path, cluster: Path, flags: list[str], said: str
) -> None:
    outcome = call("submit", "delay.yaml", "--site", "site.toml", *flags)

    assert outcome.code == 2
    assert said in outcome.err
    assert not (cluster / "sbatch.words").exists()


def test_refused_job_is_told_and_not_noted(call: Call, runs: Path, cluster: Path) -> None:
    write_command(cluster, "sbatch", err="sbatch: error: Invalid account\n", code=1)
    outcome = call("submit", "delay.yaml", "--site", "site.toml")

    assert outcome.code == 5
    assert "Invalid account" in outcome.err
    assert not (runs / "state").exists()


def test_command_that_the_job_would_not_find_is_told(
    call: Call, runs: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster / "cubeengine").unlink()
    monkeypatch.setenv("PATH", str(cluster))
    outcome = call("submit", "delay.yaml", "--site", "site.toml")

    assert outcome.code == 2
    assert "there is no command 'cubeengine'" in outcome.err


@pytest.mark.parametrize(("launcher", "code"), [("mpi", 2), ("threads", 0)])
def test_mpi_job_that_would_not_find_mpi4py_is_not_submitted(
    call: Call, runs: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, code: int
) -> None:
    monkeypatch.setattr(sys, "executable", str(cluster / "python"))  # the environment of the command
    monkeypatch.setattr("cubeengine.cli.submit.find_spec", lambda _: None)
    outcome = call("submit", "delay.yaml", "--site", "site.toml", "--launcher", launcher)

    assert outcome.code == code
    assert ("lacks mpi4py; install it with: pip install 'cubeengine[mpi]'" in outcome.err) == bool(code)


def test_interactive_makes_the_cubes_of_the_runs_that_are_there(
    call: Call, runs: Path, cluster: Path
) -> None:
    outcome = call("submit", "delay.yaml", "--runs", "7,9,8", "--interactive", "-d", "now")
    alone = call("run", "delay.yaml", "-r", "8", "-o", "alone.zarr")

    assert outcome.code == 3
    assert [line.split()[:2] for line in outcome.out.splitlines()[2:]] == [
        ["7", "made"],
        ["9", "failed"],
        ["8", "made"],
    ]
    assert alone.code == 0
    assert cube_hash(runs / "now" / "xpptest01_r0008_delay.zarr") == cube_hash(runs / "alone.zarr")
    assert not (cluster / "sbatch.words").exists()


def test_names_may_follow_a_template(call: Call, runs: Path) -> None:
    outcome = call("submit", "delay.yaml", "--runs", "7-8", "--interactive", "-o", "{experiment}/r{run}.zarr")

    assert outcome.code == 0
    assert (runs / "xpptest01" / "r8.zarr").is_dir()


@pytest.mark.slow
def test_script_makes_the_cube_when_it_is_run(call: Call, runs: Path, cluster: Path) -> None:
    import subprocess

    (runs / "delay.yaml").write_text(SPEC)
    root = Path(__file__).resolve().parents[2]
    (cluster / "cubeengine").write_text(
        f'#!/bin/bash\nexport PYTHONPATH="{root}"\nexec "{sys.executable}" -m cubeengine.cli "$@"\n'
    )
    call(
        "submit",
        "delay.yaml",
        "--site",
        "site.toml",
        "--launcher",
        "threads",
        "-c",
        "2",
        "--logdir",
        "my logs",
    )
    script = runs / "my logs" / "xpptest01_r0007_delay.sh"
    done = subprocess.run(["bash", script], env={**os.environ, "SLURM_JOB_ID": "4711"}, check=False)

    assert done.returncode == 0
    assert (runs / "xpptest01_r0007_delay.zarr").is_dir()
    assert json.loads((runs / "my logs" / "xpptest01_r0007_delay_4711.json").read_text())["ended"] == "made"
