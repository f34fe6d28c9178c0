"""The cube: counts, means and standard deviations of every bin, and what became of the events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.differential.oracle import axes, formulas, stages
from tests.differential.oracle.axes import Axis
from tests.differential.oracle.events import Column, by_event, finite, read
from tests.differential.oracle.recipes import RECIPES, Counts
from tests.differential.oracle.selections import TRUE, Node, Refused, Selections, both, fates


@dataclass(frozen=True)
class Values:
    """The values of a signal, event by event.

    Attributes
    ----------
    column : Column
    blur : float
        How far a single value may be off, as it is a sum of floats itself.
    exact : bool
        Whether it is a field as the file has it: if of integers, sums are exact.
    """

    column: Column
    blur: float = 0.0
    exact: bool = False


@dataclass(frozen=True)
class Signal:
    """What is expected of a signal.

    Attributes
    ----------
    count, mean, std : (n_selections, bins..., elements...) arrays
    whole : bool
        Whether it is a field of integers: sums are exact.
    size : array of the same shape
        Mean of the absolute values.
    largest : array of the same shape
        Largest absolute value.
    blur : float
        How far a single value may be off.
    left_out : mapping
        Selection -> events in its bins that lack the signal.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    whole: bool
    size: NDArray[np.float64]
    largest: NDArray[np.float64]
    blur: float
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Cube:
    """What is expected of a cube."""

    selections: tuple[str, ...]
    axes: tuple[Axis, ...]
    n_events: NDArray[np.int64]
    signals: Mapping[str, Signal]
    fates: Mapping[str, Mapping[str, int]]
    cut_flow: Mapping[str, Sequence[tuple[int, int]]]
    derived: Mapping[str, Counts]


class Columns(dict[str, Column]):
    """The fields of a run; derived variables are made when they are asked for."""

    def __init__(self, run: Any, spec: Mapping[str, Any]) -> None:
        self.times, self.fields = read(run, spec.get("missing", {}))
        super().__init__(self.fields)
        self.n_events, self.spec, self.counts = len(self.times), spec, dict[str, Counts]()
        self.selections = Selections(spec, self, self.n_events)

    def __missing__(self, name: str) -> Column:
        written = self.spec.get("derive", {})[name]
        if not isinstance(written, dict):
            self[name] = formulas.variable(str(written), self, self.n_events)
        else:
            recipe, options = next(iter(written.items()))
            self[name], self.counts[name] = RECIPES[recipe](options, self)
        return self[name]

    def __call__(self, name: str) -> Column:
        return self[name]

    def whole(self, name: str) -> bool:
        """Return whether a field or variable of numbers holds whole ones; conditions count as such."""
        written = self.spec.get("derive", {}).get(name)
        if written is None:
            return all(value is None or isinstance(value, int) for value in self[name].flat)
        if isinstance(written, dict):
            return "shift" in written and self.whole(written["shift"]["field"])
        return self[name].ndim == 1 and formulas.whole(str(written), self.whole)

    def unit(self, name: str) -> str:
        """Return the unit of a field or variable: declared, that of a recipe's field, or ps of a delay."""
        written = self.spec.get("derive", {}).get(name)
        if isinstance(written, dict) and name not in self.spec.get("units", {}):
            recipe, options = next(iter(written.items()))
            return "ps" if recipe == "delay" else self.unit(options["field"])
        return str(self.spec.get("units", {}).get(name, ""))


