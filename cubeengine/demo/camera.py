"""The raw detectors of the demonstration run and their constants: a jungfrau that switches gains, an epix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.physics import FRAME
from cubeengine.detectors.constants import write_constants
from cubeengine.types import BoolArray, FloatArray

N_PANELS = 2
PANEL = (FRAME[0] // N_PANELS, FRAME[1])
"""Rows and columns of each; one above the other they make the frame."""

PHOTON_KEV = 9.5
GAINS = (41.0, -1.44, -0.1)
"""ADU per keV of the three gain ranges: the higher the range, the less, and downwards."""

PEDESTALS = (2900.0, 15_000.0, 15_500.0)
SWITCH_ADU = 15_500
"""Above this a pixel takes the second gain: about 32 photons."""

CODES = (0, 1, 3)
"""Bits 15 and 14 of the ranges."""

BAD_PIXELS = 9
STUCK = 0x3FFF

EPIX = (16, 48)
EPIX_PEDESTAL = 110.0
EPIX_LINE, EPIX_WIDTH, EPIX_COUNTS = 20.0, 3.0, 400.0
"""Column and width of the line on the epix, and ADU at its top for intensity 1."""

JUNGFRAU_SERIALS, EPIX_SERIAL = ("demo0", "demo1"), "demo2"


class Camera:
    """The jungfrau: constants of every pixel, as a calibration found them.

    Parameters
    ----------
    seed : int
        Of the constants.

    Attributes
    ----------
    pedestals, gains : (3, N_PANELS, *PANEL) float32
        ADU, and ADU per keV.
    bad : (N_PANELS, *PANEL) bool
        Pixels that always give the same value.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        shape = (3, N_PANELS, *PANEL)
        level, gain = (np.array(values)[:, None, None, None] for values in (PEDESTALS, GAINS))
        self.pedestals = (level + rng.normal(0.0, 80.0, shape)).astype(np.float32)
        self.gains = (gain * rng.normal(1.0, 0.03, shape)).astype(np.float32)
        self.bad: BoolArray = np.zeros(shape[1:], bool)
        self.bad.flat[rng.choice(self.bad.size, BAD_PIXELS, replace=False)] = True

    def digitize(self, photons: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Return the raw frames of photons.

        Parameters
        ----------
        photons : (n, *FRAME) float32

        Returns
        -------
        (n, N_PANELS, *PANEL) uint16
            Bits 14 and 15 tell the gain range.
        """
        energy = photons.reshape(len(photons), *self.bad.shape) * np.float32(PHOTON_KEV)
        first, second = (self.pedestals[i] + self.gains[i] * energy for i in range(2))
        switched = first > SWITCH_ADU
        value: NDArray[np.uint16] = np.clip(np.rint(np.where(switched, second, first)), 0, STUCK).astype("u2")
        value |= switched.astype(np.uint16) << np.uint16(14)
        value[:, self.bad] = STUCK
        return value

    def calibrate(self, raw: NDArray[np.uint16]) -> FloatArray:
        """Return the energy in every pixel in plain numpy, to check the stage of that name against.

        Returns
        -------
        (n, N_PANELS, *PANEL) float64
            In keV; NaN in bad pixels.
        """
        gain_range = np.select([raw >> 14 == code for code in CODES], range(3), 0)[None]
        pedestal, gain = (
            np.take_along_axis(values[:, None].astype(np.float64), gain_range, 0)[0]
            for values in (self.pedestals, self.gains)
        )
        energy: FloatArray = ((raw & 0x3FFF) - pedestal) / gain
        energy[:, self.bad] = np.nan
        return energy


def digitize_line(intensity: FloatArray, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the raw frames of the epix: a line as bright as the X-rays, and noise."""
    profile = EPIX_COUNTS * np.exp(-0.5 * ((np.arange(EPIX[1]) - EPIX_LINE) / EPIX_WIDTH) ** 2)
    frames = (
        EPIX_PEDESTAL + intensity[:, None, None] * profile + rng.normal(0.0, 4.0, (len(intensity), *EPIX))
    )
    found: NDArray[np.uint16] = np.clip(np.rint(frames), 0, 2**16 - 1).astype(np.uint16)
    return found


def write_calibration(folder: Path, camera: Camera) -> None:
    """Write the constants of both detectors, `jungfrau.h5` and `epix.h5`, into a folder, which is made."""
    folder.mkdir(exist_ok=True)
    about: dict[str, Any] = {"source": "made by cubeengine demo"}
    arrays: dict[str, NDArray[Any]] = {
        "pedestals": camera.pedestals,
        "pixel_gain": camera.gains,
        "pixel_status": np.broadcast_to(camera.bad, camera.gains.shape).astype(np.uint64),
    }
    unique_id = "_".join(("jungfrau", *JUNGFRAU_SERIALS))
    about |= {"kind": "jungfrau", "name": "jungfrau", "unique_id": unique_id}
    write_constants(folder / "jungfrau.h5", arrays, segments=range(N_PANELS), **about)
    about |= {"kind": "epix100", "name": "epix", "unique_id": f"epix100_{EPIX_SERIAL}"}
    write_constants(folder / "epix.h5", {"pedestals": np.full(EPIX, EPIX_PEDESTAL, np.float32)}, **about)
