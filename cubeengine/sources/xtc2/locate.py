"""Where a field lies in a datagram: a walk along the headers, which never guesses from sizes.

A datagram is a tree of Xtcs: Parents, in them ShapesData (the contribution of one segment of one detector),
in each of these Shapes and Data, in either order. The walk reads only headers and shape words, so that a
frame between two of them costs one small read, not one of the frame.

References
----------
Byte layout: public lcls2 sources, xtcdata/xtcdata/xtc/{Dgram,Xtc,ShapesData}.hh, psana/src/dgram.cc.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.dgram import (
    CORRUPTED,
    DGRAM_NBYTES,
    DROPPED,
    PARENT,
    SHAPES_DATA,
    XTC_NBYTES,
)
from cubeengine.sources.xtc2.dgram import DATA as DATA_TYPE
from cubeengine.sources.xtc2.dgram import SHAPES as SHAPES_TYPE
from cubeengine.sources.xtc2.jit import jit
from cubeengine.sources.xtc2.window import (
    BEGIN,
    DAMAGE,
    DATA,
    DATA_END,
    DEPTH,
    END,
    HIDDEN,
    KEY,
    PLACE,
    POS,
    PROBLEM,
    SHAPES,
    SHAPES_END,
    START,
    fail,
    reach,
    u2,
    u4,
)
from cubeengine.types import IntArray

FOUND, MISSING, DAMAGED, MALFORMED = 0, 1, 2, 3
"""What a walk for a field ends with."""

SHAPE_NBYTES = 20
"""Bytes of a shape: 5 words, of which as many count as the array has dimensions."""

OTHER_TIME, OTHER_SIZE, BAD_EXTENT, TOO_DEEP, NO_DATA, NO_SHAPES, TOO_LONG, OTHER_SHAPE = range(2, 10)
"""Problems, beside those of the window."""


@jit
def enter(
    state: IntArray, window: NDArray[np.uint8], stack: IntArray, offset: int, size: int, timestamp: int
) -> bool:
    """Begin the walk through a datagram; False if it is not the one that should be there.

    Parameters
    ----------
    stack : (n, 2) int64
        End and damage of every Xtc that the walk is in; n is the most that lie in one another.
    offset, size : int
        Bytes of the datagram in the file.
    timestamp : int
        Its packed time, as int64.
    """
    if not reach(state, window, offset, DGRAM_NBYTES):
        return False
    at = offset - state[START]
    extent = u4(window, at + 20)
    if extent != size - XTC_NBYTES:
        return fail(state, OTHER_SIZE, offset, extent + XTC_NBYTES, size)
    found = u4(window, at) | u4(window, at + 4) << 32
    if found != timestamp:
        return fail(state, OTHER_TIME, offset, found, timestamp)
    stack[0, 0], stack[0, 1] = offset + size, u2(window, at + 16) & ~DROPPED
    state[POS], state[DEPTH] = offset + DGRAM_NBYTES, 0
    state[HIDDEN] = 1 if stack[0, 1] & CORRUPTED else 0
    return True


@jit
def has_header(state: IntArray, window: NDArray[np.uint8], pos: int, end: int) -> bool:
    """Have an Xtc's header in the window, and check that the Xtc ends within what it is in."""
    if end - pos < XTC_NBYTES:
        return fail(state, BAD_EXTENT, pos, XTC_NBYTES, end - pos)
    if not reach(state, window, pos, XTC_NBYTES):
        return False
    extent = u4(window, pos - state[START] + 8)
    if extent < XTC_NBYTES or extent > end - pos:
        return fail(state, BAD_EXTENT, pos, extent, end - pos)
    return True


@jit
def next_contribution(state: IntArray, window: NDArray[np.uint8], stack: IntArray) -> int:
    """Go on to the next contribution: FOUND, MISSING if there is none any more, or MALFORMED."""
    if stack[0, 1] & CORRUPTED:
        return MISSING
    while True:
        depth = state[DEPTH]
        pos, end = state[POS], stack[depth, 0]
        if pos == end:
            if depth == 0:
                return MISSING
            state[DEPTH] = depth - 1
            continue
        if not has_header(state, window, pos, end):
            return MALFORMED
        at = pos - state[START]
        damage, kind, stop = u2(window, at + 4), u2(window, at + 6) & 0xFFF, pos + u4(window, at + 8)
        if kind == PARENT and not damage & CORRUPTED:
            if depth + 1 == len(stack):
                fail(state, TOO_DEEP, pos, depth + 1, len(stack))
                return MALFORMED
            stack[depth + 1, 0], stack[depth + 1, 1] = stop, stack[depth, 1] | damage & ~DROPPED
            state[POS], state[DEPTH] = pos + XTC_NBYTES, depth + 1
            continue
        state[POS] = stop
        if kind == PARENT:
            state[HIDDEN] = 1
        elif kind == SHAPES_DATA:
            state[KEY], state[DAMAGE] = u4(window, at) & 0x0FFFFFFF, damage | stack[depth, 1]
            state[BEGIN], state[END] = pos + XTC_NBYTES, stop
            return FOUND


