"""Columns in the unit that is wanted: units are declared, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.window import Computed, Window
from cubeengine.spec.conventions import unit_hint
from cubeengine.types import Column
from cubeengine.units import convert


@dataclass(frozen=True, slots=True)
class FieldIn:
    """A field in a unit; also a variable of its own."""

    field: str  # its name
    declared: str  # unit of its numbers
    unit: str  # the unit wanted

    @property
    def converts(self) -> bool:
        """Whether its numbers have to change."""
        return self.declared != self.unit

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's value."""
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of converted numbers."""
        return np.dtype(np.float64)

    def column(self, window: Window) -> Column:
        """Return the values of the events of a window."""
        column = window.column(self.field)
        if not self.converts:
            return column
        data = convert(column.data.astype(np.float64), self.declared, self.unit)
        return Column(data, column.valid, column.damaged)

    def compute(self, window: Window) -> Computed:
        """Return the same as a variable does."""
        return Computed(self.column(window))


def field_in(field: str, units: Mapping[str, str], unit: str, where: str) -> FieldIn:
    """Say how a field is had in a unit.

    Parameters
    ----------
    field : str
        Its name.
    units : mapping
        Field -> declared unit.
    unit : str
        The unit wanted; "" takes the numbers as they are.
    where : str
        Part of the spec, for messages.

    Raises
    ------
    SpecError
        If the field's unit is declared nowhere, or measures something else.
    """
    declared = units.get(field)
    if declared is None and not unit:
        return FieldIn(field, "", "")
    if declared is None:
        raise SpecError(
            f"{where}: needs {field!r} in {unit!r}, but the unit of that field is not declared; "
            f"{unit_hint(field, unit)}"
        )
    found = FieldIn(field, declared, unit)
    try:
        if found.converts:
            convert(np.empty(0), declared, unit)
    except SpecError as err:
        raise SpecError(f"{where}: {field!r}: {err}") from err
    return found
