"""A run whose file system fails at one call, wherever that is made, and a run that goes on from there.

Of the calls that are made at the same place of the code the first is tried, in a run that replaces a cube and
keeps what is done, and the last, in one that does neither; all in both, which takes half an hour, with
CUBEENGINE_EVERY_CALL=1.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cubeengine import api
from cubeengine.cli.app import run_command
from cubeengine.spec.model import CubeSpec
from cubeengine.store import files
from cubeengine.store.read import cube_hash, is_cube
from tests.makers.frames import SPEC, forced_plan, frame_arrays, write_frames

CODES = (errno.ENOSPC, errno.EIO)
PACKAGE = str(Path(api.__file__).parent)


@dataclass
class Failing:
    """A stand-in for a function of the system: it fails at one of its calls on what is in a folder.

    Attributes
    ----------
    at : int
        The call that fails; none where it is negative.
    places : list
        Where in the code each call was made.
    failed : bool
        Whether it came to that.
    """

    function: Callable[..., Any]
    folder: Path
    code: int
    at: int
    places: list[tuple[str, ...]] = field(default_factory=list)
    failed: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.fail_at_times(*args, **kwargs)
        return self.function(*args, **kwargs)

    def fail_at_times(self, path: Any, *_: Any, dir_fd: int | None = None, **__: Any) -> None:
        if not str(path_of(path, dir_fd)).startswith(str(self.folder)):
            return
        self.places.append(place())
        if len(self.places) == self.at + 1:
            self.failed = True
            raise OSError(self.code, os.strerror(self.code))

    def chosen(self, *, last: bool) -> list[int]:
        """Return calls that stand for all: the first, or the last, of each place."""
        numbers = range(len(self.places))
        if os.environ.get("CUBEENGINE_EVERY_CALL"):
            return list(numbers)
        ordered = numbers if last else reversed(numbers)  # the one that comes last stays
        return sorted({self.places[number]: number for number in ordered}.values())


def place() -> tuple[str, ...]:
    """Return the lines of this package that are being called, innermost first, up to that of a task."""
    found, frame = [], sys._getframe(1)
    while frame is not None and len(found) < 3:
        if frame.f_code.co_filename.startswith(PACKAGE):
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return tuple(found)


def path_of(path: Any, dir_fd: int | None) -> Path:
    """Return what a path, or the descriptor of an open file, stands for."""
    if isinstance(path, int):
        return Path(f"/proc/self/fd/{path}").readlink()
    start = Path(f"/proc/self/fd/{dir_fd}").readlink() if dir_fd is not None else Path.cwd()
    return start / os.fsdecode(path)


class Broken:
    """A file that may fail when it is written to."""

    def __init__(self, file: Any, failing: Failing) -> None:
        self._file, self._failing = file, failing

    def write(self, content: bytes) -> int:
        self._failing.fail_at_times(self._file.fileno())
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Any:
        self._file.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        self._file.__exit__(*args)


def break_calls(patch: pytest.MonkeyPatch, call: str, folder: Path, code: int, at: int) -> Failing:
    """Have one kind of call fail, of all that writing a cube needs."""
    if call == "write":
        return break_writes(patch, Failing(Path.open, folder, code, at))
    if call == "renameat2":
        return break_exchange(patch, folder, code, at)
    owner, name = OF_THE_SYSTEM[call]
    failing = Failing(getattr(owner, name), folder, code, at)
    # A plain function, so that it is bound as a method where the owner is a class.
    patch.setattr(owner, name, lambda *args, **kwargs: failing(*args, **kwargs))
    return failing


def break_writes(patch: pytest.MonkeyPatch, failing: Failing) -> Failing:
    def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = failing.function(path, mode, *args, **kwargs)
        return Broken(file, failing) if "x" in mode else file

    patch.setattr(Path, "open", opened)
    return failing


def break_exchange(patch: pytest.MonkeyPatch, folder: Path, code: int, at: int) -> Failing:
    function = files._system_renameat2()
    assert function is not None
    failing = Failing(function, folder, code, at)

    def renamed(*args: Any) -> int:
        try:
            failing.fail_at_times(args[1])
        except OSError as err:
            ctypes.set_errno(err.errno or 0)
            return -1
        return int(function(*args))

    patch.setattr(files, "_system_renameat2", lambda: renamed)
    return failing


OF_THE_SYSTEM = {
    "Path.open": (Path, "open"),
    "os.open": (os, "open"),
    "fsync": (os, "fsync"),
    "mkdir": (os, "mkdir"),
    "replace": (Path, "replace"),
    "unlink": (os, "unlink"),
    "rmdir": (os, "rmdir"),
}
CALLS = ("write", "renameat2", *OF_THE_SYSTEM)


@dataclass(frozen=True)
class Run:
    """A run on the command line, in this process and one thread."""

    spec: Path
    old: Path
    old_hash: str
    new_hash: str

    def make(self, target: Path, *options: str) -> int:
        arguments = ["run", str(self.spec), "-o", str(target), "--overwrite", "--workers", "1", *options]
        return run_command(arguments)


@contextmanager
def forced_plans(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the command line plan several leaves, so that sums are kept in between."""
    plain = api.plan

    def plan(run: Any, spec: CubeSpec, **_: object) -> api.Plan:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(api, "plan", plain)
            return forced_plan(run, "stream", leaves=9, spec=spec)

    with patch.context() as planning:
        planning.setattr(api, "plan", plan)
        yield


