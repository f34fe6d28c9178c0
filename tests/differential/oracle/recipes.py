"""Derived variables that are more than a formula: the delay, and what looks at other events."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

import numpy as np

from tests.differential.oracle.events import Column, by_event, finite, unknown
from tests.differential.oracle.formulas import NAN
from tests.differential.oracle.selections import FALSE, TRUE
from tests.differential.oracle.units import amount, convert, nanoseconds

Counts = dict[str, int]


def delay(recipe: dict[str, Any], columns: Any) -> tuple[Column, Counts]:
    """Return nominal + sign * timetool - t0 where the laser is on, nominal - t0 where it is off, in ps."""
    n_events, names = columns.n_events, ("nominal", "timetool")
    nominal, timetool = (
        [convert(_float(value), columns.unit(recipe[key]), "ps") for value in columns(recipe[key])]
        if key in recipe
        else [0.0] * n_events
        for key in names
    )
    laser = [TRUE] * n_events
    if recipe.get("laser") != "none":
        laser = columns.selections.answers(columns.selections.state("laser", "on"))
    valid = [TRUE] * n_events
    if "valid" in recipe:
        valid = list(columns.selections.condition(recipe["valid"]).answers)
    sign, t0 = int(recipe.get("sign", 1)), amount(recipe.get("t0", 0), "ps")
    values, counts = [], dict.fromkeys(("laser_on", "laser_off", "unknown", "no_timetool", "no_nominal"), 0)
    for set_to, tool, light, trusted in zip(nominal, timetool, laser, valid, strict=True):
        value, kind = NAN, "unknown"
        if light in (TRUE, FALSE):
            good = trusted == TRUE and not unknown(tool)
            kind = "laser_off" if light == FALSE else "laser_on" if good else "no_timetool"
            kind = "no_nominal" if unknown(set_to) else kind
            if kind == "laser_on":
                value = set_to + sign * tool - t0
            elif kind == "laser_off":
                value = set_to - t0
        counts[kind] += 1
        values.append(float(value))
    return _column(values), counts


def running(recipe: dict[str, Any], columns: Any) -> tuple[Column, Counts]:
    """Return the median or mean of the finite values of a window of events, or of real time."""
    window, trailing = recipe["window"], recipe.get("at") == "trailing"
    values, everywhere, times = columns(recipe["field"]), range(columns.n_events), columns.times

    def inside(i: int, j: int) -> bool:
        if isinstance(window, int):
            before, after = (window - 1, 0) if trailing else (window // 2, window // 2)
            return -before <= j - i <= after
        length = nanoseconds(window)
        return 0 <= times[i] - times[j] <= length if trailing else abs(times[i] - times[j]) <= length / 2

    results, found, wanted = [], [], []
    for i in everywhere:
        there = [j for j in everywhere if inside(i, j)]
        part = [float(values[j]) for j in there if finite(values[j])]
        mean = median if recipe.get("statistic", "median") == "median" else _mean
        results.append(mean(part) if part else NAN)
        found.append(len(part))
        wanted.append(window if isinstance(window, int) else len(there))
    return _column(results), _counts(found, wanted)


def neighbours(recipe: dict[str, Any], columns: Any) -> tuple[Column, Counts]:
    """Return the mean over the events of a selection that are nearest in time, or the difference from it."""
    times, among, n = columns.times, columns.selections.named(recipe["among"]), recipe.get("n", 1)
    keep = columns.selections.answers(among)
    column = columns(recipe["field"])
    values = by_event(column)
    within = nanoseconds(recipe["within"]) if "within" in recipe else math.inf
    candidates = [j for j in range(len(times)) if keep[j] == TRUE and any(map(finite, values[j]))]
    difference = recipe.get("give") == "difference"
    results, found, lacking = [], [], []
    for i, time in enumerate(times):
        near = [j for j in candidates if j != i and abs(times[j] - time) <= within]
        near = sorted(near, key=lambda j: (abs(times[j] - time), j > i, abs(j - i)))[:n]
        parts = [[float(v) for v in part if finite(v)] for part in zip(*values[near], strict=True)]
        means = [_mean(part) if part else NAN for part in parts] or [NAN] * values.shape[1]
        if difference:
            means = [float(v) - mean if finite(v) else NAN for v, mean in zip(values[i], means, strict=True)]
        results.append(means)
        found.append(len(near))
        lacking.append(difference and not any(map(finite, values[i])))
    result = np.empty(values.shape, object)
    result.reshape(-1)[:] = [value for row in results for value in row]
    return result.reshape(column.shape), _counts(found, [n] * len(times), lacking)


def shift(recipe: dict[str, Any], columns: Any) -> tuple[Column, Counts]:
    """Return the value of the event so many events later."""
    times, column, n_events = columns.times, columns(recipe["field"]), columns.n_events
    within = nanoseconds(recipe["within"]) if "within" in recipe else math.inf
    result = np.full(column.shape, None if columns.whole(recipe["field"]) else NAN, object)
    found, lacking = [], []
    for i in range(n_events):
        j = i + recipe["events"]
        there = 0 <= j < n_events and abs(times[j] - times[i]) <= within
        if there:
            result[i] = column[j]
        has = there and any(map(finite, np.ravel(column[j])))
        found.append(int(has))
        lacking.append(there and not has)
    return result, _counts(found, [1] * n_events, lacking)


RECIPES = {"delay": delay, "running": running, "neighbours": neighbours, "shift": shift}


def _counts(found: list[int], wanted: list[int], lacking: list[bool] | None = None) -> Counts:
    kinds = [
        "missing" if lacks else "nothing" if not some else "complete" if some >= all_ else "partial"
        for some, all_, lacks in zip(found, wanted, lacking or [False] * len(found), strict=True)
    ]
    return {kind: kinds.count(kind) for kind in ("complete", "partial", "nothing", "missing")}


def _float(value: Any) -> float:
    return NAN if value is None else float(value)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _column(values: list[Any]) -> Column:
    column = np.empty(len(values), object)
    column[:] = values
    return column
