"""Which events of a group are best: pure functions of groups, values, and numbers of events.

What is best is put into one key per event, an unsigned integer of which the lowest wins; of equal keys the
earliest event. So all rules share one vectorised choice, exact for every type of value, and the answer does
not depend on how the events are split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import IntArray

Keys = NDArray[np.uint64]

_SIGN = np.uint64(1 << 63)


def rising_keys(values: NDArray[Any]) -> Keys:
    """Return keys that rise as the values do, and are equal where these are.

    Parameters
    ----------
    values : (n,) numbers or truth values of at most 64 bits, no NaN

    Examples
    --------
    >>> np.argsort(rising_keys(np.array([0.5, -2.0, 0.0]))).tolist()
    [1, 2, 0]
    """
    if values.dtype.kind == "f":
        bits = (values.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 becomes 0.0: they are equal
        return np.where(bits & _SIGN, ~bits, bits | _SIGN)
    if values.dtype.kind == "i":
        return values.astype(np.int64).view(np.uint64) ^ _SIGN
    return values.astype(np.uint64)


def falling_keys(values: NDArray[Any]) -> Keys:
    """Return keys that fall as the values rise."""
    return ~rising_keys(values)


def distance_keys(values: NDArray[Any], target: NDArray[np.float64] | float) -> Keys:
    """Return keys that rise with the distance |value - target|, in double precision."""
    with np.errstate(over="ignore"):  # as far as can be is far enough
        return rising_keys(np.abs(values.astype(np.float64) - target))


def random_keys(identities: NDArray[np.uint64], seed: int) -> Keys:
    """Return keys in no order, that depend on the identity of an event and the seed alone.

    Notes
    -----
    The finisher of SplitMix64, applied to the identity plus a constant made of the seed, and once more to
    let the seed mix in: a counter-based generator that needs no state.

    References
    ----------
    Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014, section 4.
    """
    start = _mixed(np.array([seed], np.uint64) + _GAMMA)
    return _mixed(_mixed(identities.astype(np.uint64) * _GAMMA + start) ^ start)


_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mixed(bits: Keys) -> Keys:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


class Best:
    """The best events of every group, of all that were added.

    Parameters
    ----------
    n_groups : int
        Groups, numbered from 0.
    most : int
        Events to keep of each.

    Notes
    -----
    Memory: `TABLE_NBYTES` per group and event kept, and some arrays of those that are added at a time.
    """

    def __init__(self, n_groups: int, most: int) -> None:
        self._most = most
        self._events = np.full((n_groups, most), -1, np.int64)
        self._keys = np.full((n_groups, most), np.iinfo(np.uint64).max, np.uint64)

    @property
    def events(self) -> IntArray:
        """(n_groups, most) numbers of the events, the best first; -1 where there are fewer."""
        return self._events

    def add(self, groups: IntArray, keys: Keys, events: IntArray) -> None:
        """Add events.

        Parameters
        ----------
        groups : (n,) int64
            Group of each.
        keys : (n,) uint64
            How good they are: the lowest is best.
        events : (n,) int64
            Their numbers, each once per group; of equal keys the lowest number is best.
        """
        hopeful = keys <= self._keys[groups, -1]
        groups, keys, events = groups[hopeful], keys[hopeful], events[hopeful]
        touched = np.unique(groups)
        row, place = np.nonzero(self._events[touched] >= 0)
        kept = touched[row], place
        groups = np.concatenate([kept[0], groups])
        keys = np.concatenate([self._keys[kept], keys])
        events = np.concatenate([self._events[kept], events])
        order = np.lexsort((events, keys, groups))
        groups, keys, events = groups[order], keys[order], events[order]
        rank = np.arange(len(groups)) - np.searchsorted(groups, groups)
        best = rank < self._most
        self._keys[groups[best], rank[best]] = keys[best]
        self._events[groups[best], rank[best]] = events[best]


TABLE_NBYTES = 16
"""Bytes per event that `Best` keeps: its key and its number."""


def best_events(groups: IntArray, keys: Keys, events: IntArray, *, n_groups: int, most: int) -> IntArray:
    """Return the best events of every group, all at once; see `Best`.

    Returns
    -------
    (n_groups, most) int64
        The best first; -1 where a group has fewer.

    Examples
    --------
    >>> values = np.array([3.0, 1.0, 3.0, 2.0])
    >>> groups, events = np.array([0, 0, 0, 1]), np.arange(4)
    >>> best_events(groups, falling_keys(values), events, n_groups=2, most=2).tolist()
    [[0, 2], [3, -1]]
    """
    best = Best(n_groups, most)
    best.add(groups, keys, events)
    return best.events
