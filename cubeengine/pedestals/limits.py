"""What a good pixel's pedestal and noise are, per gain range, and the bits of a status word.

References
----------
Bits 1, 2, 16 and 32 mean what psana's own dark processing means by them (psana.detector.UtilsCalib,
`DarkProc.summary`); 64 and 128 are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.kinds import Kind
from cubeengine.errors import SpecError

Interval = tuple[float, float]

NOISE_HIGH, NOISE_LOW, PEDESTAL_HIGH, PEDESTAL_LOW, TOO_FEW, TOO_MANY_REJECTED = 1, 2, 16, 32, 64, 128
STATUS_BITS = {
    NOISE_HIGH: "noise above its limit",
    NOISE_LOW: "noise below its limit",
    PEDESTAL_HIGH: "pedestal above its limit",
    PEDESTAL_LOW: "pedestal below its limit",
    TOO_FEW: "too few values",
    TOO_MANY_REJECTED: "too many values rejected",
}

NOISE_FACTOR = 4.0
"""Noise is good between median/n and n * median of the noise of the range's pixels."""

MOST_REJECTED = 0.02
"""A normal distribution has 6e-7 of its values beyond 5 standard deviations."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for a kind of detector."""

    pedestal: Interval  # good pedestals, ADU: clear of both ends of the converter
    least_noise: float  # noise that a pixel that is alive has at least, ADU
    dark_noise: float | None
    """Median noise that no such detector has in the dark, ADU; None where it is not known."""


USUAL = {
    "jungfrau": Usual((100.0, 16_300.0), 0.2, 40.0),
    "epix10ka": Usual((100.0, 16_300.0), 0.2, 80.0),
    "epixhr": Usual((100.0, 16_300.0), 0.2, 80.0),
    "epix100": Usual((10.0, 16_300.0), 0.2, 80.0),
    "single": Usual((0.0, 65_000.0), 0.0, None),
}
"""By kind. Converters have 14 bits, those of the cameras up to 16. Noise in the dark is about 4 to 15 ADU."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of good pixels that take the place of the usual ones.

    Attributes
    ----------
    pedestal, noise : (low, high), or mapping of a range's name to (low, high); optional
        Closed intervals in ADU, for all gain ranges or for those that are named.
    rejected : float
        Part of a pixel's values that may be rejected.
    """

    pedestal: Interval | Mapping[str, Interval] = field(default_factory=dict)
    noise: Interval | Mapping[str, Interval] = field(default_factory=dict)
    rejected: float = MOST_REJECTED

    def __post_init__(self) -> None:
        for what in ("pedestal", "noise"):
            for low, high in _intervals(getattr(self, what)):
                if not low <= high:
                    raise SpecError(f"limits of {what}: must be LOW to HIGH, but are {low:g} to {high:g}")
        if not 0 < self.rejected <= 1:
            raise SpecError(
                f"the fraction of values rejected must be above 0 and at most 1, got {self.rejected}"
            )

    @classmethod
    def parse(cls, *, pedestal: Sequence[str], noise: Sequence[str], rejected: float) -> Limits:
        """Read limits as they are typed: "LOW:HIGH", or "RANGE=LOW:HIGH" for one gain range.

        Raises
        ------
        SpecError
            If a text is neither.
        """
        return cls(_parsed(pedestal, "pedestal"), _parsed(noise, "noise"), rejected)

    def check(self, kind: Kind) -> None:
        """Check that the ranges named are those of a kind of detector.

        Raises
        ------
        SpecError
            If one is not.
        """
        names = kind.range_names
        for name in [*_names(self.pedestal), *_names(self.noise)]:
            if name not in names and name != "":
                raise SpecError(f"limits: {name!r} is not a gain range of {kind.name}: {', '.join(names)}")

    def of(self, kind: Kind, name: str, typical_noise: float) -> RangeLimits:
        """Return the limits of a gain range whose pixels have a median noise of `typical_noise`."""
        usual = USUAL[kind.name]
        high = NOISE_FACTOR * max(typical_noise, 0.5)  # below half an ADU, noise is that of rounding
        noise = max(typical_noise / NOISE_FACTOR, usual.least_noise) if usual.least_noise else 0.0, high
        return RangeLimits(
            _chosen(self.pedestal, name, usual.pedestal), _chosen(self.noise, name, noise), self.rejected
        )


@dataclass(frozen=True, slots=True)
class RangeLimits:
    """Limits of good pixels in one gain range, in ADU; `rejected` as in `Limits`."""

    pedestal: Interval
    noise: Interval
    rejected: float

    def status(
        self,
        mean: NDArray[np.float32],
        noise: NDArray[np.float32],
        used: NDArray[np.int32],
        rejected: NDArray[np.int32],
    ) -> NDArray[np.uint32]:
        """Return the status word of every pixel; `TOO_FEW` where its estimate is NaN."""
        judged = {
            NOISE_HIGH: noise > self.noise[1],
            NOISE_LOW: noise < self.noise[0],
            PEDESTAL_HIGH: mean > self.pedestal[1],
            PEDESTAL_LOW: mean < self.pedestal[0],
            TOO_FEW: np.isnan(mean),
            TOO_MANY_REJECTED: rejected > self.rejected * (used.astype(np.float64) + rejected),
        }
        words = np.zeros(mean.shape, np.uint32)
        for bit, where in judged.items():
            words[where] |= np.uint32(bit)
        return words


def _intervals(limits: Interval | Mapping[str, Interval]) -> list[Interval]:
    return list(limits.values()) if isinstance(limits, Mapping) else [limits]


def _names(limits: Interval | Mapping[str, Interval]) -> list[str]:
    return list(limits) if isinstance(limits, Mapping) else []


def _chosen(limits: Interval | Mapping[str, Interval], name: str, usual: Interval) -> Interval:
    if not isinstance(limits, Mapping):
        return limits
    return limits.get(name, limits.get("", usual))


_TYPED = re.compile(r"(?:([^=]+)=)?([^:=]+):([^:=]+)")


def _parsed(texts: Sequence[str], what: str) -> dict[str, Interval]:
    limits = {}
    for text in texts:
        match = _TYPED.fullmatch(text.strip())
        try:
            limits[(match[1] or "").strip() if match else ""] = _numbers(match)
        except ValueError:
            raise SpecError(
                f"limits of {what}: {text!r} must be LOW:HIGH in ADU, or RANGE=LOW:HIGH, e.g. 'g0=2:7'"
            ) from None
    return limits


def _numbers(match: re.Match[str] | None) -> Interval:
    if match is None:
        raise ValueError
    return float(match[2]), float(match[3])
