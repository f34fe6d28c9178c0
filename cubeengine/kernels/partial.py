"""What one leaf of the reduction hands on: the moments of every group and element, mergeable.

A state is a dictionary of arrays with groups on axis 0; in an empty group all of them hold zeros.

Floats: `mean` + `residual` is the mean, the float32 residual holding what the float64 rounds away:
without it the mean of 1e6 events added a few at a time strays by 1e-14 and more. `m2` is the sum of
squared differences from the mean, `missing` the number of events whose value was not finite (it is
written only where there are such values, so its pages mostly stay untouched).

Integers: exact sums in words of 64 bits, least significant first: the words of the sum (two's
complement), then those of the sum of squares. `MAX_EVENTS` per group keeps all of them from
overflowing: sum < 2**31 * 2**64, sum of squares < 2**31 * 2**128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import IntArray

MAX_EVENTS = 2**31 - 1  # events of one group; int32 `missing`, and the widths of the words, rest on it

MAX_RESIDUAL = 1e38  # larger residuals (of means beyond 1e53) do not fit float32 and are dropped

State = Mapping[str, NDArray[Any]]


class Words(NamedTuple):
    """How many 64-bit words the sum and the sum of squares of an integer type take."""

    total: int
    squares: int


_WORDS = {1: Words(1, 1), 2: Words(1, 1), 4: Words(1, 2), 8: Words(2, 3)}


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """Moments of the values added so far, per group and element."""

    dtype: np.dtype[Any]  # type of the values that were added
    n_events: IntArray
    """(n_groups,) int64: Events of each group, those with values that are not finite included."""
    arrays: State
    """Floats: `mean` float64, `residual` float32, `m2` float64, `missing` int32, each (n_groups, n_elements).
    Integers: `words` (n_groups, n_words, n_elements) uint64.
    """

    @property
    def kind(self) -> Literal["float", "int"]:
        """Which of the two states it is."""
        return kind_of(self.dtype)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.n_events)

    @property
    def n_elements(self) -> int:
        """Elements of one event's value."""
        return int(next(iter(self.arrays.values())).shape[-1])

    @property
    def count(self) -> IntArray:
        """(n_groups, n_elements) finite values; for integers a view that repeats `n_events`."""
        if self.kind == "int":
            return np.broadcast_to(self.n_events[:, None], (self.n_groups, self.n_elements))
        return self.n_events[:, None] - self.arrays["missing"]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.n_events.nbytes + sum(array.nbytes for array in self.arrays.values())

    def groups(self, start: int, stop: int) -> Partial:
        """Return the groups start <= g < stop, as views."""
        part = {name: array[start:stop] for name, array in self.arrays.items()}
        return Partial(self.dtype, self.n_events[start:stop], part)


def kind_of(dtype: np.dtype[Any]) -> Literal["float", "int"]:
    """Tell which state values of a type need.

    Raises
    ------
    TypeError
        If values of this type have no mean here, or are not in native byte order.
    """
    if not dtype.isnative:
        raise TypeError(f"moments: type {dtype} is not in native byte order; convert it on reading")
    if dtype.kind in "biu":
        return "int"
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return "float"
    raise TypeError(f"moments: no mean of type {dtype}; needs bool, integer of 8-64 bits or float of 16-64")


def words_of(dtype: np.dtype[Any]) -> Words:
    """Return the words that exact sums of an integer type take."""
    return _WORDS[dtype.itemsize]


def state_layout(
    dtype: np.dtype[Any], n_groups: int, n_elements: int
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of every array of a state; nothing is allocated."""
    plane = (n_groups, n_elements)
    if kind_of(dtype) == "int":
        return {"words": ((n_groups, sum(words_of(dtype)), n_elements), "u8")}
    return {"mean": (plane, "f8"), "residual": (plane, "f4"), "m2": (plane, "f8"), "missing": (plane, "i4")}


def empty_partial(dtype: np.dtype[Any], n_groups: int, n_elements: int) -> Partial:
    """Make the state before the first event. Pages are zero and taken from the system on first use."""
    layout = state_layout(dtype, n_groups, n_elements)
    arrays = {name: np.zeros(shape, code) for name, (shape, code) in layout.items()}
    return Partial(dtype, np.zeros(n_groups, np.int64), arrays)


def partial_nbytes(dtype: np.dtype[Any] | str, n_groups: int, n_elements: int) -> int:
    """Return the bytes of a partial, exactly.

    Parameters
    ----------
    dtype : numpy.dtype or str
        Type of the values.
    n_groups, n_elements : int
        Size of the state.

    Returns
    -------
    int
        Per group and element: 24 for floats; 16, 24 and 40 for integers of up to 16, 32 and 64 bits;
        and 8 per group.

    Examples
    --------
    >>> partial_nbytes("u2", 10, 100)
    16080
    """
    layout = state_layout(np.dtype(dtype), n_groups, n_elements)
    return 8 * n_groups + sum(prod(shape) * np.dtype(code).itemsize for shape, code in layout.values())