@pytest.fixture(scope="module")
def broken_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("run")
    write_frames(folder / "frames.h5", frame_arrays(90, shape=(4, 5)), chunk_events=2)
    text = SPEC.to_yaml().replace("bins: 16", "bins: 4")
    (folder / "frames.yaml").write_text(f"run: {{smalldata: {folder / 'frames.h5'}}}\n{text}")
    with pytest.MonkeyPatch.context() as patch, forced_plans(patch):
        blank = Run(folder / "frames.yaml", folder / "old.zarr", "", "")
        assert blank.make(blank.old, "--set", "cubes=[all]") == 0
        assert blank.make(folder / "new.zarr") == 0
        yield Run(blank.spec, blank.old, cube_hash(blank.old), cube_hash(folder / "new.zarr"))


@dataclass(frozen=True)
class Case:
    """A run that is to fail: what is at its target, and whether it keeps what is done."""

    folder: Path
    had_cube: bool
    keeps: bool

    @property
    def target(self) -> Path:
        return self.folder / "cube.zarr"

    def make(self, run: Run, call: str, code: int, at: int) -> tuple[Failing, int]:
        self.folder.mkdir()
        if self.had_cube:
            shutil.copytree(run.old, self.target)
        with pytest.MonkeyPatch.context() as patch:
            failing = break_calls(patch, call, self.folder, code, at)
            return failing, run.make(self.target, *(["--resume"] if self.keeps else []))


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_failure_at_any_call_ends_in_a_message_and_loses_nothing(
    broken_run: Run, tmp_path: Path, call: str, capfd: pytest.CaptureFixture[str]
) -> None:
    numbers = count()
    for had_cube, keeps in ((True, True), (False, False)):
        whole, ended = Case(tmp_path / f"{next(numbers)}", had_cube, keeps).make(broken_run, call, 0, -1)
        assert ended == 0
        assert whole.places
        for at in whole.chosen(last=not keeps):
            number = next(numbers)
            case = Case(tmp_path / f"{number}", had_cube, keeps)
            code = CODES[number % 2]
            failing, ended = case.make(broken_run, call, code, at)
            assert failing.failed
            said = capfd.readouterr().err
            where = f"{call} {at} of {len(whole.places)}, {whole.places[at]}, code {ended}: {said}"
            check_end(broken_run, case, code, ended, said, where)


def check_end(run: Run, case: Case, code: int, ended: int, said: str, where: str) -> None:
    assert ended in (0, 3, 5), where
    assert "bug in cubeengine" not in said, where
    assert "Traceback" not in said, where
    if ended:
        assert os.strerror(code) in said, where
    there = cube_hash(case.target) if is_cube(case.target) else ""
    assert there in {run.old_hash if case.had_cube else "", run.new_hash}, where
    assert there == run.new_hash or ended, where

    assert run.make(case.target, "--resume") == 0, where
    assert cube_hash(case.target) == run.new_hash, where
    assert [path.name for path in case.folder.iterdir()] == ["cube.zarr"], where
