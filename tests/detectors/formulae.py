"""Calibration as plain formulae, pixel by pixel in Python or numpy: written apart from the package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def jungfrau(raw: Array, constants: dict[str, Array], bad: Array) -> Array:
    """Calibrate one frame (n, rows, cols); `bad` marks pixels that are to be left out."""
    out = np.full(raw.shape, np.nan, np.float32)
    for place in np.ndindex(raw.shape):
        word = int(raw[place])
        gain_range = {0b00: 0, 0b01: 1, 0b11: 2}.get(word // 16384)
        if gain_range is None or bad[place]:
            continue
        pedestal = np.float32(constants["pedestals"][(gain_range, *place)])
        if "pixel_offset" in constants:
            pedestal = pedestal + np.float32(constants["pixel_offset"][(gain_range, *place)])
        value = np.float32(word % 16384) - pedestal
        gain = constants["pixel_gain"][(gain_range, *place)] if "pixel_gain" in constants else np.float32(1)
        if gain != 0:
            out[place] = value * (np.float32(1) / np.float32(gain))
    return out


def epix_range(asic_word: int, ramp: int, flag: int) -> int | None:
    """Return the range FH FM FL AHL-H AML-M AHL-L AML-L from a pixel's configuration and its flag."""
    if asic_word & 12 == 12:
        return 0 if ramp else 1
    if asic_word & 12 == 8:
        return 2
    if asic_word & 12 == 0:
        return {(1, 0): 3, (0, 0): 4, (1, 1): 5, (0, 1): 6}[ramp, flag]
    return None


def epix_words(asics: Array, ramps: Array, rows: int, cols: int) -> tuple[Array, Array]:
    """Place the configuration of four ASICs, pixel by pixel, on a panel; gives the words and the ramps."""
    words, ramp = np.zeros((rows, cols), int), np.zeros((rows, cols), int)
    half, width = rows // 2, cols // 2
    for r in range(rows):
        for c in range(cols):
            upper, left = r < half, c < width
            asic = {(True, True): 2, (True, False): 1, (False, True): 3, (False, False): 0}[upper, left]
            i, j = r % half, c % width
            # the upper ASICs are mounted upside down
            words[r, c] = asics[asic, half - 1 - i, width - 1 - j] if upper else asics[asic, i, j]
            ramp[r, c] = ramps[asic]
    return words, ramp


def epix(raw: Array, constants: dict[str, Array], words: Array, ramps: Array, bad: Array, bit: int) -> Array:
    """Calibrate one frame (n, rows, cols) of epix10ka (flag 14) or epixHR (flag 15)."""
    out = np.full(raw.shape, np.nan, np.float32)
    for place in np.ndindex(raw.shape):
        word = int(raw[place])
        gain_range = epix_range(int(words[place]), int(ramps[place] != 0), word // 2**bit % 2)
        if gain_range is None or bad[place]:
            continue
        value = np.float32(word % 16384) - np.float32(constants["pedestals"][(gain_range, *place)])
        gain = constants["pixel_gain"][(gain_range, *place)] if "pixel_gain" in constants else np.float32(1)
        if gain != 0:
            out[place] = value * (np.float32(1) / np.float32(gain))
    return out


def take_common(values: Array, able: Array, limit: float, least: int) -> Array:
    """Correct one group of pixels."""
    if able.sum() <= least:
        return values
    common = np.median(values[able])
    return np.where(able, values - common, values) if abs(common) < limit else values


def common_mode(
    panel: Array, able: Array, halves: int, banks: int, names: list[str], limit: float, least: int
) -> Array:
    """Correct a panel (rows, cols) of float32 above the pedestal, in the pixels that are able."""
    out = panel.astype(np.float32)
    height, width = panel.shape[0] // halves, panel.shape[1] // banks
    for name in ("banks", "rows", "columns"):
        if name not in names:
            continue
        step = {"banks": (height, width), "rows": (1, width), "columns": (height, 1)}[name]
        for r in range(0, panel.shape[0], step[0]):
            for c in range(0, panel.shape[1], step[1]):
                group = np.s_[r : r + step[0], c : c + step[1]]
                out[group] = take_common(out[group], able[group], limit, least)
    return out
