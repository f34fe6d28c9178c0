"""The script of a job of workers: complete, and quoted whatever names a site has."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cubeengine.budget import Budget
from cubeengine.errors import SpecError
from cubeengine.launch.slurm_job import SlurmOptions, job_script

ODD = 'it\'s 100 % "odd" $HOME `id`'


def script(options: SlurmOptions, folder: str = "/shared/run") -> str:
    address, python = "tls://10.0.0.1:4711", "/opt/python"
    return job_script(
        options, Budget(2**31), folder=Path(folder), address=address, name="cubeengine-3", python=python
    )


def test_script_of_a_site_without_wishes() -> None:
    assert script(SlurmOptions()) == (
        "#!/bin/bash\n"
        "#SBATCH --job-name=cubeengine-worker\n"
        "#SBATCH --output=/shared/run/logs/worker-%j.log\n"
        "#SBATCH --ntasks=1\n"
        "#SBATCH --cpus-per-task=1\n"
        "#SBATCH --mem=2560M\n"
        "#SBATCH --no-requeue\n"
        "# Folder names are quoted literally; the shell does not expand them.\n"
        "# shellcheck disable=SC2016\n"
        "set -eu\n"
        "export DASK_CONFIG=/shared/run/settings\n"
        "exec /opt/python -m distributed.cli.dask_worker tls://10.0.0.1:4711 --name cubeengine-3 "
        "--nworkers 1 --nthreads 1 --nanny --memory-limit 2147483648 --death-timeout 60 --no-dashboard "
        "--dashboard-address 127.0.0.1:0 --protocol tls:// --tls-ca-file /shared/run/keys/ca.pem "
        "--tls-cert /shared/run/keys/cert.pem --tls-key /shared/run/keys/key.pem "
        '--local-directory "${TMPDIR:-/tmp}"\n'
    )


def test_wishes_of_a_site_are_options_of_sbatch_and_of_the_worker() -> None:
    options = SlurmOptions(
        "milano", "lcls:x", "normal", "beam", "02:00:00", 4, "ib0", extra=("--constraint=rome", "--exclusive")
    )
    lines = script(options).splitlines()

    wanted = ["partition=milano", "account=lcls:x", "qos=normal", "reservation=beam", "time=02:00:00"]
    wanted += ["constraint=rome", "exclusive", "cpus-per-task=4", f"mem={4 * 2048 + 512}M"]
    assert {f"#SBATCH --{option}" for option in wanted} <= set(lines)
    assert "--nworkers 4 --nthreads 1" in lines[-1]
    assert "--interface ib0" in lines[-1]


def test_odd_names_stay_one_word_and_run_nothing() -> None:
    options = SlurmOptions(account=ODD, scratch=Path("/", ODD), extra=(f"--comment={ODD}",))
    text = script(options, f"/shared/{ODD}")
    directives = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("#SBATCH")]

    assert [f"--account={ODD}"] in directives
    assert [f"--comment={ODD}"] in directives
    assert [f"--output=/shared/{ODD.replace('%', '%%')}/logs/worker-%j.log"] in directives
    command = shlex.split(text.splitlines()[-1])
    assert f"/shared/{ODD}/keys/key.pem" in command
    assert command[-1] == f"/{ODD}"
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("options", [SlurmOptions(), SlurmOptions(account=ODD, scratch=Path("/", ODD))])
def test_shellcheck_has_nothing_to_say(options: SlurmOptions) -> None:
    done = subprocess.run(
        ["shellcheck", "-"], input=script(options, f"/{ODD}"), text=True, capture_output=True, check=False
    )
    assert done.stdout == ""


def test_options_come_from_the_environment() -> None:
    found = SlurmOptions.from_environment(
        {
            "CUBEENGINE_SLURM_PARTITION": "milano",
            "CUBEENGINE_SLURM_PROCESSES": "8",
            "CUBEENGINE_SLURM_FOLDER": "/shared",
            "CUBEENGINE_SLURM_EXTRA": "--constraint=rome '--comment=two words'",
            "CUBEENGINE_SLURM_ACCOUNT": "",
            "SLURM_CONF": "/etc/slurm.conf",
        }
    )
    assert found == SlurmOptions(
        partition="milano",
        processes=8,
        folder=Path("/shared"),
        extra=("--constraint=rome", "--comment=two words"),
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PARTITON", "x", "unknown option; nearest: CUBEENGINE_SLURM_PARTITION"),
        ("PROCESSES", "many", "must be a number, got 'many'"),
        ("PROCESSES", "0", "processes per job must be at least 1, got 0"),
        ("ACCOUNT", "x\n#SBATCH --uid=0", "must be one printable line"),
        ("EXTRA", "'--comment=a\nrm -rf /'", "must be one printable line"),
    ],
)
def test_wrong_options_are_told(name: str, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SlurmOptions.from_environment({f"CUBEENGINE_SLURM_{name}": text})