@jit
def open_contribution(state: IntArray, window: NDArray[np.uint8], with_shapes: bool) -> bool:
    """Find shapes and values of the contribution, in whichever order they come; the first of each counts.

    Without `with_shapes` the walk ends at the values: shapes behind them are not looked for.
    """
    pos, end = state[BEGIN], state[END]
    state[SHAPES] = state[SHAPES_END] = state[DATA] = state[DATA_END] = -1
    while pos < end and (state[DATA] < 0 or (with_shapes and state[SHAPES] < 0)):
        if not has_header(state, window, pos, end):
            return False
        at = pos - state[START]
        kind, stop = u2(window, at + 6) & 0xFFF, pos + u4(window, at + 8)
        if kind == SHAPES_TYPE and state[SHAPES] < 0:
            state[SHAPES], state[SHAPES_END] = pos + XTC_NBYTES, stop
        elif kind == DATA_TYPE and state[DATA] < 0:
            state[DATA], state[DATA_END] = pos + XTC_NBYTES, stop
        pos = stop
    if state[DATA] < 0:
        return fail(state, NO_DATA, state[BEGIN], 0, 1)
    return True


@jit
def array_nbytes(state: IntArray, window: NDArray[np.uint8], number: int, itemsize: int, rank: int) -> int:
    """Return the bytes of an array field from its shape words, or -1 with a problem noted.

    The words are then at SHAPES + number * SHAPE_NBYTES in the window.
    """
    words = state[SHAPES] + number * SHAPE_NBYTES
    if state[SHAPES] < 0 or words + SHAPE_NBYTES > state[SHAPES_END]:
        fail(state, NO_SHAPES, state[BEGIN], 0, number + 1)
        return -1
    if not reach(state, window, words, SHAPE_NBYTES):
        return -1
    most = state[DATA_END] - state[DATA]
    nbytes = itemsize
    for dim in range(rank):
        length = u4(window, words - state[START] + 4 * dim)
        if length != 0 and nbytes > most // length:
            fail(state, TOO_LONG, words, length, most)
            return -1
        nbytes *= length
    return nbytes


@jit
def find_values(
    state: IntArray, window: NDArray[np.uint8], fields: IntArray, wanted: int, shape: IntArray
) -> bool:
    """Find where the values of a field begin in an opened contribution, and check its shape.

    Parameters
    ----------
    fields : (n_fields, 2) int64
        Itemsize and rank of every field, in the order of the file.
    wanted : int
        Number of the field.
    shape : (MAX_RANK,) int64
        The shape it must have; only as many as its rank count.
    """
    place, n_arrays, nbytes = state[DATA], 0, 0
    for number in range(wanted + 1):
        itemsize, rank = fields[number, 0], fields[number, 1]
        nbytes = itemsize
        if rank > 0:
            nbytes = array_nbytes(state, window, n_arrays, itemsize, rank)
            if nbytes < 0:
                return False
            n_arrays += 1
        place += nbytes
        if place > state[DATA_END]:
            return fail(state, TOO_LONG, state[DATA], place - state[DATA], state[DATA_END] - state[DATA])
    words = state[SHAPES] + (n_arrays - 1) * SHAPE_NBYTES
    for dim in range(fields[wanted, 1]):
        length = u4(window, words - state[START] + 4 * dim)
        if length != shape[dim]:
            return fail(state, OTHER_SHAPE, words, length, shape[dim])
    state[PLACE] = place - nbytes
    return True


@jit
def locate(
    state: IntArray,
    window: NDArray[np.uint8],
    stack: IntArray,
    key: int,
    fields: IntArray,
    wanted: int,
    with_shapes: bool,
    shape: IntArray,
) -> int:
    """Find a field of one contribution in the datagram that was entered.

    FOUND: its values begin at PLACE. MISSING: no such contribution. DAMAGED: it is not to be trusted, or
    may be in what is not to be looked into. MALFORMED: the bytes contradict themselves, for no stated reason.
    """
    while True:
        step = next_contribution(state, window, stack)
        if step == MALFORMED:
            return DAMAGED if stack[0, 1] != 0 and state[PROBLEM] > 1 else MALFORMED
        if step == MISSING:
            return DAMAGED if state[HIDDEN] else MISSING
        if state[KEY] == key:
            break
    if state[DAMAGE] != 0:
        return DAMAGED
    if not open_contribution(state, window, with_shapes):
        return MALFORMED
    return FOUND if find_values(state, window, fields, wanted, shape) else MALFORMED
