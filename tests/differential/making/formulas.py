"""Formulas: text that the grammar allows, of fields whose types fit."""

from __future__ import annotations

from typing import Any

from tests.differential.making.chance import Chance
from tests.differential.making.fields import Field, Names


class Formulas:
    """Writes formulas of what there is in a run."""

    def __init__(self, chance: Chance, names: Names) -> None:
        self._chance, self._names = chance, names
        self._plain = [field for field in names.fields if not field.codes]
        self._calm = [f for f in self._plain if (f.tame or f.kind == "f") and f.kind != "b"]
        """Fields whose integers are small: what is computed of them fits 64 bits."""

    def number(self) -> str:
        """Return a formula that gives one number per event."""
        return self._scalar(2)

    def array(self) -> tuple[str, tuple[int, ...]]:
        """Return a formula that gives a number for each element of a field, and its shape."""
        field = self._chance.pick(*[field for field in self._plain if field.shape])
        name, other = self._name(field), self._scalar(1)
        text = self._chance.pick(
            f"{name} * {other}",
            f"{other} - {name}",
            f"abs({name}) + 0.5",
            f"where({name} > {self._constant()}, {name}, {self._scalar(0)})",
        )
        return text, field.shape

    def condition(self) -> str:
        """Return a formula that gives one answer per event."""
        return self._condition(2)

    def _name(self, field: Field) -> str:
        plain = field.name.replace("/", "").replace("_", "").isalnum()
        return field.name.replace("/", "__") if plain and self._chance.happens(0.5) else f"`{field.name}`"

    def _constant(self) -> str:
        return str(self._chance.pick(-2, -1, 0, 1, 2, 3, 0.5, 0.25, 1.5, 0.1, "pi", "(1 / 4)", 1e3))

    def _scalar(self, depth: int) -> str:
        """Return one number per event."""
        pick = self._chance.pick
        if depth == 0 or self._chance.happens(0.2):
            return self._leaf()

        def part() -> str:
            return self._scalar(depth - 1)

        found: str = self._chance.one_of(
            lambda: f"({part()} {pick('+', '-', '*', '/', '+', '-')} {part()})",
            lambda: f"({part()} {pick('+', '-', '*', '/', '//', '%')} {self._constant()})",
            lambda: f"({self._whole()} {pick('//', '%')} {self._whole()})",
            lambda: f"{self._constant()} {pick('+', '-', '*', '/')} {part()}",
            lambda: f"{part()} ** {pick(0, 2, 3, 0.5, self._leaf())}",
            lambda: f"1 ** ({part()})",
            lambda: f"-{part()}",
            lambda: f"{pick('abs', 'floor', 'ceil', 'round', 'sign')}({part()})",
            lambda: f"{pick('sqrt', 'log', 'log10', 'exp', 'sin', 'cos', 'tan')}({part()})",
            lambda: f"{pick('minimum', 'maximum')}({part()}, {part()})",
            lambda: f"clip({part()}, {pick(-1, 0, 0.5)}, {pick(1, 1.5, 2)})",
            lambda: f"where({self._condition(0)}, {part()}, {part()})",
            lambda: f"{pick('sum', 'mean', 'min', 'max')}({self._elements()})",
            lambda: f"({self._condition(0)}) + 1",
        )
        return found

    def _leaf(self) -> str:
        """Return a field, an element of one, or a derived variable."""
        derived = [name for name, shape in self._names.derived.items() if not shape]
        if derived and self._chance.happens(0.3):
            return str(self._chance.pick(*derived))
        field = self._chance.pick(*[field for field in self._calm if len(field.shape) < 2])
        index = f"[{self._chance.pick(0, -1, field.shape[0] - 1)}]" if field.shape else ""
        return self._name(field) + index

    def _whole(self) -> str:
        """Return whole numbers, some of them 0, if there is such a field."""
        whole = [field for field in self._calm if field.kind in "iu" and not field.shape]
        return self._name(self._chance.pick(*whole)) if whole else self._leaf()

    def _elements(self) -> str:
        """Return a field of several elements, or a part of one."""
        fields = [field for field in self._calm if field.shape]
        field = self._chance.pick(*fields)
        parts = ("", "[:]", "[0:1]", "[::2]") if len(field.shape) == 1 else ("", "[0]", "[:, 0:1]")
        return self._name(field) + str(self._chance.pick(*parts))

    def _condition(self, depth: int) -> str:
        """Return one answer per event."""
        pick = self._chance.pick
        if depth and self._chance.happens(0.4):
            first, second = self._condition(depth - 1), self._condition(depth - 1)
            joined = f"({first}) {pick('and', 'or', '&', '|')} ({second})"
            return str(pick(joined, joined, f"{pick('not', '~')} ({first})"))
        least, most = pick("-1 <", "0 <="), pick("< 1", "<= 1.5", "<= 2")
        found: str = self._chance.one_of(
            lambda: f"{self._any_scalar()} {self._compares()} {self._constant()}",
            lambda: f"{self._constant()} {self._compares()} {self._scalar(1)}",
            lambda: f"{self._scalar(1)} {self._compares()} {self._scalar(1)}",
            lambda: f"{least} {self._scalar(1)} {most}",
            lambda: f"{pick('isfinite', 'isnan')}({self._scalar(0)})",
            lambda: f"{pick('any', 'all')}({self._elements()} {self._compares()} {self._constant()})",
            self._bits,
            self._code,
        )
        return found

    def _any_scalar(self) -> str:
        return self._name(self._chance.pick(*[field for field in self._plain if not field.shape]))

    def _bits(self) -> str:
        small = [f for f in self._plain if f.kind in "iu" and not f.shape and f.itemsize < 8]
        name = self._name(self._chance.pick(*small)) if small else "lightStatus__laser"
        pick = self._chance.pick
        return f"{name} {pick('&', '|')} {pick(1, 2, 5)} {pick('==', '!=')} {pick(0, 1)}"

    def _code(self) -> str:
        codes = [field for field in self._names.fields if field.codes]
        if not codes:
            return self._bits()
        return f"eventcode({self._name(self._chance.pick(*codes))}, {self._chance.between(0, 287)})"

    def _compares(self) -> Any:
        return self._chance.pick("<", "<=", ">", ">=", "==", "!=")
