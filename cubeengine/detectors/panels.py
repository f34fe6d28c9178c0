"""Constants for the panels of a frame: shapes checked, segments picked, axes put in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Frame
from cubeengine.detectors.constants import Constants
from cubeengine.detectors.kinds import Kind
from cubeengine.errors import SpecError


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of a frame.

    Attributes
    ----------
    rows, columns : int
        Shape of each.
    segments : tuple of int, or None
        Number of the segment that each is; None if the data do not say.
    count : int
        How many.
    """

    rows: int
    columns: int
    segments: tuple[int, ...] | None
    count: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a frame with its panel axis."""
        return self.count, self.rows, self.columns

    @property
    def n_elements(self) -> int:
        """Elements of one panel."""
        return self.rows * self.columns


def panels_of(frame: Frame, context: Context) -> Panels:
    """Describe the panels of frames as they are read.

    Raises
    ------
    SpecError
        If the frames are not panels of rows and columns, or not as many as the detector has segments.
    """
    if len(frame.shape) not in (2, 3):
        raise SpecError(
            f"field {context.field!r}: must have dimensions (segments, rows, columns) or (rows, columns), "
            f"but its shape is {frame.shape}"
        )
    count, rows, columns = (1, *frame.shape)[-3:]
    segments = context.detector.segments if context.detector else None
    if segments is not None and len(segments) != count:
        raise SpecError(
            f"field {context.field!r}: frames have shape {frame.shape}, but the detector has "
            f"{len(segments)} segments: {_listed(segments)}; put stages that change the shape after this one"
        )
    return Panels(rows, columns, segments, count)


def load(constants: Constants, key: str, kind: Kind, panels: Panels) -> NDArray[Any] | None:
    """Read constants of every gain range.

    Parameters
    ----------
    constants : Constants
        The file.
    key : str
        Name of the array: (ranges, segments, rows, columns); the range axis is left out for one range, or
        where all ranges have the same, and the segment axis may be where there is one segment.
    kind : Kind
        Says how many ranges there are.
    panels : Panels
        Panels of the frame, which may be fewer than the file has.

    Returns
    -------
    (ranges, panels, rows, columns) array, or None
        None if the file holds no such array. Where all ranges have the same it is repeated, without a copy.

    Raises
    ------
    SpecError
        If the shape does not fit, or a segment is missing.
    """
    shape = constants.shapes.get(key)
    if shape is None:
        return None
    axes = _axes(shape, key, kind, panels, with_segments=len(constants.shapes.get("pedestals", ())) > 3)
    if axes is None:
        form = f"{kind.ranges}, segments" if kind.ranges > 1 else "segments"
        raise SpecError(
            f"{constants.file.path.name}: {key!r} has shape {shape}; for {panels.count} panels of kind "
            f"{kind.name!r} it must be ({form}, {panels.rows}, {panels.columns})"
        )
    index: tuple[Any, ...] = ()
    if "segments" in axes:
        places = _places(constants, shape[axes.index("segments")], panels)
        index = (slice(None),) * axes.index("segments") + (places,)
    values = constants.read(key, index)
    if "segments" not in axes:
        values = np.expand_dims(values, -3)
    if "ranges" not in axes:
        values = values[np.newaxis]
    return np.broadcast_to(values, (kind.ranges, *panels.shape))


def _axes(
    shape: tuple[int, ...], key: str, kind: Kind, panels: Panels, *, with_segments: bool
) -> tuple[str, ...] | None:
    """Name the axes before rows and columns; None if the shape cannot be right."""
    if len(shape) < 2 or shape[-2:] != (panels.rows, panels.columns):
        return None
    before = shape[:-2]
    no_ranges = kind.ranges == 1 or key == "pixel_mask"
    if len(before) == 2:
        return ("ranges", "segments") if before[0] == kind.ranges else None
    if len(before) == 1 and (no_ranges or (key == "status_extra" and with_segments)):
        return ("segments",)
    if panels.count > 1:
        return None
    if before == (kind.ranges,):
        return ("ranges",)
    return () if not before and no_ranges else None


def _places(constants: Constants, n_held: int, panels: Panels) -> list[int]:
    """Return the places of the panels along the segment axis of a file."""
    name = constants.file.path.name
    held = constants.segments if constants.segments is not None else tuple(range(n_held))
    if len(held) != n_held:
        raise SpecError(f"{name} lists {len(held)} segments, but its arrays hold {n_held}")
    if panels.segments is None:
        if panels.count != n_held:
            raise SpecError(
                f"{name} holds {n_held} segments, but frames have {panels.count}, "
                "and the data do not say which segments they are"
            )
        return list(range(n_held))
    missing = sorted(set(panels.segments) - set(held))
    if missing:
        raise SpecError(f"{name} holds segments {_listed(held)}, but not {_listed(missing)}")
    return [held.index(number) for number in panels.segments]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
