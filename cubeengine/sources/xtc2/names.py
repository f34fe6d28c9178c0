"""The schema of a Configure: which detector writes which fields, with which types.

Strings in it end at the first NUL; what follows is not cleared by the writers and means nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from cubeengine.sources.xtc2.dgram import Place

NAMES_NBYTES = 1036
NAME_NBYTES = 524
MAX_RANK = 5

INT64 = 7
"""The type of signed integers of 8 bytes."""

TEXT, ENUM, ENUM_LABEL = 10, 11, 12
"""Types beside the plain numbers: text, value of an enum, code of one label of an enum."""

_DTYPES = tuple(
    np.dtype(code)
    for code in ("<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8", "<f4", "<f8", "<u1", "<i4", "<i4")
)
FORMATS = "BHIQbhiqfdBii"
"""Letters of the types for `struct`."""

KEY_MASK = 0x0FFFFFFF
"""The part of an Xtc's `src` that is the NamesId."""


@dataclass(frozen=True, slots=True)
class Name:
    """One field as a Names block declares it."""

    name: str
    """As in the file; of an enum with its type, e.g. "gainMode:gainModeEnum"."""
    type: int  # code of the type, 0 to 12
    rank: int  # dimensions; 0 is a scalar

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of one stored element, little endian."""
        return _DTYPES[self.type]

    @property
    def itemsize(self) -> int:
        """Bytes of one stored element."""
        return self.dtype.itemsize

    @property
    def is_text(self) -> bool:
        """Whether it is text: one dimension of bytes, up to the first NUL."""
        return self.type == TEXT

    @property
    def is_enum(self) -> bool:
        """Whether it is the value of an enum."""
        return self.type == ENUM

    @property
    def is_label(self) -> bool:
        """Whether it is not a value, but the code of one label of an enum."""
        return self.type == ENUM_LABEL

    @property
    def plain(self) -> str:
        """The name without the type of the enum: the one that users know."""
        return self._split[0]

    @property
    def enum_type(self) -> str:
        """Type of the enum; "" for all else, and for an enum that names none."""
        return self._split[1]

    @property
    def _split(self) -> tuple[str, str]:
        head, colon, tail = self.name.rpartition(":")
        return (head, tail) if colon and (self.is_enum or self.is_label) else (self.name, "")


@dataclass(frozen=True, slots=True)
class Names:
    """What one detector segment writes with one algorithm.

    Attributes
    ----------
    key : int
        The NamesId, by which ShapesData refer to it: the only thing that is unique.
    detector, kind, unique_id : str
        The user's name of the detector, its type, and its serial numbers.
    alg : str
    version : tuple of int
        Name and version (major, minor, micro) of the algorithm.
    segment : int
    fields : tuple of Name
        In the order of storage. If a plain name occurs twice, the last is meant, as for psana.
    plain_names : tuple of str
        Those of the fields.
    scalar_format : str
        All fields for `struct`, where none is an array; else "".
    has_enums : bool
        Whether there are enums or labels.
    """

    key: int
    detector: str
    kind: str
    unique_id: str
    alg: str
    version: tuple[int, int, int]
    segment: int
    fields: tuple[Name, ...]
    plain_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    scalar_format: str = field(init=False, repr=False, compare=False)
    has_enums: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked for with every contribution of every datagram, so made once.
        scalar = not any(name.rank or name.is_text for name in self.fields)
        form = "<" + "".join(FORMATS[name.type] for name in self.fields) if scalar else ""
        object.__setattr__(self, "scalar_format", form)
        object.__setattr__(self, "plain_names", tuple(name.plain for name in self.fields))
        object.__setattr__(self, "has_enums", any(name.is_enum or name.is_label for name in self.fields))

    @property
    def n_arrays(self) -> int:
        """Fields with a shape of their own in every datagram."""
        return sum(name.rank > 0 for name in self.fields)

    @property
    def group(self) -> tuple[str, int, str]:
        """Detector, segment and algorithm; several Names of a schema may share it."""
        return self.detector, self.segment, self.alg


EnumKey = tuple[str, int, str, str]
"""Detector, segment, algorithm and type of an enum."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What one Configure declares."""

    names: Mapping[int, Names]  # NamesId -> Names
    enums: Mapping[EnumKey, Mapping[int, str]] = field(default_factory=dict)
    """(detector, segment, algorithm, type of the enum) -> code -> label, as the Configure's own values give
    it. Updates in later datagrams carry enums without labels.
    """

    def labels(self, names: Names, name: Name) -> Mapping[int, str]:
        """Return the labels of an enum field; empty where the Configure has none."""
        return self.enums.get((*names.group, name.enum_type), {})

    def named(self, detector: str) -> tuple[Names, ...]:
        """Return all Names of one detector."""
        return tuple(names for names in self.names.values() if names.detector == detector)


def text(raw: bytes) -> str:
    r"""Decode text up to the first NUL; bytes that are not UTF-8 become "\\xff"."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def parse_names(data: bytes, start: int, stop: int, src: int, place: Place) -> Names:
    """Decode one Names block.

    Parameters
    ----------
    data : bytes
        The Configure.
    start, stop : int
        The payload of the block.
    src : int
        The word of its header that holds the NamesId.
    place : Place
        Where the Configure lies.

    Raises
    ------
    SourceFormatError
        If it contradicts itself, or has a type that is unknown.
    """
    n_fields, rest = divmod(stop - start - NAMES_NBYTES, NAME_NBYTES)
    if n_fields < 0 or rest:
        raise place.error(
            start,
            f"a Names block of {stop - start:,} bytes, but {NAMES_NBYTES} and a multiple of {NAME_NBYTES} "
            "are wanted; the file is damaged, or of an older format",
        )
    n_arrays, kind, detector, unique_id, alg, version, segment = struct.unpack_from(
        "<I256s256s256s256sII", data, start
    )
    first = start + NAMES_NBYTES
    fields = tuple(_parse_name(data, first + NAME_NBYTES * number, place) for number in range(n_fields))
    parts = (version >> 16 & 0xFF, version >> 8 & 0xFF, version & 0xFF)
    names = Names(
        src & KEY_MASK, text(detector), text(kind), text(unique_id), text(alg), parts, segment, fields
    )
    if names.n_arrays != n_arrays:
        raise place.error(
            start,
            f"the Names of {names.detector!r} say {n_arrays} array fields, but declare {names.n_arrays}; "
            "the file is damaged",
        )
    return names


def _parse_name(data: bytes, start: int, place: Place) -> Name:
    raw, kind, rank = struct.unpack_from("<256sII", data, start + 260)
    name = text(raw)
    if kind >= len(_DTYPES):
        raise place.error(
            start, f"field {name!r} has type {kind}, but only 0 to {len(_DTYPES) - 1} are known"
        )
    most = {TEXT: 1, ENUM_LABEL: 0}.get(kind, MAX_RANK)
    if rank > most:
        raise place.error(start, f"field {name!r} of type {kind} has rank {rank}, but {most} is the most")
    return Name(name, kind, rank)
