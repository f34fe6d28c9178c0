"""Stage `calibrate`: raw frames of a detector become ADU above the pedestal, or keV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator

from cubeengine.detectors.base import Context, Elements, Frame, Options, Stage
from cubeengine.detectors.common_mode import CommonMode, Limits, group_shapes
from cubeengine.detectors.constants import Constants, open_constants
from cubeengine.detectors.epix10ka import epix_tables
from cubeengine.detectors.jungfrau import jungfrau_tables
from cubeengine.detectors.kinds import KINDS, Kind, check_detector, choose_kind
from cubeengine.detectors.median import corrected_single, corrected_switching
from cubeengine.detectors.panels import Panels, panels_of
from cubeengine.detectors.single_gain import single_gain_tables
from cubeengine.detectors.status import ALL_BITS, good_pixels
from cubeengine.detectors.tables import Tables, read_ranges
from cubeengine.errors import SpecError, nearest_names
from cubeengine.schema.base import Text
from cubeengine.types import BoolArray

Facts = Mapping[str, Any]


def _kind_name(value: object) -> str:
    if not isinstance(value, str) or value not in KINDS:
        near = nearest_names(str(value), tuple(KINDS))
        hint = f"nearest: {near[0]!r}" if near else f"known: {', '.join(KINDS)}"
        raise SpecError(f"{value!r} is not a kind of detector; {hint}")
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Calibrate(Stage):
    """Calibration pixel by pixel: (raw - offset) * factor of the gain range the pixel is in.

    Attributes
    ----------
    input, output : Frame
        Raw frames, and frames of float32 in which bad pixels are NaN.
    tables : Tables
        The constants.
    record : mapping
        What the cube should record.
    """

    local: ClassVar[bool] = True

    input: Frame
    output: Frame
    tables: Tables
    record: Facts

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Calibrate a block of events; see `Stage.apply`."""
        self.tables.look_up(frames, elements[0], out)

    def facts(self) -> Facts:
        """Return the constants used, and how many pixels are bad."""
        return self.record


