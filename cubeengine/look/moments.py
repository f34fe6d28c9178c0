"""Moments of several quantities together: counts, means, and sums of products about them, by group.

One pass over the events, part after part, merged without loss of digits.

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The American
Statistician 37 (1983), 242-247: the merge, here for products of two quantities as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of `k` quantities in each of `g` groups."""

    count: IntArray  # (g,) int64: Events
    mean: FloatArray  # (k, g) float64: Means; 0 in empty groups
    products: FloatArray  # (k, k, g) float64: Sums of (a - mean a) * (b - mean b)

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        shift = other.mean - self.mean
        between = shift[:, None] * shift[None, :] * (self.count * share)
        return Moments(count, self.mean + shift * share, self.products + other.products + between)

    def means(self) -> FloatArray:
        """Return the means, (k, g); NaN in empty groups."""
        means: FloatArray = np.where(self.count > 0, self.mean, np.nan)
        return means

    def covariances(self, ddof: int = 1) -> FloatArray:
        """Return the covariances, (k, k, g); NaN in groups of `ddof` events or fewer."""
        freedom = self.count - ddof
        return np.where(freedom > 0, self.products / np.maximum(freedom, 1), np.nan)

    def stds(self, ddof: int = 0) -> FloatArray:
        """Return the standard deviations, (k, g)."""
        stds: FloatArray = np.sqrt(np.einsum("iig->ig", self.covariances(ddof)))
        return stds


def no_moments(n_quantities: int, n_groups: int) -> Moments:
    """Return the moments of no events."""
    k = n_quantities
    return Moments(np.zeros(n_groups, np.int64), np.zeros((k, n_groups)), np.zeros((k, k, n_groups)))


def moments_of(values: FloatArray, groups: NDArray[np.integer], n_groups: int) -> Moments:
    """Compute the moments of some events: means first, then products about them.

    Parameters
    ----------
    values : (k, n) float64
        Finite values.
    groups : (n,) integers in [0, n_groups)
        Group of every event.
    n_groups : int
        Number of groups.

    Examples
    --------
    >>> found = moments_of(np.array([[1.0, 3.0, 7.0]]), np.array([0, 0, 1]), 2)
    >>> found.count, found.mean, found.stds()
    (array([2, 1]), array([[2., 7.]]), array([[1., 0.]]))
    """
    count = np.bincount(groups, minlength=n_groups).astype(np.int64)
    mean = np.array([_sums(row, groups, n_groups) for row in values]) / np.maximum(count, 1)
    off = [row - center[groups] for row, center in zip(values, mean, strict=True)]
    products = np.empty((len(values), len(values), n_groups))
    for i, a in enumerate(off):
        for j in range(i + 1):
            products[i, j] = products[j, i] = _sums(a * off[j], groups, n_groups)
    return Moments(count, mean, products)


def _sums(weights: FloatArray, groups: NDArray[np.integer], n_groups: int) -> FloatArray:
    return np.bincount(groups, weights, n_groups).astype(np.float64)
