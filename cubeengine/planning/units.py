"""Columns in the unit that is wanted: units are declared, never guessed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cubeengine.errors import SpecError
from cubeengine.events.run import Run
from cubeengine.spec.writing import flow
from cubeengine.types import Column
from cubeengine.units import convert


def column_in(run: Run, field: str, units: Mapping[str, str], unit: str, where: str) -> Column:
    """Read a field and convert it.

    Parameters
    ----------
    run : Run
        Has the field.
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
    column, declared = run.column(field), units.get(field)
    if declared == unit or (declared is None and not unit):
        return column
    if declared is None:
        raise SpecError(
            f"{where}: wants {field!r} in {unit!r}, but the unit of that field is declared nowhere; "
            f"add it, for example  units: {flow({field: unit})}"
        )
    try:
        return Column(convert(column.data.astype(np.float64), declared, unit), column.valid, column.damaged)
    except SpecError as err:
        raise SpecError(f"{where}: {field!r}: {err}") from err
