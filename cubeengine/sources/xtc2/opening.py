"""Opening of files that may still be growing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cubeengine.errors import SourceFormatError
from cubeengine.types import InputFile


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, InputFile]]:
    """Open a file for reading, and describe it as it is at that moment: it may still be growing.

    Raises
    ------
    SourceFormatError
        If it cannot be opened or read.
    """
    try:
        # Opening a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as err:
        raise SourceFormatError(f"{path}: cannot be opened ({err.strerror})") from err
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceFormatError(f"{path}: is not a regular file")
        yield descriptor, InputFile(path.resolve(), status.st_size, status.st_mtime_ns)
    finally:
        os.close(descriptor)


def input_file(path: Path) -> InputFile:
    """Describe a file as it is now.

    Raises
    ------
    SourceFormatError
        If it is not there.
    """
    with opened(path) as (_, file):
        return file
