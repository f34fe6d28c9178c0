"""Axes: where the bins are, and in which every event falls."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from tests.differential.oracle.events import Column, Single, finite
from tests.differential.oracle.selections import FALSE, MISSING, NAN, TRUE, Refused
from tests.differential.oracle.units import amount, convert, decimal


@dataclass(frozen=True)
class Axis:
    """An axis and the events on it.

    Attributes
    ----------
    name, field, unit : str
    edges, labels : lists of float
    index : list of int
        Bin of each event, -1 for none.
    answers : list of int
        TRUE in a bin, FALSE outside, else why it is not known.
    values : Column
        The field in the axis's unit.
    exact : bool
        Whether the contract says where the edges are to the last bit.
    """

    name: str
    field: str
    unit: str
    edges: list[float]
    labels: list[float]
    index: list[int]
    answers: list[int]
    values: Column
    exact: bool = True


def place(written: dict[str, Any], columns: Any, kept: list[bool]) -> Axis:
    """Find the bins of an axis, and the events in them; `kept` are the events that some selection keeps."""
    name = written["field"]
    unit = written.get("unit", columns.unit(name))
    values = _converted(columns(name), columns.unit(name), unit)
    readings, exact = values, True
    if "steps" in written:
        other = name if written["steps"] == "auto" else written["steps"]
        readings = _converted(columns(other), columns.unit(other), unit)
        if not any(keep and finite(v) for v, keep in zip(readings, kept, strict=True)):
            raise Refused("steps of no values")
        tolerance = _tolerance(written, readings, kept, unit)
        settings = _steps(tolerance, readings, kept)
        labels = [value for _, value, _ in settings]
        edges, exact = _around(labels, tolerance), len(labels) > 1
        inside = [
            [i for i, (low, _, high) in enumerate(settings) if finite(v) and low <= float(v) <= high]
            for v in readings
        ]
        index = [found[0] if found else -1 for found in inside]
    else:
        edges, labels, exact = _edges(written, values, kept, unit)
        index = [_bin(float(v), edges) if finite(v) else -1 for v in readings]
    answers = [
        MISSING if v is None else NAN if not finite(v) else TRUE if i >= 0 else FALSE
        for v, i in zip(readings, index, strict=True)
    ]
    # Means and other computed values may differ in the last bit, and so do edges that come from them.
    exact = exact and not (
        ("quantiles" in written or "steps" in written) and name in columns.spec.get("derive", {})
    )
    return Axis(name.replace("/", "__"), name, unit, edges, labels, index, answers, values, exact)


def _bin(value: float, edges: list[float]) -> int:
    """Return the bin [low, high) of a value, the last one [low, high]; -1 outside."""
    if not edges[0] <= value <= edges[-1]:
        return -1
    return min(bisect_right(edges, value), len(edges) - 1) - 1


def _edges(
    written: dict[str, Any], values: Column, kept: list[bool], unit: str
) -> tuple[list[float], list[float], bool]:
    if "quantiles" in written:
        return _quantiles(written["quantiles"], values, kept)
    form = written.get("edges", written.get("centers"))
    if isinstance(form, list):
        points = [float(amount(value, unit)) for value in form]
        if "centers" in written:
            return _around(points, 0.0), points, len(points) > 1
        edges = points
    else:
        start, stop = decimal(form["start"], unit), decimal(form["stop"], unit)
        step = (stop - start) / form["bins"] if "bins" in form else decimal(form["step"], unit)
        n = round((stop - start) / step)
        if "centers" in written:
            edges = [float(start + (i - Fraction(1, 2)) * step) for i in range(n + 2)]
            return edges, [float(start + i * step) for i in range(n + 1)], True
        edges = [float(start + i * step) for i in range(n + 1)]
    return edges, _middles(edges), True


def _quantiles(n: int, values: Column, kept: list[bool]) -> tuple[list[float], list[float], bool]:
    numbers = [float(v) for v, keep in zip(values, kept, strict=True) if keep and finite(v)]
    if len(numbers) < 2:
        raise Refused("quantiles of fewer than two values")
    edges = np.quantile(numbers, np.linspace(0, 1, n + 1)).tolist()
    if edges[0] == edges[-1]:  # one value: a thin bin around it
        return _thin(edges[0]), [edges[0]], False
    if len(set(edges)) < len(edges):
        raise Refused("quantiles with equal edges")
    return edges, _middles(edges), True


def _steps(tolerance: float, readings: Column, kept: list[bool]) -> list[tuple[float, float, float]]:
    """Return the settings as (lowest reading, setting, highest reading).

    A setting is a window of the width of the tolerance, from a reading upwards, that holds more events than
    every window it overlaps; of equals the lowest. Its value is the median reading, the lower one of two.
    """
    numbers = sorted(float(v) for v, keep in zip(readings, kept, strict=True) if keep and finite(v))
    windows = [[v for v in numbers if low <= v <= low + tolerance] for low in sorted(set(numbers))]
    settings: list[tuple[float, float, float]] = []
    for window in windows:
        denser = any(
            len(other) > len(window) and other[0] <= window[-1] and window[0] <= other[-1]
            for other in windows
        )
        if not denser and not (settings and window[0] <= settings[-1][2]):
            settings.append((window[0], window[(len(window) - 1) // 2], window[-1]))
    chains = sum(high > low + tolerance for low, high in zip([-np.inf, *numbers], numbers, strict=False))
    if any(found > 100 and 2 * found > len(numbers) for found in (chains, len(settings))):
        raise Refused("readings that never repeat are no steps")
    return settings


def _tolerance(written: dict[str, Any], readings: Column, kept: list[bool], unit: str) -> float:
    """Return how wide a setting may be: by default 1e-9 of the range, and the rounding of floats."""
    if "tolerance" in written:
        return float(amount(written["tolerance"], unit))
    there = [v for v, keep in zip(readings, kept, strict=True) if keep and finite(v)]
    low, high = float(min(there)), float(max(there))
    if not isinstance(there[0], float):
        return 0.0
    rounding = 4 * 2.0**-23 if isinstance(there[0], Single) else 4 * 2.0**-52
    return max(1e-9 * (high - low), rounding * max(abs(low), abs(high)))


def _around(labels: list[float], reach: float) -> list[float]:
    """Return edges midway between settings, and as far beyond the outer ones."""
    if len(labels) == 1:
        return _thin(labels[0], reach)
    inner = _middles(labels)
    return [2 * labels[0] - inner[0], *inner, 2 * labels[-1] - inner[-1]]


def _thin(value: float, reach: float = 0.0) -> list[float]:
    half = max(abs(value) * 1e-6, 1e-15, reach)
    return [value - half, value + half]


def _middles(edges: list[float]) -> list[float]:
    return [(low + high) / 2 for low, high in pairwise(edges)]


def _converted(column: Column, unit: str, to: str) -> Column:
    if unit == to:
        return column
    made = [None if v is None else convert(float(v), unit, to) for v in column]
    result = np.empty(len(made), object)
    result[:] = made
    return result
