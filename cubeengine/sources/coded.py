"""Reader of compressed chunks: raw bytes by plain reads, decoded outside of the HDF5 library's lock."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SourceFormatError
from cubeengine.sources.base import Block
from cubeengine.sources.batches import INDEX_NBYTES, batches, buffer_units, element_range, units_per_block
from cubeengine.sources.bytesio import GAP_NBYTES, SegmentReader, Segments, opened
from cubeengine.sources.filters import fletcher32, unshuffle
from cubeengine.types import InputFile, IntArray

DECODED_HERE = frozenset({"gzip", "shuffle", "fletcher32"})
"""Filters this reader undoes; datasets with any other go through the library."""

_INFLATER_NBYTES = 160 * 1024
"""What an inflater holds beside input and output."""


@cache
def inflating() -> Any:
    """Return the module that inflates fastest: python-isal where it is installed, else zlib.

    Both give the same bytes and refuse the same streams. Measured on chunks of ten uint16 frames of
    512 x 1024 pixels, one core: zlib 0.4 GB/s (shuffled 0.27), isal 0.7 GB/s (shuffled 0.68).
    """
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


@dataclass(frozen=True, slots=True, eq=False)
class CodedReader:
    """Reads rows in chunks that are compressed, shuffled or checked.

    Attributes
    ----------
    file : InputFile
        The file, as it was when the offsets were found.
    name : str
        The dataset, for messages.
    stored : numpy.dtype
        Type of one element as stored, in its byte order.
    shape : tuple of int
        Shape of one row.
    chunk_rows : int
        Rows per chunk.
    codecs : tuple of str
        Filters in the order of writing, all of `DECODED_HERE`.
    offsets, sizes : (n_chunks,) int64
        Where each chunk begins in the file, and its bytes there.
    skipped : (n_chunks,) uint32, or None
        Bit k set: filter k was not applied to the chunk; None where all were.
    """

    file: InputFile
    name: str
    stored: np.dtype[Any]
    shape: tuple[int, ...]
    chunk_rows: int
    codecs: tuple[str, ...]
    offsets: IntArray
    sizes: IntArray
    skipped: NDArray[np.uint32] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, native byte order."""
        return self.stored.newbyteorder("=")

    @property
    def _chunk_elements(self) -> int:
        return self.chunk_rows * math.prod(self.shape)

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows, block after block; see `Reader.blocks`."""
        width = math.prod(self.shape)
        first, stop = element_range(elements, width)
        capacity = buffer_units(rows, self._capacity(stop - first, block_nbytes), unit=self.chunk_rows)
        buffer = np.empty((capacity, self.chunk_rows, stop - first), self.stored)
        scratch = None if stop - first == width else np.empty((self.chunk_rows, width), self.stored)
        with opened(self.file) as descriptor:
            chunks = _Chunks(self, SegmentReader(self.file, descriptor))
            for batch in batches(rows, unit=self.chunk_rows, capacity=capacity):
                for number, slot in batch.pairs():
                    chunks.decode(number, buffer[slot] if scratch is None else scratch)
                    if scratch is not None:
                        buffer[slot] = scratch[:, first:stop]
                data = buffer[: batch.n_units].reshape(-1, stop - first)
                if not data.dtype.isnative:
                    data = data.byteswap(inplace=True).view(self.dtype)
                yield Block(data, batch.start, batch.stop, batch.take)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""
        capacity = self._capacity(n_elements, block_nbytes)
        kept = capacity * self.chunk_rows * n_elements * self.stored.itemsize
        # An inflater holds its output twice when it puts it together; parts of rows are cut out of a third.
        chunk = self._chunk_elements * self.stored.itemsize
        part = n_elements < math.prod(self.shape)
        index = capacity * self.chunk_rows * 40 + capacity * INDEX_NBYTES
        return (
            kept
            + (3 if part else 2) * chunk
            + _INFLATER_NBYTES
            + int(self.sizes.max(initial=0))
            + index
            + GAP_NBYTES
        )

    def _capacity(self, n_elements: int, block_nbytes: int) -> int:
        return units_per_block(block_nbytes, n_elements * self.stored.itemsize, unit=self.chunk_rows)


class _Chunks:
    """Chunks of one open file."""

    def __init__(self, reader: CodedReader, source: SegmentReader) -> None:
        self._reader, self._source = reader, source
        self._nbytes = reader._chunk_elements * reader.stored.itemsize
        self._raw = np.empty(0, np.uint8)
        self._inflating = inflating()

    def decode(self, number: int, out: NDArray[Any]) -> None:
        """Read and decode a chunk into `out`.

        Raises
        ------
        SourceFormatError
            If the file ends too early, or the chunk is damaged.
        """
        data: Any = self._read(number)
        for position in range(len(self._reader.codecs) - 1, -1, -1):
            if self._reader.skipped is not None and self._reader.skipped[number] >> position & 1:
                continue
            codec = self._reader.codecs[position]
            if codec == "gzip":
                data = self._inflated(data, number)
            elif codec == "fletcher32":
                data = self._checked(data, number)
            elif len(data) == self._nbytes:
                unshuffle(np.frombuffer(data, np.uint8), out)
                data = None
        if data is None:
            return
        if len(data) != self._nbytes:
            raise self._damaged(number, f"decodes to {len(data):,} bytes, not {self._nbytes:,}")
        out.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)

    def _read(self, number: int) -> memoryview:
        size, offset = int(self._reader.sizes[number]), int(self._reader.offsets[number])
        if offset + size > self._reader.file.size:
            raise self._damaged(
                number, f"is said to end at byte {offset + size:,}, after the end of the file"
            )
        if len(self._raw) < size:
            self._raw = np.empty(size, np.uint8)
        raw = self._raw[:size]
        self._source.read(Segments(*(np.array([value]) for value in (offset, size, 0))), raw)
        return raw.data

    def _inflated(self, data: memoryview, number: int) -> bytes:
        """Decompress to the size of a chunk and no further, whatever the bytes say."""
        inflater = self._inflating.decompressobj()
        try:
            content: bytes = inflater.decompress(data, self._nbytes)
            excess = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
        except self._inflating.error as err:
            raise self._damaged(number, "cannot be decompressed") from err
        if excess or not inflater.eof:
            raise self._damaged(number, f"does not end after {self._nbytes:,} bytes")
        return content

    def _checked(self, data: memoryview, number: int) -> memoryview:
        content, stored = data[:-4], int.from_bytes(data[-4:], "little")
        if fletcher32(np.frombuffer(content, np.uint8)) != stored:
            raise self._damaged(number, "has a wrong checksum")
        return content

    def _damaged(self, number: int, what: str) -> SourceFormatError:
        reader = self._reader
        first = number * reader.chunk_rows
        return SourceFormatError(
            f"{reader.file.path}, byte {int(reader.offsets[number]):,}: field {reader.name!r}: the chunk of "
            f"rows {first} to {first + reader.chunk_rows - 1} {what}; the file is damaged: copy it again"
        )
