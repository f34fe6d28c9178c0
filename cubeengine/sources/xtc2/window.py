"""A piece of a file in memory that moves along with who looks at it: compiled, no interpreter between reads.

All that changes is in one array of int64, `state`, of which the constants here name the places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from cubeengine.sources.xtc2.jit import jit
from cubeengine.types import IntArray

START, STOP = 0, 1
"""The bytes [start, stop) of the file are in the window."""
DESCRIPTOR = 2
LIMIT, AHEAD = 3, 4
"""The window reads `ahead` bytes at a time, none at or behind `limit`."""
PROBLEM, AT, GOT, WANTED = 5, 6, 7, 8
"""What was wrong, at which byte, what was found and what was wanted there."""
POS, DEPTH, HIDDEN = 9, 10, 11
"""Where a walk through a datagram is, in how many Parents, and whether one was passed that is corrupted."""
KEY, BEGIN, END, DAMAGE = 12, 13, 14, 15
"""The contribution that the walk has found: NamesId, bytes of its content, damage of it and around it."""
SHAPES, SHAPES_END, DATA, DATA_END = 16, 17, 18, 19
"""The bytes of that contribution's shapes and values; -1 where there are none."""
PLACE = 20
"""Where the values of the field begin."""
N_STATE = 21

OK = 0
SHORT = 1
"""Problem: the file ends, or cannot be read, before what is wanted."""

# ssize_t pread(int, void *, size_t, off_t)
_PREAD: Any = types.ExternalFunction("pread", types.intp(types.int32, types.uintp, types.uintp, types.int64))

# void *memcpy(void *, const void *, size_t)
_MEMCPY: Any = types.ExternalFunction("memcpy", types.uintp(types.uintp, types.uintp, types.uintp))


@jit
def copy_bytes(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> None:
    """Copy bytes to others of the same number, which do not overlap them."""
    _MEMCPY(target.ctypes.data, source.ctypes.data, len(target))


@jit
def read_fully(descriptor: int, address: int, size: int, offset: int) -> int:
    """Read a range of the file to an address; gives the bytes that were read, fewer if the file ends."""
    done = 0
    while done < size:
        more = _PREAD(descriptor, address + done, size - done, offset + done)
        if more <= 0:
            break
        done += more
    return done


@jit
def fail(state: IntArray, problem: int, at: int, got: int, wanted: int) -> bool:
    """Note what is wrong; gives False."""
    state[PROBLEM], state[AT], state[GOT], state[WANTED] = problem, at, got, wanted
    return False


@jit
def reach(state: IntArray, window: NDArray[np.uint8], pos: int, size: int) -> bool:
    """Have bytes [pos, pos + size) of the file in the window; False with a problem noted if they cannot be.

    Parameters
    ----------
    state : (N_STATE,) int64
    window : (n,) uint8, contiguous
        Longer than any `size` asked for.
    """
    if pos >= state[START] and pos + size <= state[STOP]:
        return True
    wanted = max(min(state[AHEAD], state[LIMIT] - pos, len(window)), size)
    got = read_fully(state[DESCRIPTOR], window.ctypes.data, wanted, pos)
    state[START], state[STOP] = pos, pos + got
    return got >= size or fail(state, SHORT, pos, got, size)


@jit
def u2(window: NDArray[np.uint8], at: int) -> Any:
    """Read a little-endian number of 2 bytes at any address."""
    byte = np.uint64(at)  # unsigned, as a signed index costs a test for one from the end
    return np.int64(window[byte]) | np.int64(window[byte + np.uint64(1)]) << 8


@jit
def u4(window: NDArray[np.uint8], at: int) -> Any:
    """Read a little-endian number of 4 bytes at any address."""
    byte = np.uint64(at)
    low = np.int64(window[byte]) | np.int64(window[byte + np.uint64(1)]) << 8
    high = np.int64(window[byte + np.uint64(2)]) | np.int64(window[byte + np.uint64(3)]) << 8
    return low | high << 16


@jit
def forget(state: IntArray, descriptor: int) -> None:
    """Go on with another file: what is in the window is not of it."""
    state[DESCRIPTOR] = descriptor
    state[START] = state[STOP] = 0
