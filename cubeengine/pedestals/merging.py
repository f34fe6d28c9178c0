"""What another file of constants gives: gains, masks, geometry, and gain ranges that were not measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.array_files import opened_arrays
from cubeengine.detectors.constants import GEOMETRY, Constants, open_constants
from cubeengine.detectors.kinds import Kind, check_detector
from cubeengine.detectors.panels import Panels, load
from cubeengine.detectors.status import status_words
from cubeengine.types import DetectorInfo

TAKEN_OVER = ("pixel_gain", "pixel_offset", "status_extra", "pixel_mask")
"""Arrays of pixels that dark events say nothing of."""


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """What comes from another file."""

    name: str = ""  # the file's name; "" where there is none
    facts: Mapping[str, Any] = field(default_factory=dict)  # what it says of itself
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # what goes into the new file as it is
    measured: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Mapping of name to (n_ranges, panels, rows, columns) array: Its pedestals, noise and status, of which
    ranges may be taken.
    """
    geometry: str = ""  # text of the geometry

    def has_range(self, number: int) -> bool:
        """Return whether the file has pedestals in a gain range."""
        pedestals = self.measured.get("pedestals")
        return pedestals is not None and bool(np.isfinite(pedestals[number]).any())


def read_others(path: Path | None, kind: Kind, panels: Panels, detector: DetectorInfo | None) -> Others:
    """Read another file of constants of the same detector.

    Raises
    ------
    SpecError
        If no such file, or it is of another detector, or its shapes or types do not fit.
    SourceFormatError
        If it cannot be read.
    """
    if path is None:
        return Others()
    constants = open_constants(path)
    check_detector(kind.name, detector, constants)
    arrays = {key: _array(constants, key, kind, panels) for key in TAKEN_OVER if key in constants.shapes}
    if "common_mode" in constants.shapes:
        arrays["common_mode"] = constants.read("common_mode")
    measured = {
        key: values
        for key in ("pedestals", "pixel_rms", "pixel_status")
        if (values := load(constants, key, kind, panels)) is not None
    }
    if "pixel_status" in measured:
        measured["pixel_status"] = status_words(measured["pixel_status"], "pixel_status", constants)
    return Others(path.name, constants.facts(), arrays, measured, _geometry(constants))


def _array(constants: Constants, key: str, kind: Kind, panels: Panels) -> NDArray[Any]:
    values = load(constants, key, kind, panels)
    if values is None:
        raise KeyError(key)
    return values[0] if key == "pixel_mask" else np.ascontiguousarray(values)


def _geometry(constants: Constants) -> str:
    with opened_arrays(constants.file.path) as file:
        there = file.about(GEOMETRY) is not None
    return constants.geometry() if there else ""
