"""Where this SmallDataAna gives something else than the original: one table, and a warning for each.

`docs/smalldataana.md` has the same table with more words; a test compares the two.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from types import FrameType
from typing import Any

DIFFERENCES: Mapping[str, str] = {
    "nan-in-sums": (
        "{n} values of {names} are NaN or missing in bins that have events. The original leaves them "
        "out of the sum but counts them in nEntries, so sum / nEntries is below the mean. Here the sum "
        "is mean * nEntries, so sum / nEntries is the mean; nEntries_<name> counts the values"
    ),
    "bin-labels": (
        "bins are labelled by their centres, those of a step scan by its settings. The original labels "
        "them by the left edge (one axis), or the right edge (first of several axes)"
    ),
    "bin-edges": (
        "bins are [low, high), the last one [low, high]. The original leaves out events exactly on the "
        "lowest edge: {n} of them here"
    ),
    "empty-bins": ("nEntries of an empty bin is 0; the original has NaN"),
    "three-edges": (
        "bins {bins} are taken as three edges, because steps of {step} do not fit between {low} and {high}. "
        "The original makes one bin"
    ),
    "scan-steps": (
        "one bin for each of the {n} settings of {field}. The original takes every distinct value of the "
        "corrected delay as a setting, and adds an empty bin before the first"
    ),
    "damage": (
        "{n} values of {names} are left out because damage/<detector> is not 1; nEntries_<name> counts the "
        "values that remain. The original adds them"
    ),
    "off-ignores": (
        "selection {name!r} for laser off skips its cuts on {fields}, which need the laser. The original "
        "applies them"
    ),
    "follows": (
        "selection {name!r} contains {changed!r}, and changes with it. The original keeps the cuts that"
        " {changed!r} had when it was added"
    ),
    "double-delay": (
        "the delay is {nominal} alone; the original adds {extra} on top, which counts the same motion twice"
    ),
    "delay-laser": (
        "the delay of {off} events without laser is the nominal delay, without the time tool; {unknown} "
        "events with unknown laser state have no delay. The original adds the time tool for all events"
    ),
    "delay-unit": (
        "the unit of {field} is not declared: by convention it is {unit}. Say SmallDataAna(..., "
        "units={{{field!r}: ...}}). The original applies the convention silently"
    ),
    "delay-again": (
        "the delay is computed again for {asked}; the original returns the former delay unless reset=True"
    ),
    "missing-integers": (
        "{n} missing values of {field} are NaN; the original returns the number that the writer stored to "
        "mark them"
    ),
    "sums-of-nan": (
        "{n} events have no finite element in {field}: the result is NaN, where the original returns 0"
    ),
    "time-order": (
        "the events of this file are not in time order; here all values are. The original returns values in "
        "the order of the file, so arrays made with it do not match the events here"
    ),
    "source-changed": (
        "saved arrays are left out because the file has changed since; the original loads them. {why}"
    ),
    "scan-points": (
        "every step of the scan is a point, with its error in 'scanErr'. The original leaves out the first "
        "and the last step, and puts the points midway between settings"
    ),
    "interpolation": (
        "{how!r} interpolation is not needed: laser-off points are at the same places as laser-on points. "
        "The original has them elsewhere"
    ),
    "matplotlib-only": ("drawn with matplotlib; {wanted!r} is not supported"),
}
"""Key -> what is different; places in braces are filled in when it happens."""


class SmallDataAnaWarning(UserWarning):
    """The original SmallDataAna would have given something else here."""


class Teller:
    """Tells every difference once.

    A `SmallDataAna` has one, so each of its objects tells of each difference when it first makes one.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, key: str, **facts: Any) -> None:
        """Warn of a difference, unless that was done before.

        Parameters
        ----------
        key : str
            One of `DIFFERENCES`.
        **facts
            What to fill in.
        """
        if key in self._told:
            return
        self._told.add(key)
        text = f"{DIFFERENCES[key].format(**facts)} [{key}; docs/smalldataana.md]"
        warnings.warn(text, SmallDataAnaWarning, stacklevel=_levels_to_user())


def _levels_to_user() -> int:
    """Count the frames up to the first one outside this package: that is the line to show."""
    package = __name__.rpartition(".")[0]
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(package):
        frame, level = frame.f_back, level + 1
    return level
