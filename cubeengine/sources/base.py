"""What every source offers: bytes to arrays, nothing of delays, cuts or cubes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cubeengine.marks import Marks
from cubeengine.types import Announced, BoolArray, Column, DetectorInfo, FieldInfo, InputFile, IntArray


@dataclass(frozen=True, slots=True)
class Block:
    """Some of the rows that were asked for, read together.

    Attributes
    ----------
    data : (n, n_elements) array, C-contiguous, native byte order
        Rows as they lie in storage, each flattened. Belongs to the reader, which may overwrite
        it for the next block: use it, then let it go.
    start, stop : int
        The block serves `rows[start:stop]` of the request.
    take : (stop - start,) int64
        Row `rows[start + i]` is `data[take[i]]`; where it is missing, `take[i]` may mean nothing.
    valid : (stop - start,) bool, or None
        False where an integer row is missing or damaged; None where all are there or the type has NaN.
    damaged : (stop - start,) bool, or None
        True where a row was damaged when it was taken: not valid, or NaN; None where none was.
    """

    data: NDArray[Any]
    start: int
    stop: int
    take: IntArray
    valid: BoolArray | None = None
    damaged: BoolArray | None = None


class Reader(Protocol):
    """Reads rows of one field, in a task: frozen, picklable, made of paths, offsets and numbers."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one element, native byte order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""

    def blocks(self, rows: IntArray, *, elements: slice, block_nbytes: int) -> Iterator[Block]:
        """Read rows of storage, block after block.

        Parameters
        ----------
        rows : (n,) int64, any order, repeats allowed
            Storage rows (see `Source.rows`). Neighbours that follow one another are read together.
        elements : slice
            Range of the flattened elements of a row to read.
        block_nbytes : int
            Bytes of decoded data per block at most; one row, or one compressed chunk, at least.
            Block borders depend on this and on `rows` alone, so that they are the same everywhere.
        """

    def memory_nbytes(self, n_elements: int, block_nbytes: int) -> int:
        """Return the most memory that `blocks` holds at a time for that many elements per row."""


class Source(Protocol):
    """Events of one run from one place. Events are numbered in time order, whatever the file's order."""

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Every file that events or values are read from."""

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """All fields by name, ragged, run-level and aligned ones included."""

    @property
    def n_events(self) -> int:
        """Events of the run."""

    @property
    def timestamps(self) -> NDArray[np.uint64]:
        """(n_events,) packed (seconds << 32 | nanoseconds) as the facility writes it, rising."""

    @property
    def time(self) -> NDArray[np.datetime64]:
        """(n_events,) datetime64[ns], UTC."""

    @property
    def rows(self) -> IntArray | None:
        """(n_events,) storage row of every event in time order; None where that is 0, 1, 2, ..."""

    def read(self, name: str, events: IntArray | slice | None = None) -> Column:
        """Read a field for some events (numbers in time order), or for all; run-level fields whole."""

    def reader(self, name: str) -> Reader:
        """Return the reader of an event field, to be used by tasks."""

    def leading_zero_rows(self, name: str) -> int:
        """Count the rows of zeros before an event field's first other value: they may be missing marks.

        In a joined file, every part's are counted. Reads little more than these rows.
        """

    def coordinates(self, name: str) -> Mapping[int, tuple[str, NDArray[Any]]]:
        """Coordinates the file knows for element dimensions: dimension number -> (name, values)."""

    def detector(self, name: str) -> DetectorInfo | None:
        """Describe the detector that an event field comes from; None where the source does not know."""

    def aligned(self, group: str) -> Source:
        """Return the events of an align group as a source of its own."""

    def with_missing(self, marks: Mapping[str, Marks]) -> Source:
        """Return the same source with more values counted as missing: field -> marks.

        Raises
        ------
        FieldNotFound, SpecError
            As `marks.check_marks`.
        """


@runtime_checkable
class Announcing(Protocol):
    """A source whose files announce how many events there are."""

    @property
    def announced(self) -> tuple[Announced, ...]:
        """How many events are announced, and how many read: of the whole, then of parts that lack some."""


@runtime_checkable
class Doubting(Protocol):
    """A source whose writer puts marks for missing values that may be data as well."""

    def doubtful_marks(self, name: str) -> Mapping[int, np.dtype[Any]]:
        """Return the numbers that may mean missing in an event field, or be data, with their types."""


def announced_by(source: Source) -> tuple[Announced, ...]:
    """Return how many events the files of a source announce; empty where nothing is announced."""
    return source.announced if isinstance(source, Announcing) else ()


def doubtful_marks_in(source: Source, name: str) -> Mapping[int, np.dtype[Any]]:
    """Return the numbers that may mean missing in an event field, or be data, with their types."""
    return source.doubtful_marks(name) if isinstance(source, Doubting) else {}
