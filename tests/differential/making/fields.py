"""What a run holds: names of the facility where they mean something, any type of number elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.differential.making.chance import Chance

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
FLOATS = ("f2", "f4", "f8")


@dataclass(frozen=True)
class Field:
    """A field of the run that is made.

    Attributes
    ----------
    name, dtype : str
    shape : tuple of int
        Of one event's value.
    tame : bool
        Whether its values are few and small, so that many are equal and formulas stay exact.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    tame: bool = True

    @property
    def kind(self) -> str:
        return np.dtype(self.dtype).kind

    @property
    def itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    @property
    def codes(self) -> bool:
        """Whether it holds event codes."""
        return self.name.startswith("timing/")


@dataclass
class Names:
    """Fields and derived variables, with their units and shapes.

    Attributes
    ----------
    fields : sequence of Field
    units : dict
        Declared units, and those of derived variables that have one.
    derived : dict
        Name of a derived variable -> its shape.
    """

    fields: Sequence[Field]
    units: dict[str, str]
    derived: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)

    def shape(self, name: str) -> tuple[int, ...]:
        found = self.field(name)
        return self.derived[name] if found is None else found.shape

    def scalars(self) -> list[str]:
        """Return the names of all that is one number per event."""
        return [name for name in (*self.derived, *(f.name for f in self.fields)) if not self.shape(name)]


def choose_fields(chance: Chance) -> list[Field]:
    """Choose the fields of a run."""

    def any_order(dtype: str) -> str:
        return dtype if dtype == "b1" else chance.pick("<", ">") + dtype

    found = [
        Field("scan/lxt", chance.pick("f8", "f8", "f4", "i4")),
        Field("lightStatus/laser", "i8"),
        Field("lightStatus/xray", chance.pick("i8", "i8", "f8")),
        Field("tt/ttCorr", chance.pick("f8", "f4")),
        Field("tt/AMPL", "f8"),
        Field("ipm2/sum", chance.pick("f8", "f4")),
    ]
    for number in range(chance.between(2, 5)):
        dtype = chance.pick("f8", *INTEGERS, *FLOATS, "b1")
        name = chance.pick(f"evr/code_{137 + number}", f"epics/X:{number}.VAL", f"a{number}/x")
        found.append(Field(name, any_order(dtype), (), dtype == "b1" or chance.happens(0.7)))
    channels = any_order(chance.pick("f8", "f4", *INTEGERS))
    found.append(Field("diode2/channels", channels, (chance.between(1, 4),)))
    if chance.happens(0.06):
        found.append(Field("timing/eventcodes", chance.pick("u1", "i8"), (288,)))
    if chance.happens(0.06):
        found.append(Field("timing/raw/sequenceValues", "u2", (18,)))
    rows, columns = chance.between(1, 6), chance.between(1, 6)
    for number in range(chance.between(0, 2)):
        shape = chance.pick((rows, columns), (rows, columns), (2, rows, columns), (rows * columns,))
        dtype = chance.pick("u2", "f4", *INTEGERS, *FLOATS)
        found.append(Field(f"det{number}/ROI_0_area", any_order(dtype), shape, chance.happens(0.5)))
    return found
