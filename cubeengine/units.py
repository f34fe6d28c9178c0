"""Units of measurement: a small table of our own, with exact powers of ten.

Files carry no units, so users declare them; a unit is never guessed from the size of a number.
A unit is a product of powers of the symbols below, e.g. "ps", "mJ/cm^2", "1/angstrom". What can
only be counted (ADU, photon, sigma, ...) is a dimension of its own and converts to nothing else.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cubeengine.errors import SpecError, nearest_names

Number = TypeVar("Number", float, NDArray[np.float64])
Dimension = tuple[tuple[str, int], ...]

_PREFIXES = {
    "": 0, "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "µ": -6, "μ": -6, "m": -3,
    "k": 3, "M": 6, "G": 9, "T": 12,
}  # fmt: skip
# symbol: (dimension, power of ten, further factor). Electronvolt: exact by definition of the SI (2019).
_PREFIXED = {
    "s": ({"time": 1}, 0, 1.0),
    "m": ({"length": 1}, 0, 1.0),
    "eV": ({"energy": 1}, -19, 1.602176634),
    "J": ({"energy": 1}, 0, 1.0),
    "W": ({"energy": 1, "time": -1}, 0, 1.0),
    "Hz": ({"time": -1}, 0, 1.0),
    "rad": ({"angle": 1}, 0, 1.0),
    "V": ({"voltage": 1}, 0, 1.0),
    "A": ({"charge": 1, "time": -1}, 0, 1.0),
    "C": ({"charge": 1}, 0, 1.0),
    "K": ({"temperature": 1}, 0, 1.0),
}
_PLAIN = {
    "cm": ({"length": 1}, -2, 1.0),
    "angstrom": ({"length": 1}, -10, 1.0),
    "Å": ({"length": 1}, -10, 1.0),
    "deg": ({"angle": 1}, 0, np.pi / 180),
    "degC": ({"celsius": 1}, 0, 1.0),
    "1": ({}, 0, 1.0),
    "%": ({}, -2, 1.0),
    **{name: ({name: 1}, 0, 1.0) for name in ("ADU", "photon", "sigma", "count", "pixel", "arb")},
}
_COMMON = (
    "s", "ms", "us", "ns", "ps", "fs", "as", "m", "cm", "mm", "um", "nm", "angstrom",
    "eV", "keV", "meV", "J", "mJ", "uJ", "W", "mW", "Hz", "kHz", "MHz", "rad", "mrad", "urad", "deg",
    "V", "mV", "A", "mA", "C", "nC", "pC", "K", *_PLAIN,
)  # fmt: skip

_TERM = re.compile(r"([A-Za-zµμÅ%]+|1)(?:\^?(-?[1-9]))?")
_QUANTITY = re.compile(
    r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*([^\s0-9.](?:.*\S)?|1/.*\S)?\s*"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit's text means: value in base units = value * factor * 10**power."""

    dimension: Dimension  # base quantities and their exponents, sorted; () if dimensionless
    power: int = 0  # power of ten to the base unit
    factor: float = 1.0  # what remains of the conversion; 1 except for angles in degrees and electronvolts


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit, as a user wrote them, e.g. "3 keV"."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value!r} {self.unit}".strip()


def parse_unit(text: str) -> Unit:
    """Read a unit such as "ps", "mJ/cm^2", "1/angstrom"; "" means dimensionless.

    Raises
    ------
    SpecError
        If the text is no unit; the message names the nearest ones.

    Examples
    --------
    >>> parse_unit("ps")
    Unit(dimension=(('time', 1),), power=-12, factor=1.0)
    """
    if not text.strip():
        return Unit(())
    dimension: Counter[str] = Counter()
    power, factor = 0, 1.0
    for sign, term in _terms(text):
        part = _parse_term(term, text)
        for base, exponent in part.dimension:
            dimension[base] += sign * exponent
        power += sign * part.power
        factor *= part.factor**sign
    return Unit(tuple(sorted((base, n) for base, n in dimension.items() if n)), power, factor)


