"""Stage `assemble`: panels become one image, each pixel where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Coordinate, Elements, Frame, Options, Stage
from cubeengine.detectors.geometry import Geometry, Pixels, read_geometry
from cubeengine.detectors.missing import with_missing
from cubeengine.detectors.views import read_only
from cubeengine.errors import SourceFormatError, SpecError
from cubeengine.kernels.jit import jit
from cubeengine.schema.base import Text
from cubeengine.shared import SharedArray
from cubeengine.types import FloatArray, InputFile, IntArray

_MAX_CELLS_PER_PIXEL = 64  # beyond that a panel has been misplaced


class StageOptions(Options):
    """Assemble panels."""

    name = "assemble"
    shorthand = "geometry"
    files = ("geometry",)

    geometry: Text  # text file of the geometry, or file of constants with one; relative to the spec's file

    def build(self, frame: Frame, context: Context) -> Assembly:
        """Make the stage; see `Options.build`."""
        path = context.folder / self.geometry
        pixels = panel_pixels(read_geometry(path), frame, context)
        rows, columns = _places(pixels.x, pixels.pitch), _places(pixels.y, pixels.pitch)
        shape = int(rows.max()) + 1, int(columns.max()) + 1
        if shape[0] * shape[1] > _MAX_CELLS_PER_PIXEL * rows.size:
            raise SourceFormatError(
                f"{path}: the image would have {shape[0]:,} x {shape[1]:,} cells for {rows.size:,} pixels; "
                "is a panel misplaced in the geometry?"
            )
        index = np.full(shape, -1, np.int32 if rows.size < 2**31 else np.int64)
        index[rows, columns] = np.arange(rows.size).reshape(rows.shape)  # the last one stays
        output = Frame(shape, np.result_type(with_missing(frame.dtype), np.float32), frame.unit)
        origin = float(pixels.x.min()), float(pixels.y.min())
        return Assembly(frame, output, SharedArray(index.ravel()), origin, pixels.pitch, InputFile.of(path))


def panel_pixels(geometry: Geometry, frame: Frame, context: Context) -> Pixels:
    """Return the pixels of the panels of a frame.

    Raises
    ------
    SpecError
        If the panels are not those of the geometry.
    SourceFormatError
        If the geometry has sensors that are not known.
    """
    if len(frame.shape) not in (2, 3):
        raise SpecError(
            f"field {context.field!r}: frames must be (segments, rows, columns) or (rows, columns) to be "
            f"assembled, but their shape is {frame.shape}"
        )
    panels = frame.shape if len(frame.shape) == 3 else (1, *frame.shape)
    pixels = geometry.pixels(_segments(geometry, panels[0], context))
    if pixels.x.shape != panels:
        raise SpecError(
            f"field {context.field!r}: frames of shape {frame.shape} do not fit {geometry.name}, whose "
            f"sensors have {pixels.x.shape[1]} rows and {pixels.x.shape[2]} columns"
        )
    return pixels


def _segments(geometry: Geometry, n_panels: int, context: Context) -> tuple[int, ...] | None:
    """Return the numbers of the segments that a frame has; None for all."""
    n_known = len(geometry.leaves())
    if n_panels == n_known:
        return None
    segments = context.detector.segments if context.detector is not None else ()
    if len(segments) != n_panels:
        raise SpecError(
            f"field {context.field!r}: has {n_panels} segments, but {geometry.name} has {n_known}, and the "
            "data do not say which segments they are"
        )
    return segments


def _places(centres: FloatArray, pitch: float) -> IntArray:
    """Return the cell that each pixel falls into along one dimension."""
    cells: FloatArray = np.floor((centres - centres.min() + pitch / 2) / pitch)
    return cells.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Assembly(Stage):
    """An image whose cells are taken from panels.

    Attributes
    ----------
    input, output : Frame
        What goes in and what comes out.
    index : SharedArray of (n_cells,) integers
        Which input element each cell is, or -1 where no pixel lies.
    origin : (float, float), um
        Where the first row and column lie.
    pitch : float, um
        Distance of rows, and of columns.
    file : InputFile
        The geometry.
    """

    input: Frame
    output: Frame
    index: SharedArray
    origin: tuple[float, float]
    pitch: float
    file: InputFile

    @property
    def gather(self) -> SharedArray:
        """Where each cell is taken from; see `Stage.gather`."""
        return self.index

    def needs(self, elements: Elements) -> Elements:
        """Return the range of input elements that a range of cells is taken from."""
        if elements == (0, self.output.n_elements):
            return 0, self.input.n_elements
        taken = self.index.load()[slice(*elements)]
        last = int(taken.max(initial=-1))
        first = int(taken.view(f"u{taken.itemsize}").min(initial=last)) if last >= 0 else 0
        return first, last + 1

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Take the cells; see `Stage.apply`."""
        index = read_only(self.index.load()[slice(*elements)])
        _take(read_only(frames), index, self.needs(elements)[0], out)

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return x of the rows and y of the columns."""
        return {
            dim: Coordinate(name, start + self.pitch * np.arange(size), "um")
            for dim, name, start, size in zip((0, 1), "xy", self.origin, self.output.shape, strict=True)
        }

    def facts(self) -> Mapping[str, object]:
        """Return the file, and how many pixels are not seen as another lies in the same cell."""
        hidden = self.input.n_elements - int((self.index.load() >= 0).sum())
        return {
            "geometry": str(self.file.path),
            "size": self.file.size,
            "mtime_ns": self.file.mtime_ns,
            "pixels_hidden": hidden,
        }


@jit
def _take(frames: NDArray[Any], index: NDArray[Any], start: int, out: NDArray[Any]) -> None:
    for event in range(out.shape[0]):
        for cell in range(len(index)):
            number = index[cell]
            if number < 0:
                out[event, cell] = np.nan
            else:
                out[event, cell] = frames[event, number - start]
