"""Constants of cameras that have one gain: all bits of a pixel are its value."""

from __future__ import annotations

from cubeengine.detectors.tables import Ranges, Tables, as_table, eligible_pixels
from cubeengine.types import BoolArray


def single_gain_tables(ranges: Ranges, good: BoolArray, *, common_mode: bool) -> Tables:
    """Make the tables of a camera of one gain.

    Parameters
    ----------
    ranges : Ranges
        Its constants.
    good : (panels, rows, columns) bool
        Good pixels.
    common_mode : bool
        Whether one will be corrected, in all good pixels.
    """
    eligible = eligible_pixels(ranges.offset, good[None], good) if common_mode else None
    return Tables(as_table(ranges.offset), as_table(ranges.factor), 0, (0,), eligible)
