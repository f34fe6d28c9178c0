"""Cubes side by side along a new dimension `run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.combine import arrays
from cubeengine.combine.agree import run_names
from cubeengine.combine.blocks import SignalWork, new_chunks
from cubeengine.combine.content import Cube, SignalContent, Values, first_element
from cubeengine.combine.progress import Report
from cubeengine.errors import SpecError, StoreMismatch
from cubeengine.store.layout import Region
from cubeengine.store.read import RUN, is_stack
from cubeengine.types import IntArray

AT = 1
"""Place of `run` among the dimensions: after `selection`."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One run of a stack: a cube, or one run of a cube that is a stack itself."""

    cube: Cube  # where it comes from
    index: int | None  # its index along the cube's own `run`; None where the cube has none

    def n_events(self) -> IntArray:
        """Return the event counts, without `run`."""
        counts = self.cube.n_events
        return counts if self.index is None else counts[:, self.index]

    def read(self, content: SignalContent, region: Region) -> Values:
        """Read a region that has one index along `run`."""
        if self.index is not None:
            return content.read((region[0], slice(self.index, self.index + 1), *region[AT + 1 :]))
        count, mean, std = content.read((region[0], *region[AT + 1 :]))
        return np.expand_dims(count, AT), np.expand_dims(mean, AT), np.expand_dims(std, AT)


@dataclass(frozen=True)
class Stack:
    """Cubes that are stacked."""

    layers: Sequence[Layer]  # in the order of the result
    runs: IntArray  # (n_layers,) int64: Run numbers
    did: str = "stack along run"

    @classmethod
    def of(cls, cubes: Sequence[Cube], runs: Sequence[int] | None) -> Stack:
        """Find the layers and their run numbers.

        Raises
        ------
        StoreMismatch
            If a cube does not say which run it is of, or two say the same.
        SpecError
            If `runs` are not as many as there are layers, or not distinct.
        """
        layers = [layer for cube in cubes for layer in _layers(cube)]
        if runs is None:
            numbers = [number for cube in cubes for number in _numbers(cube)]
            _check_distinct(layers, numbers)
        else:
            numbers = list(runs)
            if len(numbers) != len(layers) or len(set(numbers)) != len(numbers):
                raise SpecError(
                    f"runs: {len(layers)} distinct run numbers are needed, one per cube; got {numbers}"
                )
        return cls(layers, np.array(numbers, np.int64))

    @property
    def dims(self) -> tuple[str, ...]:
        """Selection, run and axes."""
        selection, *axes = (dim for dim in self.layers[0].cube.dims if dim != RUN)
        return selection, RUN, *axes

    def n_events(self) -> IntArray:
        """Return the event counts of all runs."""
        return np.stack([layer.n_events() for layer in self.layers], axis=AT)

    def axes(self) -> Iterator[arrays.Known]:
        """Yield the runs and the axes, which are the same in all.

        Runs have bounds like any axis, half a number to either side.
        """
        bounds = np.stack([self.runs - 0.5, self.runs + 0.5], axis=1)
        yield from arrays.axis_arrays(RUN, bounds, {"units": "", "long_name": "run"}, self.runs)
        for axis in self.dims[AT + 1 :]:
            yield from arrays.same_axis(self.layers[0].cube, axis)

    def work(self, name: str, owners: Sequence[Cube], report: Report) -> SignalWork:
        """Plan the stack of one signal."""
        contents = {id(cube): cube.signals[name] for cube in owners}
        first = owners[0].signals[name]
        counted = any(content.counted for content in contents.values())
        bins = self.n_events().shape
        shape = (*bins, *first.shape)
        own = first.mean.chunks
        rest = own[AT + 1 :] if RUN in owners[0].dims else own[AT:]
        chunks = new_chunks(shape, (1, 1, *rest))
        n_counted = len(shape) if counted else len(bins)

        def make(region: Region) -> Values:
            parts = []
            for number in range(region[AT].start, region[AT].stop):
                layer = self.layers[number]
                content = contents.get(id(layer.cube))
                sizes = [part.stop - part.start for part in region]
                sizes[AT] = 1
                values = _nothing(sizes) if content is None else layer.read(content, region)
                report.add(0 if content is None else sum(value.nbytes for value in values))
                parts.append(_with_count(values, n_counted))
            count, mean, std = (np.concatenate(each, axis=AT) for each in zip(*parts, strict=True))
            return count, mean, std

        return SignalWork(name, shape, chunks, len(bins), counted, make)


def _with_count(values: Values, n_dims: int) -> Values:
    """Return the count as many dimensions as it is to have: those of the bins, or all."""
    count, mean, std = values
    if n_dims == mean.ndim:
        return np.broadcast_to(count, mean.shape), mean, std
    return first_element(count, n_dims), mean, std


def _nothing(shape: Sequence[int]) -> Values:
    empty: NDArray[Any] = np.full(shape, np.nan, np.float32)
    return np.zeros(shape, np.int64), empty, empty


def _layers(cube: Cube) -> list[Layer]:
    if RUN not in cube.dims:
        return [Layer(cube, None)]
    if cube.dims[AT] != RUN or not is_stack(cube.dataset):
        raise StoreMismatch(f"{cube.path}: already has an axis {RUN!r}; it cannot be stacked along it")
    return [Layer(cube, index) for index in range(cube.shape[AT])]


def _numbers(cube: Cube) -> list[int]:
    if RUN in cube.dims:
        return [int(number) for number in cube.dataset[RUN].values]
    names = run_names(cube) or _declared(cube)
    digits = names[0].rpartition(":")[2] if len(names) == 1 else ""
    if not digits.isdecimal():
        what = f"is of several runs ({', '.join(names)})" if names else "does not record its run"
        raise StoreMismatch(
            f"{cube.path}: {what}; give the run numbers, e.g. --runs 12,13, in Python runs=[12, 13]"
        )
    return [int(digits)]


def _declared(cube: Cube) -> tuple[str, ...]:
    """Return the run that the spec of a cube names: files need not, whose path was given beside the spec."""
    number = cube.attrs.get("spec", {}).get("run", {}).get("run")
    return () if number is None else (str(number),)


def _check_distinct(layers: Sequence[Layer], numbers: Sequence[int]) -> None:
    seen: dict[int, Layer] = {}
    for layer, number in zip(layers, numbers, strict=True):
        if number in seen:
            raise StoreMismatch(
                f"{layer.cube.path}: is of run {number}, as {seen[number].cube.path} is; give different "
                "numbers, e.g. --runs 12,13, in Python runs=[12, 13]"
            )
        seen[number] = layer
