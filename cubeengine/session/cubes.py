"""Cubes as a user asks for them in a session: arguments to a spec."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from cubeengine.detectors.base import Options
from cubeengine.errors import SpecError, nearest_names
from cubeengine.events import states
from cubeengine.events.derived import numbers
from cubeengine.events.field import Field
from cubeengine.events.run import Run
from cubeengine.events.selections import Node
from cubeengine.schema.texts import NAME, kind_of
from cubeengine.spec.axes import Axis
from cubeengine.spec.model import CubeSpec, Signal
from cubeengine.spec.resolve import declared_unit

"""Options of stages that name files."""

FORMS = ("edges", "centers", "bins", "quantiles", "steps")


@dataclass(frozen=True, slots=True)
class Binning:
    """How the axis of a cube is to be binned, as `Session.cube` takes it; see there."""

    edges: Any = None
    centers: Any = None
    bins: int | None = None
    range: tuple[Any, Any] | None = None
    quantiles: int | None = None
    steps: str | None = None
    tolerance: Any = None
    unit: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Read the arguments of `Session.cube`; an unknown one is an error with the nearest name."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                others = [*known, "select", "signals", "name", "memory", "events", "every", "force"]
                near = nearest_names(name, others, n=1)
                hint = f"nearest: {near[0]!r}" if near else f"known: {', '.join(others)}"
                raise SpecError(f"cube() has no argument {name!r}; {hint}")
        return cls(**given)

    @property
    def is_given(self) -> bool:
        """Whether anything was given."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def axis(self, name: str, run: Run, spec: CubeSpec, nodes: Sequence[Node]) -> Axis:
        """Make the axis of a field; `bins` alone reach over the values of the events that are kept."""
        given = [form for form in FORMS if getattr(self, form) is not None]
        if len(given) != 1:
            found = f", not {' and '.join(given)}" if given else ""
            raise SpecError(f"the axis {name!r} needs exactly one of {', '.join(FORMS)}{found}")
        if self.range is not None and self.bins is None:
            raise SpecError(f"the axis {name!r}: 'range' needs 'bins'")
        plain: dict[str, Any] = {"field": name, "unit": self.unit, "tolerance": self.tolerance}
        if self.bins is not None:
            low, high = self.range or _span(name, run, spec, nodes)
            return Axis(**plain, edges={"start": low, "stop": high, "bins": self.bins})
        return Axis(**plain, **{given[0]: getattr(self, given[0])})


def _span(name: str, run: Run, spec: CubeSpec, nodes: Sequence[Node]) -> tuple[Any, Any]:
    """Return the smallest and the largest value of the events that any of the selections keeps."""
    run.field(name).require_event()
    if shape := run.fields[name].shape:
        raise SpecError(f"the axis {name!r} has shape {shape} per event, but needs one number; derive one")
    found = numbers(run.column(name))
    kept = np.any([run.states(node) == states.TRUE for node in nodes], axis=0) & np.isfinite(found)
    if not kept.any() or found[kept].min() == found[kept].max():
        raise SpecError(
            f"the axis {name!r}: the selected events all have the same value, or none; give 'range'"
        )
    unit = declared_unit(spec, name)
    low, high = float(found[kept].min()), float(found[kept].max())
    return (f"{low!r} {unit}", f"{high!r} {unit}") if unit else (low, high)


def axes_of(
    asked: Sequence[object], binning: Binning, run: Run, spec: CubeSpec, nodes: Sequence[Node]
) -> tuple[Axis, ...]:
    """Make the axes: a name takes the binning that was given, all else says itself how it is binned."""
    asked = [field.name if isinstance(field, Field) else field for field in asked]
    for field in asked:
        if hasattr(field, "__array__"):
            raise SpecError(
                f"an axis is the name of a field, not {kind_of(field)}; an array gets a name first: "
                "run.add('mine', array), then run.cube('mine', ...)"
            )
    names = [field for field in asked if isinstance(field, str)]
    if len(names) > 1 or (binning.is_given and not names):
        raise SpecError(
            f"the given binning is for one field, but {len(names)} fields have none of their own; give the "
            "others as {'field': ..., 'edges': ...} or ce.Axis(...)"
        )
    return tuple(
        binning.axis(run.fields.resolve(field), run, spec, nodes)
        if isinstance(field, str)
        else Axis.of(field)
        for field in asked
    )  # fmt: skip


def cube_name(axes: Sequence[Axis]) -> str:
    """Return the name of a cube without one: that of its first axis, as it can stand in a file name."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", axes[0].name or axes[0].field)[:64] if axes else "average"
    return name if NAME.fullmatch(name) else "cube"


def signals_of(signals: object, folder: Path) -> tuple[Signal, ...]:
    """Read signals as a spec has them, one alone or several; files of their stages get full names."""
    several = signals if isinstance(signals, list | tuple) else [signals]
    named = (signal.name if isinstance(signal, Field) else signal for signal in several)
    return tuple(_with_full_names(Signal.of(signal), folder) for signal in named)


def _with_full_names(signal: Signal, folder: Path) -> Signal:
    if not signal.stages:
        return signal
    return signal.model_copy(update={"stages": tuple(_full(stage, folder) for stage in signal.stages)})


def _full(stage: Options, folder: Path) -> Options:
    named = {key: getattr(stage, key) for key in stage.files}
    full = {key: str(folder / name) for key, name in named.items() if isinstance(name, str)}
    return stage.model_copy(update=full) if full else stage