def cube(
    runs: Sequence[Any],
    spec: Mapping[str, Any],
    files: Mapping[str, Any] | None = None,
    sample: Mapping[str, int] | None = None,
) -> Cube:
    """Return what the cube of a run must hold, or the merged cube of several.

    `sample` says that the first `events` alone are looked at, or `every` so many.

    Raises
    ------
    Refused
        If the contract makes an error of it.
    """
    names = tuple(spec.get("cubes", ["all"]))
    pieces = [_Piece(run, spec, names, files or {}, sample or {}) for run in runs]
    first = pieces[0]
    groups = {
        (name, *at): [piece.in_bin(name, at) for piece in pieces]
        for name in names
        for at in product(*(range(len(axis.labels)) for axis in first.axes))
    }
    shape = (len(names), *(len(axis.labels) for axis in first.axes))
    sizes = [sum(map(len, events)) for events in groups.values()]
    signals = {
        name: _signal([piece.signals[name] for piece in pieces], groups, shape, names)
        for name in first.signals
    }
    return Cube(
        names,
        first.axes,
        np.array(sizes, np.int64).reshape(shape),
        signals,
        {name: _added([piece.fates(name) for piece in pieces]) for name in names},
        {
            name: [
                tuple(map(sum, zip(*rows, strict=True)))
                for rows in zip(*(piece.cut_flow(name) for piece in pieces), strict=True)
            ]
            for name in names
        },
        {name: _added([piece.columns.counts[name] for piece in pieces]) for name in first.columns.counts},
    )  # fmt: skip


class _Piece:
    """The events of one run."""

    def __init__(
        self,
        run: Any,
        spec: Mapping[str, Any],
        names: Sequence[str],
        files: Mapping[str, Any],
        sample: Mapping[str, int],
    ) -> None:
        columns = self.columns = Columns(run, spec)
        self.looked_at = range(0, min(sample.get("events", 10**9), columns.n_events), sample.get("every", 1))
        for name in spec.get("derive", {}):
            columns[name]  # counts how its values came about
        for name in spec.get("select", {}):
            columns.selections.named(name)  # what is wrong with one is an error, used or not
        self.nodes: dict[str, Node] = {name: columns.selections.named(name) for name in names}
        self.answers = {name: columns.selections.answers(node) for name, node in self.nodes.items()}
        kept = [TRUE in row for row in zip(*self.answers.values(), strict=True)]
        some = [keep and event in self.looked_at for event, keep in enumerate(kept)]
        self.axes = tuple(
            axes.place(axis, columns, kept if "steps" in axis else some) for axis in spec.get("axes", [])
        )
        self.signals = {
            axis.name: Values(axis.values, exact=axis.field in columns.fields) for axis in self.axes
        }
        for signal in spec.get("signals", []):
            signal = signal if isinstance(signal, dict) else {"field": signal}
            name = signal.get("name", signal["field"].replace("/", "__"))
            self.signals.setdefault(name, _values(columns, signal, files))
        found = list(zip(*(axis.index for axis in self.axes), strict=True)) or [()] * columns.n_events
        self._events = {name: dict[tuple[int, ...], list[int]]() for name in names}
        for name, answers in self.answers.items():
            for event, (answer, at) in enumerate(zip(answers, found, strict=True)):
                if event in self.looked_at and answer == TRUE and self._on_axes(event) == TRUE:
                    self._events[name].setdefault(at, []).append(event)

    def in_bin(self, name: str, at: tuple[int, ...]) -> list[int]:
        return self._events[name].get(at, [])

    def _on_axes(self, event: int) -> int:
        return both(*(axis.answers[event] for axis in self.axes))

    def fates(self, name: str) -> dict[str, int]:
        selected = [self.answers[name][event] for event in self.looked_at]
        return fates(selected, [self._on_axes(event) for event in self.looked_at])

    def cut_flow(self, name: str) -> list[tuple[int, int]]:
        return self.columns.selections.cut_flow(self.nodes[name], self.looked_at)


def _size(column: Column) -> float:
    return max((abs(float(v)) for v in column.flat if finite(v)), default=0.0)


