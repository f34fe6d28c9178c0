"""Where every datagram of a file lies: a hop from header to header, compiled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.xtc2.dgram import DGRAM_NBYTES, DROPPED, XTC_NBYTES, DgramTable
from cubeengine.sources.xtc2.jit import jit
from cubeengine.sources.xtc2.window import (
    AHEAD,
    AT,
    DESCRIPTOR,
    GOT,
    LIMIT,
    N_STATE,
    POS,
    PROBLEM,
    START,
    STOP,
    WANTED,
    fail,
    reach,
    u2,
    u4,
)
from cubeengine.types import IntArray

WINDOW_NBYTES = 1024 * 1024
"""Bytes that are read at a time where datagrams are small, as all are in smd files."""

_SPARSE_NBYTES = 4096
_HEAD_NBYTES = DGRAM_NBYTES + XTC_NBYTES
"""After a datagram larger than the first, only the next header is read, and that of the first Xtc in it."""
_CAPACITY = 1 << 17
"""Datagrams per call: bounds what is allocated before it is known how many there are."""

_END, _FULL, _STOPPED = range(3)
_BAD_TYPE, _BAD_EXTENT, _BAD_SIZE = 20, 21, 22

_COLUMNS = (np.uint64, np.uint32, np.uint16, np.int64, np.int64)


def hop_file(descriptor: int, path: Path, size: int, start: int = 0) -> Iterator[DgramTable]:
    """Find all datagrams of a file.

    Parameters
    ----------
    descriptor : int
        The open file.
    path : Path
        Its name, for messages.
    size : int
        Its size: what was written since is left off, and so is a last datagram that is not whole.
    start : int
        Where the first of them begins.

    Yields
    ------
    DgramTable
        The next datagrams; of an empty file an empty table.

    Raises
    ------
    SourceFormatError
        If a header cannot be one, or the file has been cut off meanwhile.

    Notes
    -----
    Memory: a few MB.
    """
    state, window = np.zeros(N_STATE, np.int64), np.empty(WINDOW_NBYTES, np.uint8)
    state[DESCRIPTOR], state[LIMIT], state[AHEAD] = descriptor, size, _HEAD_NBYTES
    state[POS] = start
    status = _FULL
    while status == _FULL:
        capacity = min(_CAPACITY, (size - int(state[POS])) // DGRAM_NBYTES + 1)
        columns: list[NDArray[Any]] = [np.empty(capacity, dtype) for dtype in _COLUMNS]
        status, count = _hop(state, window, *columns)
        if status == _STOPPED:
            raise _error(path, state)
        yield DgramTable(*(column[:count] for column in columns))


@jit
def _hop(
    state: IntArray,
    window: NDArray[np.uint8],
    timestamp: NDArray[np.uint64],
    env: NDArray[np.uint32],
    damage: NDArray[np.uint16],
    offset: IntArray,
    size: IntArray,
) -> tuple[int, int]:
    """Fill the columns from POS on; gives why it stopped, and how many are filled."""
    end = state[LIMIT]
    for number in range(len(offset)):
        pos = state[POS]
        if end - pos < DGRAM_NBYTES:
            return _END, number
        if not reach(state, window, pos, DGRAM_NBYTES):
            return _STOPPED, number
        at = pos - state[START]
        kind, nbytes = u2(window, at + 18), u4(window, at + 20) + 12
        if kind & 0xFFF != 0:
            fail(state, _BAD_TYPE, pos, kind, 0)
            return _STOPPED, number
        if nbytes < DGRAM_NBYTES:
            fail(state, _BAD_EXTENT, pos, nbytes, DGRAM_NBYTES)
            return _STOPPED, number
        if nbytes > end - pos:
            return _END, number
        damage[number] = u2(window, at + 16)
        if damage[number] & ~DROPPED == 0 and not _right_size(state, window, pos, pos + nbytes):
            return _STOPPED, number
        timestamp[number] = u4(window, at + 4) << 32 | u4(window, at)
        env[number] = u4(window, at + 8)
        offset[number], size[number] = pos, nbytes
        # Read ahead more and more while datagrams are small, not at all behind a large one.
        if nbytes > _SPARSE_NBYTES:
            state[AHEAD] = _HEAD_NBYTES
        elif pos + nbytes + DGRAM_NBYTES > state[START] + state[AHEAD]:
            state[AHEAD] = min(max(4 * state[AHEAD], _SPARSE_NBYTES), len(window))
        state[POS] = pos + nbytes
    return _FULL, len(offset)


@jit
def _right_size(state: IntArray, window: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Check that the size of a datagram does not hide the next ones, as far as it is in the window.

    Where the Xtcs in it do not fill it, the next datagram must begin behind it, and none within it. Then what
    is wrong is inside, and is left to those who read the event.
    """
    pos = start + DGRAM_NBYTES
    while pos < stop and pos + XTC_NBYTES <= state[STOP]:
        extent = u4(window, pos - state[START] + 8)
        if extent < XTC_NBYTES or extent > stop - pos:
            if _begins(state, window, pos, True) or not _begins(state, window, stop, False):
                return fail(state, _BAD_SIZE, start, stop - start, pos)
            break
        pos += extent
    return True


@jit
def _begins(state: IntArray, window: NDArray[np.uint8], pos: int, certainly: bool) -> bool:
    """Return whether a datagram seems to begin at a byte; if that is not in the window, not `certainly`."""
    if pos + DGRAM_NBYTES > state[STOP]:
        return not certainly
    at = pos - state[START]
    size = u4(window, at + 20) + DGRAM_NBYTES - XTC_NBYTES
    return bool(u2(window, at + 18) & 0xFFF == 0 and DGRAM_NBYTES <= size <= state[LIMIT] - pos)


def _error(path: Path, state: IntArray) -> SourceFormatError:
    at, found, wanted, problem = (int(state[word]) for word in (AT, GOT, WANTED, PROBLEM))
    if problem == _BAD_TYPE:
        text = f"a datagram of type {found}, where 0 is wanted; "
        text += "the file is damaged" if at else "this is not an xtc2 file"
    elif problem == _BAD_EXTENT:
        text = (
            f"a datagram says {found} bytes, but its header alone takes {DGRAM_NBYTES}; the file is damaged"
        )
    elif problem == _BAD_SIZE:
        text = f"a datagram says {found:,} bytes, but its content, up to byte {wanted:,}, and what follows "
        text += "do not fit that; the file is damaged"
    else:
        text = f"{found} bytes could be read, {DGRAM_NBYTES} are wanted; the file was cut off meanwhile: "
        text += "copy it again, then open the run again"
    return SourceFormatError(f"{path}, byte {at:,}: {text}")
