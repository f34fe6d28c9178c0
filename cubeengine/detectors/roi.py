"""Stage `roi`: a rectangle of a frame, or several of one size.

Only the rows between the first and the last one wanted are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from cubeengine.detectors.base import Context, Coordinate, Elements, Frame, Options, Stage
from cubeengine.detectors.dims import dim_names, pixel_numbers, segment_place
from cubeengine.detectors.views import read_only
from cubeengine.errors import SpecError
from cubeengine.kernels.jit import jit
from cubeengine.schema.base import FrozenMap, Model, NameMap
from cubeengine.schema.texts import kind_of
from cubeengine.types import IntArray

Range = tuple[int, int]
_MAX_REGIONS = 1000


def _read_range(value: object) -> Range:
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(numbers) != 2 or any(type(number) is not int for number in numbers):
        raise SpecError(f"must be two whole numbers [first, last + 1], but is {kind_of(value)}")
    if not 0 <= numbers[0] < numbers[1]:
        raise SpecError(f"must be [first, last + 1] with 0 <= first <= last, but is {list(numbers)}")
    return numbers


def _read_ranges(value: object) -> tuple[Range, ...] | None:
    """Read one range per dimension; a single one may stand without its outer brackets."""
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise SpecError(f"must be one [first, last + 1] for each dimension, but is {kind_of(value)}")
    if all(type(item) is int for item in value):
        if len(value) > 2 and len(value) % 2 == 0:
            pairs = [list(value[at : at + 2]) for at in range(0, len(value), 2)]
            raise SpecError(f"must be one [first, last + 1] for each dimension; write {pairs}")
        return (_read_range(value),)
    return tuple(map(_read_range, value))


Ranges = Annotated[tuple[Range, ...] | None, BeforeValidator(_read_ranges)]
Segment = Annotated[int, Field(strict=True, ge=0)]


class Region(Model):
    """One region of interest."""

    shorthand = "ranges"

    ranges: Ranges  # [first, last + 1] for each of the last dimensions of a frame; the others are kept whole
    segment: Segment | None = None  # of frames with segments: the number of the one it lies in

    def place(self, frame: Frame, context: Context) -> tuple[Range, ...]:
        """Return the range along each dimension of a frame.

        Raises
        ------
        SpecError
            If the region does not lie in the frame.
        """
        ranges, n_dims = self.ranges or (), len(frame.shape)
        whole = [(0, size) for size in frame.shape]
        if self.segment is not None:
            place = segment_place(frame, context, self.segment)
            whole[0] = (place, place + 1)
        limit = n_dims - (self.segment is not None)
        if len(ranges) > limit:
            raise SpecError(
                f"field {context.field!r}: a region has {len(ranges)} ranges, but the frames, of shape "
                f"{frame.shape}, leave {limit}"
            )
        for (first, stop), size, name in zip(
            ranges[::-1], frame.shape[::-1], dim_names(n_dims)[::-1], strict=False
        ):
            if stop > size:
                raise SpecError(
                    f"field {context.field!r}: the region takes {name}s [{first}, {stop}), "
                    f"but a frame has {size}"
                )
        return (*whole[: n_dims - len(ranges)], *ranges)

    def shape(self, place: Sequence[Range]) -> tuple[int, ...]:
        """Return the shape of what is cut out; a segment that was named has no dimension."""
        return tuple(stop - first for first, stop in place[self.segment is not None :])


class StageOptions(Options):
    """Cut regions out of frames."""

    name = "roi"
    shorthand = "ranges"

    ranges: Ranges = None
    """[first, last + 1] for each of the last dimensions, e.g. [[10, 50], [20, 80]] for rows 10 to 49 and
    columns 20 to 79.
    """
    segment: Segment | None = None
    """Number of the segment that the region lies in; the result then has no segments."""
    regions: Annotated[NameMap[Region], Field(max_length=_MAX_REGIONS)] = FrozenMap()
    """Instead of these: several regions of one shape, stacked in this order."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.ranges is None) != bool(self.regions):
            raise SpecError("needs either 'ranges' or 'regions'")
        if self.regions and self.segment is not None:
            raise SpecError("give 'segment' in each of the regions: {ranges: ..., segment: ...}")
        return self

    def build(self, frame: Frame, context: Context) -> Roi:
        """Make the stage; see `Options.build`."""
        regions = self.regions or {"": Region(ranges=self.ranges, segment=self.segment)}
        places = tuple(region.place(frame, context) for region in regions.values())
        shapes = {
            name: region.shape(place) for (name, region), place in zip(regions.items(), places, strict=True)
        }
        shape = next(iter(shapes.values()))
        if len(set(shapes.values())) > 1:
            listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            raise SpecError(
                f"field {context.field!r}: all regions of one signal must have the same shape, but the "
                f"shapes are {listed}; make each region its own signal"
            )
        if self.regions:
            shape = (len(places), *shape)
        return Roi(frame, Frame(shape, frame.dtype, frame.unit), places, tuple(self.regions))


