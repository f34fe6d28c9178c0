"""The statistics a cube can hold: each is one declaration, made from the same partial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from cubeengine.kernels import compiled
from cubeengine.kernels.partial import Partial
from cubeengine.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Statistic:
    """One quantity of a cube."""

    name: str
    """Suffix of the variable in the store, e.g. "mean"."""
    dtype: str  # type of the result
    finish: Callable[[Partial], NDArray[Any]]  # partial -> (n_groups, n_elements) array of `dtype`
    long_name: str  # what the values mean, for the attributes of the variable


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """What a cube holds of one signal; every array (n_groups, n_elements).

    Attributes
    ----------
    count : int64
        Finite values. For integers a view that repeats the events of the group: no memory.
    mean, std : float64
        Mean and standard deviation (ddof 0); NaN where count is 0.
    """

    count: IntArray
    mean: FloatArray
    std: FloatArray


def count(partial: Partial) -> IntArray:
    """Count the finite values per group and element."""
    return partial.count


def mean(partial: Partial) -> FloatArray:
    """Return the mean; NaN where there is no value. Correctly rounded for integers."""
    return compiled.mean(partial)


def std(partial: Partial) -> FloatArray:
    """Return the standard deviation (ddof 0); NaN where there is no value. Within 1 ulp for integers."""
    return compiled.std(partial)


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "count": Statistic("count", "int64", count, "finite values that contributed"),
        "mean": Statistic("mean", "float64", mean, "mean of single events"),
        "std": Statistic("std", "float64", std, "standard deviation of single events (ddof 0)"),
    }
)
