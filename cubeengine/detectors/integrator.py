"""What pyFAI works out for `azav`, once per run: the share of each pixel in each bin, and its norm.

The ends of a range and the sectors of azimuths are decided here: pyFAI adds pixels beside a range to its
first and last bin, and knows no azimuths beyond 180 degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.geometry import Pixels
from cubeengine.detectors.sparse import SparseMeans
from cubeengine.errors import MissingExtra, SourceFormatError, SpecError
from cubeengine.types import BoolArray, FloatArray

_UM = 1e-6  # metres
_ROUNDING = 1e-9  # degrees: pixels on the edge of a sector lie in it


@dataclass(frozen=True, slots=True)
class Beam:
    """A detector at right angles to the beam; None stands for what is not given.

    Attributes
    ----------
    distance, pixel_size, wavelength : float, m
        Of sample and detector; of a pixel; of the photons.
    center : (float, float)
        Row and column that the beam hits.
    """

    distance: float | None = None
    pixel_size: float | None = None
    center: tuple[float, float] | None = None
    wavelength: float | None = None


@dataclass(frozen=True, slots=True)
class Binning:
    """What is averaged; as the options of `azav`.

    Attributes
    ----------
    bins, unit, range, split, solid_angle, polarization
        As there.
    azimuth : (float, float), or None
        Sector in degrees, low < high, of any size and beyond any full turn: 170 to 190 lies across 180.
    """

    bins: int
    unit: str
    range: tuple[float, float] | None
    azimuth: tuple[float, float] | None
    split: str
    solid_angle: bool
    polarization: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Integration:
    """Azimuthal averages of frames of one shape."""

    means: SparseMeans  # the average of each bin
    centers: FloatArray  # (n_bins,) float64: Middles of the bins, in the unit of the binning
    facts: Mapping[str, object]  # where the detector stands, in words of pyFAI, for the record


def integration(integrator: Any, shape: tuple[int, int], binning: Binning) -> Integration:
    """Let pyFAI make the matrix for images of a shape.

    Raises
    ------
    SpecError
        If photons of no known wavelength are to be binned in q, or no pixel lies in the range.
    """
    if binning.unit.startswith("q") and not integrator.wavelength:
        raise SpecError(f"azav: {binning.unit!r} needs the wavelength; give 'wavelength'")
    starts, elements, shares, centers = _shares(integrator, shape, binning)
    if not len(elements):
        sector = f" at azimuths {list(binning.azimuth)} deg" if binning.azimuth else ""
        raise SpecError(f"azav: no pixel is in the range {binning.range} ({binning.unit}){sector}")
    norm = np.ones(shape, np.float32)
    if binning.solid_angle:
        norm = norm * integrator.solidAngleArray(shape)
    if binning.polarization is not None:
        norm = norm * integrator.polarization(shape, factor=binning.polarization)
    means = SparseMeans.of_rows(starts, elements, shares, norm.ravel())
    return Integration(means, centers, {**_facts(integrator), "pixels_used": len(np.unique(elements))})


def _shares(
    integrator: Any, shape: tuple[int, int], binning: Binning
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], FloatArray]:
    """Return the matrix of shares by rows (starts, elements, shares), a row per bin, and their middles."""
    mask = integrator.detector.mask
    wider, n_more = _with_margins(binning)
    engine = integrator.setup_sparse_integrator(
        shape,
        binning.bins + 2 * n_more,
        mask=None if mask is None or mask.shape != shape else np.ascontiguousarray(mask, np.int8),
        pos0_range=wider,
        unit=binning.unit,
        split={"none": "no"}.get(binning.split, binning.split),
        algo="CSR",
    )
    starts = engine.indptr[n_more : n_more + binning.bins + 1]
    elements, shares = (table[starts[0] : starts[-1]] for table in (engine.indices, engine.data))
    starts = starts - starts[0]
    if binning.azimuth is not None:  # only now, so that the bins are the same for every sector
        azimuths = integrator.center_array(shape, unit="chi_deg").ravel()
        kept = in_sector(azimuths, binning.azimuth)[elements]
        starts = np.concatenate(([0], np.cumsum(kept)))[starts]
        elements, shares = elements[kept], shares[kept]
    return starts, elements, shares, _centers(engine, binning)


def _with_margins(binning: Binning) -> tuple[tuple[float, float] | None, int]:
    """Return the range to ask pyFAI for, and the bins at each end that are not wanted.

    The first and last bin of pyFAI also hold what lies beside the range: whole pixels that reach into it, and
    without splitting all that are less than a bin below.
    """
    if binning.range is None:
        return None, 0
    low, high = binning.range
    width = (high - low) / binning.bins
    return (low - width, high + width), 1


def in_sector(azimuths: FloatArray, sector: tuple[float, float]) -> BoolArray:
    """Tell which azimuths lie in a sector, edges included; all in degrees, whole turns do not matter.

    Examples
    --------
    >>> in_sector(np.array([-179.0, 179, 0, 350]), (170, 190)).tolist()
    [True, True, False, False]
    """
    low, high = sector[0] - _ROUNDING, sector[1] + _ROUNDING
    return (azimuths - low) % 360 <= high - low


def _centers(engine: Any, binning: Binning) -> FloatArray:
    """Return the middles of the bins."""
    if binning.range is None:
        scale: float = import_pyfai().units.to_unit(binning.unit).scale  # the engine has radians and 1/nm
        return np.array(engine.bin_centers, np.float64) * scale
    low, high = binning.range  # the engine's reach a bit further, to hold what lies at the end
    return low + (high - low) * (np.arange(binning.bins) + 0.5) / binning.bins


def open_integrator(poni: Path | None, beam: Beam, shape: tuple[int, int], pixels: Pixels | None) -> Any:
    """Make pyFAI's integrator for images of a shape.

    Parameters
    ----------
    poni : Path or None
        pyFAI's description of the experiment.
    beam : Beam
        The experiment where no such file, and the wavelength if it is to be another.
    shape : (int, int)
        Of an image, or of panels one above the other.
    pixels : Pixels or None
        Where the pixels of panels lie.

    Raises
    ------
    MissingExtra
        If pyFAI is not installed.
    SpecError
        If no such file, or its detector has another shape.
    SourceFormatError
        If the file is none of pyFAI's, or holds NaN.
    """
    pyfai = import_pyfai()
    made = _from_beam(pyfai, beam, pixels) if poni is None else _from_file(pyfai, poni)
    if pixels is not None:
        made.detector = _panels(pyfai, pixels, shape)
    elif made.detector.shape is None or poni is None:
        made.detector.shape = made.detector.max_shape = shape
    elif tuple(made.detector.shape) != shape:
        raise SpecError(
            f"{poni}: is for images of shape {tuple(made.detector.shape)}, but these images "
            f"have shape {shape}"
        )
    if beam.wavelength:
        made.wavelength = beam.wavelength
    return made


def import_pyfai() -> Any:
    """Return the package.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    try:
        import pyFAI.detectors
        import pyFAI.integrator.azimuthal
        import pyFAI.units
    except ImportError as err:
        raise MissingExtra("azav needs pyFAI; install it with: pip install 'cubeengine[azav]'") from err
    return pyFAI


