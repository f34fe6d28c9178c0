"""HDF5 filters undone outside of the library: byte shuffle and Fletcher-32 checksum."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def unshuffle(shuffled: Bytes, out: NDArray[Any]) -> None:
    """Put the bytes of each element together again.

    Parameters
    ----------
    shuffled : (nbytes,) uint8
        First bytes of all elements, then all second bytes, and so on.
    out : array, C-contiguous, of nbytes in all
        Receives the elements.
    """
    flat = out.reshape(-1)
    if flat.dtype.itemsize == 1:
        flat.view(np.uint8)[:] = shuffled
        return
    planes = shuffled.reshape(flat.dtype.itemsize, len(flat))
    compiled = _UNSHUFFLE.get(flat.dtype.itemsize)
    if compiled is None:
        flat.view(np.uint8).reshape(len(flat), -1)[:] = planes.T
        return
    compiled(planes, flat.view(f"<u{flat.dtype.itemsize}"))


# Shifts into whole words, not byte stores: the compiler makes vector instructions of them.
@numba.njit(nogil=True, cache=True)
def _unshuffle2(planes: Bytes, out: NDArray[np.uint16]) -> None:
    low, high = planes[0], planes[1]
    for i in range(len(out)):
        out[i] = np.uint16(low[i]) | (np.uint16(high[i]) << np.uint16(8))


@numba.njit(nogil=True, cache=True)
def _unshuffle4(planes: Bytes, out: NDArray[np.uint32]) -> None:
    a, b, c, d = planes[0], planes[1], planes[2], planes[3]
    for i in range(len(out)):
        low = np.uint32(a[i]) | (np.uint32(b[i]) << np.uint32(8))
        out[i] = low | (np.uint32(c[i]) << np.uint32(16)) | (np.uint32(d[i]) << np.uint32(24))


@numba.njit(nogil=True, cache=True)
def _unshuffle8(planes: Bytes, out: NDArray[np.uint64]) -> None:
    for i in range(len(out)):
        word = np.uint64(0)
        for j in range(8):
            word |= np.uint64(planes[j, i]) << np.uint64(8 * j)
        out[i] = word


_UNSHUFFLE: dict[int, Any] = {2: _unshuffle2, 4: _unshuffle4, 8: _unshuffle8}


def fletcher32(content: Bytes) -> int:
    """Return the checksum as HDF5 computes it.

    References
    ----------
    Fletcher (1982), modulo 65535 over big-endian 16-bit words; an odd last byte is the high byte of a word.
    """
    words = content[: len(content) & ~1].view(">u2").astype(np.uint16)
    if len(content) & 1:
        words = np.append(words, np.uint16(int(content[-1]) << 8))
    return int(_fletcher32(words))


@numba.njit(nogil=True, cache=True)
def _fletcher32(words: NDArray[np.uint16]) -> int:
    low = high = np.uint64(0)
    for begin in range(0, len(words), 360):
        for word in words[begin : begin + 360]:
            low += np.uint64(word)
            high += low
        low = (low & np.uint64(0xFFFF)) + (low >> np.uint64(16))
        high = (high & np.uint64(0xFFFF)) + (high >> np.uint64(16))
    for _ in range(2):
        low = (low & np.uint64(0xFFFF)) + (low >> np.uint64(16))
        high = (high & np.uint64(0xFFFF)) + (high >> np.uint64(16))
    return int((high << np.uint64(16)) | low)
