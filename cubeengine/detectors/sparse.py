"""Weighted means over the elements of a frame, through a sparse matrix.

Frames are walked through element after element, eight events side by side: each entry of the matrix then
adds one vector to the sums of its mean, which stay in the first cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.views import read_only
from cubeengine.kernels.jit import jit
from cubeengine.kernels.vectors import load, splat, store, where_within
from cubeengine.shared import SharedArray
from cubeengine.types import FloatArray

LANES = 8  # events side by side: a 512-bit register of float64
_ELEMENTS = 256  # of each of these turned at a time: 16 KiB


@dataclass(frozen=True, slots=True)
class SparseMeans:
    """Which elements belong to which mean, and with what weight.

    Mean i is sum(weight * value) / sum(norm) over the entries of i whose values are finite; NaN where
    there is none, or where their norms are 0.

    Attributes
    ----------
    n_means : int
        How many.
    starts : SharedArray of (n_elements + 1,) int64
        Where the entries of each element begin.
    means : SharedArray of (n_entries,) int32
        Mean that each entry belongs to.
    weights, norms : SharedArray of (n_entries,) float32
        What the value is multiplied with; what it counts.
    """

    n_means: int
    starts: SharedArray
    means: SharedArray
    weights: SharedArray
    norms: SharedArray

    @classmethod
    def of_rows(
        cls,
        starts: NDArray[np.integer[Any]],
        elements: NDArray[np.integer[Any]],
        weights: NDArray[np.floating[Any]],
        norm: NDArray[np.floating[Any]],
    ) -> Self:
        """Make it from a matrix by rows.

        Parameters
        ----------
        starts : (n_means + 1,) integers
            Where the entries of each mean begin.
        elements : (n_entries,) integers
            Element of each entry.
        weights : (n_entries,) floats
            Share of the element that counts for the mean.
        norm : (n_elements,) floats
            What a whole element counts.
        """
        order = np.argsort(elements, kind="stable")
        sorted_elements, share = elements[order], weights[order].astype(np.float32)
        means = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))[order]
        return cls(
            len(starts) - 1,
            SharedArray(np.searchsorted(sorted_elements, np.arange(len(norm) + 1)).astype(np.int64)),
            SharedArray(means),
            SharedArray(share),
            SharedArray((share * norm[sorted_elements]).astype(np.float32)),
        )

    @property
    def scratch_nbytes(self) -> int:
        """Memory that `apply` takes."""
        return 8 * LANES * (2 * self.n_means + _ELEMENTS)

    def apply(self, frames: NDArray[Any], wanted: tuple[int, int], out: FloatArray) -> None:
        """Compute the means of a block of events.

        Parameters
        ----------
        frames : (n, n_elements) array
            Whole frames.
        wanted : (int, int)
            First and last + 1 of the means that are wanted.
        out : (n, last - first) float64
            Receives them.
        """
        tables = (table.load() for table in (self.starts, self.means, self.weights, self.norms))
        sums = np.empty((self.n_means, 2 * LANES))
        turned = np.zeros((_ELEMENTS, LANES))
        _means(*map(read_only, (frames, *tables)), wanted[0], sums, turned, out)


@jit
def _means(
    frames: NDArray[Any],
    starts: NDArray[np.int64],
    means: NDArray[np.int32],
    weights: NDArray[np.float32],
    norms: NDArray[np.float32],
    first: int,
    sums: FloatArray,
    turned: FloatArray,
    out: FloatArray,
) -> None:
    """Compute the means from `first` on; `sums` holds those of values, then those of norms, of the lanes."""
    for event in range(0, out.shape[0], LANES):
        n = min(LANES, out.shape[0] - event)
        sums[:] = 0
        for start in range(0, frames.shape[1], len(turned)):
            stop = min(start + len(turned), frames.shape[1])
            for lane in range(n):
                for element in range(start, stop):
                    turned[element - start, lane] = frames[event + lane, element]
            _add(turned, start, stop, starts, means, weights, norms, sums)
        for mean in range(out.shape[1]):
            for lane in range(n):
                norm = sums[first + mean, LANES + lane]
                out[event + lane, mean] = sums[first + mean, lane] / norm if norm > 0 else np.nan


@jit
def _add(
    turned: FloatArray,
    start: int,
    stop: int,
    starts: NDArray[np.int64],
    means: NDArray[np.int32],
    weights: NDArray[np.float32],
    norms: NDArray[np.float32],
    sums: FloatArray,
) -> None:
    zero, limit = splat(0.0, LANES), splat(np.inf, LANES)
    for element in range(start, stop):
        value = load(turned, element - start, 0, LANES)
        for k in range(starts[element], starts[element + 1]):
            weighted = splat(np.float64(weights[k]), LANES) * value
            norm = splat(np.float64(norms[k]), LANES)
            mean = means[k]
            store(sums, mean, 0, load(sums, mean, 0, LANES) + where_within(value, limit, weighted, zero))
            store(sums, mean, LANES, load(sums, mean, LANES, LANES) + where_within(value, limit, norm, zero))
