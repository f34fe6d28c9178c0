"""Exact decoding of one datagram: the slow path, for transitions, odd fields and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.sources.xtc2.dgram import Place
from cubeengine.sources.xtc2.names import Names, Schema


@dataclass(frozen=True, slots=True)
class EnumValue:
    """Value of an enum with the labels of its type (code -> label), as far as they are known."""

    value: int
    labels: Mapping[int, str]

    @property
    def label(self) -> str:
        """The label of the value, or the value as text."""
        return self.labels.get(self.value, str(self.value))


Value = int | float | str | EnumValue | NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """The ShapesData of one detector segment in one datagram.

    Attributes
    ----------
    names : Names
        What describes it.
    damage : int
        That of the ShapesData itself.
    above : int
        That of the Parents between it and the datagram, all bits together.
    values : mapping
        Plain name of a field -> value; arrays are read-only views of the datagram, unaligned perhaps.
        Empty where the contribution is damaged so much that it cannot be decoded.
    """

    names: Names
    damage: int
    above: int
    values: Mapping[str, Any]


def decode(data: bytes, schema: Schema, place: Place) -> tuple[Contribution, ...]:
    """Decode one datagram.

    Parameters
    ----------
    data : bytes
        The whole datagram, with its header.
    schema : Schema
        The latest Configure before it.
    place : Place
        Where it lies.

    Raises
    ------
    SourceFormatError
        If it contradicts itself or the schema.
    """
    raise NotImplementedError
