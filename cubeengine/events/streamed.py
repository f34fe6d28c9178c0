"""Formulas of arrays, computed of the rows that a task reads: never held, nor written, as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cubeengine.events.blocks import as_stored, part_of
from cubeengine.events.expressions import Expression
from cubeengine.sources.base import Block, Reader
from cubeengine.sources.batches import MAX_ROWS, element_range
from cubeengine.sources.columns import read_column
from cubeengine.types import Column, FieldInfo, IntArray, Storage

TEMPORARIES = 4
"""Arrays of float64 that a formula of usual depth holds beside its fields."""

NARROW_NBYTES = 1024
"""Values of up to this size are read for many events at once, and not again with each few frames."""


@runtime_checkable
class Streamed(Protocol):
    """A variable whose value for an event follows from that event alone."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's value."""

    @property
    def expression(self) -> Expression:
        """Formula of fields of the same event."""


def is_streamed(item: object) -> bool:
    """Return whether a variable is computed of the rows that are read: arrays are, numbers are kept."""
    return isinstance(item, Streamed) and bool(item.shape)


def streamed_info(name: str, item: Streamed, fields: Callable[[str], FieldInfo], n_rows: int) -> FieldInfo:
    """Describe a variable as `FormulaReader` reads it.

    Integers are read as floats: a formula of integers gives floats wherever a value is missing or beyond 64
    bits, and all rows have to be of one type.
    """
    operands = {operand: fields(operand) for operand in sorted(item.expression.fields)}
    infos, dtype = list(operands.values()), item.expression.result(operands)[1]
    together = math.lcm(*(max(info.storage.chunk_events, 1) for info in infos))
    reads = sum(info.read_nbytes for info in infos)
    # Compressed fields are decoded in chunks; see `planning.cost.read_buffer_nbytes`.
    chunks = (
        4 * info.storage.chunk_events * info.event_nbytes for info in infos if not info.storage.addressable
    )
    inner = sum(info.storage.computing for info in infos) + sum(chunks)
    storage = Storage(
        "staged",
        together,
        max((info.storage.codecs for info in infos), key=len, default=()),
        reads=reads,
        computing=inner + reads + TEMPORARIES * 8 * math.prod(item.shape),
    )
    kept = dtype if dtype.kind in "bf" else np.dtype(np.float64)
    return FieldInfo(name, item.shape, kept, storage=storage, origin="derived", n_rows=n_rows)


@dataclass(frozen=True, slots=True, eq=False)
class FormulaReader:
    """Reads the fields of a formula and computes it, block after block."""

    expression: Expression
    names: tuple[str, ...]  # of its fields
    readers: tuple[Reader, ...]  # of these
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    together: int  # rows that are stored, and so decoded, together
    narrow: tuple[np.dtype[Any] | None, ...]  # narrower types that the fields are stored in

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows and compute, block after block; see `Reader.blocks`. Reads whole rows of the fields."""
        first, stop = element_range(elements, math.prod(self.shape))
        step = max(block_nbytes // self._row_nbytes, 1)
        for begin in range(0, len(rows), MAX_ROWS):
            some = rows[begin : begin + MAX_ROWS]
            narrow = {
                name: read_column(reader, some)
                for name, reader in zip(self.names, self.readers, strict=True)
                if _row_nbytes(reader) <= NARROW_NBYTES
            }
            for low, high in _cuts(some, step, self.together):
                column = self._computed(some[low:high], narrow, slice(low, high))
                data = column.data.reshape(high - low, math.prod(self.shape))[:, first:stop]
                wanted = np.ascontiguousarray(data, self.dtype)
                take = np.arange(high - low)
                yield Block(wanted, begin + low, begin + high, take, column.valid, column.damaged)

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:  # noqa: ARG002 - rows are read whole
        """Return the most memory that `blocks` holds at a time."""
        n_rows = max(block_nbytes // self._row_nbytes, 1)
        inner = sum(
            reader.memory_nbytes(math.prod(reader.shape), n_rows * _row_nbytes(reader))
            for reader in self.readers
        )
        return inner + n_rows * self._row_nbytes + MAX_ROWS * NARROW_NBYTES

    def _computed(self, rows: IntArray, narrow: dict[str, Column], place: slice) -> Column:
        fields = dict(zip(self.names, zip(self.readers, self.narrow, strict=True), strict=True))

        def column(name: str) -> Column:
            reader, stored = fields[name]
            read = part_of(narrow[name], place) if name in narrow else read_column(reader, rows)
            return as_stored(read, stored)

        return self.expression.evaluate(column, len(rows))

    @property
    def _row_nbytes(self) -> int:
        """Bytes of an event while it is computed: its fields, and what stands between."""
        fields = sum(_row_nbytes(reader) for reader in self.readers)
        return max(fields + TEMPORARIES * 8 * math.prod(self.shape), 1)


def _row_nbytes(reader: Reader) -> int:
    return math.prod(reader.shape) * reader.dtype.itemsize


def _cuts(rows: NDArray[np.int64], step: int, together: int) -> Iterator[tuple[int, int]]:
    """Cut rows into blocks of at most `step`, between rows that are not stored together where that can be."""
    units = rows // together
    borders = np.concatenate(([0], np.flatnonzero(np.diff(units)) + 1, [len(rows)]))
    start = 0
    while start < len(rows):
        last = int(borders[np.searchsorted(borders, start + step, side="right") - 1])
        stop = last if last > start else min(start + step, len(rows))
        yield start, stop
        start = stop
