"""Constants of the jungfrau, whose pixels say in bits 14 and 15 which of three gains they took."""

from __future__ import annotations

import numpy as np

from cubeengine.detectors.tables import Ranges, Tables, as_table, eligible_pixels
from cubeengine.types import BoolArray

CODES = (0, 1, -1, 2)
"""Gain range for bits 15 and 14 = 00, 01, 10 (a bad switch) and 11."""


def jungfrau_tables(ranges: Ranges, good: BoolArray, *, common_mode: bool) -> Tables:
    """Make the tables of a jungfrau.

    Parameters
    ----------
    ranges : Ranges
        Constants of gains g0, g1 and g2; gains of g1 and g2 have a sign.
    good : (panels, rows, columns) bool
        Good pixels.
    common_mode : bool
        Whether one will be corrected: in the highest gain, g0, only.

    References
    ----------
    Formula and codes as in psana's UtilsJungfrau (`calib_jungfrau_versions`, `add_ccons`).
    """
    allowed = np.array([True, False, False])[:, np.newaxis, np.newaxis, np.newaxis]
    eligible = eligible_pixels(ranges.offset, allowed, good) if common_mode else None
    return Tables(as_table(ranges.offset), as_table(ranges.factor), 14, CODES, eligible)
