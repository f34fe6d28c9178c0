"""One pass over the events of a run, window by window: what is counted of them, and which go where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from cubeengine.events import states
from cubeengine.events.content import ContentDigest
from cubeengine.events.derived import DelayCounts, NearCounts
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.events.streamed import is_streamed
from cubeengine.events.window import Window
from cubeengine.kernels.bins import flat_index
from cubeengine.planning.axes import Binned, BinnedAxis
from cubeengine.planning.borders import Beside, Border, events_beside
from cubeengine.planning.counts import Counts, count_window, near_edges
from cubeengine.planning.evidence import tells_of_damage
from cubeengine.planning.grouping import Grouper, Grouping
from cubeengine.planning.sample import Sample
from cubeengine.planning.side import GrowingColumn
from cubeengine.types import BoolArray, Column, IntArray


@dataclass(frozen=True)
class Census:
    """What one pass over a run found."""

    counts: Mapping[str, Counts]  # selection -> what was counted of its events
    grouping: Grouping  # which events are added where
    delays: Mapping[str, DelayCounts]  # derived delay -> how its events came about
    near: Mapping[str, NearCounts]
    """Derived variable that looks at other events -> on how many its values rest."""
    values: Mapping[str, Column]  # computed variables that are signals -> their values
    digests: Mapping[str, str]
    """Computed variables -> hash of their values, where windows do not differ in type."""
    beside: Mapping[Border, Beside]
    """Number that a cut compares a field with -> events that are decided by rounding."""
    damage: Mapping[str, tuple[int, ...]]
    """Damage field -> for each selection, its events in the bins of which the field tells damage."""
    considered: int  # events that are looked at
    window_nbytes: int  # memory of the largest window, beside columns that the run itself keeps


def take_census(
    run: Run,
    nodes: Mapping[str, Node],
    axes: Sequence[BinnedAxis],
    *,
    off: Node,
    sample: Sample,
    keep: Sequence[str],
    damage: Iterable[str] = (),
) -> Census:
    """Look at all events once.

    Parameters
    ----------
    run : Run
        The events.
    nodes : mapping
        Selection -> what it asks for.
    axes : sequence of BinnedAxis
        Where events fall.
    off : Node
        The cut that keeps laser-off events.
    sample : Sample
        Which events are looked at.
    keep : sequence of str
        Variables whose values are wanted, where they are computed.
    damage : iterable of str
        Fields that tell of damage; see `evidence.damage_fields`.
    """
    counting = _Counting(run, nodes, axes, off, sample, keep, damage)
    for window in run.windows():
        counting.add(window)
    return counting.census()


class _Counting:
    """Adds up what the windows of a run give."""

    def __init__(
        self,
        run: Run,
        nodes: Mapping[str, Node],
        axes: Sequence[BinnedAxis],
        off: Node,
        sample: Sample,
        keep: Sequence[str],
        damage: Iterable[str],
    ) -> None:
        self._nodes, self._axes, self._off, self._sample = nodes, axes, off, sample
        self._shape = tuple(axis.axis.n_bins for axis in axes)
        self._counts: dict[str, Counts] = {}
        self._grouper = Grouper(len(nodes), prod(self._shape))
        self._delays: dict[str, DelayCounts] = {}
        self._near: dict[str, NearCounts] = {}
        derived = run.derived.items()
        computed = [name for name, item in derived if not (isinstance(item, Column) or is_streamed(item))]
        self._values = {name: GrowingColumn() for name in keep if name in computed}
        self._digests = {name: ContentDigest(run.n_events) for name in computed}
        self._beside: dict[Border, Beside] = {}
        self._damage = {name: np.zeros(len(nodes), np.int64) for name in damage}
        self._considered = self._window_nbytes = 0

    def add(self, window: Window) -> None:
        """Add the next window."""
        considered = self._sample.mask(window.events)
        self._considered += int(np.count_nonzero(considered))
        axes = [axis.bins(window) for axis in self._axes]
        near = [near_edges(axis, binned) for axis, binned in zip(self._axes, axes, strict=True)]
        for name, node in self._nodes.items():
            found = count_window(window, node, off=self._off, axes=axes, near=near, considered=considered)
            self._counts[name] = self._counts[name] + found if name in self._counts else found
        for border, beside in events_beside(self._nodes.values(), window, considered).items():
            self._beside[border] = self._beside[border] + beside if border in self._beside else beside
        kept = [considered & (window.states(node) == states.TRUE) for node in self._nodes.values()]
        bins = self._bins(window, axes)
        self._grouper.add(kept, bins)
        self._add_damage(window, kept, bins >= 0)
        for name in self._digests:
            self._add_computed(window, name)
        held = sum(binned.nbytes for binned in axes) + sum(mask.nbytes for mask in kept)
        shared = window.fields_nbytes if window is window.run.whole else 0
        self._window_nbytes = max(self._window_nbytes, held + window.held_nbytes - shared)

    def _bins(self, window: Window, axes: Sequence[Binned]) -> IntArray:
        if not axes:
            return np.zeros(window.n_events, np.int64)
        return flat_index([binned.index for binned in axes], self._shape)

    def _add_damage(self, window: Window, kept: Sequence[BoolArray], inside: BoolArray) -> None:
        for name, counts in self._damage.items():
            # Read past the window, which would keep it.
            bad = inside & tells_of_damage(window.run.source.read(name, window.events))
            counts += [np.count_nonzero(mask & bad) for mask in kept]

    def _add_computed(self, window: Window, name: str) -> None:
        computed = window.computed(name)
        self._digests[name].add(computed.column)
        if name in self._values:
            self._values[name].append(computed.column)
        counts = computed.counts
        if isinstance(counts, DelayCounts):
            self._delays[name] = self._delays[name] + counts if name in self._delays else counts
        elif counts is not None:
            self._near[name] = self._near[name] + counts if name in self._near else counts

    def census(self) -> Census:
        """Return what was found."""
        return Census(
            counts=self._counts,
            grouping=self._grouper.grouping(),
            delays=self._delays,
            near=self._near,
            values={name: values.column() for name, values in self._values.items()},
            digests={name: digest.text for name, digest in self._digests.items() if not digest.is_mixed},
            beside=self._beside,
            damage={name: tuple(counts.tolist()) for name, counts in self._damage.items()},
            considered=self._considered,
            window_nbytes=self._window_nbytes,
        )
