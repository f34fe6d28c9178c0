"""The kinds of detectors whose calibration is known, and how their panels are divided."""

from __future__ import annotations

from dataclasses import dataclass

from cubeengine.detectors.constants import Constants
from cubeengine.errors import SpecError
from cubeengine.types import DetectorInfo


@dataclass(frozen=True, slots=True)
class Kind:
    """What the calibration of a kind of detector depends on.

    Attributes
    ----------
    name : str
        As it stands in a spec.
    ranges : int
        Gain ranges: entries of the first axis of its constants; 1 means there is no such axis.
    status_ranges : tuple of int
        Ranges whose status words count: a pixel bad in one of them is bad. Of the seven of epix10ka the
        last two are not measured but computed.
    range_names : tuple of str
        What the ranges are called, in the order of the constants.
    halves, banks : int
        A panel is `halves` groups of rows by `banks` groups of columns, each read out together.
    """

    name: str
    ranges: int
    status_ranges: tuple[int, ...]
    range_names: tuple[str, ...]
    halves: int = 1
    banks: int = 1


_SEVEN = ("FH", "FM", "FL", "AHL-high", "AML-medium", "AHL-low", "AML-low")
_ONE = ("all",)

KINDS = {
    kind.name: kind
    for kind in (
        Kind("jungfrau", 3, (0, 1, 2), ("g0", "g1", "g2"), 2, 16),
        Kind("epix10ka", 7, (0, 1, 2, 3, 4), _SEVEN, 2, 8),
        Kind("epixhr", 7, (0, 1, 2, 3, 4), _SEVEN, 2, 8),
        Kind("epix100", 1, (0,), _ONE, 2, 8),
        Kind("single", 1, (0,), _ONE),
    )
}

FLAG_BIT = {"epix10ka": 14, "epixhr": 15}
"""Kinds whose ranges follow from their configuration -> the bit of a raw pixel that tells its low gain."""

_OTHER_NAMES = {
    "epix": "epix10ka",  # as the type was called before there were others
    "epix10kaquad": "epix10ka",
    "epix10ka2m": "epix10ka",
    "epixhr2x2": "epixhr",
    "epixhremu": "epixhr",
    "epix100hw": "epix100",
    **dict.fromkeys(("opal", "rayonix", "alvium", "andor", "manta", "zyla", "princeton", "orca"), "single"),
}


def kind_named(name: str) -> Kind | None:
    """Return the kind of a detector by what its files call it; None if it is not known."""
    return KINDS.get(_OTHER_NAMES.get(name.lower(), name.lower()))


def choose_kind(wanted: str | None, detector: DetectorInfo | None, constants: Constants, field: str) -> Kind:
    """Return the kind to calibrate by: what the user says, what the raw data say, what the constants say.

    Raises
    ------
    SpecError
        If none of them names a known kind.
    """
    said = (wanted or "", detector.kind if detector else "", constants.kind)
    found = next((kind for name in said if (kind := kind_named(name)) is not None), None)
    if found is None:
        names = " and ".join(dict.fromkeys(repr(name) for name in said if name)) or "nothing"
        raise SpecError(
            f"unknown kind of detector for {field!r}: the data and the constants name {names}; add 'kind: ' "
            f"with one of {', '.join(KINDS)}"
        )
    return found


def check_detector(wanted: str | None, detector: DetectorInfo | None, constants: Constants) -> None:
    """Check that constants are those of the detector, as far as both say what they are of.

    The serial numbers of the data's segments must be among those of the constants.

    Raises
    ------
    SpecError
        If they are of another kind of detector, or of another one of the same kind.
    """
    if detector is None:
        return
    place = f"{constants.file.path.name} is for another detector than {detector.name!r}"
    if not _same_kind(constants.kind, wanted or detector.kind):
        raise SpecError(f"{place}: its kind is {constants.kind!r}, that of the data {detector.kind!r}")
    if not _is_part(_serials(detector.unique_id), _serials(constants.unique_id)):
        raise SpecError(
            f"{place}: its unique id is {constants.unique_id!r}, that of the data {detector.unique_id!r}"
        )


def _same_kind(of_file: str, of_data: str) -> bool:
    """Return whether two names mean one kind; "" is not known, and "single" goes for any camera."""
    if "" in (of_file, of_data) or of_file == of_data:
        return True
    known = kind_named(of_data)
    return of_file == "single" if known is None else kind_named(of_file) == known


def _serials(unique_id: str) -> tuple[str, ...]:
    """Return the serial numbers in a unique id: what follows the type, between underscores."""
    return tuple(serial for serial in unique_id.split("_")[1:] if serial)


def _is_part(some: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    """Return whether serial numbers are some of others, in their order; those that nobody says match.

    The data may hold some segments of a detector only.
    """
    others = iter(whole)
    return not whole or all(serial in others for serial in some)
