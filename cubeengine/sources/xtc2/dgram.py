"""Datagrams: the headers of xtc2, and where every datagram of a file lies.

A file is nothing but datagrams one after another, so finding event n means hopping over all before it.
The hop is compiled (see `hop`) and reads with pread: a file that is cut off meanwhile gives an error,
where a mapped file would kill the process.

References
----------
Byte layout: public lcls2 sources, xtcdata/xtcdata/xtc/{Dgram,Xtc,TransitionId,Damage,ShapesData,NamesId}.hh.
"""

from __future__ import annotations

import os
import struct
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

_XTC = struct.Struct("<IHHI")

PARENT, SHAPES_DATA, SHAPES, DATA, NAMES = range(5)
"""Types of Xtc: the low 12 bits of `type`."""

CORRUPTED = 1 << 3
"""Damage bit: what is in such a Parent is not looked into."""

DROPPED = 1 << 4
"""Damage bit of a datagram: another contribution is absent; those that are present are whole."""

MAX_DEPTH = 32
"""Parents within Parents, the datagram counted: the field's writers nest them twice."""


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
        """Return the error of what is wrong `at` bytes after the place."""
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
        """Service of every datagram, made anew each time."""
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
    header = _XTC.unpack_from
    while start < stop:
        if stop - start < XTC_NBYTES:
            raise place.error(start, f"{stop - start} bytes are left, too few for a header of {XTC_NBYTES}")
        src, damage, kind, extent = header(data, start)
        if not XTC_NBYTES <= extent <= stop - start:
            raise place.error(
                start, f"an Xtc claims {extent:,} bytes, but needs at least 12 and {stop - start:,} at most"
            )
        yield Xtc(src, damage, kind & 0xFFF, start + XTC_NBYTES, start + extent)
        start += extent


def blocks(data: bytes, place: Place) -> Iterator[tuple[Xtc, int]]:
    """Walk over all Xtcs of a datagram that are not Parents, whatever Parents they are in.

    Parameters
    ----------
    data : bytes
        A whole datagram.
    place : Place
        Where it lies.

    Yields
    ------
    Xtc
        The block.
    int
        Damage of the Parents around it, that of the datagram left out: all bits together. Parents with
        the bit `CORRUPTED` are not looked into.
    """
    _, damage, kind, extent = _XTC.unpack_from(data, DGRAM_NBYTES - XTC_NBYTES)
    if kind & 0xFFF != PARENT or extent != len(data) - DGRAM_NBYTES + XTC_NBYTES:
        raise place.error(
            0, f"a datagram of {len(data):,} bytes says type {kind}, {extent:,} bytes; the file is damaged"
        )
    if not damage & CORRUPTED:
        yield from _within(data, DGRAM_NBYTES, len(data), 0, 0, place)


def _within(
    data: bytes, start: int, stop: int, above: int, depth: int, place: Place
) -> Iterator[tuple[Xtc, int]]:
    if depth >= MAX_DEPTH:
        raise place.error(start, f"Parents are nested {MAX_DEPTH} deep; the file is damaged")
    for xtc in children(data, start, stop, place):
        if xtc.type != PARENT:
            yield xtc, above
        elif not xtc.damage & CORRUPTED:
            yield from _within(data, xtc.start, xtc.stop, above | xtc.damage, depth + 1, place)


def read_exactly(descriptor: int, offset: int, size: int, path: Path) -> bytes:
    """Read bytes of an open file.

    Raises
    ------
    SourceFormatError
        If the file ends before.
    """
    parts, found = [], 0
    while found < size:
        try:
            part = os.pread(descriptor, size - found, offset + found)
        except OSError as err:
            raise SourceFormatError(f"{path}, byte {offset:,}: cannot be read ({err.strerror})") from err
        if not part:
            raise SourceFormatError(
                f"{path}, byte {offset:,}: needs {size:,} bytes, but {found:,} remain; the file was "
                "cut off meanwhile: copy it again, then open the run again"
            )
        parts.append(part)
        found += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
