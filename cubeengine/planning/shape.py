"""One signal as the planner sees it: sizes, storage, and which events are added."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cubeengine.detectors.pipeline import Pipeline
from cubeengine.kernels.moments import partial_nbytes
from cubeengine.types import FieldInfo, IntArray


@dataclass(frozen=True, slots=True)
class Staging:
    """The stages of a signal, as the planner sees them."""

    source: FieldInfo  # the field that is read
    pipeline: Pipeline  # what is done to its frames

    def read_nbytes(self, elements: tuple[int, int]) -> int:
        """Bytes of one event that are read for a range of elements of the output."""
        start, stop = self.pipeline.needs(elements)
        return self.source.storage.reads or (stop - start) * self.source.dtype.itemsize

    def input_of(self, elements: tuple[int, int], block_nbytes: int) -> tuple[int, int]:
        """Return elements and bytes of a block of the field that is read, for a block of the output."""
        start, stop = self.pipeline.needs(elements)
        row = (stop - start) * self.source.dtype.itemsize
        return stop - start, self.pipeline.events_per_block(elements, block_nbytes) * row

    def memory_nbytes(self, elements: tuple[int, int], block_nbytes: int) -> int:
        """Bytes that the stages take while they work on blocks."""
        capacity = self.pipeline.events_per_block(elements, block_nbytes)
        return self.pipeline.memory_nbytes(elements, capacity)


@dataclass(frozen=True, slots=True)
class SignalShape:
    """One signal as the planner sees it.

    Attributes
    ----------
    name, field, unit, out_dtype : str
        As in the cube.
    info : FieldInfo
        What is added up: the field after its stages, with a storage that says how it can be had.
    bins_shape : tuple of int
        Bins along every axis.
    width, n_selections : int
        Groups per bin, and selections made of them.
    rows : (n_pairs,) int64
        Storage rows of all (event, group) pairs, rising.
    bin_pairs : (n_bins,) int64
        Pairs per bin.
    staging : Staging, or None
        The field that is read, and its stages; None where it is added as it is.
    image : FieldInfo, or None
        What the finished cube is put together to at last; None where that is `info`.
    """

    name: str
    field: str
    unit: str
    out_dtype: str
    info: FieldInfo
    bins_shape: tuple[int, ...]
    width: int
    n_selections: int
    rows: IntArray
    bin_pairs: IntArray
    staging: Staging | None = None
    image: FieldInfo | None = None

    @property
    def output(self) -> FieldInfo:
        """What stands in the cube."""
        return self.image or self.info

    @property
    def source(self) -> FieldInfo:
        """The field that is read."""
        return self.staging.source if self.staging else self.info

    @property
    def event_nbytes(self) -> int:
        """Bytes of one event that are read for a whole frame."""
        return self.read_nbytes((0, self.n_elements))

    def read_nbytes(self, elements: tuple[int, int]) -> int:
        """Bytes of one event that are read for a range of elements."""
        if self.staging:
            return self.staging.read_nbytes(elements)
        return self.info.storage.reads or (elements[1] - elements[0]) * self.info.dtype.itemsize

    @property
    def n_bins(self) -> int:
        """Bins of all axes."""
        return math.prod(self.bins_shape)

    @property
    def n_elements(self) -> int:
        """Elements of a frame."""
        return self.info.n_elements

    @property
    def n_pairs(self) -> int:
        """Times an event is added into a group."""
        return len(self.rows)

    @property
    def input_nbytes(self) -> int:
        """Bytes of the events that are added."""
        return self.n_pairs * self.event_nbytes

    def partial(self, n_bins: int, n_elements: int) -> int:
        """Bytes of partial sums for that many bins and elements."""
        return partial_nbytes(self.info.dtype, n_bins * self.width, n_elements)
