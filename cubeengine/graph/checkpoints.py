"""Partial sums in files, so that a long fold need not begin anew after its run was killed.

A part that is folded has `SLOTS` files beside the target, each of the size of its sums. They are written in
place, in turn: writing over pages that are in memory takes a tenth of the time of a new file (measured for
31 MB: 4 ms against 70 to 160), so sums can be kept after nearly every leaf. The file that was being written
when a run was killed does not match its checksum and is passed over; the one before is whole. Some
checkpoints are *lasting*: they are brought to the disk and stay until the next lasting one is there, so that
a node which is lost with everything that it had not written yet costs little as well.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import StoreMismatch
from cubeengine.graph.tasks import LEFT_OUT, LeafJob, Sums, Tally, done, fold
from cubeengine.kernels.partial import Partial, state_layout
from cubeengine.planning.disk import SLOTS
from cubeengine.sources.base import Reader
from cubeengine.store.files import reading, writing

_HEAD = struct.Struct("<8sqqQ")  # magic, number of the leaf, bytes that follow, sum of their words
_HEAD_NBYTES = _HEAD.size + 8  # and a checksum of these themselves
_MAGIC = b"cubesums"
_BLOCK_NBYTES = 2**24  # read at a time to check a file: a multiple of a word


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The fold of a part up to one of its leaves, in a file."""

    path: Path  # the file
    leaf: int  # number of the last leaf that was folded
    lasting: bool = False  # whether to wait until it is on the disk


def checkpoints(folder: Path, stem: str, n_leaves: int, *, every: int, lasting: int) -> dict[int, Checkpoint]:
    """Choose after which leaves of a part the fold is kept, and in which file.

    Parameters
    ----------
    folder, stem
        Where the files lie, and how their names begin.
    n_leaves : int
        Leaves of the part.
    every : int
        Leaves from one checkpoint to the next.
    lasting : int
        Checkpoints from one lasting one to the next.

    Returns
    -------
    dict of int to Checkpoint
        Number of a leaf -> its checkpoint. Each is written over the oldest file, but never over the one
        before it nor over the last that is lasting. That follows from the numbers of the leaves alone, so it
        holds wherever an earlier run ended.
    """
    chosen: dict[int, Checkpoint] = {}
    before = on_disk = -1
    for number, leaf in enumerate(range(every - 1, n_leaves, every), start=1):
        slot = next(slot for slot in range(SLOTS) if slot not in (before, on_disk))
        is_lasting = number % lasting == 0
        before, on_disk = slot, slot if is_lasting else on_disk
        chosen[leaf] = Checkpoint(_slots(folder, stem)[slot], leaf, is_lasting)
    return chosen


def latest_checkpoint(folder: Path, stem: str) -> Checkpoint | None:
    """Return the checkpoint of a part that goes furthest and is whole; None where there is none."""
    found = (checkpoint for path in _slots(folder, stem) if (checkpoint := _found(path)) is not None)
    return max(found, key=lambda checkpoint: checkpoint.leaf, default=None)


