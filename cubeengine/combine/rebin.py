"""Coarser bins from finer ones, or none: exact, as every bin holds count, mean and std."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from cubeengine.budget import DEFAULT_MEMORY, Budget, parse_size
from cubeengine.combine import arrays
from cubeengine.combine.attributes import rebinned_attributes
from cubeengine.combine.blocks import (
    Limits,
    SignalWork,
    block_tasks,
    grown,
    new_chunks,
    run_tasks,
    write_cube,
)
from cubeengine.combine.content import Cube, SignalContent, Values, first_element
from cubeengine.combine.grouping import Grouping, groupings
from cubeengine.combine.hashes import hashes_of
from cubeengine.combine.moments import Moments, collapsed
from cubeengine.combine.progress import Combined, Progress, Report
from cubeengine.errors import SpecError, StoreMismatch
from cubeengine.store.layout import CubeLayout, Region
from cubeengine.store.write import check_target
from cubeengine.types import IntArray


def rebin_cube(
    cube: str | Path,
    out: str | Path,
    *,
    by: Mapping[str, int] | None = None,
    edges: Mapping[str, Sequence[float]] | None = None,
    drop: Sequence[str] = (),
    overwrite: bool = False,
    memory: str | int | None = None,
    workers: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Combined:
    """Join bins of a cube, along one axis or several.

    Parameters
    ----------
    cube : path
        The cube with the old bins.
    out : path
        The new cube.
    by : mapping, optional
        Axis -> how many neighbouring bins become one; must divide their number.
    edges : mapping, optional
        Axis -> edges of the new bins, each of them an old edge. Bins beyond the first and the last are left
        out; their events count as outside.
    drop : sequence of str
        Axes that are summed over: the new cube does not have them.
    overwrite : bool
        Whether a cube at `out` may be replaced.
    memory : str or int, optional
        Memory of this process, "2 GiB" by default.
    workers : int, optional
        Threads. Default: the processors this process may use.
    on_progress : callable, optional
        Called with a `Progress` as parts of the cube are read.

    Returns
    -------
    Combined
        Path, notes, seconds and bytes read.

    Raises
    ------
    StoreMismatch
        If there is no such cube, or `out` may not be replaced.
    SpecError
        If there is no such axis, or its bins cannot be joined like that; names what is possible.
    BudgetExceeded
        If the memory is too little.
    """
    target = Path(out)
    limits = Limits.of(Budget(parse_size(memory) if memory is not None else DEFAULT_MEMORY), workers)
    check_target(target, overwrite=overwrite)
    opened = Cube.open(cube)
    if opened.path.resolve() == target.resolve():
        raise StoreMismatch(f"{target}: is the cube that is rebinned; name another output with -o")
    wanted = groupings(opened, by or {}, edges or {}, drop)
    if not wanted:
        raise SpecError("say what to join: by, edges or drop")
    return _written(Rebin(opened, wanted), target, limits, overwrite, on_progress)


@dataclass(frozen=True)
class Rebin:
    """A cube and its new bins.

    Attributes
    ----------
    cube : Cube
        With the old bins.
    groupings : mapping
        Axis -> how its bins are joined, for the axes that change.
    """

    cube: Cube
    groupings: Mapping[str, Grouping]

    @property
    def groups(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Old bins (start, stop) of every new index, for each dimension of the old cube."""
        return tuple(
            self.groupings[dim].groups if dim in self.groupings else tuple((i, i + 1) for i in range(size))
            for dim, size in zip(self.cube.dims, self.cube.shape, strict=True)
        )

    @property
    def dropped(self) -> tuple[int, ...]:
        """Numbers of the dimensions that the new cube does not have."""
        return tuple(
            number
            for number, dim in enumerate(self.cube.dims)
            if dim in self.groupings and self.groupings[dim].edges is None
        )

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the bins of the new cube."""
        return tuple(dim for number, dim in enumerate(self.cube.dims) if number not in self.dropped)

    def n_events(self) -> IntArray:
        """Add the event counts."""
        counts = self.cube.n_events
        for number, groups in enumerate(self.groups):
            parts = [counts.take(range(*group), number).sum(number, keepdims=True) for group in groups]
            counts = np.concatenate(parts, number)
        return counts.squeeze(self.dropped)

    def axes(self) -> Iterator[arrays.Known]:
        """Give the axes, old and new."""
        for axis in self.dims[1:]:
            grouping = self.groupings.get(axis)
            if grouping is None or grouping.edges is None:
                yield from arrays.same_axis(self.cube, axis)
            else:
                bounds = np.array(list(pairwise(grouping.edges)))
                yield from arrays.axis_arrays(axis, bounds, self.cube.dataset[axis].attrs)

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
            moments, place = Moments.stored(*values), []
            for number, groups in enumerate(wanted):
                first, inside = _inside(groups, piece[number])
                moments = collapsed(moments, number, inside)
                place.append(slice(first, first + len(inside)))
            for part, whole in zip(piece[n_bins:], region[n_bins:], strict=True):
                place.append(slice(part.start - whole.start, part.stop - whole.start))
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
    """Give the groups that a range of old bins touches: number of the first, ranges within the part."""
    touched = [
        (number, (max(start, part.start) - part.start, min(stop, part.stop) - part.start))
        for number, (start, stop) in enumerate(groups)
        if start < part.stop and stop > part.start
    ]
    return touched[0][0], [group for _, group in touched]


def _written(
    plan: Rebin,
    target: Path,
    limits: Limits,
    overwrite: bool,
    on_progress: Callable[[Progress], None] | None,
) -> Combined:
    cube = plan.cube
    total = sum(content.nbytes for content in cube.signals.values())
    report = Report(on_progress, total, f"rebin, {limits.threads} threads")
    works = [plan.work(content, report) for content in cube.signals.values()]
    n_events = plan.n_events()
    known = [
        arrays.selection_array(cube),
        *plan.axes(),
        arrays.events_array(plan.dims, n_events, cube),
        *arrays.static_arrays([cube], cube.signals),
    ]
    layouts = [layout for layout, _ in known]
    for work in works:
        content = cube.signals[work.name]
        layouts += arrays.signal_arrays(work, plan.dims, content, content.dtype)

    def fill(store: Path) -> Mapping[str, object]:
        run_tasks(block_tasks(store, works), limits.threads)
        (digest,) = hashes_of([cube.path], limits.budget, limits.threads)
        axes = {axis: grouping.told for axis, grouping in plan.groupings.items()}
        return rebinned_attributes(cube, digest, n_events, axes)

    small = {layout.name: values for layout, values in known}
    write_cube(target, CubeLayout(tuple(layouts)), small, fill, overwrite=overwrite)
    notes = (
        (f"left out, as they are no statistics of a signal: {', '.join(cube.strangers)}",)
        if cube.strangers
        else ()
    )
    return Combined(target, notes, report.seconds, total)