def _values(columns: Columns, signal: Mapping[str, Any], files: Mapping[str, Any]) -> Values:
    """Return the values of a signal after its stages."""
    field, done = signal["field"], signal.get("stages", [])
    column = columns[field]
    size = _size(column)
    recipe = columns.spec.get("derive", {}).get(field)
    blur = 0.0
    if isinstance(recipe, dict):  # differences and means of its fields are rounded at their size
        (options,) = recipe.values()
        named = [name for name in options.values() if isinstance(name, str) and name in columns.fields]
        blur = 1e-14 * max([size, *(_size(columns[name]) for name in named)])
    if not done:
        return Values(column, blur, exact=field in columns.fields)
    frames = []
    for frame in column:
        for stage in done:
            frame = stages.apply(stage, np.asarray(frame, object), files)
        frames.append(frame)
    result = np.empty((len(frames), *np.shape(frames[0])), object) if frames else np.empty((0,), object)
    for event, frame in enumerate(frames):
        result[event] = frame if np.ndim(frame) else np.asarray(frame).item()
    pixels = column[0].size if len(column) else 1
    # Constants are float32; integers that this type does not hold may be rounded before or after them.
    calibrated = any(isinstance(stage, dict) and "calibrate" in stage for stage in done)
    rounding = 2.0**-21 if calibrated and size > 2**24 else 1e-14
    return Values(result, blur + rounding * size * pixels, exact=False)


def _signal(
    pieces: Sequence[Values],
    groups: Mapping[tuple[Any, ...], Sequence[Sequence[int]]],
    shape: tuple[int, ...],
    names: Sequence[str],
) -> Signal:
    tail = pieces[0].column.shape[1:]
    arrays = {
        key: np.zeros((len(groups), math.prod(tail)), np.int64 if key == "count" else float)
        for key in ("count", "mean", "std", "size", "largest")
    }
    left_out = dict.fromkeys(names, 0)
    whole = all(piece.exact for piece in pieces)
    for number, (place, events) in enumerate(groups.items()):
        chosen = [piece.column[some] for piece, some in zip(pieces, events, strict=True)]
        rows = by_event(np.concatenate(chosen))
        if any(isinstance(value, stages.TooLarge) for value in rows.flat):
            raise Refused("a sum of whole numbers beyond 64 bits")
        left_out[place[0]] += sum(not any(map(finite, row)) for row in rows)
        for element, values in enumerate(rows.T):
            there = [value for value in values if finite(value)]
            whole &= all(isinstance(value, int) for value in there)
            for key, found in zip(arrays, _moments(there), strict=True):
                arrays[key][number, element] = found
    shaped = {key: values.reshape(*shape, *tail) for key, values in arrays.items()}
    return Signal(**shaped, whole=whole, blur=max(piece.blur for piece in pieces), left_out=left_out)  # type: ignore[arg-type]


def _moments(values: list[Any]) -> tuple[int, float, float, float, float]:
    """Return count, mean, std, and of the absolute values the mean and the largest; rounded once, at last."""
    n = len(values)
    if not n:
        return 0, math.nan, math.nan, 0.0, 0.0
    sizes = [abs(float(value)) for value in values]
    if all(isinstance(value, int) for value in values):
        total, squares = sum(map(int, values)), sum(int(value) ** 2 for value in values)
        spread = n * squares - total**2
        return n, float(Fraction(total, n)), _root(Fraction(spread, n * n)), math.fsum(sizes) / n, max(sizes)
    numbers = [float(value) for value in values]
    mean = math.fsum(numbers) / n
    away = [number - mean for number in numbers]
    variance = (math.fsum(d * d for d in away) - math.fsum(away) ** 2 / n) / n  # the mean was rounded
    return n, mean, math.sqrt(max(variance, 0.0)), math.fsum(sizes) / n, max(sizes)


def _root(square: Fraction) -> float:
    """Return the square root, to the last bit or its neighbour, also of what floats do not hold."""
    scale = 2 ** max((square.numerator.bit_length() - square.denominator.bit_length()) // 2, 0)
    return math.sqrt(square / (scale * scale)) * scale


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(each[key] for each in counts) for key in counts[0]}
