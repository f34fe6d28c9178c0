"""Ctrl-C and SIGTERM while a cube is made, on real processes."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import SPEC
from tests.cli.test_app import start
from tests.makers.smalldata import write_lcls1

N_SIGNALS = 60
"""The same frames again and again, so that the run lasts seconds."""


@pytest.fixture
def long_run(tmp_path: Path) -> Path:
    """A folder with a run and a spec that keeps the workers busy."""
    packed = {"compression": "gzip", "shuffle": True}
    write_lcls1(tmp_path / "xpptest01_Run0007.h5", n_events=2000, frame=(48, 48), compression=packed)
    signals = "".join(f"  - {{field: epix/ROI_0_area, name: roi{i}}}\n" for i in range(N_SIGNALS))
    (tmp_path / "long.yaml").write_text(SPEC[: SPEC.index("signals:")] + "signals:\n" + signals)
    (tmp_path / "out").mkdir()
    return tmp_path


def interrupted(folder: Path, number: signal.Signals, *options: str) -> tuple[int, str]:
    """Start a run, signal it once the store is being written, and give exit code and messages."""
    process = start("run", "long.yaml", "-o", "out/cube.zarr", *options, cwd=folder)
    deadline = time.monotonic() + 60
    while not list((folder / "out").iterdir()) and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not start to write"
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(number)
    try:
        _, messages = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, messages.decode()


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signal_leaves_nothing_half_published(
    long_run: Path, number: signal.Signals, code: int, word: str
) -> None:
    ended, messages = interrupted(long_run, number)

    assert ended == code
    assert messages.splitlines()[-1] == word
    assert "Traceback" not in messages
    assert list((long_run / "out").iterdir()) == []


def test_interrupt_ends_the_worker_processes(long_run: Path) -> None:
    ended, _ = interrupted(long_run, signal.SIGINT, "--launcher", "processes", "--workers", "1")

    assert ended == 130
    assert list((long_run / "out").iterdir()) == []


def test_interrupted_overwrite_keeps_the_old_cube(long_run: Path) -> None:
    from cubeengine.cli.app import run_command
    from cubeengine.store.read import cube_hash

    out = long_run / "out" / "cube.zarr"
    quick = ["--set", "signals=[ipm2/sum]", "-o", str(out)]
    assert run_command(["run", str(long_run / "long.yaml"), *quick]) == 0
    before = cube_hash(out)
    process = start("run", "long.yaml", "-o", "out/cube.zarr", "--overwrite", cwd=long_run)
    deadline = time.monotonic() + 60
    while len(list(out.parent.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert [path.name for path in out.parent.iterdir()] == ["cube.zarr"]
    assert cube_hash(out) == before
