"""The noise of every pixel in the dark, for thresholds in units of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Frame
from cubeengine.detectors.constants import Constants
from cubeengine.detectors.epix10ka import control_bits, range_index
from cubeengine.detectors.kinds import FLAG_BIT, Kind, check_detector, choose_kind
from cubeengine.detectors.panels import Panels, load, panels_of
from cubeengine.errors import SpecError


def pixel_noise(constants: Constants, frame: Frame, context: Context) -> NDArray[np.float32]:
    """Return the noise of every element of a calibrated frame, in the frame's unit.

    Of detectors that switch their gain it is the noise of the gain they start in: only there the noise
    matters beside the signal.

    Parameters
    ----------
    constants : Constants
        Holds `pixel_rms`, and `pixel_gain` if the frames are in keV.
    frame : Frame
        In ADU or keV, of the shape it was read in.
    context : Context
        The detector.

    Returns
    -------
    (n_elements,) float32
        NaN where it is not known: not in the file, of a pixel without a gain, or no number of 0 or more.

    Raises
    ------
    SpecError
        If the frames are not calibrated, or the constants do not fit.
    """
    if frame.unit not in ("ADU", "keV"):
        raise SpecError(
            f"field {context.field!r}: a threshold in sigma needs calibrated frames, in ADU or keV, but "
            f"their unit is {frame.unit!r}; put `calibrate` before it"
        )
    check_detector(None, context.detector, constants)
    kind = choose_kind(None, context.detector, constants, context.field)
    panels = panels_of(frame, context)
    start = _first_range(kind, panels, context)
    noise = _of_range(constants, "pixel_rms", kind, panels, start)
    known = np.isfinite(noise) & (noise >= 0)
    if frame.unit == "keV":
        gain = _of_range(constants, "pixel_gain", kind, panels, start)
        known &= np.isfinite(gain) & (gain != 0)
        noise = np.abs(np.divide(noise, gain, out=np.zeros(gain.shape), where=known))
    return np.where(known, noise, np.nan).astype(np.float32).reshape(-1)


def _first_range(kind: Kind, panels: Panels, context: Context) -> NDArray[np.intp]:
    """Return the range that each pixel starts in."""
    if kind.name not in FLAG_BIT:
        return np.zeros(panels.shape, np.intp)
    index = range_index(control_bits(kind, panels, context.detector))[0]
    return np.where(index < kind.ranges, index, 0).astype(np.intp)


def _of_range(
    constants: Constants, key: str, kind: Kind, panels: Panels, number: NDArray[np.intp]
) -> NDArray[Any]:
    values = load(constants, key, kind, panels)
    if values is None:
        raise SpecError(f"{constants.file.path.name} holds no {key!r}, which a threshold in sigma needs")
    chosen: NDArray[Any] = np.take_along_axis(values, number[np.newaxis], axis=0)[0]
    return chosen
