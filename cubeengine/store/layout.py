"""How a cube lies on disk: its arrays and their chunks. Pure; opens nothing.

A chunk is the unit of writing: it belongs to one task, which writes it once and whole. Two tasks that
write parts of one chunk lose data without an error, so planner and store take their chunks from here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from cubeengine.errors import StoreMismatch

Region = tuple[slice, ...]

CHUNK_LIMIT = 16 * 2**20
"""Largest chunk, bytes before compression: one is encoded in some 20 ms and costs little beside a frame."""

WHOLE_LIMIT = 4 * 2**20
"""Arrays up to this many bytes are one chunk: smaller chunks cost more in files than they save."""

STRING = "string"
"""The `dtype` of string arrays, after the data type of zarr v3."""

STD_COMMENT = "spread of single events; standard error of the mean = std / sqrt(count - 1)"
"""What the attribute `comment` of each `<signal>_std` says."""


def stored_type(dtype: np.dtype[Any]) -> str:
    """Return what `ArrayLayout.dtype` says of values of a numpy type: "string" of any kind of text.

    Examples
    --------
    >>> stored_type(np.array(["signal", "background"]).dtype), stored_type(np.dtype(">i4"))
    ('string', 'int32')
    """
    return STRING if dtype.kind in "TUO" else dtype.name


# Names become folder names, and are listed in the space-separated attribute `coordinates`.
_NAME = re.compile(r"[^\s/\\.][^\s/\\\x00]*")
_RESERVED = ("zarr.json",)


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """One array of a cube.

    Attributes
    ----------
    name : str
        Name of the variable, e.g. "ipm2__sum_mean".
    dims : tuple of str
        Names of the dimensions.
    shape, chunks : tuple of int
        Lengths of the array, and of its regular chunks (the last one along a dimension may be short).
    dtype : str
        A numpy type name ("float64", "int64", "bool", ...), or "string".
    attrs : mapping
        Attributes: JSON values and numpy scalars.
    fill_value : scalar, or None
        What an unwritten chunk would read as; None: NaN for floats, 0 for integers, "" for strings.
    coordinate : bool
        True for what describes the data and is no dimension itself (bin edges, pixel positions): xarray
        then lists it under coordinates. Dimensions are coordinates anyway.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    attrs: Mapping[str, object] = field(default_factory=dict)
    fill_value: float | int | str | None = None
    coordinate: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _RESERVED:
            raise StoreMismatch(
                f"array {self.name!r}: a name needs at least one character, none of them a blank or slash, "
                "and no leading dot"
            )
        if not len(self.dims) == len(self.shape) == len(self.chunks):
            raise StoreMismatch(
                f"array {self.name!r}: dims {self.dims}, shape {self.shape} and chunks {self.chunks} "
                "must have the same length"
            )
        if any(not 1 <= chunk <= max(size, 1) for chunk, size in zip(self.chunks, self.shape, strict=True)):
            raise StoreMismatch(
                f"array {self.name!r}: chunks {self.chunks} must lie between 1 and the shape {self.shape}"
            )

    @property
    def numpy_dtype(self) -> np.dtype[np.generic] | np.dtypes.StringDType:
        """The type of one element."""
        return np.dtypes.StringDType() if self.dtype == STRING else np.dtype(self.dtype)

    @property
    def fill(self) -> object:
        """The fill value, with the default of the type where none was given."""
        if self.fill_value is not None:
            return self.fill_value
        return {"f": np.nan, "T": "", "b": False}.get(self.numpy_dtype.kind, 0)

    @property
    def nbytes(self) -> int:
        """Bytes before compression; strings count as 16 each."""
        return math.prod(self.shape) * self.numpy_dtype.itemsize


