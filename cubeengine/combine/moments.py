"""Count, mean and variance of stored bins, and their sum by the parallel formula.

The mean is kept in two parts, as in the kernels: `rest` holds what rounding takes away, so that the sum of a
hundred cubes is as good as that of two. The variance is kept instead of the sum of squares, as
sqrt(std * std) is std again to the bit: a bin that only one cube has comes out as it went in.

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37 (1983) 242: the formula for two parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import FloatArray, IntArray

SLAB = 2**14
"""Elements that are worked on at a time: all temporary arrays of them stay in the second-level cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What is known of the values in every bin and element; four float64 arrays of one shape.

    Attributes
    ----------
    count : float64
        Number of values: whole numbers, exact to 2**53.
    mean, rest : float64
        Their mean is mean + rest; 0 where there is none.
    var : float64
        Their variance (ddof 0); 0 where there is none.
    """

    count: FloatArray
    mean: FloatArray
    rest: FloatArray
    var: FloatArray

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Moments:
        """Return moments of no values."""
        return cls(*(np.zeros(shape) for _ in range(4)))

    @classmethod
    def stored(cls, count: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> Moments:
        """Take what a cube holds: NaN where the count is 0; `count` may be broadcast."""
        filled = np.asarray(count > 0)
        spread = np.where(filled, std, 0.0).astype(np.float64, copy=False)
        number = np.broadcast_to(count, mean.shape).astype(np.float64)
        center = np.where(filled, mean, 0.0).astype(np.float64, copy=False)
        return cls(number, center, np.zeros(mean.shape), spread * spread)

    @property
    def parts(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """The four arrays."""
        return self.count, self.mean, self.rest, self.var

    @property
    def flat(self) -> Moments:
        """One-dimensional views."""
        return Moments(*(part.reshape(-1) for part in self.parts))

    def __getitem__(self, index: Any) -> Moments:
        """Index all four: views where numpy gives views."""
        return Moments(*(part[index] for part in self.parts))

    def put(self, index: Any, other: Moments) -> None:
        """Replace the values at an index."""
        for part, new in zip(self.parts, other.parts, strict=True):
            part[index] = new

    def add_at(self, index: Any, other: Moments) -> None:
        """Add to the values at an index."""
        self.put(index, added(self[index], other))

    def finish(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return count, mean and std (ddof 0); NaN without a value. The moments must be contiguous."""
        shape = self.count.shape
        count, mean, std = np.empty(shape, np.int64), np.empty(shape), np.empty(shape)
        flat, outs = self.flat, (count.reshape(-1), mean.reshape(-1), std.reshape(-1))
        for slab in slabs(self.count.size):
            part = flat[slab]
            none = part.count == 0
            outs[0][slab] = part.count
            outs[1][slab] = np.where(none, np.nan, part.mean + part.rest)
            outs[2][slab] = np.where(none, np.nan, np.sqrt(part.var))
        return count, mean, std


def added(a: Moments, b: Moments) -> Moments:
    """Return the moments of the values of both; pure, element by element.

    Notes
    -----
    Where one side is empty the other comes out to the bit: the shares are then exactly 0 and 1.
    """
    count = a.count + b.count
    whole = np.maximum(count, 1.0)
    share_a, share_b = a.count / whole, b.count / whole
    with np.errstate(over="ignore", invalid="ignore"):
        shift = (b.mean - a.mean) + (b.rest - a.rest)
        step = shift * share_b + a.rest
        mean = a.mean + step
        back = mean - a.mean
        rest = (a.mean - (mean - back)) + (step - back)
        var = a.var * share_a + b.var * share_b + (shift * share_a) * (shift * share_b)
    return Moments(count, mean, rest, var)


def from_stored(count: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> Moments:
    """Take what a cube holds, as `Moments.stored`, by slabs that fit the cache; contiguous."""
    total = Moments(*(np.empty(mean.shape) for _ in range(4)))
    flat, counts = total.flat, np.broadcast_to(count, mean.shape).reshape(-1)
    means, spreads = mean.reshape(-1), std.reshape(-1)
    for slab in slabs(means.size):
        flat.put(slab, Moments.stored(counts[slab], means[slab], spreads[slab]))
    return total


def add_stored(total: Moments, count: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> None:
    """Add what a cube holds to contiguous moments of the same shape, by slabs that fit the cache."""
    flat = total.flat
    counts = np.broadcast_to(count, mean.shape).reshape(-1)
    means, spreads = mean.reshape(-1), std.reshape(-1)
    for slab in slabs(means.size):
        flat.put(slab, added(flat[slab], Moments.stored(counts[slab], means[slab], spreads[slab])))


def slabs(size: int) -> Iterator[slice]:
    """Return the slabs of so many elements."""
    return (slice(start, start + SLAB) for start in range(0, size, SLAB))


def collapsed(moments: Moments, axis: int, groups: Sequence[tuple[int, int]]) -> Moments:
    """Join neighbouring indices along an axis.

    Parameters
    ----------
    moments : Moments
        Of any shape.
    axis : int
        The axis.
    groups : sequence of (start, stop)
        Index ranges, none of them empty; each becomes one index of the result.

    Notes
    -----
    All first members are taken, then all second ones are added, and so on: as many steps as the longest
    group has members.
    """
    before = (slice(None),) * axis
    starts = np.array([start for start, _ in groups])
    lengths = np.array([stop - start for start, stop in groups])
    total = moments[(*before, starts)]
    for member in range(1, int(lengths.max())):
        (longer,) = np.nonzero(lengths > member)
        at = (*before, longer)
        total.put(at, added(total[at], moments[(*before, starts[longer] + member)]))
    return total