@dataclass(frozen=True, slots=True)
class Roi(Stage):
    """Regions of a frame, one after another.

    Attributes
    ----------
    input, output : Frame
        What goes in and what comes out.
    places : tuple of ranges
        Of each region, the range along every dimension of the input.
    names : tuple of str
        Names of the regions; none where there is one alone.
    """

    input: Frame
    output: Frame
    places: tuple[tuple[Range, ...], ...]
    names: tuple[str, ...] = ()

    def needs(self, elements: Elements) -> Elements:
        """Return the range from the first to the last input element that is wanted."""
        if elements[0] == elements[1]:
            return 0, 0
        begins, row = self._begins(elements)
        ends = np.full(len(begins), row)
        ends[-1] = elements[1] - (elements[0] // row + len(begins) - 1) * row
        skipped = np.zeros(len(begins), np.int64)
        skipped[0] = elements[0] % row
        return int((begins + skipped).min()), int((begins + ends).max())

    def apply(self, frames: Any, elements: Elements, out: Any) -> None:
        """Copy the regions; see `Stage.apply`."""
        if elements[0] == elements[1]:
            return
        begins, row = self._begins(elements)
        bits = f"u{frames.itemsize}"  # whatever they mean
        starts = begins - self.needs(elements)[0]
        _copy_rows(read_only(frames.view(bits)), starts, row, elements[0] % row, out.view(bits))

    def scratch_nbytes(self, n_frames: int, n_elements: int) -> int:  # noqa: ARG002 - for any events
        """Return the memory for the places of the rows."""
        row = self._row()
        return 8 * 8 * (-(-n_elements // row) + 1 + self._n_rows())

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return the pixel numbers in the frame; of several regions their names."""
        if self.names:
            return {0: Coordinate("region", np.array(self.names))}
        (place,) = self.places
        dropped = len(place) - len(self.output.shape)
        return {
            dim: pixel_numbers(self.input, dim + dropped, *place[dim + dropped])
            for dim in range(len(self.output.shape))
        }

    def _row(self) -> int:
        """Return the elements that lie one after another."""
        first, stop = self.places[0][-1]
        return stop - first

    def _n_rows(self) -> int:
        return self.output.n_elements // self._row()

    def _begins(self, elements: Elements) -> tuple[IntArray, int]:
        """Return where the rows of a range begin in the input, and how long they are."""
        row = self._row()
        begins = np.concatenate([_row_begins(place, self.input.shape) for place in self.places])
        return begins[elements[0] // row : -(-elements[1] // row)], row


def _row_begins(place: Sequence[Range], shape: tuple[int, ...]) -> IntArray:
    """Return the number of the first element of every row of a region."""
    begins = np.array([place[-1][0]], np.int64)
    for dim, (first, stop) in enumerate(place[:-1]):
        step = math.prod(shape[dim + 1 :])
        begins = np.add.outer(begins, np.arange(first, stop) * step).ravel()
    return begins


@jit
def _copy_rows(frames: Any, begins: IntArray, row: int, skipped: int, out: Any) -> None:
    """Copy rows of `row` elements; the first `skipped` of the first row are not wanted."""
    for event in range(out.shape[0]):
        done = 0
        for number in range(len(begins)):
            start = begins[number] + (skipped if number == 0 else 0)
            n = min(begins[number] + row - start, out.shape[1] - done)
            out[event, done : done + n] = frames[event, start : start + n]
            done += n
