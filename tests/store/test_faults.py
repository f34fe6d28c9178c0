"""The store when something fails: killed writers, full disks, systems that refuse."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cubeengine.errors import CubeEngineError, StoreMismatch
from cubeengine.store import files, write
from cubeengine.store.files import StoreWriteError
from cubeengine.store.layout import ArrayLayout, CubeLayout
from cubeengine.store.read import cube_hash, open_cube
from tests.quick import first_quick

SHAPE = (40, 64)
LAYOUT = CubeLayout((ArrayLayout("m", ("x", "y"), SHAPE, (2, 64), "float64"),))
CHECKOUT = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from pathlib import Path
import numpy as np
from cubeengine.store import write
from tests.store.test_faults import LAYOUT, SHAPE
target = Path(sys.argv[1])
print("ready", flush=True)
while True:
    store = write.create(target, LAYOUT, {}, overwrite=True)
    for i in range(0, 40, 2):
        write.write_region(store, "m", (slice(i, i + 2), slice(None)), np.full((2, 64), 2.0))
    write.publish(store, target, overwrite=True)
"""


def save(target: Path, value: float) -> None:
    store = write.create(target, LAYOUT, {}, overwrite=True)
    write.write_region(store, "m", (slice(None), slice(None)), np.full(SHAPE, value))
    write.publish(store, target, overwrite=True)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "c.zarr"
    save(path, 1.0)
    return path


@pytest.mark.slow
def test_killed_writer_leaves_the_old_cube_or_the_new_one(target: Path) -> None:
    old = cube_hash(target)
    save(target.with_name("new.zarr"), 2.0)
    both = {old, cube_hash(target.with_name("new.zarr"))}
    seen = set()
    for trial in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target)], cwd=CHECKOUT, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(0.004 + 0.037 * trial)
            writer.send_signal(signal.SIGKILL)
        seen.add(cube_hash(target))
        assert seen <= both
    for left in write.leftovers(target):
        write.discard(left)
    assert {path.name for path in target.parent.iterdir()} == {"c.zarr", "new.zarr"}


def failing(function: Callable[..., object], code: int, at: int) -> Callable[..., object]:
    """Return a stand-in for `function` that fails at its n-th call."""
    calls = iter(range(10**6))

    def stand_in(*args: object, **kwargs: object) -> object:
        if next(calls) == at:
            raise OSError(code, os.strerror(code))
        return function(*args, **kwargs)

    return stand_in


SYSTEM_CALLS = [
    (os, "fsync"),
    (os, "open"),
    (os, "mkdir"),
    (Path, "open"),
    (Path, "replace"),
    (Path, "mkdir"),
]


@pytest.mark.parametrize("code", first_quick([errno.ENOSPC, errno.EIO]))
@pytest.mark.parametrize(("owner", "name"), SYSTEM_CALLS, ids=lambda value: getattr(value, "__name__", value))
def test_failure_at_any_call_is_one_clear_error_and_the_old_cube_stays(
    target: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, code: int
) -> None:
    old = cube_hash(target)
    small = CubeLayout((ArrayLayout("m", ("x",), (4,), (2,), "float64"),))
    failures = 0
    for at in range(60):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing(getattr(owner, name), code, at))
            error = failure_of(_replace_by_zeros, target, small)
        if error is None:
            break
        failures += 1
        assert os.strerror(code) in str(error)
        assert str(target.parent) in str(error)
        if value_shape(target) == SHAPE:
            assert cube_hash(target) == old
        for left in write.leftovers(target):
            write.discard(left)
        save(target, 1.0)
    else:
        pytest.fail("never came through")
    assert value_shape(target) == (4,)
    assert failures or (owner, name) == (Path, "mkdir")


def _replace_by_zeros(target: Path, layout: CubeLayout) -> None:
    store = write.create(target, layout, {}, overwrite=True)
    write.write_region(store, "m", (slice(None),), np.zeros(4))
    write.update_attrs(store, {"done": True})
    write.publish(store, target, overwrite=True)


def failure_of(function: Callable[..., object], *args: object) -> CubeEngineError | None:
    """Return the error of ours that `function` raises; any other one passes through."""
    try:
        function(*args)
    except (StoreWriteError, StoreMismatch) as error:
        return error
    return None


def value_shape(target: Path) -> tuple[int, ...]:
    return open_cube(target)["m"].shape


def test_full_disk_says_what_to_do(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write.create(target, LAYOUT, {}, overwrite=True)
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.ENOSPC, 0))
    with pytest.raises(StoreWriteError, match="No space left on device; free some space") as caught:
        write.write_region(store, "m", (slice(0, 2), slice(None)), np.zeros((2, 64)))
    assert isinstance(caught.value, OSError)
    assert caught.value.exit_code == 5


def test_failed_second_rename_puts_the_old_cube_back(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = cube_hash(target)
    store = write.create(target, LAYOUT, {}, overwrite=True)
    write.write_region(store, "m", (slice(None), slice(None)), np.zeros(SHAPE))
    monkeypatch.setattr(files, "_system_renameat2", lambda: None)
    monkeypatch.setattr(Path, "rename", failing(Path.rename, errno.EIO, 1))
    with pytest.raises(StoreWriteError, match="publishing the cube failed"):
        write.publish(store, target, overwrite=True)
    assert cube_hash(target) == old


def test_file_system_without_exchange_falls_back_to_renames(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(files, "_system_renameat2", lambda: refuse)
    save(target, 3.0)
    assert float(open_cube(target)["m"][0, 0]) == 3.0
    assert [path.name for path in target.parent.iterdir()] == ["c.zarr"]


def test_old_cube_that_cannot_be_removed_is_a_warning_in_the_log(
    target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", failing(shutil.rmtree, errno.EACCES, 0))
        save(target, 2.0)
    assert float(open_cube(target)["m"][0, 0]) == 2.0
    assert "delete it by hand" in caplog.text


@pytest.mark.parametrize("name", ["base.nc", "base.h5", "base.hdf5", "base.yaml", "BASE.NC"])
def test_names_of_other_kinds_of_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreMismatch, match=r"the output is a zarr store; end the name with \.zarr"):
        write.check_target(tmp_path / name, overwrite=False)
    write.check_target(tmp_path / "base", overwrite=False)
    write.check_target(tmp_path / "base.zarr", overwrite=False)


@pytest.mark.parametrize("length", [0, 10, 20, -8])
def test_a_chunk_that_was_cut_off_is_refused(target: Path, length: int) -> None:
    """Noise is stored as it is, and blosc unpacks what lies behind such a chunk in memory."""
    store = write.create(target, LAYOUT, {}, overwrite=True)
    whole = (slice(None), slice(None))
    write.write_region(store, "m", whole, np.random.default_rng(0).normal(size=SHAPE))
    write.publish(store, target, overwrite=True)
    chunk = target / "m" / "c.3.0"
    chunk.write_bytes(chunk.read_bytes()[:length])
    with pytest.raises(StoreMismatch, match=r"m/c\.3\.0: this chunk of the cube is damaged"):
        open_cube(target)