def _from_file(pyfai: Any, path: Path) -> Any:
    try:
        text = path.read_text(errors="replace")
    except OSError as err:
        error = SpecError if isinstance(err, FileNotFoundError | IsADirectoryError) else SourceFormatError
        raise error(f"{path}: this pyFAI geometry (.poni) cannot be read ({err.strerror})") from err
    missing = [key for key in ("distance", "poni1", "poni2") if key not in text.lower()]
    if missing:
        raise SourceFormatError(f"{path}: is not a pyFAI file: it has no {missing[0]!r}")
    try:
        made = pyfai.load(str(path))
    except Exception as err:
        raise SourceFormatError(f"{path}: pyFAI cannot read it: {err}") from err
    for key, value in _facts(made).items():
        if not np.isfinite(value):
            raise SourceFormatError(
                f"{path}: {key.rpartition('_')[0]} must be a finite number, but is {value}"
            )
    return made


def _from_beam(pyfai: Any, beam: Beam, pixels: Pixels | None) -> Any:
    size = pixels.pitch * _UM if pixels is not None else beam.pixel_size
    if size is None or beam.center is None:
        raise SpecError("azav: needs 'pixel_size' and 'center'")
    row, column = beam.center
    return pyfai.integrator.azimuthal.AzimuthalIntegrator(
        dist=beam.distance,
        poni1=(row + 0.5) * size,
        poni2=(column + 0.5) * size,
        detector=pyfai.detectors.Detector(size, size),
    )


def _panels(pyfai: Any, pixels: Pixels, shape: tuple[int, int]) -> Any:
    """Make a detector of pixels that lie where they would in the assembled image, but not on its grid."""
    size = pixels.pitch * _UM
    detector = pyfai.detectors.Detector(size, size, max_shape=shape)
    detector.set_pixel_corners(_corners(pixels).reshape(*shape, 4, 3))
    detector.uniform_pixel = False
    return detector


def _corners(pixels: Pixels) -> FloatArray:
    """Return (0, along rows, along columns) of the corners of each pixel, in metres; all are `pitch` wide."""
    corners = np.zeros((*pixels.x.shape, 4, 3))
    for axis, centres in ((1, pixels.x), (2, pixels.y)):
        middle = centres - centres.min() + pixels.pitch / 2
        down, right = (_half(pixels, centres, along) for along in (1, 2))
        for corner, (i, j) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1))):
            corners[..., corner, axis] = (middle + i * down + j * right) * _UM
    return corners


def _half(pixels: Pixels, centres: FloatArray, along: int) -> FloatArray:
    """Return half a pixel along the rows (1) or columns (2) of each panel."""
    steps = [np.diff(axis, axis=along)[:, :1, :1] for axis in (pixels.x, pixels.y)]
    length = np.hypot(*steps)
    step = np.diff(centres, axis=along)[:, :1, :1]
    half: FloatArray = step / length * pixels.pitch / 2
    return half


def _facts(integrator: Any) -> dict[str, float]:
    lengths = {"distance_m": "dist", "poni1_m": "poni1", "poni2_m": "poni2", "wavelength_m": "wavelength"}
    angles = {"rot1_rad": "rot1", "rot2_rad": "rot2", "rot3_rad": "rot3"}
    values = {key: getattr(integrator, name) for key, name in {**lengths, **angles}.items()}
    return {key: float(value) for key, value in values.items() if value is not None}
