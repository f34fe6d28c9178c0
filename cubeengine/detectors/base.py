"""What every stage offers: frames in, frames out, for any range of the frame's elements."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cubeengine.schema.base import Model
from cubeengine.shared import SharedArray
from cubeengine.types import DetectorInfo

Elements = tuple[int, int]
"""First and last + 1 of a range of the flattened elements of a frame."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What an event's value is, before or after a stage."""

    shape: tuple[int, ...]  # its shape
    dtype: np.dtype[Any]
    """Type of one element as `memory_dtype` gives it: native byte order, no float16. Only floating types know
    missing elements: NaN.
    """
    unit: str = ""  # unit of its values, "" where none is known

    @property
    def n_elements(self) -> int:
        """Elements of a frame."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of a frame."""
        return self.n_elements * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Coordinate:
    """Values along one element dimension: name, unit and one value per element."""

    name: str
    values: NDArray[Any]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage may know of its signal when it is made."""

    field: str  # field the signal is read from, for messages
    folder: Path  # folder that file names in the spec are relative to
    detector: DetectorInfo | None = None  # the detector, where the source knows it


class Stage(ABC):
    """One operation on every frame, ready for frames of one shape: frozen, picklable.

    Its large tables are `SharedArray`, loaded at the beginning of `apply`, so that tasks find them in
    files. Subclasses are frozen dataclasses.

    Attributes
    ----------
    input, output : Frame
        What goes in and what comes out.
    local : bool
        Whether an output element is made of the input element at its own place alone, so that any
        range of a frame can be worked on by itself.
    """

    input: Frame
    output: Frame
    local: ClassVar[bool] = False

    @abstractmethod
    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Work on a block of events.

        Parameters
        ----------
        frames : (n, n_needed) array of the input's type, C-contiguous
            The elements `needs(elements)` of n input frames, flattened. Not to be changed.
        elements : (int, int)
            Range of elements of the output frame that is wanted.
        out : (n, n_elements) array of the output's type, C-contiguous
            Receives them. Never the same memory as `frames`.

        Raises
        ------
        DataError
            If a frame has values that the stage cannot work on; `row` is its number in the block.
        """

    def needs(self, elements: Elements) -> Elements:
        """Return the range of input elements that a range of output elements is made of."""
        return elements if self.local else (0, self.input.n_elements)

    def scratch_nbytes(self, n_frames: int, n_elements: int) -> int:  # noqa: ARG002 - for those who need some
        """Return the memory that `apply` takes at most beside `frames`, `out` and the tables."""
        return 0

    @property
    def gather(self) -> SharedArray | None:
        """Where each output element is taken from, for a stage that moves elements and does nothing else.

        (n_output_elements,) integers: number of the flattened input element, or -1 where there is none.
        Such a stage can be applied to a finished cube as well, when it comes last.
        """
        return None

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return the coordinates of output dimensions that this stage knows, by number of the dimension."""
        return {}

    def facts(self) -> Mapping[str, object]:
        """Return what the cube should record beside the options: files used, pixels masked, and so on.

        Plain data as JSON has them.
        """
        return {}


class Options(Model):
    """The options of a stage as they stand in a spec: a frozen value, checked by itself.

    `name` is the stage's name in the spec, and `shorthand` the option that may stand alone:
    `{calibrate: jungfrau.h5}` for `{calibrate: {constants: jungfrau.h5}}`.
    """

    name: ClassVar[str] = ""

    files: ClassVar[tuple[str, ...]] = ()
    """Options that name a file, relative to the spec's."""

    keeps_shape: ClassVar[bool] = False
    """Whether frames keep their shape whatever the options, so that what comes next can be checked anyway."""

    def missing_files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Yield the options whose files do not exist, and the files."""
        for key in self.files:
            named = getattr(self, key)
            if named is not None and not (folder / named).is_file():
                yield key, folder / named

    def build(self, frame: Frame, context: Context) -> Stage:
        """Make the stage for frames of one shape; reads files of constants, checks them against the shape.

        Raises
        ------
        SpecError
            If the options do not fit the frame; the message names the field, what was found and wanted.
        SourceFormatError
            If a file of constants cannot be read.
        """
        raise NotImplementedError
