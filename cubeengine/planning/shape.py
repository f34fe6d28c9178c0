"""One signal as the planner sees it: sizes, storage, and which events are added."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cubeengine.kernels.moments import partial_nbytes
from cubeengine.types import FieldInfo, IntArray


@dataclass(frozen=True, slots=True)
class SignalShape:
    """One signal as the planner sees it.

    Attributes
    ----------
    name, field, unit, out_dtype : str
        As in the cube.
    info : FieldInfo
        The field that is read.
    bins_shape : tuple of int
        Bins along every axis.
    width, n_selections : int
        Groups per bin, and selections made of them.
    rows : (n_pairs,) int64
        Storage rows of all (event, group) pairs, rising.
    bin_pairs : (n_bins,) int64
        Pairs per bin.
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
        return self.n_pairs * self.info.event_nbytes

    def partial(self, n_bins: int, n_elements: int) -> int:
        """Bytes of partial sums for that many bins and elements."""
        return partial_nbytes(self.info.dtype, n_bins * self.width, n_elements)
