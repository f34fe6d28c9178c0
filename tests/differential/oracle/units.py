"""Numbers with units."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

POWERS = {
    "s": 0, "ms": -3, "us": -6, "ns": -9, "ps": -12, "fs": -15, "mm": -3, "um": -6, "": 0,
}  # fmt: skip
"""Powers of ten to the base unit; only units of one kind are converted into each other."""


def convert(value: Any, unit: str, to: str) -> Any:
    """Return a number in another unit: powers of ten are exact, so seconds become ps as `value * 1e12`."""
    shift = POWERS[unit] - POWERS[to]
    return value if shift == 0 else value * 10.0**shift if shift > 0 else value / 10.0**-shift


def amount(written: Any, unit: str) -> Any:
    """Return a number of a spec in a unit; with a unit of its own it is converted as a decimal number."""
    if not isinstance(written, str):
        return written
    exact = decimal(written, unit)
    return int(exact) if exact.denominator == 1 else float(exact)


def own_unit(written: str) -> str:
    """Return the unit that a number of a spec carries."""
    return written.split()[-1]


def decimal(written: Any, unit: str) -> Fraction:
    """Return a number of a spec in a unit, exactly as the decimal number that was written: 0.1 is a tenth."""
    if not isinstance(written, str):
        return Fraction(repr(written))
    number, own = re.fullmatch(r"\s*([-+.0-9eE]+)\s*(\S+)\s*", written).groups()  # type: ignore[union-attr]
    return Fraction(number) * Fraction(10) ** (POWERS[own] - POWERS[unit])


def nanoseconds(written: str) -> float:
    """Return a time with its unit in ns."""
    return float(amount(written, "ns"))
