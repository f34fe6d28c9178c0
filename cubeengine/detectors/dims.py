"""Names and pixel numbers of the dimensions of a frame."""

from __future__ import annotations

import numpy as np

from cubeengine.detectors.base import Context, Coordinate, Frame
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
    """Give the coordinate of a dimension: numbers from `first` to before `stop`, else to the end."""
    last = frame.shape[dim] if stop is None else stop
    return Coordinate(dim_names(len(frame.shape))[dim], np.arange(first, last))


def segment_place(frame: Frame, context: Context, segment: int) -> int:
    """Give where a segment, called by its number, lies along the first dimension of a frame.

    Raises
    ------
    SpecError
        If the frame has no segments, or not this one.
    """
    if len(frame.shape) != 3:
        raise SpecError(
            f"field {context.field!r}: has frames of shape {frame.shape}, without segments: "
            "leave `segment` out"
        )
    known = context.detector.segments if context.detector is not None else ()
    segments = known if len(known) == frame.shape[0] else tuple(range(frame.shape[0]))
    if segment not in segments:
        listed = ", ".join(map(str, segments))
        raise SpecError(f"field {context.field!r}: has no segment {segment}; it has {listed}")
    return segments.index(segment)
