"""Axes of every form."""

from __future__ import annotations

from typing import Any

from tests.differential.making.chance import Chance
from tests.differential.making.fields import Names
from tests.differential.making.runs import Runs

GIVEN = ("edges", "edges", "step", "bins", "centers", "center list", "seen")
"""Forms whose edges stand in the spec."""


class Axes:
    """Makes the axes of a spec.

    Attributes
    ----------
    n_bins : dict
        Bins of the axes of which the spec itself says how many there are.
    """

    def __init__(self, chance: Chance, names: Names, runs: Runs, *, merged: bool) -> None:
        self._chance, self._names, self._runs = chance, names, runs
        self._forms = GIVEN if merged else (*GIVEN, "quantiles", "steps", "steps", "steps")
        self.n_bins: dict[str, int] = {}

    def axes(self) -> list[dict[str, Any]]:
        """Return no axis, or up to three of different fields."""
        chosen = self._chance.some(self._names.scalars(), self._chance.pick(0, 1, 1, 1, 2, 2, 3))
        return [self._axis(name, most=3 if len(chosen) > 2 else 9) for name in chosen]

    def _axis(self, name: str, most: int) -> dict[str, Any]:
        chance, declared = self._chance, self._names.units.get(name)
        axis: dict[str, Any] = {"field": name}
        if declared in ("s", "ps"):
            axis["unit"] = chance.pick("ps", "fs")
        elif declared is None:
            axis["unit"] = ""
        form, n = chance.pick(*self._forms), chance.between(1, most)
        scale = 1000.0 if axis.get("unit") == "fs" else 1.0
        if form in ("edges", "center list"):
            points = [point / 8 * scale for point in sorted(chance.some(range(-8, 28), n + 1))]
            axis["edges" if form == "edges" else "centers"] = points
            self.n_bins[name] = len(points) - (form == "edges")
        elif form == "seen":
            axis["edges"] = self._seen_edges(name, n + 1)
        elif form == "quantiles":
            axis["quantiles"] = chance.between(1, 4)
        elif form == "steps":
            axis |= self._steps(axis.get("unit"), scale)
        else:
            spacing = self._spacing(form, n, axis.get("unit"), scale)
            axis["centers" if form == "centers" else "edges"] = spacing
            self.n_bins[name] = n + (form == "centers")
        return axis

    def _seen_edges(self, name: str, n: int) -> list[float]:
        """Return numbers that the field holds: many events lie on edges."""
        field = self._names.field(name)
        seen = {float(self._runs.seen(field)) for _ in range(n)} if field and field.kind != "b" else set()
        return sorted(seen) if len(seen) > 1 else [-1.0, 0.0, 1.0]

    def _steps(self, unit: str | None, scale: float) -> dict[str, Any]:
        chance, found = self._chance, dict[str, Any]()
        others = [name for name in self._names.scalars() if self._names.units.get(name) in ("s", "ps")]
        found["steps"] = chance.pick("auto", "auto", *others) if unit in ("ps", "fs") else "auto"
        if chance.happens(0.6):
            found["tolerance"] = chance.pick(0, 0.02 * scale, 0.1 * scale, 0.3 * scale)
            if unit == "ps" and chance.happens(0.3):
                found["tolerance"] = chance.pick("50 fs", "0.02 ps")
        return found

    def _spacing(self, form: str, n: int, unit: str | None, scale: float) -> dict[str, Any]:
        chance = self._chance
        step = chance.pick(0.1, 0.25, 0.5, 1)
        start = chance.pick(0.25 * chance.between(-4, 2), 0.1 * chance.between(-4, 4))
        values = {"start": start, "stop": start + n * step, "step": step}
        found: dict[str, Any] = {key: round(value * scale, 6) for key, value in values.items()}
        if form == "bins":
            found = {"start": found["start"], "stop": found["stop"], "bins": n}
        if unit == "ps" and chance.happens(0.3):
            found["start"] = f"{found['start'] * 1000:.12g} fs"
        return found
