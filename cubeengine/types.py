"""Values shared by all floors: names of runs, fields and files, and how a field lies in storage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def memory_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that stored values have in memory: native byte order, and float32 for float16.

    Sums and formulas leave the range of float16 (65,504) soon. Readers widen it, so that nothing above them
    sees it, and all sizes in memory are those of float32.

    Examples
    --------
    >>> memory_dtype(np.dtype(">f2")), memory_dtype(np.dtype(">u2"))
    (dtype('float32'), dtype('uint16'))
    """
    return np.dtype(np.float32) if _is_float16(stored) else stored.newbyteorder("=")


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that was made in memory as `memory_dtype` wants it; byte orders stay."""
    return array.astype(np.float32) if _is_float16(array.dtype) else array


def narrow_dtype(stored: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return a type as stored where `memory_dtype` is a wider one, else None."""
    return np.dtype(np.float16) if _is_float16(stored) else None


def _is_float16(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" and dtype.itemsize == 2


@dataclass(frozen=True, slots=True, order=True)
class RunId:
    """An experiment and a run number; `xpptut15:252` as users type it."""

    experiment: str
    run: int

    def __str__(self) -> str:
        return f"{self.experiment}:{self.run}"


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that was read, as recorded in the cube: enough to notice that it changed."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> InputFile:
        """Describe the file as it is now."""
        status = path.stat()
        return cls(path.resolve(), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Announced:
    """How many events an index, or another file, announces, and how many of them can be read.

    Attributes
    ----------
    what : str
        What they are the events of, e.g. "raw data" or "stream 1 (xppx20415-r0057-s001-c000.xtc2)".
    announced, read : int
        Events.
    why : str
        Why fewer are read; "" where all are.
    """

    what: str
    announced: int
    read: int
    why: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all events that are announced are read."""
        return self.read == self.announced

    def __str__(self) -> str:
        lacking = "" if self.is_complete else f", {self.announced - self.read:,} are missing: {self.why}"
        return f"{self.what}: {self.read:,} of {self.announced:,} announced events were read{lacking}"


class FieldKind(StrEnum):
    """What the first dimension of a dataset means."""

    EVENT = "event"  # one row per event: can be a signal, an axis, a cut
    RAGGED = "ragged"  # variable length: listed with its lengths, refused as a signal
    RUN = "run"  # once per run: settings, sums, calibration
    ALIGNED = "aligned"  # one row per event of an align group


@dataclass(frozen=True, slots=True)
class Storage:
    """How the rows of a field lie in storage: all that the cost model needs to know.

    Attributes
    ----------
    layout : "memory", "contiguous" or "chunked"
        Whether rows are in memory, one after another in a file, or in chunks.
    chunk_events : int
        Rows per chunk, read and decoded together; 1 where every row can be read alone.
    codecs : tuple of str
        Filters in the order of writing, e.g. ("shuffle", "gzip"); empty where the bytes are plain.
    direct : bool
        True where byte offsets are known, so that plain reads bypass the HDF5 library and its lock.
    reads, computing : int
        Of what is computed of other fields: bytes that are read for an event, and bytes that stand in memory
        while it is computed; 0 where it is read as it is.
    """

    layout: str
    chunk_events: int = 1
    codecs: tuple[str, ...] = ()
    direct: bool = False
    reads: int = 0
    computing: int = 0

    @property
    def addressable(self) -> bool:
        """Whether single rows, and parts of rows, can be read without reading their neighbours."""
        return self.layout == "memory" or (self.direct and not self.codecs)

    @property
    def separable(self) -> bool:
        """Whether single rows can be read without decoding their neighbours."""
        return self.addressable or self.chunk_events == 1


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One named quantity of a run."""

    name: str
    """As users write it, e.g. "ipm2/sum"."""
    shape: tuple[int, ...]  # shape of one event's value; () for a scalar
    dtype: np.dtype[np.generic]  # type of one element, native byte order
    kind: FieldKind = FieldKind.EVENT  # what the first dimension of the dataset means
    storage: Storage = field(default_factory=lambda: Storage("memory"))  # how it lies on disk or in memory
    origin: str = "memory"  # file it comes from, or "memory" or "derived"
    n_rows: int = 0  # rows of the dataset
    group: str = ""  # align group whose events the rows are; "" for the run's own events
    note: str = ""
    """What a user should know about it, e.g. why it cannot be a signal."""
    narrow: np.dtype[Any] | None = None
    """Type as stored, where that is narrower than in memory (float16): marks, and numbers that values are
    compared with, are rounded to it.
    """

    def __repr__(self) -> str:
        shape = f", shape {self.shape}" if self.shape else ""
        return f"<FieldInfo {self.name!r}: {self.dtype}{shape}, {self.kind.value}, {self.n_rows:,} rows>"

    @property
    def n_elements(self) -> int:
        """Elements of one event's value."""
        return math.prod(self.shape)

    @property
    def event_nbytes(self) -> int:
        """Bytes of one event's value, decoded."""
        return self.n_elements * self.dtype.itemsize

    @property
    def read_nbytes(self) -> int:
        """Bytes that are read for one event's value, decoded."""
        return self.storage.reads or self.event_nbytes

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, decoded."""
        return self.event_nbytes * self.n_rows


@dataclass(frozen=True, slots=True, eq=False)
class DetectorInfo:
    """The detector that a field comes from, as the raw data describe it.

    Attributes
    ----------
    name, kind : str
        The user's name, e.g. "jungfrau", and the type of detector, e.g. "jungfrau" or "epix10ka".
    unique_id : str
        Type and serial numbers of its segments, as constants are filed under.
    segments : tuple of int
        Numbers of the segments along the first dimension of the field, rising.
    settings : mapping
        "<alg>/<field>" of the configuration, e.g. "config/trbit" -> its value for each of `segments`.
    """

    name: str
    kind: str
    unique_id: str = ""
    segments: tuple[int, ...] = (0,)
    settings: Mapping[str, tuple[NDArray[np.generic], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """One value per event, in time order, with what is missing marked."""

    data: NDArray[np.generic]  # (n_events, ...) array: Values; float values that are missing are NaN
    valid: BoolArray | None = None
    """(n_events,) bool, or None: False where an integer or boolean value is missing (the filler in `data`
    means nothing); None where nothing is missing or the type has NaN.
    """
    damaged: BoolArray | None = None
    """(n_events,) bool, or None: True where a value was damaged when it was taken: it counts as missing, for
    this reason.
    """

    def __len__(self) -> int:
        return len(self.data)
