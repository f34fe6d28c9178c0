"""A run to make a cube of, and the command line started under MPI and Slurm in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import h5py
import psutil
import pytest

from cubeengine.store.read import cube_hash
from tests.cli.conftest import SPEC
from tests.makers.smalldata import write_lcls1
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
FRAMES = "epix/ROI_0_area"
SRUN_JOB = f"ranks-{os.getpid()}"

N_SLOW_EVENTS, SLOW_FRAME = 2000, (48, 48)

N_LONG = 50
"""Signals of the long run, all of the same frames."""

N_ENDLESS, N_ROUNDS = 500, 20
"""Signals of a run that is there until it is stopped, and how often its frames repeat the slow ones."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose frames are read in several leaves, one slow to decode, and one of many such frames."""
    folder = tmp_path_factory.mktemp("data")
    write_lcls1(folder / "frames.h5", n_events=6000, frame=(96, 64))
    packed = {"compression": "gzip", "shuffle": True}
    write_lcls1(folder / "slow.h5", n_events=N_SLOW_EVENTS, frame=SLOW_FRAME, compression=packed)
    _repeat_frames(folder / "slow.h5", folder / "endless.h5")
    return folder


def _repeat_frames(slow: Path, path: Path) -> None:
    """Write a run whose frames are those of another, many times over, without a copy of them."""
    n_events = N_SLOW_EVENTS * N_ROUNDS
    write_lcls1(path, n_events=n_events, frame=(1, 1))
    layout = h5py.VirtualLayout((n_events, *SLOW_FRAME), "f4")
    for first in range(0, n_events, N_SLOW_EVENTS):
        layout[first : first + N_SLOW_EVENTS] = h5py.VirtualSource(
            slow, FRAMES, (N_SLOW_EVENTS, *SLOW_FRAME), "f4"
        )
    with h5py.File(path, "r+") as file:
        del file[FRAMES]
        file.create_virtual_dataset(FRAMES, layout)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def quiet(self) -> bool:
        """Whether nothing went wrong in the background that a user would be told of."""
        return not any(word in self.err for word in ("Traceback", "CommClosed", "Error:", "never retrieved"))


@dataclass
class Place:
    """A folder in which commands are started, and found again: all their processes work in it."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "home"),
            **variables,
        }
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=pipe,
            stderr=pipe,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> Ended:
        out, err = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, out, err)

    def run(self, *command: str, **variables: str) -> Ended:
        return self.end(self.start(*command, **variables))

    def processes(self) -> list[psutil.Process]:
        """Return the processes of the command line that work here, without mpirun and srun."""
        return [
            process
            for process in self.all_processes()
            if process.info["cmdline"][:3] == [sys.executable, "-m", "cubeengine.cli"]
        ]

    def all_processes(self) -> list[psutil.Process]:
        return [
            process
            for process in psutil.process_iter(["cwd", "status", "cmdline"])
            if process.info["cwd"] == str(self.folder) and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes: what the ranks, or the jobs, have spawned."""
        return [process for process in self.all_processes() if "spawn_main" in " ".join(process.cmdline())]

    def rank(self, number: int) -> psutil.Process:
        """Return the process of an MPI rank."""
        for process in self.processes():
            if process.environ().get("PMI_RANK") == str(number):
                return process
        raise AssertionError(f"no process is rank {number}")

    def wait_for(self, reached: Callable[[], object], what: str) -> None:
        wait_until(reached, what, every=0.05)

    def wait_until_written(self, process: subprocess.Popen[str]) -> None:
        """Wait until the first chunk of the frames is in the store: the workers are at work."""

        def written() -> bool:
            assert process.poll() is None, process.communicate()[1]
            return any(self.out.glob(".*/roi*_mean/c.*"))

        self.wait_for(written, "the workers write")

    def check_nothing_left(self, *, cubes: Sequence[str] = ()) -> None:
        """Fail if a process, a port, a key or a temporary file is still there a while later."""
        self.wait_for_end()
        assert sorted(path.name for path in self.out.iterdir()) == sorted(cubes)
        left = [
            path for name in ("home", "tmp") for path in (self.folder / name).rglob("*") if path.is_file()
        ]
        # A user's settings of dask, and locks of zero bytes by which its workers on a node tell who lives.
        assert [path for path in left if path.suffix not in (".lock", ".dirlock", ".yaml")] == []
        assert not list((self.folder / "home").glob(".cubeengine*"))

    def wait_for_end(self) -> None:
        self.wait_for(lambda: not self.all_processes(), "all processes have ended")


@pytest.fixture
def place(tmp_path: Path, data: Path) -> Iterator[Place]:
    """A working folder with a quick spec and a long one."""
    for name in ("out", "tmp", "home"):
        (tmp_path / name).mkdir()
    text = SPEC.replace("xpptest01_Run{run:04d}.h5", str(data / "frames.h5"))
    (tmp_path / "quick.yaml").write_text(text)
    for name, file, n_signals in (("long", "slow.h5", N_LONG), ("endless", "endless.h5", N_ENDLESS)):
        head = text[: text.index("signals:")].replace("frames.h5", file)
        frames = "".join(f"  - {{field: {FRAMES}, name: roi{index}}}\n" for index in range(n_signals))
        (tmp_path / f"{name}.yaml").write_text(head + "signals:\n" + frames)
    found = Place(tmp_path)
    yield found
    for process in found.all_processes():
        process.kill()
    for started in found.started:
        started.kill()
        started.communicate()


@pytest.fixture(scope="session")
def hashes(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Return the hash of the cube that threads make of a spec."""
    known: dict[str, str] = {}

    def hash_of(spec: Path) -> str:
        if spec.name not in known:
            cube = tmp_path_factory.mktemp("cubes") / "cube.zarr"
            done = subprocess.run(
                [*cubeengine("run", str(spec)), "-o", str(cube)], check=False, capture_output=True, cwd=ROOT
            )
            assert done.returncode == 0, done.stderr
            known[spec.name] = cube_hash(cube)
        return known[spec.name]

    return hash_of


def cubeengine(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cubeengine.cli", *arguments]


@pytest.fixture(scope="session")
def mpirun() -> str:
    """The mpirun of the MPI library beside mpi4py."""
    found = Path(sys.executable).parent / "mpirun"
    if find_spec("mpi4py") is None or not found.exists():
        pytest.skip("mpi4py and mpich are not installed: pip install 'cubeengine[mpi]'")
    return str(found)


@pytest.fixture(scope="session")
def slurm() -> None:
    """A running Slurm."""
    if shutil.which("squeue") is None or "SLURM_CONF" not in os.environ:
        pytest.skip('no Slurm for tests: eval "$(python tests/tools/slurm.py start)"')
    if subprocess.run(["squeue"], capture_output=True, check=False).returncode:
        pytest.skip("Slurm does not answer")


@pytest.fixture(params=["mpirun", "srun"])
def starter(request: pytest.FixtureRequest) -> Callable[[int], list[str]]:
    """Begin a command line that starts so many ranks."""
    request.getfixturevalue("mpirun")
    if request.param == "mpirun":
        program = request.getfixturevalue("mpirun")
        return lambda ranks: [program, "-n", str(ranks)]
    request.getfixturevalue("slurm")
    options = ["--mpi=pmi2", "--quiet", "--disable-status", f"--job-name={SRUN_JOB}"]
    return lambda ranks: ["srun", *options, "-n", str(ranks), "-N", str(min(ranks, 3))]


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)
