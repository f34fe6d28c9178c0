"""What the events of a stream carry: which contributions, and arrays of which shapes. Compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.gather import OFFSET, SIZE, TIMESTAMP, aim
from cubeengine.sources.xtc2.jit import jit
from cubeengine.sources.xtc2.locate import (
    FOUND,
    MALFORMED,
    SHAPE_NBYTES,
    array_nbytes,
    enter,
    next_contribution,
    open_contribution,
)
from cubeengine.sources.xtc2.window import DAMAGE, KEY, SHAPES, START, u4
from cubeengine.types import IntArray

CONSTANT, VARYING = 0, 1


@jit
def note_shapes(
    state: IntArray, window: NDArray[np.uint8], arrays: IntArray, shapes: IntArray, first: bool
) -> bool:
    """Compare the shapes of an opened contribution with those of the first one, or keep them.

    Parameters
    ----------
    arrays : (n_arrays, 3) int64
        Itemsize and rank of every array of the contribution; whether its shape varies.
    shapes : (n_arrays, MAX_RANK) int64
        The first shapes.
    first : bool
        Whether these are the first.
    """
    for number in range(len(arrays)):
        if array_nbytes(state, window, number, arrays[number, 0], arrays[number, 1]) < 0:
            return False
        words = state[SHAPES] + number * SHAPE_NBYTES - state[START]
        for dim in range(arrays[number, 1]):
            length = u4(window, words + 4 * dim)
            if first:
                shapes[number, dim] = length
            elif shapes[number, dim] != length:
                arrays[number, 2] = VARYING
    return True


@jit
def survey(
    state: IntArray,
    window: NDArray[np.uint8],
    stack: IntArray,
    places: IntArray,
    keys: IntArray,
    first_array: IntArray,
    arrays: IntArray,
    shapes: IntArray,
    counts: IntArray,
) -> int:
    """Walk through datagrams of one Configure and note what whole contributions hold.

    Parameters
    ----------
    state, window, stack, places
        See `gather.fetch`.
    keys : (n_keys,) int64
        NamesIds, rising.
    first_array : (n_keys + 1,) int64
        Rows of `arrays` and `shapes` that belong to each key.
    arrays : (m, 3) int64
    shapes : (m, MAX_RANK) int64
        See `note_shapes`.
    counts : (n_keys, 2) int64
        Receives how many contributions there were, and how many of them were whole.

    Returns
    -------
    int
        The number of datagrams, or the number of the one at which a problem was noted.
    """
    for number in range(len(places)):
        aim(state, window, places, number)
        if not enter(
            state, window, stack, places[number, OFFSET], places[number, SIZE], places[number, TIMESTAMP]
        ):
            return number
        step = next_contribution(state, window, stack)
        while step == FOUND:
            which = np.searchsorted(keys, state[KEY])
            if which < len(keys) and keys[which] == state[KEY]:
                counts[which, 0] += 1
                if state[DAMAGE] == 0:
                    low, high = first_array[which], first_array[which + 1]
                    first = counts[which, 1] == 0
                    if not open_contribution(state, window, high > low):
                        return number
                    if not note_shapes(state, window, arrays[low:high], shapes[low:high], first):
                        return number
                    counts[which, 1] += 1
            step = next_contribution(state, window, stack)
        if step == MALFORMED and stack[0, 1] == 0:
            return number
    return len(places)
