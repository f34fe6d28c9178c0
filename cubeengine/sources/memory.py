"""Arrays as a source: for tests, notebooks, and what was computed rather than read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cubeengine.errors import FieldNotFound, SourceFormatError, SpecError
from cubeengine.marks import LEADING_ZEROS, Marks, check_marks, declared_values, marks_of
from cubeengine.schema.calls import as_mapping
from cubeengine.shared import mapped_array
from cubeengine.sources.base import Block, Reader
from cubeengine.sources.batches import INDEX_NBYTES, batches, element_range, units_per_block
from cubeengine.sources.columns import read_column
from cubeengine.sources.leading import leading_zeros
from cubeengine.sources.pieces import with_marks, without_rows
from cubeengine.sources.selection import rows_of
from cubeengine.sources.times import UNIX_EPOCH, pack, time_order, to_datetime
from cubeengine.types import (
    BoolArray,
    Column,
    DetectorInfo,
    FieldInfo,
    FieldKind,
    InputFile,
    IntArray,
    Storage,
    memory_dtype,
    narrow_dtype,
    widened,
)


def array_blocks(
    array: NDArray[Any], valid: BoolArray | None, rows: IntArray, elements: slice, block_nbytes: int
) -> Iterator[Block]:
    """Serve rows of an array: views where the rows lie together, copies where not."""
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    first, stop = element_range(elements, flat.shape[1])
    native = flat.dtype.newbyteorder("=")
    capacity = units_per_block(block_nbytes, max(stop - first, 1) * native.itemsize)
    for batch in batches(rows, capacity=capacity):
        runs = [
            flat[begin : begin + count, first:stop]
            for begin, count in zip(batch.first.tolist(), batch.count.tolist(), strict=True)
        ]
        data = np.ascontiguousarray(runs[0] if len(runs) == 1 else np.concatenate(runs), native)
        kept = None if valid is None else valid[rows[batch.start : batch.stop]]
        yield Block(data, batch.start, batch.stop, batch.take, kept)


def _array_memory(n_elements: int, itemsize: int, block_nbytes: int) -> int:
    n_rows = units_per_block(block_nbytes, n_elements * itemsize)
    return n_rows * (n_elements * itemsize + INDEX_NBYTES)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayReader:
    """Reads rows of an array in memory."""

    array: NDArray[Any]  # (n_rows, ...) array
    valid: BoolArray | None = None  # (n_rows,) bool, or None: False where a row is missing

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, native byte order."""
        return self.array.dtype.newbyteorder("=")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.array.shape[1:]

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Serve rows, block after block; see `Reader.blocks`."""
        return array_blocks(self.array, self.valid, rows, elements, block_nbytes)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds beside the array itself."""
        return _array_memory(n_elements, self.dtype.itemsize, block_nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class NpyReader:
    """Reads rows of a .npy file, which is mapped, not loaded: what tasks use in place of a large array.

    Attributes
    ----------
    path : Path
        The file of values, written by `numpy.save`.
    dtype, shape : of one element, of one row
    valid_path : Path, or None
        A .npy file of (n_rows,) bool.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    valid_path: Path | None = None

    @classmethod
    def of(cls, path: Path, valid_path: Path | None = None) -> NpyReader:
        """Describe a file that is there.

        Raises
        ------
        SourceFormatError
            If it is not a .npy file of plain numbers.
        """
        array = _mapped(path)
        return cls(path, array.dtype.newbyteorder("="), array.shape[1:], valid_path)

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        valid = None if self.valid_path is None else _mapped(self.valid_path)
        return array_blocks(_mapped(self.path), valid, rows, elements, block_nbytes)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time, mapped pages left out."""
        return _array_memory(n_elements, self.dtype.itemsize, block_nbytes)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array = mapped_array(path)
    except (OSError, ValueError, EOFError) as err:
        raise SourceFormatError(f"{path}: cannot be read as a .npy file ({err})") from err
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise SourceFormatError(f"{path}: holds no array whose first dimension is the events")
    return array.view(np.ndarray)


@dataclass(frozen=True, eq=False)
class MemorySource:
    """Events whose values are arrays in memory.

    Parameters
    ----------
    arrays : mapping of name to (n_events, ...) array
    timestamps : (n_events,) uint64, optional
        Packed time, any order; default 120 Hz from 1970 on.
    valid : mapping of name to (n_events,) bool, optional
        False where a value is missing.
    run_level : mapping of name to array, optional
        What is once per run.
    element_coordinates : mapping of name to {dimension: (name, values)}, optional
        Coordinates of element dimensions.

    Raises
    ------
    SpecError
        If the arrays differ in length.
    """

    arrays: Mapping[str, NDArray[Any]]
    timestamps: NDArray[np.uint64] = None  # type: ignore[assignment]  # filled in when born
    valid: Mapping[str, BoolArray] = field(default_factory=dict)
    run_level: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    element_coordinates: Mapping[str, Mapping[int, tuple[str, NDArray[Any]]]] = field(default_factory=dict)
    marks: Mapping[str, Marks] = field(default_factory=dict)
    rows: IntArray | None = field(init=False, default=None)
    fields: Mapping[str, FieldInfo] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        as_mapping(self.arrays, "arrays", "{'ipm2/sum': values}")
        arrays = {name: widened(np.asarray(array)) for name, array in self.arrays.items()}
        run_level = {name: widened(np.asarray(array)) for name, array in self.run_level.items()}
        lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
        stored = _clock(max(lengths.values(), default=0)) if self.timestamps is None else self.timestamps
        stored = np.asarray(stored).astype(np.uint64)
        for name in arrays:
            if lengths.get(name) != len(stored):
                raise SpecError(
                    f"array {name!r} has {lengths.get(name)} rows, but there are {len(stored)} events"
                )
        rows = time_order(stored)
        infos = {name: _describe(name, array, FieldKind.EVENT) for name, array in self.arrays.items()}
        infos |= {name: _describe(name, array, FieldKind.RUN) for name, array in self.run_level.items()}
        for name, value in {
            "arrays": arrays,
            "run_level": run_level,
            "timestamps": stored if rows is None else stored[rows],
            "rows": rows,
            "fields": infos,
        }.items():
            object.__setattr__(self, name, value)

    @property
    def files(self) -> tuple[InputFile, ...]:
        """No files."""
        return ()

    @property
    def n_events(self) -> int:
        """Events of the run."""
        return len(self.timestamps)

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""
        return to_datetime(self.timestamps, UNIX_EPOCH)

    def read(self, name: str, events: IntArray | slice | None = None) -> Column:
        """Return a field for some events (numbers in time order), or for all; run-level fields whole."""
        if name in self.run_level:
            return Column(self.run_level[name])
        return read_column(self.reader(name), self._rows_of(events))

    def reader(self, name: str) -> Reader:
        """Return the reader of an event field.

        Raises
        ------
        FieldNotFound
            If there is no such field.
        SpecError
            If the field is not one value per event.
        """
        if name in self.run_level:
            raise SpecError(f"field {name!r} is once per run, not per event")
        if name not in self.arrays:
            raise FieldNotFound(name, "the arrays in memory", list(self.fields))
        reader: Reader = ArrayReader(self.arrays[name], self.valid.get(name))
        declared = self.marks.get(name, ())
        if LEADING_ZEROS in marks_of(declared):
            n_zero = leading_zeros(reader, self.n_events)
            reader = without_rows(reader, np.array([[0, n_zero]]), self.n_events)
        return with_marks(reader, declared_values(declared), self.fields[name].narrow)

    def leading_zero_rows(self, name: str) -> int:
        """Count the rows before the first that is not zero."""
        return leading_zeros(self.reader(name), self.n_events)

    def coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Return the coordinates of element dimensions that were told."""
        return self.element_coordinates.get(name, {})

    def detector(self, name: str) -> DetectorInfo | None:  # noqa: ARG002 - none of its fields has one
        """Return None: only raw data describe their detectors."""
        return None

    def aligned(self, group: str) -> MemorySource:
        """Raise SpecError: arrays in memory have no align groups."""
        raise SpecError(f"align group {group!r}: arrays in memory have none")

    def with_missing(self, marks: Mapping[str, Marks]) -> MemorySource:
        """Return the same source with more values counted as missing: field -> marks."""
        check_marks(marks, self.fields, "the arrays in memory")
        stored = self.timestamps if self.rows is None else self.timestamps[np.argsort(self.rows)]
        made = replace(self, timestamps=stored, marks={**self.marks, **marks})
        object.__setattr__(made, "fields", self.fields)  # its arrays are widened already
        return made

    def _rows_of(self, events: IntArray | slice | None) -> IntArray:
        return rows_of(events, self.rows, self.n_events)


def _clock(n_events: int) -> NDArray[np.uint64]:
    nanoseconds = np.arange(n_events, dtype=np.int64) * 8_333_333
    return pack(nanoseconds // 10**9, nanoseconds % 10**9)


def _describe(name: str, given: ArrayLike, kind: FieldKind) -> FieldInfo:
    array = np.asarray(given)
    per_event = kind is FieldKind.EVENT
    shape = array.shape[1:] if per_event else array.shape
    n_rows = len(array) if per_event else 1
    dtype, narrow = memory_dtype(array.dtype), narrow_dtype(array.dtype)
    return FieldInfo(name, shape, dtype, kind, Storage("memory"), "memory", n_rows, narrow=narrow)