@dataclass(frozen=True, slots=True)
class CubeLayout:
    """All arrays of a cube, in the order users see them, and the attributes of the group."""

    arrays: tuple[ArrayLayout, ...]
    attrs: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [array.name for array in self.arrays]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise StoreMismatch(
                f"two arrays of the cube are named {twice[0]!r}; name one of the signals differently"
            )
        lengths: dict[str, int] = {}
        for array in self.arrays:
            for dim, size in zip(array.dims, array.shape, strict=True):
                if lengths.setdefault(dim, size) != size:
                    raise StoreMismatch(
                        f"array {array.name!r}: dimension {dim!r} has length {size}, "
                        f"but {lengths[dim]} elsewhere"
                    )

    def __getitem__(self, name: str) -> ArrayLayout:
        return next(array for array in self.arrays if array.name == name)

    @property
    def nbytes(self) -> int:
        """Bytes before compression."""
        return sum(array.nbytes for array in self.arrays)


def choose_chunks(
    shape: Sequence[int],
    itemsize: int,
    *,
    block: Sequence[int | None] | None = None,
    limit: int = CHUNK_LIMIT,
) -> tuple[int, ...]:
    """Choose regular chunks for an array over (selection, axes..., elements...).

    An array of at most `WHOLE_LIMIT` bytes is one chunk. A larger one has one selection per chunk and is
    split from the left, first along the axes, then along the elements, until a chunk has at most `limit`
    bytes; parts along a dimension are about equal.

    Parameters
    ----------
    shape : sequence of int
        Lengths: selection, axes, elements.
    itemsize : int
        Bytes per element. Arrays written together (count, mean, std) get the same chunks when all are
        asked for with the largest of their item sizes.
    block : sequence of int or None, optional
        What one task writes, per dimension: indices [k * block, (k + 1) * block) for some k. Chunks then
        divide the blocks, so that no chunk belongs to two tasks. None along a dimension: no constraint.
    limit : int
        Bytes of the largest chunk.

    Returns
    -------
    tuple of int
        One chunk length per dimension, at least 1.

    Examples
    --------
    >>> choose_chunks((3, 50), 8)
    (3, 50)
    >>> choose_chunks((2, 40, 1024, 1024), 8)
    (1, 2, 1024, 1024)
    >>> choose_chunks((2, 40, 1024, 1024), 8, block=(None, 5, 256, None))
    (1, 5, 256, 1024)
    >>> choose_chunks((1, 10, 4096, 4096), 8)
    (1, 1, 512, 4096)
    """
    blocks = [
        size if part is None else min(part, size)
        for part, size in zip(block or [None] * len(shape), shape, strict=True)
    ]
    whole = math.prod(shape) * itemsize
    chunks = [max(part, 1) for part in blocks]
    if whole <= WHOLE_LIMIT:
        return tuple(chunks)
    if len(shape) > 1:
        chunks[0] = 1
    for i, size in enumerate(shape):
        inner = math.prod(chunks[i + 1 :]) * itemsize
        room = max(limit // inner, 1)
        chunks[i] = _even_part(chunks[i], room) if blocks[i] >= size else _divisor(chunks[i], room)
    return tuple(chunks)


def regions(shape: Sequence[int], block: Sequence[int]) -> Iterator[Region]:
    """Return the regular blocks of an array in C order; the last along a dimension may be short.

    With `block` equal to the chunks, or to multiples of them, each region can be one task's.

    Examples
    --------
    >>> [tuple((s.start, s.stop) for s in region) for region in regions((2, 5), (2, 3))]
    [((0, 2), (0, 3)), ((0, 2), (3, 5))]
    """
    parts = (
        [slice(start, min(start + step, size)) for start in range(0, size, step)]
        for size, step in zip(shape, block, strict=True)
    )
    return product(*parts)


def _even_part(size: int, room: int) -> int:
    """Return the length of about equal parts of at most `room`."""
    return math.ceil(size / math.ceil(size / room))


def _divisor(size: int, room: int) -> int:
    """Return the largest divisor of `size` that is at most `room`."""
    return next(part for part in range(min(size, room), 0, -1) if size % part == 0)