@dataclass(frozen=True, slots=True, eq=False)
class CalibratePanels(Stage):
    """Calibration with a common mode, which is that of whole panels: it is corrected before the gain.

    Attributes
    ----------
    input, output, tables, record
        As in `Calibrate`.
    panel : (int, int)
        Rows and columns of a panel.
    groups : tuple of (int, int)
        Rows and columns of the groups of pixels, in the order of correction.
    limits : Limits
        What a correction must be.
    """

    input: Frame
    output: Frame
    tables: Tables
    record: Facts
    panel: tuple[int, int]
    groups: tuple[tuple[int, int], ...]
    limits: Limits

    def needs(self, elements: Elements) -> Elements:
        """Return whole panels."""
        size = self.panel[0] * self.panel[1]
        start, stop = elements
        first = start // size * size
        return first, max(first, -(-stop // size) * size) if stop > start else first

    def scratch_nbytes(self, n_frames: int, n_elements: int) -> int:  # noqa: ARG002 - events go one by one
        """Return the memory of one panel: its values twice, their rows, and who takes part."""
        return self.panel[0] * self.panel[1] * (4 + 4 + 8 + 1)

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Calibrate a block of events; see `Stage.apply`."""
        tables, first = self.tables, self.needs(elements)[0]
        if tables.eligible is None:
            raise ValueError("a common mode needs a mask of the pixels that take part")
        known = tables.offset.load(), tables.factor.load(), tables.eligible.load()
        limits = np.float32(self.limits.max_correction), self.limits.min_pixels
        how = self.panel, np.array(self.groups, np.int64).reshape(-1, 2), limits, elements
        if len(tables.rows) == 1:
            corrected_single(frames, first, *known, *how, out)
        else:
            corrected_switching(frames, first, tables.shift, np.array(tables.rows), *known, *how, out)

    def facts(self) -> Facts:
        """Return the constants used, how many pixels are bad, and the common mode."""
        return self.record


class StageOptions(Options):
    """Calibrates raw frames. The name of a file stands for `constants`."""

    name = "calibrate"
    shorthand = "constants"
    files = ("constants",)
    keeps_shape = True

    constants: Text  # file of constants, HDF5 or npz, relative to the spec's file
    kind: Annotated[str, PlainValidator(_kind_name)] | None = None
    """Kind of detector; default: what the raw data say, else what the file says."""
    common_mode: CommonMode | None = None  # common mode to correct; default: none
    status: Annotated[int, Field(strict=True, ge=0, le=ALL_BITS)] = ALL_BITS
    """Bits of the status words that mean a bad pixel; default: all."""
    gain: Annotated[bool, Field(strict=True)] = True
    """Whether to divide by the gains, if the file has some: keV; else ADU."""

    def build(self, frame: Frame, context: Context) -> Stage:
        """Read the constants and make the tables; see `Options.build` for the errors."""
        constants = open_constants(context.folder / self.constants)
        check_detector(self.kind, context.detector, constants)
        kind = choose_kind(self.kind, context.detector, constants, context.field)
        _check_raw(frame, kind, context)
        panels = panels_of(frame, context)
        good = good_pixels(constants, kind, panels, self.status)
        limits = self.common_mode.resolve(constants) if self.common_mode else None
        tables = self._tables(constants, kind, panels, good, context)
        unit = "keV" if self.gain and "pixel_gain" in constants.shapes else "ADU"
        output = Frame(frame.shape, np.dtype(np.float32), unit)
        record = {**_record(constants, kind, good, unit, limits), **_lacking(kind, tables)}
        if limits is None or not limits.groups:
            return Calibrate(frame, output, tables, record)
        shapes = tuple(
            (int(rows), int(columns)) for rows, columns in group_shapes(limits.groups, kind, panels)
        )
        return CalibratePanels(frame, output, tables, record, panels.shape[1:], shapes, limits)

    def _tables(
        self, constants: Constants, kind: Kind, panels: Panels, good: BoolArray, context: Context
    ) -> Tables:
        ranges = read_ranges(constants, kind, panels, good, gain=self.gain)
        common_mode = self.common_mode is not None
        if kind.name == "jungfrau":
            return jungfrau_tables(ranges, good, common_mode=common_mode)
        if kind.ranges > 1:
            return epix_tables(ranges, good, kind, panels, context.detector, common_mode=common_mode)
        return single_gain_tables(ranges, good, common_mode=common_mode)


def _check_raw(frame: Frame, kind: Kind, context: Context) -> None:
    """Check that frames are raw."""
    right = frame.dtype == np.uint16 if kind.ranges > 1 else frame.dtype.kind in "iuf"
    if not right:
        wanted = "uint16 with gain bits" if kind.ranges > 1 else "numbers"
        raise SpecError(
            f"field {context.field!r}: has values of {frame.dtype}; kind {kind.name!r} needs raw {wanted}"
        )
    if frame.unit == "keV" or (frame.unit == "ADU" and frame.dtype.kind == "f"):
        raise SpecError(f"field {context.field!r}: is already calibrated: its unit is {frame.unit!r}")


def _record(constants: Constants, kind: Kind, good: BoolArray, unit: str, limits: Limits | None) -> Facts:
    facts: dict[str, Any] = {
        "constants": constants.facts(),
        "kind": kind.name,
        "unit": unit,
        "bad_pixels": int(good.size - np.count_nonzero(good)),
    }
    return facts | ({"common_mode": limits.facts()} if limits else {})


def _lacking(kind: Kind, tables: Tables) -> dict[str, Any]:
    """Name the gain ranges that have no constants: pixels that are in one in an event are missing there."""
    offset = tables.offset.load()
    if kind.ranges == 1 or len(offset) != kind.ranges:  # of several ranges, only what a pixel may be in
        return {}
    names = [name for name, row in zip(kind.range_names, offset, strict=True) if not np.isfinite(row).any()]
    return {"ranges_without_constants": names} if names else {}