def keep(sums: Sums, checkpoint: Checkpoint) -> Sums:
    """Save folded sums in their file, over an older checkpoint; return them."""
    arrays = [_flat(array) for array in _arrays(sums)]
    with writing(checkpoint.path, "saving partial sums"):
        descriptor = os.open(checkpoint.path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            file.write(bytes(_HEAD_NBYTES))  # what is written over is no checkpoint any more
            file.flush()
            for array in arrays:
                file.write(array.data)
                file.write(bytes(_padding(array)))
            file.truncate()
            file.seek(0)
            file.write(_head(checkpoint.leaf, arrays))
            file.flush()
            if checkpoint.lasting:
                os.fsync(descriptor)
    return sums


def fold_and_keep(earlier: Sums, later: Sums, checkpoint: Checkpoint) -> Sums:
    """Merge two partials of the same part and save the result; see `fold` and `keep`."""
    return keep(fold(earlier, later), checkpoint)


def load_sums(checkpoint: Checkpoint, job: LeafJob, reader: Reader) -> Sums:
    """Read sums that `keep` saved.

    Raises
    ------
    StoreMismatch
        If the file is not this checkpoint of the job's part.
    StoreWriteError
        If the file system fails.
    """
    left_out = np.empty((len(LEFT_OUT), job.n_groups), np.int64)
    sums = Sums(tuple(_empty(reader.dtype, job.n_groups, high - low) for low, high in job.tiles), left_out)
    arrays = [_flat(array) for array in _arrays(sums)]
    with reading(checkpoint.path, "reading partial sums"), checkpoint.path.open("rb") as file:
        head = file.read(_HEAD_NBYTES)
        for array in arrays:
            file.readinto(array.data)
            file.seek(_padding(array), os.SEEK_CUR)
    if head != _head(checkpoint.leaf, arrays):
        raise StoreMismatch(
            f"{checkpoint.path}: has changed since it was found; run again without --resume, in Python "
            "resume=False"
        )
    return sums


def drop_checkpoints(folder: Path, stem: str) -> None:
    """Remove the checkpoints of a part that is written."""
    with writing(folder, "removing partial sums"):
        for path in _slots(folder, stem):
            path.unlink(missing_ok=True)


def finish_part(folder: Path, stem: str, *counts: Tally) -> Tally:
    """Remove the checkpoints of a part that is written; return the sum of what was counted."""
    drop_checkpoints(folder, stem)
    return done(*counts)


def _slots(folder: Path, stem: str) -> list[Path]:
    return [folder / f"{stem}.{slot}.sums" for slot in range(SLOTS)]


def _arrays(sums: Sums) -> Iterator[NDArray[Any]]:
    """Yield all arrays of sums, in a fixed order."""
    yield sums.left_out
    for tile in sums.tiles:
        yield tile.n_events
        yield from (tile.arrays[name] for name in state_layout(tile.dtype, tile.n_groups, tile.n_elements))


def _empty(dtype: np.dtype[Any], n_groups: int, n_elements: int) -> Partial:
    layout = state_layout(dtype, n_groups, n_elements)
    arrays = {name: np.empty(shape, code) for name, (shape, code) in layout.items()}
    return Partial(dtype, np.empty(n_groups, np.int64), arrays)


def _flat(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _padding(array: NDArray[np.uint8]) -> int:
    """Return the zeros that fill up the last 64-bit word of an array."""
    return -len(array) % 8


def _head(leaf: int, arrays: Iterable[NDArray[np.uint8]]) -> bytes:
    """Describe a file by the sum of its words: a page that is an older one, or none, changes them."""
    nbytes = total = 0
    for array in arrays:
        n_whole = len(array) // 8 * 8
        words, rest = array[:n_whole].view("<u8"), int.from_bytes(array[n_whole:].tobytes(), "little")
        nbytes += len(array) + _padding(array)
        total = (total + int(words.sum(dtype=np.uint64)) + rest) % 2**64
    head = _HEAD.pack(_MAGIC, leaf, nbytes, total)
    return head + zlib.crc32(head).to_bytes(8, "little")


def _found(path: Path) -> Checkpoint | None:
    """Return the checkpoint in a file; None where there is none, or one that is not whole."""
    if not path.exists():
        return None
    with reading(path, "reading partial sums"), path.open("rb") as file:
        head = file.read(_HEAD_NBYTES)
        leaf = _HEAD.unpack_from(head)[1] if len(head) == _HEAD_NBYTES else -1
        whole = leaf >= 0 and head == _head(leaf, _blocks(file))
    return Checkpoint(path, leaf) if whole else None


def _blocks(file: IO[bytes]) -> Iterator[NDArray[np.uint8]]:
    while block := file.read(_BLOCK_NBYTES):
        yield np.frombuffer(block, np.uint8)
