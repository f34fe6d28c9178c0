"""Groups: the smallest cells that events are added into, and how output bins are put together from them.

Selections overlap (`all` holds `on` and `off`). Adding an event once per selection would repeat the
work, so events are grouped by bin *and* by the set of selections they belong to: such cells are disjoint,
each event is added once, and the bins of a selection are merged from the cells that belong to it.
Where there are more such sets than selections, the plain form (an event in every selection's own
group) holds less memory and is taken instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.planning.side import Growing, in_memory
from cubeengine.types import BoolArray, IntArray

PIECE_PAIRS = 2**20
"""Pairs that are numbered at a time."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which group, or groups, each event is added into.

    Groups are numbered bin by bin: group = bin * width + member, so a range of bins is a range of groups.
    """

    n_bins: int  # bins of all axes, flat in C order
    width: int  # groups per bin
    events: IntArray
    """(n_pairs,) int64: Events that fall in a bin of some selection, rising; repeated where `disjoint` is
    False.
    """
    groups: NDArray[np.int32]  # (n_pairs,) int32: Group that each of them is added into
    members: tuple[tuple[int, ...], ...]
    """For each selection the members (numbers below `width`) that its bins are merged from."""
    disjoint: bool  # true where every event is in one group only
    per_group: IntArray  # (n_groups,) int64: Pairs of each group
    n_distinct: int  # events that are in some group
    shared: IntArray
    """(n_selections, n_selections) int64: Events in a bin that each two selections have in common."""

    @property
    def n_groups(self) -> int:
        """Groups of all bins."""
        return self.n_bins * self.width

    @property
    def n_selections(self) -> int:
        """Selections that are binned."""
        return len(self.members)

    def counts(self) -> IntArray:
        """Return the selected events of every bin.

        Returns
        -------
        (n_selections, n_bins) int64
        """
        per_group = self.per_group.reshape(self.n_bins, self.width)
        return np.stack([per_group[:, list(members)].sum(axis=1) for members in self.members])

    @property
    def bin_pairs(self) -> IntArray:
        """(n_bins,) pairs of each bin."""
        pairs: IntArray = self.per_group.reshape(self.n_bins, self.width).sum(axis=1)
        return pairs

    @property
    def held_nbytes(self) -> int:
        """Bytes of events and groups that are in memory, and not in side files."""
        return in_memory(self.events, self.groups)


def group_events(selected: Sequence[BoolArray], bins: IntArray, n_bins: int) -> Grouping:
    """Group events by bin and by the selections that keep them, all at once; see `Grouper`."""
    grouper = Grouper(len(selected), n_bins)
    grouper.add(selected, bins)
    return grouper.grouping()


class Grouper:
    """Groups events by bin and by the selections that keep them, window by window.

    Which sets of selections there are is known in the end only, so until then an event has its bin and the
    number of a set as they were met; groups are numbered once more.

    Parameters
    ----------
    n_selections : int
        Selections that are binned.
    n_bins : int
        Number of bins.

    Notes
    -----
    Memory: about 20 bytes per event of a window; 16 bytes per kept event in side files, then 12.
    """

    def __init__(self, n_selections: int, n_bins: int) -> None:
        self._n_selections, self._n_bins, self._n_events = n_selections, n_bins, 0
        self._sets: dict[tuple[bool, ...], int] = {}
        self._events, self._bins, self._members = Growing(), Growing(), Growing()

    def add(self, selected: Sequence[BoolArray], bins: IntArray) -> None:
        """Add the next events.

        Parameters
        ----------
        selected : sequence of (n_events,) bool
            For each selection, the events it keeps.
        bins : (n_events,) int64
            Flat bin of every event, -1 outside. Events that no selection keeps, or that fall in no bin,
            are in no group.
        """
        inside = bins >= 0
        masks = np.stack([mask & inside for mask in selected])
        codes = _membership_codes(masks)
        events = np.flatnonzero(codes)
        one_of_each = np.zeros(int(codes.max(initial=0)) + 1, np.int64)
        one_of_each[codes[events]] = events  # whichever comes last: they are alike
        numbers = np.zeros(len(one_of_each), np.int32)
        for code in np.flatnonzero(np.bincount(codes[events], minlength=len(numbers))).tolist():
            members = tuple(masks[:, one_of_each[code]].tolist())
            numbers[code] = self._sets.setdefault(members, len(self._sets))
        self._members.append(numbers[codes[events]])
        self._bins.append(bins[events].astype(np.int32))
        self._events.append(events + self._n_events)
        self._n_events += len(bins)

    def grouping(self) -> Grouping:
        """Return the groups of all events that were added."""
        sets, n_selections = sorted(self._sets), self._n_selections
        disjoint = len(sets) <= n_selections
        width = max(len(sets), 1) if disjoint else n_selections
        order = np.array([sets.index(one) for one in self._sets], np.int32)
        if disjoint:
            events, groups = self._events.array(), self._numbered(order, width)
            of_selection = np.array(sets, bool).reshape(-1, n_selections).T
        else:
            events, groups = self._repeated(np.array(list(self._sets), bool))
            of_selection = np.eye(width, dtype=bool)
        return Grouping(
            n_bins=self._n_bins,
            width=width,
            events=events,
            groups=groups,
            members=tuple(tuple(np.flatnonzero(row).tolist()) for row in of_selection),
            disjoint=disjoint,
            per_group=_count(groups, self._n_bins * width),
            n_distinct=len(self._events),
            shared=self._shared(),
        )

    def _shared(self) -> IntArray:
        """Count the events that each two selections have in common, (n_selections, n_selections)."""
        table = np.array(list(self._sets), bool).reshape(-1, self._n_selections).astype(np.int64)
        per_set = np.zeros(len(table), np.int64)
        for _, _, sets in self._pieces():
            per_set += np.bincount(sets, minlength=len(table))
        counts: IntArray = (table * per_set[:, None]).T @ table
        return counts

    def _numbered(self, order: NDArray[np.int32], width: int) -> NDArray[np.int32]:
        """Return the groups of all events, each in one; `order` has the member of each set."""
        groups = Growing()
        for _, bins, sets in self._pieces():
            groups.append((bins * width + order[sets]).astype(np.int32))
        return groups.array()

    def _repeated(self, table: BoolArray) -> tuple[IntArray, NDArray[np.int32]]:
        """Return events and groups of all pairs; `table` has the selections of each set."""
        all_events, all_groups = Growing(), Growing()
        for events, bins, sets in self._pieces():
            place, member = np.nonzero(table[sets])
            all_events.append(events[place])
            all_groups.append((bins[place] * table.shape[1] + member).astype(np.int32))
        return all_events.array(), all_groups.array()

    def _pieces(self) -> Iterator[tuple[IntArray, IntArray, NDArray[np.int32]]]:
        """Yield events, bins and sets, some at a time."""
        events, bins, sets = self._events.array(), self._bins.array(), self._members.array()
        for start in range(0, max(len(events), 1), PIECE_PAIRS):
            piece = slice(start, start + PIECE_PAIRS)
            yield events[piece], bins[piece].astype(np.int64), sets[piece]


def _count(groups: NDArray[np.int32], n_groups: int) -> IntArray:
    """Count the pairs of each group."""
    counts = np.zeros(n_groups, np.int64)
    for start in range(0, len(groups), PIECE_PAIRS):
        counts += np.bincount(groups[start : start + PIECE_PAIRS], minlength=n_groups)
    return counts


def _membership_codes(masks: BoolArray) -> IntArray:
    """Return each set of selections that events belong to a number; 0 is the empty set."""
    packed = np.packbits(masks, axis=0)  # eight selections to a byte
    codes: IntArray = packed[0].astype(np.int64)
    for row in packed[1:]:
        _, codes = np.unique(codes * 256 + row, return_inverse=True)  # renumbered, so they stay small
    return np.where(masks.any(axis=0), codes + 1, 0)
