"""Constants of epix10ka and epixHR, whose gains are set by configuration and switched by one bit.

The range of a pixel follows from four bits of its configuration and, in the two automatic modes, from the
flag of the event: seven ranges, of which every pixel can be in at most two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.kinds import FLAG_BIT, Kind
from cubeengine.detectors.panels import Panels
from cubeengine.detectors.tables import Ranges, Tables, as_table, eligible_pixels
from cubeengine.errors import SpecError
from cubeengine.types import BoolArray, DetectorInfo

HIGH_OR_MEDIUM = (0, 1, 3, 4)
"""Ranges in which the common mode is measured and corrected: all but the low gains."""

_QUADRANTS = {"epix10ka": ((2, 1), (3, 0)), "epixhr": ((1, 3), (0, 2))}
"""Where the four ASICs of a panel lie: upper left and right, lower left and right."""

_GAIN_BITS, _TEST_RAMP, _FLAG = 0b1100, 0b10000, 0b100000
_NO_RANGE = 255


def epix_tables(
    ranges: Ranges,
    good: BoolArray,
    kind: Kind,
    panels: Panels,
    detector: DetectorInfo | None,
    *,
    common_mode: bool,
) -> Tables:
    """Make the tables of an epix10ka or epixHR: one row for a flag of 0, one for a flag of 1.

    Parameters
    ----------
    ranges : Ranges
        Constants of FH, FM, FL, AHL-high, AML-medium, AHL-low, AML-low.
    good : (panels, rows, columns) bool
        Good pixels.
    kind, panels : Kind, Panels
        The detector.
    detector : DetectorInfo, or None
        Its configuration.
    common_mode : bool
        Whether one will be corrected.

    References
    ----------
    Bits and ranges as in psana's UtilsEpix10ka (`cbits_config_epix10ka`, `gain_maps_epix10ka_any_alg`).
    """
    index = range_index(control_bits(kind, panels, detector))
    known = index != _NO_RANGE
    chosen = np.where(known, index, 0).astype(np.intp)
    offset = np.take_along_axis(ranges.offset, chosen, axis=0)
    factor = np.where(known, np.take_along_axis(ranges.factor, chosen, axis=0), np.float32(np.nan))
    allowed = np.isin(index, HIGH_OR_MEDIUM)
    eligible = eligible_pixels(offset, allowed, good) if common_mode else None
    return Tables(as_table(offset), as_table(factor), FLAG_BIT[kind.name], (0, 1), eligible)


def range_index(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the gain range of every pixel, for a flag of 0 and of 1.

    Parameters
    ----------
    bits : (panels, rows, columns) uint8
        Control bits.

    Returns
    -------
    (2, panels, rows, columns) uint8
        255 where the bits mean no range.
    """
    table = np.array([_range_of(word) for word in range(64)], np.uint8)
    return table[np.stack([bits & 0b011111, (bits & 0b011111) | _FLAG])]


def _range_of(bits: int) -> int:
    """Return the gain range that control bits and flag mean."""
    gain, ramp, flag = bits & _GAIN_BITS, bool(bits & _TEST_RAMP), bool(bits & _FLAG)
    if gain == 0b1100:
        return 0 if ramp else 1
    if gain == 0b1000:
        return 2
    if gain == 0:
        return (5 if flag else 3) if ramp else (6 if flag else 4)
    return _NO_RANGE


def control_bits(kind: Kind, panels: Panels, detector: DetectorInfo | None) -> NDArray[np.uint8]:
    """Put the control bits of every pixel together, from the detector's configuration.

    Returns
    -------
    (panels, rows, columns) uint8
        Bits 2 and 3 choose the gain, bit 4 high or medium.

    Raises
    ------
    SpecError
        If the configuration is not in the data, or does not fit the panels.
    """
    settings = detector.settings if detector else {}
    whole = _setting(settings, "cbitsConfig")
    if whole is not None:
        return np.stack([_panel(words, panels, "cbitsConfig") for words in whole])
    pixels, ramps = _setting(settings, "asicPixelConfig"), _setting(settings, "trbit")
    if pixels is None or ramps is None:
        raise SpecError(
            f"the gains of kind {kind.name!r} come from its configuration, but the data hold neither "
            "asicPixelConfig with trbit, nor cbitsConfig; for a camera of one gain add 'kind: single'"
        )
    panel = _joined if kind.name == "epix10ka" else _flat
    bits = [panel(words, panels) & np.uint8(_GAIN_BITS) for words in pixels]
    return np.stack([_with_ramp(words, ramp, kind) for words, ramp in zip(bits, ramps, strict=True)])


def _setting(settings: Mapping[str, Any], name: str) -> Any:
    """Return a setting by its last name, of the algorithm `config` if several have it."""
    found = sorted(
        (key for key in settings if key.rpartition("/")[2] == name), key=lambda key: key[:6] != "config"
    )
    return settings[found[0]] if found else None


def _panel(words: NDArray[Any], panels: Panels, name: str) -> NDArray[np.uint8]:
    if words.shape != (panels.rows, panels.columns):
        raise SpecError(
            f"{name} of the configuration has shape {words.shape}, but panels have "
            f"{panels.rows} x {panels.columns} pixels"
        )
    return words.astype(np.uint8)


def _joined(asics: NDArray[Any], panels: Panels) -> NDArray[np.uint8]:
    """Join four ASICs, each stored from its own corner, after rows that are no pixels are cut off."""
    height, width = panels.rows // 2, panels.columns // 2
    if asics.ndim != 3 or len(asics) != 4 or asics.shape[1] < height or asics.shape[2] != width:
        return _panel(asics, panels, "asicPixelConfig")
    a0, a1, a2, a3 = asics[:, :height]
    return _panel(np.block([[a2[::-1, ::-1], a1[::-1, ::-1]], [a3, a0]]), panels, "asicPixelConfig")


def _flat(words: NDArray[Any], panels: Panels) -> NDArray[np.uint8]:
    """Shape the words of a panel that are stored row after row."""
    whole = words.reshape(panels.rows, panels.columns) if words.size == panels.n_elements else words
    return _panel(whole, panels, "asicPixelConfig")


def _with_ramp(bits: NDArray[np.uint8], ramp: NDArray[Any], kind: Kind) -> NDArray[np.uint8]:
    """Set bit 4 in the ASICs whose `trbit` is set."""
    if np.shape(ramp) != (4,):
        raise SpecError(
            f"trbit of the configuration must have 4 values, one per ASIC, but its shape is {ramp.shape}"
        )
    quadrants = (np.asarray(ramp)[np.array(_QUADRANTS[kind.name])] != 0) * np.uint8(_TEST_RAMP)
    rows, columns = bits.shape
    height, width = -(-rows // 2), -(-columns // 2)
    ramps: NDArray[np.uint8] = quadrants.repeat(height, axis=0).repeat(width, axis=1)[:rows, :columns]
    return bits | ramps
