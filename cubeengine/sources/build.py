"""Stored datasets turned into readers: byte offsets are asked of HDF5 once, then it is not needed."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np

from cubeengine.errors import SourceFormatError
from cubeengine.marks import certain_marks
from cubeengine.sources.base import Reader
from cubeengine.sources.bytesio import check_unchanged
from cubeengine.sources.coded import CodedReader
from cubeengine.sources.hdf5 import check_filters, codec_names, library_errors, opened_hdf5
from cubeengine.sources.library import LibraryReader
from cubeengine.sources.pieces import (
    ConvertedReader,
    PiecewiseReader,
    WideReader,
    with_marks,
    without_rows,
)
from cubeengine.sources.plain import PlainReader
from cubeengine.sources.stored import Stored
from cubeengine.types import IntArray, memory_dtype

_PLAUSIBLE_RATIO = 4096
"""Decoded bytes per byte of file that are believed: gzip reaches 1032, zstd somewhat more."""

_HARMLESS_NBYTES = 2**28
"""Sizes that are allocated without asking how large the file is."""


def check_size(stored: Stored, nbytes: int) -> None:
    """Raise SourceFormatError if so many bytes cannot be in the file: then its shape is damaged."""
    sources = [piece.source for piece in stored.pieces] or [stored]
    available = sum(source.file.size for source in sources)
    if nbytes > max(_HARMLESS_NBYTES, _PLAUSIBLE_RATIO * available):
        raise SourceFormatError(
            f"{stored.file.path}: field {stored.name!r} has shape {stored.shape}, {nbytes:,} bytes to read, "
            f"but the file has {available:,}; the file is damaged, or the field was never written"
        )


def build_reader(stored: Stored, *, marked: bool = True) -> Reader:
    """Make the reader of a dataset of rows.

    Parameters
    ----------
    stored : Stored
        How the dataset lies.
    marked : bool
        Whether the writers' mark is missing in parts whose type is not that of the whole: once converted, it
        would not be known any more. In others it is for the caller to look for.

    Raises
    ------
    SourceFormatError
        If it cannot be read.
    MissingExtra
        If its compression needs an optional package.
    """
    if stored.problem:
        raise SourceFormatError(stored.problem)
    check_size(stored, math.prod(stored.shape[1:]) * stored.dtype.itemsize * max(stored.chunk_rows, 1))
    if stored.layout == "virtual":
        return _joined(stored, marked=marked)
    reader = _stored_reader(stored)
    return reader if reader.dtype == memory_dtype(stored.dtype) else WideReader(reader)


def _stored_reader(stored: Stored) -> Reader:
    what = f"field {stored.name!r}"
    check_filters(stored.file.path, what, stored.filters)
    if stored.layout == "library" or not stored.storage.direct:
        native = stored.dtype.newbyteorder("=")
        chunk_rows = min(stored.chunk_rows, max(stored.n_rows, 1))
        return LibraryReader(stored.file, stored.name, native, stored.shape[1:], stored.n_rows, chunk_rows)
    with opened_hdf5(stored.file.path) as file, library_errors(stored.file.path, what):
        check_unchanged(stored.file, stored.file.path.stat())
        return _direct_reader(stored, file[stored.name].id)


def _joined(stored: Stored, *, marked: bool) -> Reader:
    """Put the parts one after another; rows that no part has are missing."""
    borders, which, shift = [0], [], []
    for number, piece in enumerate(stored.pieces):
        if piece.first > borders[-1]:
            borders.append(piece.first)
            which.append(-1)
            shift.append(0)
        borders.append(piece.first + piece.count)
        which.append(number)
        shift.append(piece.source_first - piece.first)
    if borders[-1] < stored.n_rows:
        borders.append(stored.n_rows)
        which.append(-1)
        shift.append(0)
    readers = tuple(_part_reader(piece.source, stored, marked=marked) for piece in stored.pieces)
    arrays = [np.array(values, np.int64) for values in (borders, which, shift)]
    return PiecewiseReader(memory_dtype(stored.dtype), stored.shape[1:], readers, *arrays)


def _part_reader(source: Stored, whole: Stored, *, marked: bool) -> Reader:
    """Make the reader of a part, whose numbers may have to become those of the whole."""
    reader = build_reader(source, marked=marked)
    if source.native == whole.native:
        return reader
    marks = certain_marks(source.native, math.prod(source.shape[1:])) if marked else ()
    return ConvertedReader(with_marks(reader, marks), whole.native)


def _direct_reader(stored: Stored, dataset: Any) -> Reader:
    shape, n_rows = stored.shape[1:], stored.n_rows
    if stored.layout == "contiguous":
        offset = dataset.get_offset()
        if offset is None:  # nothing was ever written
            reader: Reader = PlainReader(
                stored.file, stored.dtype, shape, max(n_rows, 1), np.zeros(1, np.int64)
            )
            return without_rows(reader, np.array([[0, n_rows]]), n_rows)
        return PlainReader(stored.file, stored.dtype, shape, max(n_rows, 1), np.array([offset]))
    offsets, sizes, masks = _chunk_index(stored, dataset)
    if not stored.filters:
        reader = PlainReader(stored.file, stored.dtype, shape, stored.chunk_rows, offsets)
    else:
        codecs = codec_names(stored.filters)
        skipped = masks if masks.any() else None
        reader = CodedReader(
            stored.file, stored.name, stored.dtype, shape, stored.chunk_rows, codecs, offsets, sizes, skipped
        )
    return without_rows(reader, _never_written(offsets, stored.chunk_rows, n_rows), n_rows)


def _chunk_index(stored: Stored, dataset: Any) -> tuple[IntArray, IntArray, Any]:
    """Ask for the place of every chunk: offsets (-1 where never written), sizes, filters not applied."""
    n_chunks = -(-stored.n_rows // stored.chunk_rows)
    found: list[tuple[int, int, int, int]] = []

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        number = chunk.chunk_offset[0] // stored.chunk_rows
        found.append((number, chunk.byte_offset, chunk.size, chunk.filter_mask))

    if n_chunks:
        dataset.chunk_iter(note)
    check_size(stored, n_chunks * 8)
    offsets, sizes = np.full(n_chunks, -1, np.int64), np.zeros(n_chunks, np.int64)
    masks = np.zeros(n_chunks, np.uint32)
    table = np.array([entry for entry in found if entry[0] < n_chunks], np.int64).reshape(-1, 4)
    offsets[table[:, 0]], sizes[table[:, 0]], masks[table[:, 0]] = table[:, 1], table[:, 2], table[:, 3]
    return offsets, sizes, masks


def _never_written(offsets: IntArray, chunk_rows: int, n_rows: int) -> IntArray:
    """Return the ranges of rows whose chunk is not in the file."""
    lacking = np.concatenate(([False], offsets < 0, [False]))
    edges = np.flatnonzero(np.diff(lacking.astype(np.int8))).reshape(-1, 2)
    ranges: IntArray = np.minimum(edges * chunk_rows, n_rows)
    return ranges
