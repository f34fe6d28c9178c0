"""Many small reads in one compiled call: no interpreter, and no interpreter lock, between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numpy.typing import NDArray

from cubeengine.types import IntArray

# ssize_t preadv(int, const struct iovec *, int, off_t): an iovec is an address and a size, 64 bits each.
_PREADV: Any = types.ExternalFunction(
    "preadv", types.intp(types.int32, types.uintp, types.int32, types.int64)
)


@njit(nogil=True, cache=True)
def read_until_short(
    descriptor: int,
    pieces: NDArray[np.uint64],
    first: IntArray,
    count: IntArray,
    offset: IntArray,
    wanted: IntArray,
    begin: int,
) -> int:
    """Read group after group of pieces, until one reads less than wanted.

    Parameters
    ----------
    descriptor : int
        The open file.
    pieces : (n_pieces, 2) uint64, C-contiguous
        Address in memory and size of each piece.
    first, count : (n_groups,) int64
        First piece and number of pieces of each group.
    offset, wanted : (n_groups,) int64
        Place in the file and size of each group.
    begin : int
        Group to begin with.

    Returns
    -------
    int
        The group that came short, whatever the reason; n_groups if none did.
    """
    base = pieces.ctypes.data
    for group in range(begin, len(first)):
        if _PREADV(descriptor, base + 16 * first[group], count[group], offset[group]) != wanted[group]:
            return group
    return len(first)
