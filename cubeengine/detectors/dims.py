"""Names and pixel numbers of the dimensions of a frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cubeengine.detectors.base import Context, Coordinate, Frame, Stage
from cubeengine.errors import SpecError

_NAMES = ("segment", "row", "column")


def dim_names(n_dims: int) -> tuple[str, ...]:
    """Name the dimensions of a frame, as users call them.

    Examples
    --------
    >>> dim_names(3), dim_names(1)
    (('segment', 'row', 'column'), ('element',))
    """
    if n_dims == 1:
        return ("element",)
    more = tuple(f"dimension_{number}" for number in range(n_dims - len(_NAMES)))
    return more + _NAMES[max(len(_NAMES) - n_dims, 0) :]


def pixel_numbers(frame: Frame, dim: int, first: int = 0, stop: int | None = None) -> Coordinate:
    """Return the coordinate of a dimension: numbers from `first` to before `stop`, else to the end."""
    last = frame.shape[dim] if stop is None else stop
    return Coordinate(dim_names(len(frame.shape))[dim], np.arange(first, last))


def segment_place(frame: Frame, context: Context, segment: int) -> int:
    """Return where a segment, called by its number, lies along the first dimension of a frame.

    Raises
    ------
    SpecError
        If the frame has no segments, or not this one.
    """
    if len(frame.shape) != 3:
        raise SpecError(
            f"field {context.field!r}: frames of shape {frame.shape} have no segments; leave out `segment`"
        )
    known = context.detector.segments if context.detector is not None else ()
    segments = known if len(known) == frame.shape[0] else tuple(range(frame.shape[0]))
    if segment not in segments:
        listed = ", ".join(map(str, segments))
        raise SpecError(f"field {context.field!r}: has no segment {segment}; it has {listed}")
    return segments.index(segment)


def carried(before: Mapping[int, Coordinate], stage: Stage) -> Mapping[int, Coordinate]:
    """Return the coordinates after a stage from those before it.

    A stage numbers the pixels of the frames that it gets. Where these have coordinates already, the
    numbers are places along them: rows 3 and 4 of a region that began at row 10 are rows 13 and 14, and
    between two pixels lies the coordinate between theirs.

    Parameters
    ----------
    before : mapping
        Coordinates of the dimensions of the stage's input.
    stage : Stage
        The stage.
    """
    known = stage.coordinates()
    if not known:
        return before if stage.input.shape == stage.output.shape else {}
    places = {name: dim for dim, name in enumerate(dim_names(len(stage.input.shape)))}
    return {dim: _along(before.get(places.get(item.name, -1)), item) for dim, item in known.items()}


def _along(axis: Coordinate | None, places: Coordinate) -> Coordinate:
    """Return the values of a coordinate at places along it; the places themselves where there is none."""
    if axis is None:
        return places
    if axis.values.dtype.kind not in "iuf":  # names: of whole elements, or of none
        whole = places.values.dtype.kind in "iu"
        return Coordinate(axis.name, axis.values[places.values], axis.unit) if whole else places
    values = np.interp(places.values, np.arange(len(axis.values)), axis.values)
    exact = axis.values.dtype.kind in "iu" and places.values.dtype.kind in "iu"
    return Coordinate(axis.name, values.astype(axis.values.dtype) if exact else values, axis.unit)
