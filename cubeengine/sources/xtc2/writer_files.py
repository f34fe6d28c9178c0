"""The files of one written stream: chunks of data and the small-data file, visible when they are complete."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from cubeengine.sources.xtc2.writer_data import Piece, nbytes

BATCH_NBYTES = 2**22
"""Bytes that many small datagrams are put together to before they are written."""

_SUFFIX = ".inprogress"


class GrowingFile:
    """A file that is written from its start to its end under a temporary name.

    Parameters
    ----------
    path : Path
        Its name when it is published.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self._growing = path.with_name(path.name + _SUFFIX)
        self._file = self._growing.open("wb", buffering=2**16)

    def write(self, pieces: Sequence[Piece], n_events: int = 1) -> None:
        """Add datagrams: every row of all pieces, one row after the other.

        A piece of one row is the same for all of them.
        """
        size = nbytes(pieces)
        if n_events == 1:
            for piece in pieces:
                self._file.write(piece.data)
        else:
            self._write_rows(pieces, n_events, size)
        self.position += n_events * size

    def _write_rows(self, pieces: Sequence[Piece], n_events: int, size: int) -> None:
        step = max(BATCH_NBYTES // size, 1)
        rows = np.empty((min(step, n_events), size), np.uint8)
        for start in range(0, n_events, step):
            stop = min(start + step, n_events)
            _fill(rows[: stop - start], pieces, slice(start, stop))
            self._file.write(rows[: stop - start].data)

    def close(self) -> None:
        """Finish writing; the name stays temporary."""
        self._file.close()

    def publish(self) -> None:
        """Give the file its own name."""
        self.close()
        self._growing.replace(self.path)

    def discard(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # what a full disk did not take is not wanted any more
            self.close()
        self._growing.unlink(missing_ok=True)


def _fill(rows: Piece, pieces: Sequence[Piece], events: slice) -> None:
    offset = 0
    for piece in pieces:
        width = piece.shape[1]
        rows[:, offset : offset + width] = piece if len(piece) == 1 else piece[events]
        offset += width


class OutFiles:
    """Chunk 0, 1, ... of one stream, and its small-data file.

    Parameters
    ----------
    folder : Path
        Where the chunks go; the small data go into `smalldata` in it.
    stem : str
        Experiment, run and stream as in "xpptut15-r0014-s000".
    small_data : bool
        Whether to write the small-data file.
    """

    def __init__(self, folder: Path, stem: str, *, small_data: bool) -> None:
        self._folder, self._stem = folder, stem
        self.small: GrowingFile | None = None
        self.chunks = [GrowingFile(folder / f"{stem}-c000.xtc2")]
        if small_data:
            (folder / "smalldata").mkdir(exist_ok=True)
            self.small = GrowingFile(folder / "smalldata" / f"{stem}-c000.smd.xtc2")

    @property
    def big(self) -> GrowingFile:
        """The chunk that grows."""
        return self.chunks[-1]

    @property
    def all(self) -> tuple[GrowingFile, ...]:
        """Every file."""
        return (*self.chunks, self.small) if self.small else tuple(self.chunks)

    def next_name(self, name: str | None = None) -> str:
        """Return the name of the next chunk; a name that is asked for is taken as it is."""
        return name or f"{self._stem}-c{len(self.chunks):03d}.xtc2"

    def roll_over(self, name: str) -> None:
        """Go on in the next chunk."""
        self.big.close()
        self.chunks.append(GrowingFile(self._folder / name))
