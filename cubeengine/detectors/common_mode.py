"""The common mode of a detector: how it is asked for, and over which pixels it is taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PlainValidator, model_validator

from cubeengine.detectors.constants import Constants
from cubeengine.detectors.kinds import Kind
from cubeengine.detectors.panels import Panels
from cubeengine.errors import SpecError, nearest_names
from cubeengine.schema.base import Amount, Model, raise_problems
from cubeengine.schema.texts import amount_in, kind_of
from cubeengine.types import IntArray

ORDER = ("banks", "rows", "columns")
"""Kinds of groups, in the order in which they are corrected."""

STORED = "stored"
MAX_CORRECTION = 100.0
MIN_PIXELS = 10
_MODE_BITS = {"banks": 4, "rows": 1, "columns": 2}


def _groups(value: object) -> tuple[str, ...]:
    """Read names of groups: one, or a list of them."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise SpecError(f"must be {STORED!r}, or some of {', '.join(ORDER)}, but is {kind_of(value)}")
    for name in names:
        if name not in ORDER and names != (STORED,):
            near = nearest_names(str(name), (*ORDER, STORED))
            hint = f"; nearest: {near[0]!r}" if near else f"; known: {', '.join(ORDER)}, or {STORED} alone"
            raise SpecError(f"{name!r} is not a group of pixels{hint}")
    return tuple(name for name in (*ORDER, STORED) if name in names)


class CommonMode(Model):
    """Which common mode to correct. A name, or a list of them, stands for `groups`."""

    shorthand = "groups"

    groups: Annotated[tuple[str, ...], PlainValidator(_groups)]
    """Tuple of "banks", "rows", "columns"; or "stored": Groups of pixels whose median is taken off, banks
    first, then rows, then columns. Rows and columns are those of a bank: for a camera without banks, whose
    only bank is the panel, whole ones. "stored": groups and limits as the constants have them.
    """
    max_correction: Amount | None = None
    """Number, or text such as "100 ADU": A median as large as this, or larger, is not taken off: it is
    signal. Default: 100 ADU.
    """
    min_pixels: Annotated[int, Field(strict=True, ge=1, le=2**31)] | None = None
    """Nor is that of this many pixels, or fewer. Default: 10."""

    @model_validator(mode="after")
    def _consistent(self) -> CommonMode:
        given = self.max_correction is not None or self.min_pixels is not None
        if self.groups == (STORED,) and given:
            raise_problems(
                [
                    (
                        (),
                        "'stored' takes its limits from the constants: name the groups, or leave out the "
                        "limits",
                    )
                ]
            )
        if self.max_correction is not None and not self._limit() > 0:
            raise_problems([(("max_correction",), "must be larger than 0")])
        return self

    def _limit(self) -> float:
        """Return the largest correction in ADU."""
        wanted = MAX_CORRECTION if self.max_correction is None else self.max_correction
        return float(amount_in(wanted, "ADU", "the common mode"))

    def resolve(self, constants: Constants) -> Limits:
        """Return what is meant in numbers, with the constants at hand.

        Raises
        ------
        SpecError
            If the stored parameters are wanted and there are none.
        """
        if self.groups == (STORED,):
            return stored_limits(constants)
        return Limits(self.groups, self._limit(), self.min_pixels or MIN_PIXELS)

    def to_plain(self) -> Any:
        """Return plain data; a single group stands by its name."""
        plain = super().to_plain()
        groups: Any = self.groups[0] if len(self.groups) == 1 else list(self.groups)
        return plain | {"groups": groups} if isinstance(plain, dict) else groups


@dataclass(frozen=True, slots=True)
class Limits:
    """A common mode to correct."""

    groups: tuple[str, ...]  # some of `ORDER`, in order
    max_correction: float  # a correction must be smaller, in ADU
    min_pixels: int  # it must be made of more pixels

    def facts(self) -> dict[str, object]:
        """Return what a cube should record."""
        return {
            "groups": list(self.groups),
            "max_correction": self.max_correction,
            "min_pixels": self.min_pixels,
        }


def stored_limits(constants: Constants) -> Limits:
    """Read the parameters that constants come with: algorithm, mode bits, largest correction, least pixels.

    Raises
    ------
    SpecError
        If there are none, or they cannot be right.
    """
    values = np.ravel(constants.read("common_mode")).astype(float).tolist()
    if len(values) < 3 or not all(np.isfinite(values[:4])) or not values[2] > 0 or not 0 <= values[1] < 8:
        raise SpecError(
            f"{constants.file.path.name}: 'common_mode' must be four numbers: algorithm, mode (0 to 7), "
            f"largest correction and fewest pixels; it is {values[:4]}"
        )
    mode = int(values[1])
    groups = tuple(name for name in ORDER if mode & _MODE_BITS[name])
    return Limits(groups, values[2], int(values[3]) if len(values) > 3 else MIN_PIXELS)


def group_shapes(groups: Iterable[str], kind: Kind, panels: Panels) -> IntArray:
    """Return rows and columns of the groups of pixels, in the order of correction.

    Raises
    ------
    SpecError
        If panels cannot be divided into the banks of the kind.
    """
    if panels.rows % kind.halves or panels.columns % kind.banks:
        raise SpecError(
            f"panels of {panels.rows} x {panels.columns} pixels cannot be divided into "
            f"{kind.halves} x {kind.banks} banks, as the common mode of kind {kind.name!r} needs"
        )
    height, width = panels.rows // kind.halves, panels.columns // kind.banks
    shapes = {"banks": (height, width), "rows": (1, width), "columns": (height, 1)}
    return np.array([shapes[name] for name in groups], np.int64).reshape(-1, 2)
