"""Values of one field of many events, from the files into rows of memory: compiled, one call per block.

Small datagrams that lie close together are read together, whole, and walked in memory. Of large ones only
the headers are read, in small pieces, and then the wanted bytes straight into their row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.jit import jit
from cubeengine.sources.xtc2.locate import FOUND, MALFORMED, MISSING, enter, locate
from cubeengine.sources.xtc2.window import (
    AHEAD,
    DESCRIPTOR,
    LIMIT,
    PLACE,
    SHORT,
    START,
    STOP,
    copy_bytes,
    fail,
    forget,
    read_fully,
)
from cubeengine.types import IntArray

WINDOW_NBYTES = 128 * 1024
"""Bytes that are read together: they stay in the cache until they are copied."""
SMALL_NBYTES = 16 * 1024
"""Datagrams up to this size are read whole. Page-cached, their frames come as fast either way from 10 KB to
60 KB on; one number of each takes 1.3 us by a head, whole 1.4 us at 10 KB, 4 us at 30 KB."""
GAP_NBYTES = 16 * 1024
"""Bytes between datagrams that are read through rather than skipped."""
HEAD_NBYTES = 1024
"""Bytes of a large datagram that are read at a time in search of headers."""

OFFSET, SIZE, TIMESTAMP, SCHEMA, FILE = range(5)
"""Columns of places: a datagram in its file, packed time as int64, number of the Configure, descriptor."""
LAYOUT_KEY, LAYOUT_FIRST, LAYOUT_FIELD, LAYOUT_SHAPES = range(4)
"""Columns of layouts, one row per Configure: NamesId (-1: not there), first row and number of the field in
the table of fields, and whether a shape must be read to find it."""


@jit
def aim(state: IntArray, window: NDArray[np.uint8], places: IntArray, number: int) -> None:
    """Set what the window reads ahead: this datagram and the small ones close behind it, or a head."""
    if places[number, FILE] != state[DESCRIPTOR]:
        forget(state, places[number, FILE])
    begin, end = places[number, OFFSET], places[number, OFFSET] + places[number, SIZE]
    state[AHEAD], state[LIMIT] = HEAD_NBYTES, end
    if end - begin > SMALL_NBYTES or (begin >= state[START] and end <= state[STOP]):
        return
    for other in range(number + 1, len(places)):
        gap, stop = places[other, OFFSET] - end, places[other, OFFSET] + places[other, SIZE]
        if places[other, FILE] != state[DESCRIPTOR] or gap < 0 or gap > GAP_NBYTES:
            break
        if places[other, SIZE] > SMALL_NBYTES or stop - begin > len(window):
            break
        end = stop
    state[AHEAD], state[LIMIT] = len(window), end


@jit
def copy_values(state: IntArray, window: NDArray[np.uint8], begin: int, row: NDArray[np.uint8]) -> bool:
    """Fill a row with the file's bytes from `begin` on: out of the window, or by a read of its own."""
    size = len(row)
    if begin >= state[START] and begin + size <= state[STOP]:
        at = begin - state[START]
        copy_bytes(row, window[at : at + size])
        return True
    got = read_fully(state[DESCRIPTOR], row.ctypes.data, size, begin)
    return got == size or fail(state, SHORT, begin, got, size)


@jit
def fetch(
    state: IntArray,
    window: NDArray[np.uint8],
    stack: IntArray,
    places: IntArray,
    layouts: IntArray,
    fields: IntArray,
    shape: IntArray,
    wanted: IntArray,
    target: NDArray[np.uint8],
    status: NDArray[np.int8],
) -> int:
    """Find a field in datagram after datagram and copy some of its bytes.

    Parameters
    ----------
    state, window, stack
        See `window` and `locate`.
    places : (n, 5) int64
        The datagrams, in any order; those that follow one another in the file are best side by side.
    layouts : (n_schemas, 4) int64
    fields : (m, 2) int64
        Itemsize and rank of fields, those of one NamesId after one another.
    shape : (MAX_RANK,) int64
        The shape that the field must have.
    wanted : (3,) int64
        Bytes of the field ahead of those that are wanted, place of these in a row of `target`, and their
        number; with none of them, fields are only looked for.
    target : (n or more, n_bytes) uint8, C-contiguous
        Receives the bytes. Rows that are not FOUND keep theirs.
    status : (n,) int8
        Receives FOUND, MISSING or DAMAGED.

    Returns
    -------
    int
        n, or the number of the datagram at which a problem was noted.
    """
    for number in range(len(places)):
        layout = layouts[places[number, SCHEMA]]
        status[number] = MISSING
        if layout[LAYOUT_KEY] < 0:
            continue
        aim(state, window, places, number)
        if not enter(
            state, window, stack, places[number, OFFSET], places[number, SIZE], places[number, TIMESTAMP]
        ):
            return number
        found = locate(
            state,
            window,
            stack,
            layout[LAYOUT_KEY],
            fields[layout[LAYOUT_FIRST] :],
            layout[LAYOUT_FIELD],
            layout[LAYOUT_SHAPES] != 0,
            shape,
        )
        if found == MALFORMED:
            return number
        status[number] = found
        if found == FOUND and wanted[2] > 0:
            row = target[number, wanted[1] : wanted[1] + wanted[2]]
            if not copy_values(state, window, state[PLACE] + wanted[0], row):
                return number
    return len(places)
