"""Which old bins make up each new one, and what is possible where a wish is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cubeengine.combine.content import Cube
from cubeengine.errors import SpecError
from cubeengine.schema.calls import check_whole_number
from cubeengine.schema.texts import counted
from cubeengine.types import FloatArray


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the bins of one axis are joined."""

    groups: tuple[tuple[int, int], ...]  # old bins of each new one: ranges without gaps
    edges: tuple[float, ...] | None  # new edges; None for an axis that is summed over entirely

    @property
    def told(self) -> list[float] | str:
        """What the cube says of it."""
        return "all" if self.edges is None else list(self.edges)


def groupings(
    cube: Cube, by: Mapping[str, int], edges: Mapping[str, Sequence[float]], drop: Sequence[str]
) -> dict[str, Grouping]:
    """Find the groups for all axes that change.

    Raises
    ------
    SpecError
        If there is no such axis, or one is named twice, or its bins cannot be joined like that.
    """
    named = [cube.axis(name) for name in (*by, *edges, *drop)]
    for axis in named:
        if named.count(axis) > 1:
            raise SpecError(f"axis {axis!r}: is given twice; give only one of by, edges and drop")
    by_axis = {cube.axis(name): number for name, number in by.items()}
    to_edges = {cube.axis(name): wanted for name, wanted in edges.items()}
    found = {axis: _by(axis, _edges(cube, axis), number) for axis, number in by_axis.items()}
    found |= {axis: _to_edges(axis, _edges(cube, axis), wanted) for axis, wanted in to_edges.items()}
    return found | {axis: Grouping(((0, _size(cube, axis)),), None) for axis in map(cube.axis, drop)}


def _size(cube: Cube, axis: str) -> int:
    return cube.shape[cube.dims.index(axis)]


def _edges(cube: Cube, axis: str) -> FloatArray:
    """Return the edges of an axis whose bins touch one another."""
    bounds = cube.bounds(axis)
    if bounds is None or not np.array_equal(bounds[1:, 0], bounds[:-1, 1]):
        raise SpecError(
            f"axis {axis!r}: its bins are not adjacent, so they cannot be joined; sum over the whole "
            f"axis with --drop {axis}, in Python drop=[{axis!r}]"
        )
    return np.append(bounds[:, 0], bounds[-1, 1])


def _by(axis: str, edges: FloatArray, number: int) -> Grouping:
    n_bins = len(edges) - 1
    check_whole_number(number, f"axis {axis!r}: the number of bins that become one")
    if number < 1 or n_bins % number:
        possible = [n for n in range(2, n_bins + 1) if n_bins % n == 0]
        raise SpecError(
            f"axis {axis!r}: {counted(n_bins, 'bin')} cannot be joined in groups of {number}; possible: "
            f"{', '.join(map(str, possible))}; or give the new edges"
        )
    return _grouping(edges, range(0, n_bins + 1, number))


def _to_edges(axis: str, edges: FloatArray, wanted: Sequence[float]) -> Grouping:
    try:
        values = np.asarray(wanted, np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 1 or len(values) < 2 or not np.all(values[:-1] < values[1:]):
        raise SpecError(f"axis {axis!r}: new edges must be two or more rising numbers, got {wanted!r}")
    places = np.searchsorted(edges, values)
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if place == len(edges) or edges[place] != value:
            near = edges[max(place - 1, 0) : place + 1].tolist()
            raise SpecError(
                f"axis {axis!r}: {value!r} is not an edge of the cube, and bins cannot be split; nearest: "
                f"{', '.join(map(repr, near))}"
            )
    return _grouping(edges, places.tolist())


def _grouping(edges: FloatArray, places: Sequence[int]) -> Grouping:
    return Grouping(tuple(pairwise(places)), tuple(float(edges[place]) for place in places))
