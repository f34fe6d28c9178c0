"""Specs that fit a run: units, marks, derived variables, selections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.differential.case import MARK
from tests.differential.making.axes import Axes
from tests.differential.making.chance import Chance
from tests.differential.making.fields import Field, Names
from tests.differential.making.formulas import Formulas
from tests.differential.making.runs import Runs
from tests.differential.making.signals import Signals


class Specs:
    """Makes a spec of the fields of some runs.

    Attributes
    ----------
    files : dict
        What the stages need: see `Case`.
    """

    def __init__(self, chance: Chance, fields: Sequence[Field], runs: Runs, *, merged: bool) -> None:
        units = {"scan/lxt": runs.scan_unit, "tt/ttCorr": "ps", "ipm2/sum": ""}
        self._chance, self._fields, self._runs, self._merged = chance, fields, runs, merged
        self._names = Names(fields, dict(units))
        self._units = units
        self._formulas = Formulas(chance, self._names)
        self._axes = Axes(chance, self._names, runs, merged=merged)
        self._signals = Signals(chance, self._names)
        self.files = self._signals.files

    def spec(self) -> dict[str, Any]:
        """Return the spec, as it stands in YAML."""
        chance = self._chance
        spec: dict[str, Any] = {"cube": "case", "units": self._units}
        plain = [field for field in self._fields if field.kind != "b" and not field.codes]
        if declared := chance.some(plain, chance.pick(0, 0, 0, 1, 2)):
            spec["missing"] = {field.name: self._marks(field) for field in declared}
        if laser := self._laser():
            spec["run"] = {"laser": laser}
        if derive := self._derive():
            spec["derive"] = derive
        spec["select"] = self._select()
        spec["axes"] = self._axes.axes()
        cubes = chance.some([name for name in spec["select"] if name != "all"], chance.between(0, 3))
        if cubes := cubes + ["all"] * chance.happens(0.5):
            spec["cubes"] = cubes
        spec["signals"] = self._signals.signals()
        return spec

    def part_or_coarser(self) -> dict[str, Any]:
        """Return that a part of the run is looked at, or that bins are joined, if so."""
        chance, n_bins = self._chance, self._axes.n_bins
        if n_bins and chance.happens(0.08):
            name = chance.pick(*n_bins)
            edges = {*chance.some(range(n_bins[name]), chance.between(1, n_bins[name])), n_bins[name]}
            return {"coarser": {name: sorted(edges)}}
        if chance.happens(0.08):
            first = chance.between(1, 60)
            return {"sample": chance.pick({"events": first}, {"every": 3}, {"events": first, "every": 2})}
        return {}

    def _marks(self, field: Field) -> Any:
        """Return what may be declared to stand for missing values in a field."""
        number = self._runs.seen(field)
        wrapped = 0.5 if field.kind == "f" else int(np.array(MARK).astype(field.dtype))
        return self._chance.pick("leading_zeros", number, wrapped, [number, wrapped, "leading_zeros"], [])

    def _laser(self) -> str | None:
        """Return what `laser: on` means; None for the usual."""
        chance = self._chance
        flags = [field.name for field in self._fields if field.name.startswith("evr") and field.tame]
        codes = [field.name for field in self._fields if field.codes]
        if codes and chance.happens(0.7):
            return f"eventcode(`{chance.pick(*codes)}`, {chance.between(0, 287)})"
        if flags and chance.happens(0.2):
            code = chance.pick(*flags)
            return str(chance.pick(code, f"`{code}` == 1", f"`{code}` > 0 and tt__AMPL > 0"))
        return None

    # --- derived variables ----------------------------------------------------------------------------

    def _derive(self) -> dict[str, Any]:
        chance, found = self._chance, dict[str, Any]()
        if chance.happens(0.5):
            found["delay"] = {"delay": self._delay()}
            self._know("delay", (), "ps")
        for name in ("d0", "d1")[: chance.between(0, 2)]:
            shape: tuple[int, ...] = ()
            if chance.happens(0.7):
                found[name] = self._formulas.number()
            else:
                found[name], shape = self._formulas.array()
            self._know(name, shape)
        if self._merged:  # what looks at other events differs between two runs and one
            return found
        recipes = {"slow": self._running, "near": self._neighbours, "before": self._shift}
        for name, recipe in recipes.items():
            if chance.happens(0.25):
                found[name], field = recipe()
                self._know(name, () if name == "slow" else field.shape, self._units.get(field.name))
        return found

    def _know(self, name: str, shape: tuple[int, ...], unit: str | None = None) -> None:
        self._names.derived[name] = shape
        if unit is not None:
            self._names.units[name] = unit

    def _delay(self) -> dict[str, Any]:
        chance, recipe = self._chance, dict[str, Any]({"nominal": "scan/lxt"})
        if chance.happens(0.8):
            recipe |= {"timetool": "tt/ttCorr", "sign": chance.pick(1, -1)}
            if chance.happens(0.5):
                recipe["valid"] = chance.pick("`tt/AMPL` > 0.5", "0 <= tt__AMPL < 2")
        if chance.happens(0.3):
            recipe["t0"] = chance.pick(0.1, "120 fs", "-0.25 ps")
        if chance.happens(0.2):
            recipe["laser"] = "none"
        return recipe

    def _running(self) -> tuple[dict[str, Any], Field]:
        chance = self._chance
        field = chance.pick(*[f for f in self._fields if not f.shape and f.kind != "b" and f.tame])
        window = chance.pick(2 * chance.between(0, 6) + 1, "20 ms", "1 s", "100 ms")
        options = {"statistic": chance.pick("median", "mean"), "at": chance.pick("center", "trailing")}
        return {"running": {"field": field.name, "window": window, **options}}, field

    def _neighbours(self) -> tuple[dict[str, Any], Field]:
        chance = self._chance
        field = chance.pick(*[field for field in self._fields if field.kind != "b" and not field.codes])
        options = {"n": chance.between(1, 4), "give": chance.pick("mean", "difference")}
        within = {"within": chance.pick("10 ms", "1 s")} if chance.happens(0.5) else {}
        return {"neighbours": {"field": field.name, "among": "dark", **options, **within}}, field

    def _shift(self) -> tuple[dict[str, Any], Field]:
        chance = self._chance
        field = chance.pick(*[field for field in self._fields if not field.codes])
        within = {"within": chance.pick("10 ms", "20 ms", "1 s")} if chance.happens(0.5) else {}
        return {"shift": {"field": field.name, "events": chance.pick(-2, -1, 1, 3), **within}}, field

    # --- selections -----------------------------------------------------------------------------------

    def _select(self) -> dict[str, Any]:
        chance = self._chance
        dark = {"laser": "off", "all": [self._cut() for _ in range(chance.pick(0, 0, 1))]}
        found: dict[str, Any] = {"dark": dark}
        for name in ("good", "on", "some", "odd")[: chance.between(1, 4)]:
            found[name] = self._selection(list(found))
        if chance.happens(0.05):
            found["all"] = ["isfinite(ipm2__sum)"]
        return found

    def _selection(self, named: list[str]) -> Any:
        chance = self._chance
        members = self._members(chance.pick(0, 0, 1, 1, 2, 3))
        if chance.happens(0.4):
            members.insert(0, chance.pick(*named, "all"))
        if chance.happens(0.3):
            return members
        if chance.happens(0.2):
            return {"all": members, "without": [chance.pick("tt/*", "tt/*", "lightStatus/*", "a?/x", "*")]}
        found: dict[str, Any] = {"all": members}
        if chance.happens(0.3):
            found["any"] = self._members(chance.between(2, 3))
        if chance.happens(0.2):
            found["not"] = self._members(chance.between(1, 2))
        for key, share in (("laser", 0.3), ("xray", 0.2)):
            if chance.happens(share):
                found[key] = chance.pick("on", "on", "off")
        return found

    def _members(self, n: int) -> list[Any]:
        return [self._member() for _ in range(n)]

    def _member(self) -> Any:
        if self._chance.happens(0.12):
            first, second = self._members(2)
            return self._chance.pick({"any": [first, second]}, {"not": [first]}, [first, second])
        return self._formulas.condition() if self._chance.happens(0.35) else self._cut()

    def _cut(self) -> dict[str, Any]:
        chance = self._chance
        if chance.happens(0.2):
            return self._cut_in_unit()
        field = chance.pick(*[f for f in self._fields if not f.shape and f.name != "scan/lxt"])
        low, high = sorted([self._number(field), self._number(field)])
        either = chance.pick({"min": low}, {"max": high})
        both = {"min": low, "max": high}
        return {"field": field.name} | chance.pick(
            either, either, both, {"equal": low}, {"in": [low, high, 0, 1]}
        )

    def _cut_in_unit(self) -> dict[str, Any]:
        chance = self._chance
        low, high = sorted(round(chance.between(-3, 8) * 0.1, 1) for _ in range(2))
        name = chance.pick("scan/lxt", "tt/ttCorr", *["delay"] * ("delay" in self._names.derived))
        between = {"min": f"{low - 0.03:.2f} ps", "max": f"{(high + 0.03) * 1000:.0f} fs"}
        at = {"min": f"{low} ps", "max": f"{high} ps"}
        listed = {"in": [f"{low} ps", f"{high * 1000:.0f} fs", "0.1 ps"]}
        return {"field": name} | chance.pick(between, at, {"max": at["max"]}, listed, {"equal": at["max"]})

    def _number(self, field: Field) -> Any:
        chance = self._chance
        if chance.happens(0.4) and field.kind != "b":
            return self._runs.seen(field)
        if field.kind == "f":
            return chance.pick(-1, 0, 0.25, 0.5, 1, 1.125, 1.3, 2, 2.875)
        if field.kind != "b" and not field.tame and chance.happens(0.5):
            least, most = int(np.iinfo(field.dtype).min), int(np.iinfo(field.dtype).max)
            return chance.pick(least, most, most // 2, most // 3 - 1)
        return chance.pick(*range(-1, 5), 0.5, 1.5)
