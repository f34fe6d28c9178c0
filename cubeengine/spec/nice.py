"""Round numbers for people: bins of a scan, limits of cuts."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from cubeengine.types import FloatArray

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DIGITS = 6  # of a setting: motors are not set more finely than that


def rounded(value: float, digits: int = 2) -> float:
    """Round to so many significant digits.

    Examples
    --------
    >>> rounded(0.36012)
    0.36
    """
    return float(f"{value:.{digits - 1}e}")


def centers_of(settings: FloatArray) -> dict[str, float] | None:
    """Return {start, stop, step} of evenly spaced settings; None if they are not even.

    Parameters
    ----------
    settings : (n >= 2,) float64, rising
        Distinct settings of a motor, with the rounding errors that they have.

    Examples
    --------
    >>> centers_of(np.array([-2.0, -1.5, -1.0000000000000002]))
    {'start': -2, 'stop': -1, 'step': 0.5}
    """
    n = len(settings) - 1
    step = rounded((settings[-1] - settings[0]) / n, _DIGITS)
    start = _on_grid(float(settings[0]), step)
    if np.abs(start + np.arange(n + 1) * step - settings).max() > 1e-3 * step:
        return None
    return _spacing(start, n, step)


def listed_centers(settings: FloatArray) -> list[float]:
    """Round uneven settings as far as the closest two stay apart: to a thousandth of their distance.

    Examples
    --------
    >>> listed_centers(np.array([-10.0, 2e-17, 0.1, 0.30000000000000004]))
    [-10, 0, 0.1, 0.3]
    """
    step = float(np.diff(settings).min())
    return [_whole(_on_grid(float(setting), step)) for setting in settings]


def centers_over(values: FloatArray, n_bins: int) -> dict[str, float]:
    """Return {start, stop, step} of about so many round bins over values that move all the time.

    The form is that of centres, so that round settings of the motor lie inside the bins.
    """
    low, high = float(values.min()), float(values.max())
    raw = (high - low) / n_bins
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * scale for factor in _STEPS if factor * scale >= raw * (1 - 1e-9))
    step = rounded(step)
    first, last = round(low / step), round(high / step)  # the outer bins reach half a step further
    return _spacing(_times(step, first), last - first, step)


def _on_grid(value: float, step: float) -> float:
    """Round a value to a thousandth of a step, so that 5.4999999999999996 is 5.5."""
    unit = Fraction(repr(rounded(step / 1000, 1)))
    return float(round(value / float(unit)) * unit)


def _spacing(start: float, n: int, step: float) -> dict[str, Any]:
    stop = float(Fraction(repr(start)) + n * Fraction(repr(step)))
    return {"start": _whole(start), "stop": _whole(stop), "step": _whole(step)}


def _times(step: float, n: int) -> float:
    return float(n * Fraction(repr(step)))


def _whole(value: float) -> float:
    """Return whole numbers as integers, which read better, and no negative zero."""
    return int(value) if value == int(value) and abs(value) < 2**53 else value
