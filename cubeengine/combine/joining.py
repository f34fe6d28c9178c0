"""Bins of a cube joined to larger ones, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from math import prod

import numpy as np

from cubeengine.combine import arrays
from cubeengine.combine.blocks import SignalWork, grown, new_chunks
from cubeengine.combine.content import Cube, SignalContent, Values, first_element
from cubeengine.combine.grouping import Grouping
from cubeengine.combine.moments import Moments, collapsed
from cubeengine.combine.progress import Report
from cubeengine.store.layout import Region
from cubeengine.types import IntArray


@dataclass(frozen=True, eq=False)
class Rebin:
    """A cube and its new bins."""

    cube: Cube  # with the old bins
    groupings: Mapping[str, Grouping]  # axis -> how its bins are joined, for the axes that change

    @cached_property
    def groups(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Old bins (start, stop) of every new index, for each dimension of the old cube."""
        return tuple(
            self.groupings[dim].groups if dim in self.groupings else tuple((i, i + 1) for i in range(size))
            for dim, size in zip(self.cube.dims, self.cube.shape, strict=True)
        )

    @property
    def joined(self) -> tuple[int, ...]:
        """Numbers of the dimensions along which bins are joined."""
        return tuple(number for number, dim in enumerate(self.cube.dims) if dim in self.groupings)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Numbers of the dimensions that the new cube does not have."""
        return tuple(number for number in self.joined if self.groupings[self.cube.dims[number]].edges is None)

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the bins of the new cube."""
        return tuple(dim for number, dim in enumerate(self.cube.dims) if number not in self.dropped)

    @property
    def part_read(self) -> float:
        """Part of the old bins that is read."""
        spans = (groups[-1][1] - groups[0][0] for groups in self.groups)
        return prod(span / size for span, size in zip(spans, self.cube.shape, strict=True))

    def n_events(self) -> IntArray:
        """Add the event counts."""
        counts = self.cube.n_events
        for number in self.joined:
            groups = self.groups[number]
            parts = [counts.take(range(*group), number).sum(number, keepdims=True) for group in groups]
            counts = np.concatenate(parts, number)
        return counts.squeeze(self.dropped)

    def axes(self) -> Iterator[arrays.Known]:
        """Yield the axes, old and new; a bin that is joined with none keeps its label."""
        for axis in self.dims[1:]:
            grouping = self.groupings.get(axis)
            if grouping is None or grouping.edges is None:
                yield from arrays.same_axis(self.cube, axis)
            else:
                bounds = np.array(list(pairwise(grouping.edges)))
                alone = np.array([stop - start == 1 for start, stop in grouping.groups])
                first = self.cube.labels(axis)[[start for start, _ in grouping.groups]]
                labels = np.where(alone, first, bounds.mean(axis=1))
                yield from arrays.axis_arrays(axis, bounds, self.cube.dataset[axis].attrs, labels)

    def work(self, content: SignalContent, report: Report) -> SignalWork:
        """Plan one signal."""
        n_dims = len(self.dims)
        bins = tuple(map(len, self.groups))
        wide = (*bins, *content.shape)  # with dropped axes, of length 1
        kept = [number for number in range(len(wide)) if number not in self.dropped]
        chunks = new_chunks(
            tuple(wide[number] for number in kept),
            tuple(content.mean.chunks[number] for number in kept),
        )

        def make(region: Region) -> Values:
            full = list(region)
            for number in self.dropped:
                full.insert(number, slice(0, 1))
            total = self._joined(content, tuple(full), report)
            count, mean, std = (array.squeeze(self.dropped) for array in total.finish())
            return (count if content.counted else first_element(count, n_dims)), mean, std

        shape = tuple(wide[number] for number in kept)
        return SignalWork(content.name, shape, chunks, n_dims, content.counted, make)

    def _joined(self, content: SignalContent, region: Region, report: Report) -> Moments:
        """Join the old bins of a region of the new cube, piece by piece.

        Pieces begin at places that the old chunks fix, so that neither memory nor threads change a bit.
        """
        total = Moments.empty(tuple(part.stop - part.start for part in region))
        n_bins = len(self.cube.dims)
        wanted = [groups[part.start : part.stop] for groups, part in zip(self.groups, region, strict=False)]
        box = (*(slice(each[0][0], each[-1][1]) for each in wanted), *region[n_bins:])
        old = (*self.cube.shape, *content.shape)
        steps = grown(new_chunks(old, content.mean.chunks), old)
        for piece in _pieces(box, steps):
            values = content.read(piece)
            moments = Moments.stored(*values)
            place = [slice(a.start - b.start, a.stop - b.start) for a, b in zip(piece, region, strict=True)]
            for number in self.joined:
                first, inside = _inside(wanted[number], piece[number])
                moments = collapsed(moments, number, inside)
                place[number] = slice(first, first + len(inside))
            total.add_at(tuple(place), moments)
            report.add(sum(value.nbytes for value in values))
        return total


def _pieces(box: Region, steps: Sequence[int]) -> Iterator[Region]:
    """Split a region at the multiples of `steps`."""
    starts = [
        [part.start, *range((part.start // step + 1) * step, part.stop, step)]
        for part, step in zip(box, steps, strict=True)
    ]
    spans = (pairwise([*each, part.stop]) for each, part in zip(starts, box, strict=True))
    return (tuple(slice(*span) for span in spans) for spans in product(*spans))


def _inside(groups: Sequence[tuple[int, int]], part: slice) -> tuple[int, list[tuple[int, int]]]:
    """Return the groups that a range of old bins touches: number of the first, ranges within the part."""
    touched = [
        (number, (max(start, part.start) - part.start, min(stop, part.stop) - part.start))
        for number, (start, stop) in enumerate(groups)
        if start < part.stop and stop > part.start
    ]
    return touched[0][0], [group for _, group in touched]
