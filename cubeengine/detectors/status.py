"""Which pixels are good: by the status words of their constants, and by the user's own mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.constants import Constants
from cubeengine.detectors.kinds import Kind
from cubeengine.detectors.panels import Panels, load
from cubeengine.errors import SpecError
from cubeengine.types import BoolArray

ALL_BITS = 2**64 - 1


def good_pixels(constants: Constants, kind: Kind, panels: Panels, bits: int = ALL_BITS) -> BoolArray:
    """Tell which pixels are good.

    A pixel is bad if its status word, or its further one (`status_extra`), has one of `bits` in any of the
    ranges that count, or if the user's mask (`pixel_mask`) is 0 or unknown there.

    Parameters
    ----------
    constants : Constants
        The file; what it does not hold marks nothing.
    kind, panels : Kind, Panels
        The detector.
    bits : int
        Bits of a status word that mean bad.

    Returns
    -------
    (panels, rows, columns) bool
    """
    good = np.ones(panels.shape, np.bool_)
    for key in ("pixel_status", "status_extra"):
        words = load(constants, key, kind, panels)
        if words is None:
            continue
        for number in kind.status_ranges:
            good &= (status_words(words[number], key, constants) & np.uint64(bits)) == 0
    mask = load(constants, "pixel_mask", kind, panels)
    return good if mask is None else good & is_set(mask[0])


def is_set(mask: NDArray[Any]) -> BoolArray:
    """Tell where a mask is a number other than 0; NaN and infinities say nothing good of a pixel.

    Examples
    --------
    >>> is_set(np.array([1, 0, 0.5, np.nan])).tolist()
    [True, False, True, False]
    """
    return np.asarray((mask != 0) & np.isfinite(mask))


def status_words(values: NDArray[Any], key: str, constants: Constants) -> NDArray[np.uint64]:
    """Return words of bits as they are; raise SpecError if they are no whole numbers."""
    if values.dtype.kind == "f":
        raise SpecError(f"{constants.file.path.name}: {key!r} must be whole numbers, but is {values.dtype}")
    return values.astype(np.uint64)
