"""How a dataset lies in its file: examined without reading data, and turned into its reader when asked."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from cubeengine.errors import SourceFormatError
from cubeengine.sources.coded import DECODED_HERE
from cubeengine.sources.hdf5 import codec_names, filter_numbers, library_errors, opened_hdf5
from cubeengine.sources.links import hard_item, referred_file
from cubeengine.types import InputFile, Storage


@dataclass(frozen=True, slots=True)
class Stored:
    """A dataset as it lies in a file."""

    file: InputFile
    name: str  # path of the dataset in the file
    shape: tuple[int, ...]  # shape of the dataset, rows first
    dtype: np.dtype[Any]
    """Type of one element as stored, in its byte order; object where it is no plain number."""
    layout: str = "library"
    """Contiguous, chunked or virtual; "library" where only HDF5 itself knows how to read it."""
    chunk_rows: int = 1  # rows per chunk; 1 without chunks
    filters: tuple[int, ...] = ()  # HDF5 filter numbers, in the order of writing
    pieces: tuple[Piece, ...] = ()  # parts of a virtual dataset, where they lie one after another
    problem: str = ""  # why it cannot be read; "" where it can

    @property
    def n_rows(self) -> int:
        """Length of the first dimension; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def native(self) -> np.dtype[Any]:
        """Type of one element in native byte order."""
        return self.dtype.newbyteorder("=")

    @property
    def part_types(self) -> tuple[str, ...]:
        """Names of the types of the parts of a virtual dataset, where these are not all its own."""
        types = {piece.source.native for piece in self.pieces}
        return () if types <= {self.native} else tuple(sorted(map(str, types)))

    @property
    def written_types(self) -> tuple[np.dtype[Any], ...]:
        """Types that the numbers were written in: those of the parts of a virtual dataset, else its own."""
        if not self.pieces:
            return (self.native,)
        return tuple(dict.fromkeys(one for piece in self.pieces for one in piece.source.written_types))

    @property
    def plain_numbers(self) -> bool:
        """Whether the elements are numbers of a fixed size."""
        return self.dtype.kind in "biufc" and self.dtype.subdtype is None

    @property
    def storage(self) -> Storage:
        """What the cost model wants to know."""
        if self.pieces:
            parts = [piece.source.storage for piece in self.pieces]
            codecs = max((part.codecs for part in parts), key=len)
            chunk_events = max(part.chunk_events for part in parts)
            return Storage("chunked", chunk_events, codecs, all(part.direct for part in parts))
        codecs = codec_names(self.filters)
        direct = self.layout in ("contiguous", "chunked") and set(codecs) <= DECODED_HERE
        return Storage(
            "chunked" if self.chunk_rows > 1 or codecs else "contiguous", self.chunk_rows, codecs, direct
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `first` to `first + count - 1` of a virtual dataset: those of `source` from `source_first` on.

    Rows between pieces are in no part.
    """

    first: int
    count: int
    source: Stored
    source_first: int = 0


_MOST_NBYTES = 2**63
"""From this size on neither files nor numpy know an array."""


class OpenFiles:
    """HDF5 files that stay open while a run is examined, each opened once."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._files: dict[Path, tuple[h5py.File, InputFile]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def open(self, path: Path) -> tuple[h5py.File, InputFile]:
        """Return the open file and what it looked like before it was opened."""
        key = path.resolve()
        if key not in self._files:
            with library_errors(path):
                described = InputFile.of(path)
            self._files[key] = (self._stack.enter_context(opened_hdf5(path)), described)
        return self._files[key]


def examine(dataset: h5py.Dataset, file: InputFile, files: OpenFiles, *, depth: int = 0) -> Stored:
    """Find out how a dataset lies, reading none of its data. What hinders reading goes into `problem`."""
    dtype = _plain_dtype(dataset)
    shape = dataset.shape
    if shape is None or dtype is None:
        why = "is empty (a null dataspace)" if shape is None else f"holds {_kind_of(dataset)}, not numbers"
        return Stored(file, dataset.name, shape or (), np.dtype(object), problem=why)
    if math.prod(shape) * dtype.itemsize >= _MOST_NBYTES:
        why = f"declares shape {shape}, which no file can hold; the file is damaged"
        return Stored(file, dataset.name, (), np.dtype(object), problem=why)
    creation = dataset.id.get_create_plist()
    stored = Stored(file, dataset.name, shape, dtype, filters=filter_numbers(dataset.id))
    layout = creation.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        return _examine_virtual(stored, creation, files, depth)
    if layout == h5py.h5d.CHUNKED:
        chunk = creation.get_chunk()
        whole_rows = chunk[1:] == shape[1:] and _direct(dataset)
        return replace(stored, layout="chunked" if whole_rows else "library", chunk_rows=chunk[0])
    if creation.get_external_count():
        return _examine_external(stored, creation)
    if layout == h5py.h5d.CONTIGUOUS and _direct(dataset) and shape:
        return replace(stored, layout="contiguous")
    return stored


def _plain_dtype(dataset: h5py.Dataset) -> np.dtype[Any] | None:
    """Return the type without h5py's annotations; None for anything but numbers."""
    try:
        dtype = dataset.dtype
    except (TypeError, ValueError):  # a type numpy has no name for
        return None
    return np.dtype(dtype.str) if dtype.kind in "biufc" else None


def _kind_of(dataset: h5py.Dataset) -> str:
    kinds = {h5py.h5t.STRING: "text", h5py.h5t.VLEN: "values of varying length", h5py.h5t.COMPOUND: "records"}
    return kinds.get(dataset.id.get_type().get_class(), "something else")


def _direct(dataset: h5py.Dataset) -> bool:
    """Whether the file's bytes are those in memory, byte order aside, and offsets count from its start."""
    standard = h5py.h5t.py_create(dataset.dtype, logical=True)
    return bool(dataset.id.get_type() == standard) and dataset.file.userblock_size == 0


def _examine_external(stored: Stored, creation: Any) -> Stored:
    """Refuse raw data outside of the HDF5 file: HDF5 finds it by the directory a program was started in."""
    name = creation.get_external(0)[0].decode(errors="replace")
    try:
        path = referred_file(stored.file.path, name, f"field {stored.name!r}: external raw data file")
    except SourceFormatError as err:
        return replace(stored, problem=str(err))
    why = f"{stored.file.path}: field {stored.name!r} stores its data in the external file {str(path)!r}, "
    return replace(
        stored, problem=why + "which cubeengine does not read; copy the data into the HDF5 file with h5repack"
    )


def _examine_virtual(stored: Stored, creation: Any, files: OpenFiles, depth: int) -> Stored:
    try:
        with library_errors(stored.file.path, f"field {stored.name!r}"):
            return _with_pieces(stored, creation, files, depth)
    except SourceFormatError as err:
        return replace(stored, layout="virtual", problem=str(err))


def _with_pieces(stored: Stored, creation: Any, files: OpenFiles, depth: int) -> Stored:
    where = f"{stored.file.path}: virtual dataset {stored.name!r}"
    if depth >= _MAX_DEPTH:
        raise SourceFormatError(f"{where} is made of virtual datasets, {depth} deep; join the parts again")
    pieces = [
        _piece(stored, creation, number, files, depth) for number in range(creation.get_virtual_count())
    ]
    pieces.sort(key=lambda piece: piece.first)
    if any(low.first + low.count > high.first for low, high in pairwise(pieces)):
        raise SourceFormatError(f"{where} has parts that overlap; join the parts again, one after another")
    return replace(stored, layout="virtual", pieces=tuple(pieces))


_MAX_DEPTH = 4
"""Virtual datasets of virtual datasets, at most; also ends a circle of them."""


def _piece(stored: Stored, creation: Any, number: int, files: OpenFiles, depth: int) -> Piece:
    """Examine one part of a virtual dataset."""
    file_name, source_name = creation.get_virtual_filename(number), creation.get_virtual_dsetname(number)
    what = f"virtual dataset {stored.name!r}: part file"
    path = stored.file.path if file_name == "." else referred_file(stored.file.path, file_name, what)
    target = _box(creation.get_virtual_vspace(number), stored.shape)
    # "All" of a source has no extent of its own: it is as much as it is put to.
    origin = _box(creation.get_virtual_srcspace(number), (target[1], *stored.shape[1:]) if target else ())
    if target is None or origin is None or target[1] != origin[1]:
        raise SourceFormatError(
            f"{stored.file.path}: virtual dataset {stored.name!r} maps {path.name!r} in another way than "
            "consecutive rows; join the parts again, or write the values into one file"
        )
    holder, described = files.open(path)
    source = examine(hard_item(holder, source_name, path), described, files, depth=depth + 1)
    if source.problem:
        raise SourceFormatError(source.problem)
    n_needed = origin[0] + origin[1]
    if source.n_rows < n_needed or source.shape[1:] != stored.shape[1:] or not _converts(source, stored):
        raise SourceFormatError(
            f"{path}: dataset {source_name!r} is {source.dtype} {source.shape}, but {stored.file.path} "
            f"refers to {n_needed} rows of {stored.dtype} {stored.shape[1:]}; "
            "the part file was replaced after the files were joined"
        )
    return Piece(target[0], target[1], source, origin[0])


def _converts(source: Stored, stored: Stored) -> bool:
    """Return whether HDF5 converts the numbers of a part into those of the whole."""
    kinds = source.dtype.kind + stored.dtype.kind
    return source.native == stored.native or ("c" not in kinds and kinds[1] != "b")


def _box(space: Any, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Return first row and number of rows, where the selection is whole rows one after another."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return (0, shape[0]) if shape else None
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or h5py.h5s.UNLIMITED in _counts(space):
        return None
    low, high = space.get_select_bounds()
    n_rows, tail = high[0] - low[0] + 1, shape[1:]
    whole = low[1:] == (0,) * len(tail) and tuple(stop + 1 for stop in high[1:]) == tail
    dense = space.get_select_npoints() == n_rows * math.prod(tail)
    return (low[0], n_rows) if whole and dense else None


def _counts(space: Any) -> tuple[int, ...]:
    if not space.is_regular_hyperslab():
        return ()
    _, _, count, block = space.get_regular_hyperslab()
    return (*count, *block)
