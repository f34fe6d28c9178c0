"""What happens in the demonstration run: the response to the laser, and the ring on the detector."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import FloatArray

AMPLITUDE = 0.15
"""Rise of the diode at time zero, as part of its value."""

DECAY_PS = 4.0
RESOLUTION_PS = 0.2
"""Standard deviation of what blurs time zero beyond the measured jitter."""

DELAYS_PS: FloatArray = np.arange(-4, 17) * np.float64(0.5)
"""Settings of the delay stage: -2 to 8 ps."""

FRAME = (48, 64)
RING_RADIUS, RING_WIDTH, RING_GROWTH = 14.0, 2.5, 3.0
"""Pixels; the growth is that of the full response."""

COUNTS, BACKGROUND = 60.0, 12.0
"""Photons on a pixel at the top of the ring, and everywhere, for intensity 1."""

N_Q = 32
"""Bins of the azimuthal average."""

_erfc = np.frompyfunc(math.erfc, 1, 1)


def response(delay: FloatArray) -> FloatArray:
    """Return the response to the laser: a step that decays, blurred by a normal distribution.

    Parameters
    ----------
    delay : array, in ps

    Returns
    -------
    array of the same shape
        0 long before time zero, about 1 just after it.
    """
    blur, decay = RESOLUTION_PS, DECAY_PS
    rise = np.asarray(_erfc((blur / decay - delay / blur) / math.sqrt(2)), np.float64)
    found: FloatArray = 0.5 * np.exp(blur**2 / (2 * decay**2) - delay / decay) * rise
    return found


def radii() -> FloatArray:
    """Return the distance of every pixel from the beam, `FRAME` in shape, in pixels."""
    y, x = np.indices(FRAME, dtype=np.float64)
    found: FloatArray = np.hypot(y - (FRAME[0] - 1) / 2, x - (FRAME[1] - 1) / 2)
    return found


def mean_frames(intensity: FloatArray, pumped: FloatArray) -> NDArray[np.float32]:
    """Return the photons to be expected in some events: a ring that is larger the stronger the response.

    Parameters
    ----------
    intensity : (n,) float64
        1 on average.
    pumped : (n,) float64
        Response, 0 to 1.

    Returns
    -------
    (n, *FRAME) float32
        In photons.
    """
    radius = radii().astype(np.float32)
    top = (RING_RADIUS + RING_GROWTH * pumped).astype(np.float32)[:, None, None]
    ring = np.exp(-0.5 * ((radius - top) / np.float32(RING_WIDTH)) ** 2)
    brightness = intensity.astype(np.float32)[:, None, None]
    found: NDArray[np.float32] = brightness * (np.float32(COUNTS) * ring + np.float32(BACKGROUND))
    return found


def frames(intensity: FloatArray, pumped: FloatArray, noise: np.random.Generator) -> NDArray[np.float32]:
    """Make the frames of some events, in photons: `mean_frames` with a variance of one more than the mean."""
    mean = mean_frames(intensity, pumped)
    spread = noise.standard_normal(mean.shape, dtype=np.float32)
    found: NDArray[np.float32] = mean + np.sqrt(mean + np.float32(1)) * spread
    return found


def azimuthal_weights() -> NDArray[np.float32]:
    """Return the (pixels, N_Q) matrix that averages a frame over rings of equal width."""
    radius = radii().ravel()
    ring = np.minimum(radius / radius.max() * N_Q, N_Q - 1).astype(np.int64)
    weights = np.zeros((radius.size, N_Q), np.float32)
    weights[np.arange(radius.size), ring] = 1.0 / np.bincount(ring, minlength=N_Q)[ring]
    return weights
