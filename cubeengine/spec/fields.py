"""Names of a spec against the fields of a run: what is not there, and what cannot be used so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from cubeengine.errors import FieldNotFound, SpecError
from cubeengine.events.expressions import Expression
from cubeengine.events.spelling import spelled
from cubeengine.events.table import below_words
from cubeengine.marks import Marks, mark_problem, marks_of
from cubeengine.schema.problems import SpecPath
from cubeengine.spec.derived import DelayRecipe, Derived
from cubeengine.spec.formulas import formula_words
from cubeengine.spec.links import is_reference, walk_members, walk_selections
from cubeengine.spec.model import CubeSpec, Signal
from cubeengine.spec.resolve import derived_inputs, resolve_derived, state_condition
from cubeengine.spec.selections import Cut
from cubeengine.types import FieldInfo, FieldKind

Found = Iterator[tuple[SpecPath, str]]
Shape = tuple[int, ...]


def field_problems(spec: CubeSpec, fields: Mapping[str, FieldInfo], where: str) -> list[tuple[SpecPath, str]]:
    """Return everything in a spec that does not fit the fields of a run."""
    return list(_Checker(spec, fields, where).problems())


def derived_fields(spec: CubeSpec, fields: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    """Describe the derived variables of a spec as fields, by computing each for no events.

    Those whose inputs are missing or do not fit are left out; `check_fields` says why.
    """
    known, found = dict(fields), {}
    for name in resolve_derived(spec):
        inputs = derived_inputs(spec, spec.derive[name])
        try:
            shape, dtype = _derived_type(spec.derive[name], known, inputs)
        except (KeyError, SpecError):
            continue
        n_rows = max((known[field].n_rows for field in inputs), default=0)
        found[name] = known[name] = FieldInfo(name, shape, dtype, origin="derived", n_rows=n_rows)
    return found


def _derived_type(
    derived: Derived, known: Mapping[str, FieldInfo], inputs: frozenset[str]
) -> tuple[Shape, np.dtype[Any]]:
    if derived.expression is not None:
        return Expression.parse(derived.expression).result(known)
    missing = [name for name in sorted(inputs) if name not in known]
    if missing:
        raise KeyError(missing[0])
    if derived.shift is not None:
        return known[derived.shift.field].shape, known[derived.shift.field].dtype
    shape = () if derived.neighbours is None else known[derived.neighbours.field].shape
    return shape, np.dtype(np.float64)


class _Checker:
    """The fields of a run, and all questions a spec has about them."""

    def __init__(self, spec: CubeSpec, fields: Mapping[str, FieldInfo], where: str) -> None:
        self._spec, self._fields, self._where = spec, fields, where
        self._known: dict[str, FieldInfo] = {**fields, **derived_fields(spec, fields)}

    def problems(self) -> Found:
        yield from self._declarations()
        for name, derived in self._spec.derive.items():
            yield from self._derived(name, derived)
        yield from self._selections()
        for i, axis in enumerate(self._spec.axes):
            yield from self._scalar(("axes", i, "field"), axis.field, "an axis")
            if axis.steps not in (None, "auto"):
                yield from self._scalar(("axes", i, "steps"), str(axis.steps), "an axis")
        for path, field, use in self._spec.further_scalars:
            yield from self._scalar(path, field, use)
        for i, signal in enumerate(self._spec.signals):
            yield from self._per_event(("signals", i, "field"), signal.field, "a signal")
            yield from self._dimensions(("signals", i, "name" if signal.name else "field"), signal)

    def _dimensions(self, path: SpecPath, signal: Signal) -> Found:
        """Check the names that the element dimensions of a signal get in the cube.

        What dimensions stages leave is known once they are built.
        """
        if signal.stages:
            return
        info, axes = self._known.get(signal.field), {axis.variable for axis in self._spec.axes}
        for number in range(0 if info is None else len(info.shape)):
            name = f"{signal.variable}_dim{number}"
            if name in axes:
                yield (
                    path,
                    f"dimension {number} of the signal {signal.variable!r} would be called {name!r} in the "
                    "cube, like an axis; give the signal another 'name'",
                )

    def _declarations(self) -> Found:
        for field in self._spec.units:
            if field not in self._spec.derive:
                yield from self._exists(("units", field), field)
        for field, marks in self._spec.missing.items():
            yield from self._marks(("missing", field), field, marks)

    def _marks(self, path: SpecPath, field: str, marks: Marks) -> Found:
        info = self._fields.get(field)
        if field in self._spec.derive or (info is not None and info.origin == "derived"):
            yield (
                path,
                f"{field!r} is in no file of the run; declare the marks of the fields it is computed from, "
                "or give it with NaN for missing values",
            )
            return
        found = list(self._per_event(path, field, "marked as missing"))
        yield from found
        if info is not None and not found:
            for number, mark in enumerate(marks_of(marks)):
                if problem := mark_problem(info, mark):
                    yield (*path, number) if isinstance(marks, tuple) else path, problem

    def _derived(self, name: str, derived: Derived) -> Found:
        path: SpecPath = ("derive", name)
        if name in self._fields:
            yield path, f"{name!r} is already a field of {self._where}; choose another name"
        if derived.expression is not None:
            yield from self._expression((*path, "expression"), derived.expression, None)
        if derived.delay is not None:
            yield from self._delay((*path, "delay"), derived.delay)
        if derived.running is not None:
            use = f"a running {derived.running.statistic}"
            yield from self._scalar((*path, "running", "field"), derived.running.field, use)
        for key, recipe in (("neighbours", derived.neighbours), ("shift", derived.shift)):
            if recipe is not None:
                yield from self._per_event((*path, key, "field"), recipe.field, "in a recipe")

    def _delay(self, path: SpecPath, recipe: DelayRecipe) -> Found:
        for key, field in (("nominal", recipe.nominal), ("timetool", recipe.timetool)):
            if field is not None:
                yield from self._scalar((*path, key), field, "a delay")
        if recipe.valid is not None:
            yield from self._expression((*path, "valid"), recipe.valid, "valid")

    def _selections(self) -> Found:
        run = self._spec.run
        for path, selection in walk_selections(self._spec):
            for key, text, state in (
                ("laser", run.laser, selection.laser),
                ("xray", run.xray, selection.xray),
            ):
                if state is not None:
                    # What the spec says itself is wrong where it stands; the usual field, where it is used.
                    said = text != type(run).model_fields[key].default
                    yield from self._state(("run", key) if said else (*path, key), text, f"run.{key}")
            for here, member in walk_members(selection, path):
                if isinstance(member, Cut):
                    yield from self._scalar((*here, "field"), member.field, "a cut")
                elif not is_reference(self._spec, member):
                    yield from self._expression(here, member, "a selection")

    def _state(self, path: SpecPath, text: str, key: str) -> Found:
        condition = state_condition(text)
        if isinstance(condition, Expression):
            yield from self._expression(path, text, key)
            return
        for where, message in self._scalar(path, condition, "a cut"):
            yield where, f"{message}; {key} says what {path[-1]} means"

    def _expression(self, path: SpecPath, text: str, answer_to: str | None) -> Found:
        """Check the fields of an expression; `answer_to` names what needs yes or no per event."""
        expression = Expression.parse(text)
        if not all(map(self._is_known, expression.fields)) and (hint := spelled(text, self._is_known)):
            yield path, f"expression {expression.as_written}: {hint}"
            return
        found = [
            problem
            for field in sorted(expression.fields)
            for problem in self._per_event(path, field, "in an expression")
        ]
        yield from found
        if found or any(field not in self._known for field in expression.fields):
            return
        try:
            shape, dtype = expression.result(self._known)
        except SpecError as err:
            yield path, str(err)
            return
        if answer_to is not None and (shape or dtype.kind != "b"):
            what = f"an array of shape {shape}" if shape else "a number"
            yield (
                path,
                f"expression {expression.as_written} gives {what} per event, not true or false; compare it",
            )

    def _scalar(self, path: SpecPath, field: str, use: str) -> Found:
        found = list(self._per_event(path, field, use))
        yield from found
        info = self._known.get(field)
        if info is not None and not found and info.shape:
            index = ", ".join("0" * len(info.shape))
            yield (
                path,
                (
                    f"field {field!r} has shape {info.shape} per event, but {use} needs one number; "
                    f"derive one, e.g. `{field}`[{index}] or sum(`{field}`)"
                ),
            )

    def _per_event(self, path: SpecPath, field: str, use: str) -> Found:
        missing = list(self._exists(path, field))
        yield from missing
        info = self._fields.get(field)
        if missing or info is None or field in self._spec.derive:
            return
        if info.kind is not FieldKind.EVENT:
            yield path, f"field {field!r} cannot be {_used(use)}: {_reason(info)}"
        elif info.dtype.kind not in "biuf" or info.dtype.itemsize > 8:
            held = f"it holds {info.dtype}, not numbers of at most 64 bits"
            yield path, f"field {field!r} cannot be {_used(use)}: {held}"

    def _pattern_words(self, path: SpecPath, field: str) -> str:
        """Say which fields to name in place of a pattern, where fields are declared."""
        if path[0] not in ("missing", "units") or not set("*?") & set(field):
            return ""
        found = [name for name in self._fields if fnmatchcase(name, field)][:5]
        return f"patterns are not read here, name each field{': ' if found else ''}{', '.join(found)}"

    def _state_words(self, path: SpecPath, field: str) -> str:
        """Say how a selection, or a state of the beam, is written that stands in an expression as a field."""
        if path[0] == "select" and field in ("laser", "xray"):
            return f"{field!r} is a condition of its own:  {field}: on,  in Python {field}='on'"
        if path[0] == "select" and field in self._spec.select:
            return (
                f"the selection {field!r} is a condition of its own: [{field}, ...],  in Python "
                f"run.select({path[1]!r}, {field!r}, ...)"
            )
        return ""

    def _is_known(self, field: str) -> bool:
        return field in self._fields or field in self._spec.derive

    def _exists(self, path: SpecPath, field: str) -> Found:
        if not self._is_known(field):
            known = (*self._fields, *self._spec.derive)
            hint = (
                self._pattern_words(path, field)
                or self._state_words(path, field)
                or formula_words(field, self._is_known)
                or below_words(field, self._fields)
            )
            yield path, str(FieldNotFound(field, self._where, known, hint))


def _used(use: str) -> str:
    return f"used {use}" if use.startswith("in ") else use


def _reason(info: FieldInfo) -> str:
    reasons = {
        FieldKind.RAGGED: "it has a different number of values in each event",
        FieldKind.RUN: "it has one value per run, not one per event",
        FieldKind.ALIGNED: (
            f"it belongs to the events of the align group {info.group!r}; "
            f"make a cube of these with `run: {{events: {info.group}}}`"
        ),
    }
    if info.kind is FieldKind.RAGGED and info.origin.endswith((".xtc2", ".xtc2.inprogress")):
        return info.note  # of raw data it says why
    reason = reasons.get(info.kind, f"it is of kind {info.kind}")
    return f"{reason} ({info.note})" if info.note else reason