def parse_quantity(text: str) -> Quantity:
    """Read a number with its unit, such as "3 keV" or "-0.5ps".

    Raises
    ------
    SpecError
        If the text is no number with a unit, or the unit is unknown.

    Examples
    --------
    >>> parse_quantity("3 keV")
    Quantity(value=3, unit='keV')
    """
    match = _QUANTITY.fullmatch(text) if len(text) <= 200 else None
    if match is None:
        raise SpecError(f"{text[:200]!r} is not a number, nor a number with a unit such as '3 keV'")
    unit, value = match[2] or "", float(match[1])
    parse_unit(unit)
    if not math.isfinite(value):
        raise SpecError(f"{text!r} is too large for a number")
    exact = re.fullmatch(r"[-+]?[0-9]+", match[1]) and abs(value) < 2**63
    return Quantity(int(match[1]) if exact else value, unit)


def convert(value: Number, from_unit: str, to_unit: str) -> Number:
    """Convert a number, or an array of them, from one unit to another.

    Powers of ten are exact: seconds become picoseconds as `value * 1e12`, picoseconds become
    seconds as `value / 1e12`.

    Raises
    ------
    SpecError
        If the two units do not measure the same thing, or one is unknown.

    Examples
    --------
    >>> convert(5.5e-12, "s", "ps")
    5.5
    """
    source, target = parse_unit(from_unit), parse_unit(to_unit)
    _check_dimensions(source, target, from_unit, to_unit)
    if source.factor != target.factor:
        value = value * (source.factor / target.factor)
    shift = source.power - target.power
    if shift == 0:
        return value
    return value * 10.0**shift if shift > 0 else value / 10.0**-shift


def convert_written(value: float, from_unit: str, to_unit: str) -> float:
    """Convert a number as a user wrote it: to the float nearest to the decimal number.

    Raises
    ------
    SpecError
        If the two units do not measure the same thing, one is unknown, or no float is as large.

    Examples
    --------
    >>> 4.35 * 100, convert_written(4.35, "m", "cm")
    (434.99999999999994, 435.0)
    """
    source, target = parse_unit(from_unit), parse_unit(to_unit)
    if source == target:
        return value
    _check_dimensions(source, target, from_unit, to_unit)
    factor = Fraction(source.factor) / Fraction(target.factor) * Fraction(10) ** (source.power - target.power)
    try:
        return float(Fraction(repr(value)) * factor)
    except OverflowError:
        raise SpecError(f"{value!r} {from_unit} is too large for a number in {to_unit!r}") from None


def _check_dimensions(source: Unit, target: Unit, from_unit: str, to_unit: str) -> None:
    if source.dimension != target.dimension:
        raise SpecError(f"cannot convert {from_unit!r} to {to_unit!r}: they do not measure the same thing")


def same_dimension(a: str, b: str) -> bool:
    """Return whether two units measure the same thing."""
    return parse_unit(a).dimension == parse_unit(b).dimension


def _terms(text: str) -> list[tuple[int, str]]:
    """Split at `*` and `/`; what follows a `/` counts negative."""
    parts = re.split(r"\s*([*/])\s*", text.strip()) if len(text) <= 60 else [text]
    return [(1, parts[0])] + [
        (-1 if operator == "/" else 1, term) for operator, term in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _parse_term(term: str, text: str) -> Unit:
    match = _TERM.fullmatch(term)
    symbol = _lookup(match[1]) if match else None
    if match is None or symbol is None:
        near = nearest_names(text[:60], _COMMON)
        hint = f"; nearest: {', '.join(map(repr, near))}" if near else "; write e.g. 'ps' or 'mJ/cm^2'"
        raise SpecError(f"unknown unit {text[:60]!r}{hint}")
    n = int(match[2] or 1)
    dimension = tuple((base, exponent * n) for base, exponent in symbol.dimension)
    return Unit(dimension, symbol.power * n, symbol.factor**n)


def _lookup(symbol: str) -> Unit | None:
    if symbol in _PLAIN:
        dimension, power, factor = _PLAIN[symbol]
        return Unit(tuple(dimension.items()), power, factor)
    for name, (dimension, power, factor) in _PREFIXED.items():
        if symbol.endswith(name) and symbol[: -len(name)] in _PREFIXES:
            return Unit(tuple(dimension.items()), power + _PREFIXES[symbol[: -len(name)]], factor)
    return None
