"""Stage `mask`: bad pixels become missing."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cubeengine.detectors.array_files import opened_arrays
from cubeengine.detectors.base import Context, Elements, Frame, Options, Stage
from cubeengine.detectors.constants import open_constants
from cubeengine.detectors.kinds import check_detector, choose_kind
from cubeengine.detectors.lookup import choose
from cubeengine.detectors.missing import with_missing
from cubeengine.detectors.panels import panels_of
from cubeengine.detectors.status import good_pixels, is_set
from cubeengine.errors import SourceFormatError, SpecError, nearest_names
from cubeengine.kernels.jit import jit
from cubeengine.schema.base import Text, raise_problems
from cubeengine.shared import SharedArray
from cubeengine.types import BoolArray, InputFile


@dataclass(frozen=True, slots=True, eq=False)
class Mask(Stage):
    """Replacement of bad pixels by NaN.

    Attributes
    ----------
    input, output : Frame
        Of one shape; the output's type is floating.
    good : (n_elements,) bool
        Which pixels stay.
    record : mapping
        What the cube should record.
    """

    local: ClassVar[bool] = True

    input: Frame
    output: Frame
    good: SharedArray
    record: Mapping[str, Any]

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Leave bad pixels out of a block of events; see `Stage.apply`."""
        _keep(frames, self.good.load()[slice(*elements)], out.dtype.type(np.nan), out)

    def facts(self) -> Mapping[str, Any]:
        """Return the files used, and how many pixels are bad."""
        return self.record


@jit
def _keep(frames, good, nothing, out):  # type: ignore[no-untyped-def]
    for i in range(frames.shape[0]):
        source, target = frames[i], out[i]
        for e in range(source.size):
            target[e] = choose(not good[e], nothing, source[e])


class StageOptions(Options):
    """Leaves bad pixels out. The name of a file stands for `file`; what any of the options marks is bad."""

    name = "mask"
    shorthand = "file"
    files = ("file", "constants")
    keeps_shape = True

    file: Text | None = None
    """File of a mask, not 0 where a pixel is good: .npy, .npz or HDF5, relative to the spec's file. Of the
    shape of a frame, or of the whole detector, of which the data may hold some segments. NaN is bad.
    """
    dataset: Text | None = None  # its name in an HDF5 or npz file; may be left out if there is one only
    invert: Annotated[bool, Field(strict=True)] = False  # whether the file's mask is 0 where a pixel is good
    constants: Text | None = None
    """File of constants: pixels are bad that have a status, or are 0 in its `pixel_mask`."""
    edges: Annotated[int, Field(strict=True, ge=0)] = 0
    """Rows and columns at the edges of every panel that are bad."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.file is None and (self.dataset is not None or self.invert):
            raise_problems([((), "'dataset' and 'invert' need 'file'")])
        if self.file is None and self.constants is None and not self.edges:
            raise_problems([((), "needs 'file', 'constants' or 'edges'")])
        return self

    def build(self, frame: Frame, context: Context) -> Stage:
        """Read the mask; see `Options.build` for the errors."""
        good = np.ones(frame.shape, np.bool_)
        record: dict[str, Any] = {}
        if self.file is not None:
            path = context.folder / self.file
            good &= _fitted(_read(path, self.dataset, invert=self.invert), frame, context, path)
            record["file"] = _facts(path)
        if self.constants is not None:
            marked, record["constants"] = _from_constants(context.folder / self.constants, frame, context)
            good &= marked
        good &= _inside(frame, self.edges, context)
        record["bad_pixels"] = int(good.size - np.count_nonzero(good))
        flat = good.reshape(-1)
        flat.setflags(write=False)
        output = Frame(frame.shape, with_missing(frame.dtype), frame.unit)
        return Mask(frame, output, SharedArray(flat), record)


def _read(path: Path, dataset: str | None, *, invert: bool) -> BoolArray:
    """Read a mask: True where it is not 0, or, inverted, where it is 0. What is NaN is neither."""
    with opened_arrays(path) as file:
        names = file.names()
        name = names[0] if dataset is None and len(names) == 1 else dataset
        if name is None or file.shape(name) is None:
            near = nearest_names(name or "", names) or names[:5]
            said = f"holds no {name!r}" if name else f"holds {len(names)} arrays; choose one with `dataset`"
            raise SpecError(f"{path}: {said}; nearest: {', '.join(map(repr, near)) or 'none'}")
        values = file.array(name, ())
    if values.dtype.kind not in "biuf":
        raise SourceFormatError(f"{path}: a mask must hold numbers or booleans, but holds {values.dtype}")
    return np.asarray(values == 0) if invert else is_set(values)


def _fitted(good: BoolArray, frame: Frame, context: Context, path: Path) -> BoolArray:
    """Return the part of a mask that is of the frame's segments."""
    if good.shape == frame.shape or good.shape == (1, *frame.shape) or (1, *good.shape) == frame.shape:
        return good.reshape(frame.shape)
    segments = context.detector.segments if context.detector else ()
    panel = frame.shape[1:] if len(frame.shape) == 3 else frame.shape
    of_segments = len(segments) == (frame.shape[0] if len(frame.shape) == 3 else 1)
    if good.ndim == 3 and good.shape[1:] == panel and of_segments and max(segments) < len(good):
        return good[list(segments)].reshape(frame.shape)
    raise SpecError(
        f"field {context.field!r}: frames have shape {frame.shape}, but the mask "
        f"in {path.name} has {good.shape}"
    )


def _from_constants(path: Path, frame: Frame, context: Context) -> tuple[BoolArray, dict[str, object]]:
    constants = open_constants(path)
    check_detector(None, context.detector, constants)
    kind = choose_kind(None, context.detector, constants, context.field)
    marked = good_pixels(constants, kind, panels_of(frame, context))
    return marked.reshape(frame.shape), constants.facts()


def _inside(frame: Frame, edges: int, context: Context) -> BoolArray:
    """Return the pixels that are not at the edges of their panel."""
    inside = np.ones(frame.shape, np.bool_)
    if not edges:
        return inside
    if len(frame.shape) < 2 or 2 * edges >= min(frame.shape[-2:]):
        raise SpecError(
            f"field {context.field!r}: with {edges} pixels at each edge bad, frames of shape {frame.shape} "
            "have no good pixel"
        )
    inside[...] = False
    inside[..., edges:-edges, edges:-edges] = True
    return inside


def _facts(path: Path) -> dict[str, object]:
    file = InputFile.of(path)
    return {"file": str(file.path), "size": file.size, "mtime_ns": file.mtime_ns}
