"""Cubes added bin by bin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from cubeengine.combine import arrays
from cubeengine.combine.blocks import SignalWork, new_chunks
from cubeengine.combine.content import Cube, SignalContent, Values, first_element
from cubeengine.combine.moments import Moments, add_stored, from_stored
from cubeengine.combine.progress import Report
from cubeengine.store.layout import Region
from cubeengine.types import IntArray


@dataclass(frozen=True)
class Sum:
    """Cubes that are added."""

    cubes: Sequence[Cube]
    did: str = "merge"

    @property
    def dims(self) -> tuple[str, ...]:
        """Selection and axes."""
        return self.cubes[0].dims

    def n_events(self) -> IntArray:
        """Add the event counts."""
        return reduce(np.add, [cube.n_events for cube in self.cubes])

    def axes(self) -> Iterator[arrays.Known]:
        """Yield the axes, which are the same in all."""
        for axis in self.cubes[0].axes:
            yield from arrays.same_axis(self.cubes[0], axis)

    def work(self, name: str, owners: Sequence[Cube], report: Report) -> SignalWork:
        """Plan the sum of one signal."""
        contents = [cube.signals[name] for cube in owners]
        n_dims = len(self.dims)
        shape = (*self.cubes[0].shape, *contents[0].shape)
        counted = any(content.counted for content in contents)

        def make(region: Region) -> Values:
            return _added(contents, n_dims, region, report, counted=counted)

        chunks = new_chunks(shape, contents[0].mean.chunks)
        return SignalWork(name, shape, chunks, n_dims, counted, make)


def _added(
    contents: Sequence[SignalContent], n_dims: int, region: Region, report: Report, *, counted: bool
) -> Values:
    """Add a region of all cubes."""
    total: Moments | None = None
    for content in contents:
        values = content.read(region)
        if total is None:
            total = from_stored(*values)
        else:
            add_stored(total, *values)
        report.add(sum(value.nbytes for value in values))
    if total is None:
        raise ValueError("give at least one cube to add")
    count, mean, std = total.finish()
    return (count if counted else first_element(count, n_dims)), mean, std
