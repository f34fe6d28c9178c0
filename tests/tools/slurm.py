"""A Slurm of a few virtual nodes on this machine, as plain background processes in a folder of its own.

    eval "$(python tests/tools/slurm.py start)"    # prints the export of SLURM_CONF, for sbatch and the tests
    python tests/tools/slurm.py stop

It needs root and Debian's packages slurmctld, slurmd, slurm-client and munge; it starts no service, needs no
cgroups and no database, and writes nothing outside its folder (CUBEENGINE_TEST_SLURM, default below). The
nodes share this host, its name and its files, and enforce neither memory nor processors.
"""

# ruff: noqa: T201 - a script

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(os.environ.get("CUBEENGINE_TEST_SLURM", "/run/cubeengine-slurm"))
"""Short, as the names of Unix sockets are limited to 107 characters."""

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
START_SECONDS, STOP_SECONDS = 300.0, 10.0

CONFIGURATION = """\
ClusterName=cubeengine
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.own.pid
SlurmdPidFile={folder}/slurmd.%n.own.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
DefMemPerCPU={memory_per_cpu}
ReturnToService=2
KillWait=15
"""


@dataclass(frozen=True)
class Nodes:
    """How many virtual nodes there are, and what each claims to have."""

    number: int = 3
    cpus: int = 4
    memory_mb: int = 6000

    @property
    def names(self) -> list[str]:
        return [f"v{index}" for index in range(1, self.number + 1)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("start", "stop"))
    command = parser.parse_args(arguments).command
    missing = [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
    if missing:
        print(f"Slurm is not installed here: there is no {', '.join(missing)}", file=sys.stderr)
        return 3
    if command == "stop":
        stop(FOLDER)
        return 0
    try:
        start(FOLDER, Nodes())
    except (OSError, TimeoutError, subprocess.SubprocessError) as err:
        print(f"Slurm does not start: {err}", file=sys.stderr)
        for log in sorted([*FOLDER.glob("*.log"), *FOLDER.glob("*.out")]):
            print(log.name, *log.read_text(errors="replace").splitlines()[-5:], sep="\n  ", file=sys.stderr)
        stop(FOLDER)
        return 4
    print(f"export SLURM_CONF={FOLDER / 'slurm.conf'}")
    return 0


def start(folder: Path, nodes: Nodes) -> None:
    """Start everything, the one that others need first, and wait until all nodes are idle."""
    stop(folder)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    (folder / "state").mkdir()
    write_configuration(folder, nodes)
    key, munge_socket = folder / "munge.key", folder / "munge.socket"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    # Without --force it insists on a folder in which nobody else may look.
    options = [f"--key-file={key}", f"--socket={munge_socket}", f"--log-file={folder / 'munged.log'}"]
    options += [f"--pid-file={folder / 'munged.own.pid'}", f"--seed-file={folder / 'munge.seed'}"]
    spawn(folder, "munged", "munged", "--foreground", "--force", *options)
    wait_until(lambda: succeeds("munge", "-n", f"--socket={munge_socket}"), "munged answers")
    spawn(folder, "slurmctld", "slurmctld", "-D", "-i")
    for name in nodes.names:
        (folder / f"spool.{name}").mkdir()
        spawn(folder, f"slurmd.{name}", "slurmd", "-D", "-N", name)
    wait_until(lambda: idle_nodes(folder) == nodes.number, "all nodes are idle")


def stop(folder: Path) -> None:
    """Cancel all jobs, end what was started, and remove the folder."""
    if not (folder / "slurm.conf").exists():
        return
    if is_running(folder / "slurmctld.pid"):
        run("scancel", "--user=root", folder=folder)
        wait_until(lambda: not run("squeue", "-h", folder=folder).strip(), "", quietly=True)
    for path in sorted(folder.glob("*.pid"), key=lambda path: path.name, reverse=True):
        if not path.name.endswith(".own.pid"):
            end(path)
    shutil.rmtree(folder)


def write_configuration(folder: Path, nodes: Nodes) -> None:
    host = socket.gethostname().partition(".")[0]
    port = 17_000 + os.getpid() % 5_000
    text = CONFIGURATION.format(
        host=host, port=port, folder=folder, memory_per_cpu=nodes.memory_mb // nodes.cpus
    )
    for index, name in enumerate(nodes.names, start=1):
        text += f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port + index} "
        text += f"CPUs={nodes.cpus} RealMemory={nodes.memory_mb}\n"
    text += f"PartitionName=short Nodes={','.join(nodes.names)} Default=YES MaxTime=INFINITE DefaultTime=30\n"
    (folder / "slurm.conf").write_text(text)


def search_path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PATH": search_path(), "SLURM_CONF": str(folder / "slurm.conf")}


def spawn(folder: Path, name: str, *command: str) -> None:
    """Start a program that outlives this one, and note its number."""
    with (folder / f"{name}.out").open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
            env=environment(folder),
        )
    (folder / f"{name}.pid").write_text(str(process.pid))


def is_running(path: Path) -> bool:
    """Return whether the program that a file names runs, and not another one that got its number."""
    if not path.exists():
        return False
    try:
        command = Path(f"/proc/{int(path.read_text())}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return path.name.partition(".")[0].encode() in command


def end(path: Path) -> None:
    if not is_running(path):
        return
    number = int(path.read_text())
    os.kill(number, signal.SIGTERM)
    wait_until(lambda: not is_running(path), "", quietly=True)
    if is_running(path):
        os.kill(number, signal.SIGKILL)


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, check=False)
    return done.stdout


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def idle_nodes(folder: Path) -> int:
    return run("sinfo", "-h", "-N", "-o", "%T", folder=folder).split().count("idle")


def wait_until(reached: Callable[[], bool], what: str, *, quietly: bool = False) -> None:
    deadline = time.monotonic() + (STOP_SECONDS if quietly else START_SECONDS)
    while not reached():
        if time.monotonic() > deadline:
            if quietly:
                return
            raise TimeoutError(f"waited {START_SECONDS:.0f} s until {what}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
