"""What a written xtc2 stream is to hold: its detectors and their fields, and the bytes that describe them.

The writer shares no layout with the reader, so that each of the two checks the other.

References
----------
Byte layout: public lcls2 sources, xtcdata/xtcdata/xtc/{Xtc,ShapesData,NamesId,NamesLookup}.hh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.types import IntArray

XTC = np.dtype([("src", "<u4"), ("damage", "<u2"), ("type", "<u2"), ("extent", "<u4")])
PARENT, SHAPES_DATA, SHAPES, DATA, NAMES = range(5)

MAX_RANK = 5
TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", "text", "enum", "label")
"""In the order of their codes: numbers, then text, the value of an enumeration, and one of its labels."""

_STRING = 256
_NAMES = np.dtype(
    [("n_arrays", "<u4"), ("kind", f"S{_STRING}"), ("detector", f"S{_STRING}"), ("id", f"S{_STRING}"),
     ("alg", f"S{_STRING}"), ("version", "<u4"), ("segment", "<u4")]
)  # fmt: skip
_NAME = np.dtype(
    [("alg", f"S{_STRING}"), ("version", "<u4"), ("name", f"S{_STRING}"), ("type", "<u4"), ("rank", "<u4")]
)


class Service(IntEnum):
    """What a datagram is: a transition, or an event."""

    CONFIGURE = 2
    UNCONFIGURE = 3
    BEGIN_RUN = 4
    END_RUN = 5
    BEGIN_STEP = 6
    END_STEP = 7
    ENABLE = 8
    DISABLE = 9
    SLOW_UPDATE = 10
    EVENT = 12


@dataclass(frozen=True, slots=True)
class OutField:
    """One field of a detector."""

    name: str
    """As in the file. An enumeration's value is "name:Enum", its labels are "label:Enum"."""
    type: str  # one of `TYPES`
    rank: int = 0  # dimensions of a value, 0 to 5; text counts as one

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise SourceFormatError(f"field {self.name!r}: type {self.type!r} is not one of {TYPES}")
        if not 0 <= self.rank <= MAX_RANK or (self.rank and self.type in TYPES[10:]):
            raise SourceFormatError(
                f"field {self.name!r}: no {self.type!r} of rank {self.rank} in this format"
            )

    @property
    def is_text(self) -> bool:
        """Whether a value is text."""
        return self.type == "text"

    @property
    def stored_rank(self) -> int:
        """Dimensions in the file: one for text."""
        return 1 if self.is_text else self.rank

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one stored element."""
        if self.is_text:
            return np.dtype("u1")
        return np.dtype("<i4" if self.type in ("enum", "label") else f"<{self.type}")


@dataclass(frozen=True, slots=True, eq=False)
class OutNames:
    """What one segment of a detector sends with one algorithm. Known by identity.

    Attributes
    ----------
    detector, fields
        The user's name of the detector, and its fields in order.
    alg, version
        Algorithm.
    kind, unique_id, segment
        Type of the detector, its serial numbers, and the number of the segment.
    data_first : bool
        Whether the values come before their shapes, as front-ends write. Shapes of nothing are then left out.
    node : int
        Which of the stream's nodes sends it; in a nested stream each has a Parent of its own.
    spare_nbytes : int
        Bytes after the shapes that mean nothing, as one writer leaves them.
    """

    detector: str
    fields: tuple[OutField, ...]
    alg: str = "raw"
    version: tuple[int, int, int] = (2, 0, 0)
    kind: str = ""
    unique_id: str = ""
    segment: int = 0
    data_first: bool = False
    node: int = 0
    spare_nbytes: int = 0

    @property
    def arrays(self) -> tuple[OutField, ...]:
        """The fields that have a shape."""
        return tuple(field for field in self.fields if field.stored_rank)


@dataclass(frozen=True, slots=True)
class OutData:
    """What a segment contributes to one datagram, or to many that are alike."""

    names: OutNames  # whose values they are
    values: Mapping[str, Any]
    """Every field. For many events, arrays with an axis of events ahead of the others."""
    damage: int | IntArray = 0  # int, or (n_events,) int64: Damage of this contribution


@dataclass(frozen=True, slots=True)
class OutStream:
    """One stream: its number, and what is sent in it."""

    number: int  # in the name of the file
    names: tuple[OutNames, ...] = ()  # at most 250
    nested: bool = False  # whether contributions lie in one Parent for each node, as in event-built files
    env: int = 0  # bits set in every datagram's `env`, beside the service


RUNINFO = OutNames(
    "runinfo", (OutField("expt", "text"), OutField("runnum", "u4")), "runinfo", (0, 0, 1), "runinfo"
)
CHUNKINFO = OutNames(
    "chunkinfo",
    (OutField("filename", "text"), OutField("chunkid", "u4")),
    "chunkinfo",
    (0, 0, 1),
    "chunkinfo",
)
SMDINFO = OutNames(
    "smdinfo", (OutField("intOffset", "u8"), OutField("intDgramSize", "u8")), "offsetAlg", (0, 0, 0), "offset"
)
_RESERVED = {CHUNKINFO: 252, SMDINFO: 254, RUNINFO: 255}


def number_names(stream: OutStream) -> dict[OutNames, int]:
    """Return every block of a stream, the reserved ones included, its key: node << 8 | number.

    Nodes of a stream are 16 apart from those of the next, as keys need be unique in a stream only.
    """
    first = 16 * stream.number + 1
    keys = {names: (first + names.node) << 8 | i for i, names in enumerate(stream.names)}
    return keys | {names: first << 8 | number for names, number in _RESERVED.items()}


def xtc_header(kind: int, payload_nbytes: int, *, src: int = 0, damage: int = 0) -> bytes:
    """Return the 12 bytes ahead of a payload."""
    return np.array([(src, damage, kind, XTC.itemsize + payload_nbytes)], XTC).tobytes()


def names_bytes(names: OutNames, key: int, garbage: np.random.Generator | None) -> bytes:
    """Describe a block and its fields as the Configure datagram holds them.

    Parameters
    ----------
    key : int
        From `number_names`.
    garbage : Generator, optional
        Fills what follows the end of strings, which real files do not clear.
    """
    head = np.zeros(1, _NAMES)
    head["n_arrays"], head["segment"] = len(names.arrays), names.segment
    head["version"] = _packed(names.version)
    for column, text in (("kind", names.kind or names.detector), ("detector", names.detector),
                         ("id", names.unique_id), ("alg", names.alg)):  # fmt: skip
        _put_text(head, column, text, garbage)
    entries = np.zeros(len(names.fields), _NAME)
    for entry, field in zip(np.split(entries, len(entries)), names.fields, strict=True):
        entry["type"], entry["rank"] = TYPES.index(field.type), field.stored_rank
        _put_text(entry, "name", field.name, garbage)
        _put_text(entry, "alg", "", garbage)
    payload = head.tobytes() + entries.tobytes()
    return xtc_header(NAMES, len(payload), src=key) + payload


def _packed(version: tuple[int, int, int]) -> int:
    major, minor, micro = version
    return major << 16 | minor << 8 | micro


def _put_text(row: NDArray[np.void], column: str, text: str, garbage: np.random.Generator | None) -> None:
    encoded = text.encode()
    if len(encoded) >= _STRING:
        raise SourceFormatError(f"{text!r} has {len(encoded)} bytes, but names end before {_STRING}")
    dtype, offset = row.dtype.fields[column][:2]  # type: ignore[index]
    tail = np.zeros(dtype.itemsize, np.uint8) if garbage is None else noise(dtype.itemsize, garbage)
    tail[: len(encoded) + 1] = np.frombuffer(encoded + b"\0", np.uint8)
    row.view(np.uint8).reshape(-1)[offset : offset + dtype.itemsize] = tail


def noise(n_bytes: int, garbage: np.random.Generator) -> NDArray[np.uint8]:
    """Return bytes that mean nothing, none of them NUL."""
    return garbage.integers(1, 256, n_bytes, np.uint8)
