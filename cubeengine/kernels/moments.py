"""Grouped count, mean and standard deviation: one pass over the data, mergeable in any tree.

A group is whatever the caller numbers: a bin, or a cell of (bin, set of selections) when one event
serves several selections; `regroup` then joins cells to the groups of the cube.

Results depend on the values, and on the order and blocks they come in, never on threads or timing.
Integers are exact. Floats keep |error of mean| <= 1e-14 mean(|x|) and |error of std| <= 1e-11 std +
4 eps max(|x|); squares of differences beyond about 1e150 overflow to an infinite or NaN std, and those
below 1e-150 (float64 only) to a std of 0, as with `numpy.std`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels import compiled, reference
from cubeengine.kernels.partial import MAX_EVENTS, Partial, empty_partial, kind_of, partial_nbytes
from cubeengine.kernels.statistics import STATISTICS, Statistics
from cubeengine.types import IntArray

__all__ = [
    "BACKENDS",
    "STATISTICS",
    "GroupedMoments",
    "Partial",
    "Statistics",
    "finish",
    "merge",
    "partial_nbytes",
    "regroup",
    "scratch_nbytes",
]

Backend = Literal["numba", "numpy"]
BACKENDS: Mapping[str, ModuleType] = MappingProxyType({"numba": compiled, "numpy": reference})


_BATCH = 2**18  # bytes of short groups that are merged at a time: enough to outweigh the call
_SMALL = 2**16  # bytes of views and other small objects, generously


class GroupedMoments:
    """Accumulates moments of events into groups: the mutable state inside one leaf.

    Parameters
    ----------
    dtype : numpy.dtype or str
        Type of the values: bool, integer of 8 to 64 bits or float of 16 to 64 bits, native byte order.
    n_groups, n_elements : int
        Number of groups; elements of one event's value.
    backend : "numba" or "numpy"
        The compiled kernels, or the slow reference they are tested against.

    Notes
    -----
    Memory: `partial_nbytes` and, while adding, `scratch_nbytes`.
    """

    def __init__(
        self, dtype: np.dtype[Any] | str, n_groups: int, n_elements: int, *, backend: Backend = "numba"
    ) -> None:
        if n_groups < 0 or n_elements < 0:
            raise ValueError(
                f"moments: sizes must not be negative, got {n_groups} groups, {n_elements} elements"
            )
        if backend not in BACKENDS:
            raise ValueError(f"moments: backend {backend!r} is none of {', '.join(BACKENDS)}")
        kind_of(np.dtype(dtype))
        self._backend = BACKENDS[backend]
        self._partial: Partial | None = empty_partial(np.dtype(dtype), n_groups, n_elements)

    def add(self, data: NDArray[Any], take: IntArray, groups: NDArray[np.int32]) -> None:
        """Add rows of a block to their groups.

        Parameters
        ----------
        data : (m, n_elements) array of the accumulator's type, C-contiguous
            The block; only read.
        take : (k,) int64 in [0, m)
            Rows to add, in any order; a row may come several times.
        groups : (k,) int32 in [0, n_groups)
            Group of each of these rows.

        Raises
        ------
        TypeError, ValueError
            If types, shapes or numbers do not fit.
        OverflowError
            If a group would exceed 2**31 - 1 events, up to which the integer sums are exact.
        """
        partial = self._open()
        _check_block(partial, data)
        _check_pairs(take, groups, len(data), partial.n_groups)
        if not len(take):
            return
        if int(partial.n_events.max()) + len(take) > MAX_EVENTS:  # else not worth counting
            _check_events(partial.n_events + np.bincount(groups, minlength=partial.n_groups))
        self._backend.add(partial, data, take, groups)

    def partial(self) -> Partial:
        """Hand over the moments, without a copy; the accumulator is finished then."""
        partial, self._partial = self._open(), None
        return partial

    def _open(self) -> Partial:
        if self._partial is None:
            raise ValueError("moments: the accumulator has handed over its partial; make a new one")
        return self._partial


def merge(a: Partial, b: Partial, *, backend: Backend = "numba") -> Partial:
    """Return the moments of the events of both, as new arrays.

    Integer sums are the same for every order and tree. For floats the result depends on the order to
    rounding, and merging with an empty partial changes nothing.

    Raises
    ------
    ValueError
        If types or sizes differ.
    OverflowError
        If a group would exceed 2**31 - 1 events.
    """
    left, right = (a.dtype, a.n_groups, a.n_elements), (b.dtype, b.n_groups, b.n_elements)
    if left != right:
        raise ValueError(f"merge: partials differ in (type, groups, elements): {left} and {right}")
    _check_events(a.n_events + b.n_events)
    merged = empty_partial(a.dtype, a.n_groups, a.n_elements)
    BACKENDS[backend].merge_into(merged, a, b)
    return merged


def regroup(partial: Partial, members: Sequence[IntArray], *, backend: Backend = "numba") -> Partial:
    """Join groups: group j of the result is the merge of the groups `members[j]`, in that order.

    Parameters
    ----------
    partial : Partial
        Moments of the finer groups.
    members : sequence of (any,) int64
        Which of them make each group of the result; none give an empty group. A group may serve in
        several results.

    Notes
    -----
    Memory: the result and `_BATCH` bytes; groups of one member each that follow one another are a view of
    `partial` and take none. To write few groups at a time, pass only their members.

    Raises
    ------
    IndexError
        If a member is not a group of `partial`.
    OverflowError
        If a group would exceed 2**31 - 1 events.
    """
    _check_members(members, partial.n_groups)
    first = np.array([parts[0] if len(parts) else 0 for parts in members], np.int64)
    n_members = np.array([len(parts) for parts in members], np.int64)
    if (n_members == 1).all():
        return _rows(partial, first)
    joined = _copy(partial, first, empty=n_members == 0)
    row_nbytes = max(partial.nbytes // max(partial.n_groups, 1), 1)
    for start, stop in _runs(n_members, max(_BATCH // row_nbytes, 1)):
        target = joined.groups(start, stop)
        for turn in range(1, n_members[start]):
            source = _rows(partial, np.array([parts[turn] for parts in members[start:stop]], np.int64))
            _check_events(target.n_events + source.n_events)
            BACKENDS[backend].merge_into(target, target, source)
    return joined


def finish(partial: Partial, *, backend: Backend = "numba") -> Statistics:
    """Return count, mean and standard deviation of every group and element.

    Returns
    -------
    Statistics
        Empty: count 0, mean and std NaN. The mean of integers is correctly rounded, their std within
        1 ulp.
    """
    kernels = BACKENDS[backend]
    return Statistics(partial.count, kernels.mean(partial), kernels.std(partial))


def scratch_nbytes(n_groups: int, *, pairs: int) -> int:
    """Return the most memory that `add` takes beside the state and the block: the pairs sorted by group.

    Parameters
    ----------
    n_groups : int
        Groups of the state.
    pairs : int
        Pairs of (row, group) that are added at once.
    """
    return 8 * pairs + 24 * n_groups + _SMALL


def _rows(partial: Partial, rows: IntArray) -> Partial:
    """Return some groups: a view where they follow one another."""
    if len(rows) and (np.diff(rows) == 1).all():
        return partial.groups(int(rows[0]), int(rows[0]) + len(rows))
    return _copy(partial, rows, empty=np.zeros(len(rows), bool))


def _copy(partial: Partial, rows: IntArray, *, empty: NDArray[np.bool_]) -> Partial:
    """Copy some groups, and leave others empty."""
    if not partial.n_groups:
        return empty_partial(partial.dtype, len(rows), partial.n_elements)
    arrays = {name: array[rows] for name, array in partial.arrays.items()}
    copied = Partial(partial.dtype, partial.n_events[rows], arrays)
    for array in (copied.n_events, *arrays.values()):
        array[empty] = 0
    return copied


def _runs(numbers: IntArray, most: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of equal numbers, at most so many at a time, but those of 0 and 1."""
    start = 0
    while start < len(numbers):
        stop = start + 1
        while stop < min(start + most, len(numbers)) and numbers[stop] == numbers[start]:
            stop += 1
        if numbers[start] > 1:
            yield start, stop
        start = stop


