"""What the store asks of the file system: durable writes, one atomic exchange, careful removal."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from cubeengine.errors import CubeEngineError, StoreMismatch

_AT_FDCWD = -100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2  # <linux/fs.h>
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
MOST_PENDING = 16
_SYNC_THREADS = 16  # 200 files: 0.09 ms each, against 0.2 ms one by one


class StoreWriteError(CubeEngineError, OSError):
    """A cube, or the state of a run, cannot be written or read: a full disk, a quota, a lost disk."""


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Turn what the system reports while writing into an error that says what was being done, and where."""
    with _told(path, what, _advice):
        yield


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Do the same for reading."""
    with _told(path, what, lambda _: "check the file system and your read permission, and run again"):
        yield


@contextmanager
def _told(path: Path, what: str, advice: Callable[[int | None], str]) -> Iterator[None]:
    try:
        yield
    except CubeEngineError:
        raise
    except OSError as err:
        reason = err.strerror or str(err)
        raise StoreWriteError(f"{path}: {what} failed: {reason}; {advice(err.errno)}") from err


def _advice(code: int | None) -> str:
    if code in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, or choose another place; an existing cube is untouched"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a place where you can write"
    return "check the file system and run again; an existing cube is untouched"


def sync_path(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk and not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Do the same for everything below `root`, folders after their files, and for `root` itself."""
    files: list[Path] = []
    folders: list[Path] = []
    for folder, _, names in os.walk(root):
        folders.append(Path(folder))
        files.extend(Path(folder) / name for name in names)
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        for _ in pool.map(sync_path, files):
            pass
    for path in reversed(folders):
        sync_path(path)


class Replacements:
    """Files that are put in place together, so that a reader, or a crash, finds each old or new and whole.

    A context: on leaving it, or at `settle`, what was written is brought to the disk and renamed; an error
    removes it.

    Notes
    -----
    Files are sent to the disk while the next ones are made, and waited for at the end: three at a time take
    1 ms each where one by one they take 3 ms. `MOST_PENDING` bounds the open files.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[IO[bytes], Path, Path]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        try:
            if error is None:
                self.settle()
        finally:
            self._drop()

    def write(self, path: Path, content: bytes | memoryview) -> None:
        """Write the new content of a file under another name."""
        if len(self._pending) == MOST_PENDING:
            self.settle()
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        file = partial.open("xb")
        self._pending.append((file, partial, path))
        file.write(content)
        file.flush()
        _start_writing(file.fileno())

    def settle(self) -> None:
        """Wait until all is on the disk, and put it in place."""
        for file, _, _ in self._pending:
            os.fsync(file.fileno())
            file.close()
        for _, partial, path in self._pending:
            partial.replace(path)
        self._pending.clear()

    def _drop(self) -> None:
        for file, partial, _ in self._pending:
            with suppress(OSError):  # what could not be written fails again on closing
                file.close()
            partial.unlink(missing_ok=True)
        self._pending.clear()


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new one."""
    with Replacements() as files:
        files.write(path, content)


def write_new(path: Path, content: bytes, what: str, *, overwrite: bool = False) -> None:
    """Write a file that a user names; one that is there with other content stays, unless `overwrite`.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What is to be in it.
    what : str
        What is being done, for messages: "writing the spec".
    overwrite : bool
        Whether a file of other content may be replaced.

    Raises
    ------
    StoreMismatch
        If such a file is there and may not be replaced.
    StoreWriteError
        If it cannot be written.
    """
    if path.is_dir():
        raise StoreMismatch(f"{path}: is a folder; {what} needs the name of a file: choose another name")
    with writing(path, what):
        if not overwrite and path.is_file() and path.read_bytes() != content:
            raise StoreMismatch(
                f"{path}: already exists with other content; choose another name, or replace it with "
                "--overwrite, in Python overwrite=True"
            )
        replace_file(path, content)


def write_again(path: Path, content: bytes, what: str, *, mark: bytes) -> bool:
    """Write a file that can be made again at any time; return whether one was replaced.

    Parameters
    ----------
    path, content, what
        As for `write_new`.
    mark : bytes
        Part of the content by which a file of this kind is known: only such a file is replaced.

    Raises
    ------
    StoreMismatch
        If another file is there.
    StoreWriteError
        If it cannot be written; what was there is then as it was.
    """
    with writing(path, what):
        there = path.exists()
        if there:
            check_ours(path, mark)
        replace_file(path, content)
    return there


def check_ours(path: Path, mark: bytes) -> None:
    """Raise StoreMismatch where a file is there that lacks the mark of those which cubeengine made."""
    if path.is_file() and mark not in path.read_bytes():
        raise StoreMismatch(f"{path}: already exists, and cubeengine did not make it; choose another name")


def _start_writing(descriptor: int) -> None:
    """Have the system begin to write a file out now, where it can be told, and not at the fsync."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def rename_new(source: Path, target: Path) -> None:
    """Rename, and fail with FileExistsError where `target` is there already."""
    if _renameat2(source, target, _RENAME_NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step: `old` then holds the new content and `new` the old one.

    Notes
    -----
    Where the system has no atomic exchange (not Linux, or a file system without it) the old folder is
    renamed aside, the new one put in its place, and the old one given the new one's name: for the time of
    two renames a reader finds nothing at `old`, but never a half. A failure puts the old folder back.
    """
    if _renameat2(new, old, _RENAME_EXCHANGE):
        return
    aside = new.with_name(f"{new.name}-old")
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise
    aside.rename(new)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; one that is not there is no error."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def remove_tree(root: Path, *, last: str) -> None:
    """Remove a folder of ours, its entry `last` at the end; links are removed, not followed.

    `last` is what the folder is known by: where the removal is interrupted, the rest can still be told to
    be ours and be removed later. A `root` that is a link is refused.
    """
    if root.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(root))
    for entry in root.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != last:
            entry.unlink()
    shutil.rmtree(root)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Rename with `flags`; False where the system or the file system cannot."""
    function = _system_renameat2()
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


def _system_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return the C library's renameat2 (glibc 2.28, Linux 3.15), or None."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # TypeError: no library of the process itself (Windows)
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function
