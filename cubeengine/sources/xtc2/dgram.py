"""Datagrams: the headers of xtc2, and where every datagram of a file lies.

A file is nothing but datagrams one after another, so finding event n means hopping over all before it.
The hop is compiled (see `hop`) and reads with pread: a file that is cut off meanwhile gives an error,
where a mapped file would kill the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.types import IntArray

DGRAM_NBYTES = 24
XTC_NBYTES = 12

XTC = np.dtype([("src", "<u4"), ("damage", "<u2"), ("type", "<u2"), ("extent", "<u4")])
"""Header of an Xtc; `extent` counts it."""

DGRAM = np.dtype([("ns", "<u4"), ("sec", "<u4"), ("env", "<u4"), *XTC.descr])
"""Header of a datagram: that of the transition, and that of its outermost Xtc."""

PARENT, SHAPES_DATA, SHAPES, DATA, NAMES = range(5)
"""Types of Xtc: the low 12 bits of `type`."""

CORRUPTED = 1 << 3
"""Damage bit: what is in such a Parent is not looked into."""

DROPPED = 1 << 4
"""Damage bit of a datagram: another contribution is absent; those that are present are whole."""

MAX_DEPTH = 16
"""Parents within Parents. The field's writers nest them once."""


class Service(IntEnum):
    """What a datagram is: bits 24 to 27 of `env`."""

    CLEAR_READOUT = 0
    RESET = 1
    CONFIGURE = 2
    UNCONFIGURE = 3
    BEGIN_RUN = 4
    END_RUN = 5
    BEGIN_STEP = 6
    END_STEP = 7
    ENABLE = 8
    DISABLE = 9
    SLOW_UPDATE = 10
    LAST_OF_BATCH = 11  # unused on disk; an event like the next
    L1_ACCEPT = 12
    RESERVED_13 = 13
    RESERVED_14 = 14
    RESERVED_15 = 15

    @property
    def is_event(self) -> bool:
        """Whether it is an event, rather than a transition."""
        return self in (Service.L1_ACCEPT, Service.LAST_OF_BATCH)


class Xtc(NamedTuple):
    """One Xtc within a datagram: its header, and where its payload lies in the datagram's bytes."""

    src: int
    damage: int
    type: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes come from, for messages."""

    path: Path
    offset: int = 0

    def error(self, at: int, message: str) -> SourceFormatError:
        """Give the error of what is wrong `at` bytes after the place."""
        return SourceFormatError(f"{self.path}, byte {self.offset + at:,}: {message}")


@dataclass(frozen=True, slots=True, eq=False)
class DgramTable:
    """Datagrams of a file in the order of the file; arrays of equal length.

    Attributes
    ----------
    timestamp : (n,) uint64
        Packed (seconds << 32 | nanoseconds).
    env : (n,) uint32
    service : (n,) uint8
    damage : (n,) uint16
        That of the datagram.
    offset, size : (n,) int64
        Place in the file, header included.
    """

    timestamp: NDArray[np.uint64]
    env: NDArray[np.uint32]
    damage: NDArray[np.uint16]
    offset: IntArray
    size: IntArray

    def __len__(self) -> int:
        return len(self.timestamp)

    @property
    def service(self) -> NDArray[np.uint8]:
        """Service of every datagram."""
        return ((self.env >> 24) & 0xF).astype(np.uint8)


def children(data: bytes, start: int, stop: int, place: Place) -> Iterator[Xtc]:
    """Walk over the Xtcs that fill a range of bytes.

    Parameters
    ----------
    data : bytes
        A whole datagram.
    start, stop : int
        The range.
    place : Place
        Where the datagram lies.

    Raises
    ------
    SourceFormatError
        If they do not fill it exactly.
    """
    while start < stop:
        if stop - start < XTC_NBYTES:
            raise place.error(start, f"{stop - start} bytes are left, too few for a header of {XTC_NBYTES}")
        src, both, extent = (int.from_bytes(data[start + i : start + i + 4], "little") for i in (0, 4, 8))
        if not XTC_NBYTES <= extent <= stop - start:
            raise place.error(
                start, f"an Xtc says {extent:,} bytes, but needs 12 at least and {stop - start:,} at most"
            )
        yield Xtc(src, both & 0xFFFF, both >> 16 & 0xFFF, start + XTC_NBYTES, start + extent)
        start += extent


def read_exactly(descriptor: int, offset: int, size: int, path: Path) -> bytes:
    """Read bytes of an open file.

    Raises
    ------
    SourceFormatError
        If the file ends before.
    """
    parts, found = [], 0
    while found < size:
        part = os.pread(descriptor, size - found, offset + found)
        if not part:
            raise SourceFormatError(
                f"{path}, byte {offset:,}: needs {size:,} bytes, but {found:,} remain; "
                "the file was cut off meanwhile: copy it again, then open the run again"
            )
        parts.append(part)
        found += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