def _check_members(members: Sequence[IntArray], n_groups: int) -> None:
    for group, parts in enumerate(members):
        for member in parts:
            if not 0 <= member < n_groups:
                raise IndexError(f"regroup: member {member} of group {group} is not in 0..{n_groups - 1}")


def _check_block(partial: Partial, data: NDArray[Any]) -> None:
    if data.dtype != partial.dtype:
        raise TypeError(f"moments: the block has type {data.dtype}, the accumulator {partial.dtype}")
    if data.ndim != 2 or data.shape[1] != partial.n_elements:
        raise ValueError(f"moments: the block has shape {data.shape}; needs (events, {partial.n_elements})")
    if not data.flags.c_contiguous or not data.flags.aligned:
        raise ValueError("moments: the block must be C-contiguous and aligned; copy it before")


def _check_pairs(take: IntArray, groups: NDArray[np.int32], n_rows: int, n_groups: int) -> None:
    if take.dtype != np.int64 or groups.dtype != np.int32:
        raise TypeError(f"moments: take must be int64 and groups int32, got {take.dtype} and {groups.dtype}")
    if take.ndim != 1 or take.shape != groups.shape:
        raise ValueError(f"moments: one group per row is needed, got shapes {take.shape} and {groups.shape}")
    for name, numbers, size in (("take", take, n_rows), ("groups", groups, n_groups)):
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < size:
            raise ValueError(f"moments: {name} has numbers outside 0..{size - 1}")


def _check_events(n_events: IntArray) -> None:
    if n_events.size and int(n_events.max()) > MAX_EVENTS:
        raise OverflowError(
            f"moments: {n_events.max():,} events in one group; at most {MAX_EVENTS:,} are exact"
        )
