"""Stage `azav`: azimuthal averages of images, in bins of q, of the scattering angle or of the radius.

pyFAI (extra `azav`) works out which share of each pixel belongs to which bin, once; every event then goes
through that matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from cubeengine.detectors.assemble import panel_pixels
from cubeengine.detectors.base import Context, Coordinate, Elements, Frame, Options, Stage
from cubeengine.detectors.geometry import read_geometry
from cubeengine.detectors.integrator import Beam, Binning, integration, open_integrator
from cubeengine.detectors.sparse import SparseMeans
from cubeengine.errors import SpecError
from cubeengine.schema.base import Amount, Text
from cubeengine.schema.texts import kind_of, read_amount
from cubeengine.shared import SharedArray
from cubeengine.units import Quantity, convert

Unit = Literal["q_A^-1", "q_nm^-1", "2th_deg", "2th_rad", "r_mm"]
_COORDINATES = {
    "q_A^-1": ("q", "1/angstrom"),
    "q_nm^-1": ("q", "1/nm"),
    "2th_deg": ("two_theta", "deg"),
    "2th_rad": ("two_theta", "rad"),
    "r_mm": ("r", "mm"),
}
_HC = 1.2398419843320026e-6  # eV m: exact in the SI
_MAX_BINS = 100_000


def _read_pair(value: object) -> tuple[float, float]:
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(numbers) != 2 or any(type(number) not in (int, float) for number in numbers):
        raise SpecError(f"must be two numbers, but is {kind_of(value)}")
    first, last = (read_amount(number) for number in numbers)
    return float(first), float(last)  # type: ignore[arg-type]  # numbers give numbers


def _read_limits(value: object) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = _read_pair(value)
    if low >= high:
        raise SpecError(f"must be [low, high] with low < high, but is {[low, high]}")
    return low, high


def _read_sector(value: object) -> tuple[float, float] | None:
    if value is not None:
        low, high = _read_pair(value)
        if low >= high:
            beyond = f"; for a sector across 180 degrees write {[low, high + 360]}"
            hint = beyond if low < high + 360 else ""
            raise SpecError(f"must be [low, high] with low < high, but is {[low, high]}{hint}")
    return _read_limits(value)


Pair = Annotated[tuple[float, float] | None, BeforeValidator(lambda v: None if v is None else _read_pair(v))]
Limits = Annotated[tuple[float, float] | None, PlainValidator(_read_limits)]
Sector = Annotated[tuple[float, float] | None, PlainValidator(_read_sector)]


class StageOptions(Options):
    """Average azimuthally.

    Attributes
    ----------
    bins : int
        Number of bins.
    poni : str
        Geometry of the experiment: a file of pyFAI's; relative to the spec's file.
    distance, pixel_size : quantity
        Instead of it: distance of the sample, e.g. "90 mm", and size of a pixel, e.g. "75 um", for a
        detector at right angles to the beam.
    center : (float, float)
        Row and column that the beam hits; (0, 0) is the middle of the first pixel.
    wavelength, energy : quantity
        Of the photons, e.g. "1.3 angstrom" or "9.5 keV"; for q alone. Instead of that in the `poni` file.
    unit : str
        What is binned: "q_A^-1", "q_nm^-1", "2th_deg", "2th_rad" or "r_mm".
    range : (float, float), or None
        From where to where, in this unit; None for all pixels.
    azimuth : (float, float), or None
        Sector: pixels whose middles lie at these angles only, in degrees from the direction of rising
        columns towards rising rows. Angles go on beyond 180 and 360: [170, 190] lies across 180 degrees.
    split : "none", "bbox" or "full"
        How a pixel is shared among bins: it belongs to that of its middle, to those its bounds overlap,
        or by its area.
    solid_angle : bool
        Whether to correct for the solid angle of the pixels.
    polarization : float, or None
        Factor of the polarization to correct for, 1 horizontal to -1 vertical; None for no correction.
    geometry : str
        For panels: where they lie. Rows and columns of `center` and `poni` are then those of the image
        that `assemble` makes.
    """

    name = "azav"
    files = ("poni", "geometry")

    bins: Annotated[int, Field(strict=True, ge=1, le=_MAX_BINS)]
    poni: Text | None = None
    distance: Amount | None = None
    pixel_size: Amount | None = None
    center: Pair = None
    wavelength: Amount | None = None
    energy: Amount | None = None
    unit: Unit = "q_A^-1"
    range: Limits = None
    azimuth: Sector = None
    split: Literal["none", "bbox", "full"] = "bbox"
    solid_angle: Annotated[bool, Field(strict=True)] = True
    polarization: Annotated[float, Field(ge=-1, le=1)] | None = None
    geometry: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        simple = {"distance": self.distance, "center": self.center, "pixel_size": self.pixel_size}
        given = [key for key, value in simple.items() if value is not None]
        needed = [key for key in simple if key != "pixel_size" or self.geometry is None]
        if self.poni is not None and given:
            raise SpecError(f"{given[0]!r} is already in the 'poni' file; give only one of the two")
        if self.poni is None and set(needed) - set(given):
            raise SpecError(f"needs either 'poni', or {', '.join(map(repr, needed))}")
        if self.geometry is not None and self.pixel_size is not None:
            raise SpecError("'pixel_size' is already in the 'geometry'; leave it out")
        if self.wavelength is not None and self.energy is not None:
            raise SpecError("needs either 'wavelength' or 'energy', not both")
        if (
            self.unit.startswith("q")
            and self.poni is None
            and self.wavelength is None
            and self.energy is None
        ):
            raise SpecError(f"needs 'wavelength' or 'energy' for {self.unit!r}")
        self._beam()
        return self

    def build(self, frame: Frame, context: Context) -> Azav:
        """Make the stage; see `Options.build`.

        Raises
        ------
        MissingExtra
            If pyFAI is not installed.
        """
        pixels = None
        if self.geometry is not None:
            pixels = panel_pixels(read_geometry(context.folder / self.geometry), frame, context)
        elif len(frame.shape) != 2:
            raise SpecError(
                f"field {context.field!r}: azav takes images of rows and columns, but frames have shape "
                f"{frame.shape}; give 'geometry', or assemble them first"
            )
        shape = (frame.n_elements // frame.shape[-1], frame.shape[-1])
        poni = None if self.poni is None else context.folder / self.poni
        integrator = open_integrator(poni, self._beam(), shape, pixels)
        made = integration(integrator, shape, self._binning())
        files = {"poni": poni, "geometry": self.geometry and context.folder / self.geometry}
        facts = {key: str(path) for key, path in files.items() if path} | dict(made.facts)
        output = Frame((self.bins,), np.dtype(np.float64), frame.unit)
        return Azav(frame, output, made.means, SharedArray(made.centers), self.unit, tuple(facts.items()))

    def _beam(self) -> Beam:
        """Return the experiment in metres; raise SpecError where a quantity is none."""
        energy = _in(self.energy, "energy", "eV", "9.5 keV")
        return Beam(
            distance=_in(self.distance, "distance", "m", "90 mm"),
            pixel_size=_in(self.pixel_size, "pixel_size", "m", "75 um"),
            center=self.center,
            wavelength=_HC / energy if energy else _in(self.wavelength, "wavelength", "m", "1.3 angstrom"),
        )

    def _binning(self) -> Binning:
        return Binning(
            self.bins, self.unit, self.range, self.azimuth, self.split, self.solid_angle, self.polarization
        )


def _in(amount: float | Quantity | None, key: str, unit: str, example: str) -> float | None:
    """Return a quantity as a positive number in a unit."""
    if amount is None:
        return None
    if not isinstance(amount, Quantity):
        raise SpecError(f"'{key}' needs a unit, e.g. '{example}'")
    value = float(convert(float(amount.value), amount.unit, unit))
    if value <= 0:
        raise SpecError(f"'{key}' must be more than 0, but is {amount}")
    return value


@dataclass(frozen=True, slots=True)
class Azav(Stage):
    """Azimuthal averages of images.

    Attributes
    ----------
    input, output : Frame
        What goes in and what comes out.
    means : SparseMeans
        The average of each bin.
    centers : SharedArray of (n_bins,) float64
        Middles of the bins.
    unit : str
        Their unit, as in the options.
    known : tuple of (str, value)
        What is to be recorded.
    """

    input: Frame
    output: Frame
    means: SparseMeans
    centers: SharedArray
    unit: str
    known: tuple[tuple[str, object], ...] = ()

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Average; see `Stage.apply`."""
        self.means.apply(frames, elements, out)

    def scratch_nbytes(self, n_frames: int, n_elements: int) -> int:  # noqa: ARG002 - all bins are summed
        """Return the memory for the sums."""
        return self.means.scratch_nbytes

    def coordinates(self) -> Mapping[int, Coordinate]:
        """Return the middles of the bins."""
        name, unit = _COORDINATES[self.unit]
        return {0: Coordinate(name, self.centers.load(), unit)}

    def facts(self) -> Mapping[str, object]:
        """Return where the detector stands, and how many pixels count."""
        return dict(self.known)
