"""Where a raw pixel says which gain range it is in, and which ranges a pixel can be in at all.

A *slot* is what the bits of one raw pixel can tell: three of a jungfrau, two of an epix10ka, one of other
cameras. Which gain range a slot is follows from the kind and, for epix10ka, from the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.epix10ka import control_bits, range_index
from cubeengine.detectors.jungfrau import CODES
from cubeengine.detectors.kinds import FLAG_BIT, Kind
from cubeengine.detectors.lookup import VALUE_BITS
from cubeengine.detectors.panels import Panels
from cubeengine.shared import SharedArray
from cubeengine.types import BoolArray, DetectorInfo

ALL_BITS = -1


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """How raw pixels are told apart."""

    shift: int  # the code of a pixel is what its bits from here on say
    value_bits: int  # bits that are the value
    codes: NDArray[np.int64]
    """(n_codes,) int64: Slot of each code, -1 where a code means none; n_codes is a power of two."""
    fixed: SharedArray
    """SharedArray of (n_elements,) bool, or of (0,): Pixels that are in slot 0 whatever their bits say; none
    where it is empty.
    """
    ranges: SharedArray
    """SharedArray of (n_slots, n_elements) uint8, or of (n_slots, 1): Gain range of each slot; 255 where a
    pixel has no such slot.
    """
    n_slots: int  # how many


def slots_of(kind: Kind, panels: Panels, detector: DetectorInfo | None) -> Slots:
    """Say how the raw pixels of a detector are told apart.

    Raises
    ------
    SpecError
        If the gain ranges follow from a configuration that the data do not hold.
    """
    if kind.name in FLAG_BIT:
        return _configured(kind, panels, detector)
    none = np.empty(0, np.bool_)
    if kind.name == "jungfrau":
        return _slots(14, VALUE_BITS, CODES, none, np.arange(3, dtype=np.uint8)[:, None])
    return _slots(0, ALL_BITS, (0,), none, np.zeros((1, 1), np.uint8))


def _configured(kind: Kind, panels: Panels, detector: DetectorInfo | None) -> Slots:
    """Take the two ranges that each pixel may be in from the configuration."""
    index = range_index(control_bits(kind, panels, detector)).reshape(2, -1)
    fixed: BoolArray = index[0] == index[1]
    index[1, fixed] = 255  # their flag means nothing
    return _slots(FLAG_BIT[kind.name], VALUE_BITS, (0, 1), fixed, index)


def _slots(
    shift: int, bits: int, codes: tuple[int, ...], fixed: BoolArray, ranges: NDArray[np.uint8]
) -> Slots:
    return Slots(shift, bits, np.array(codes, np.int64), SharedArray(fixed), SharedArray(ranges), len(ranges))
