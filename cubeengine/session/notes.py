"""What a user has told a session: a frozen value; every change makes a new one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from cubeengine.events.run import Run
from cubeengine.schema.base import FrozenMap
from cubeengine.schema.problems import problems_of, spec_error
from cubeengine.spec.check import check_fields
from cubeengine.spec.fields import field_problems
from cubeengine.spec.model import CubeSpec
from cubeengine.types import Column

FRAGMENT = "session"
"""Name of the spec that holds what was declared, added and selected, and no cube."""

MASKS = "selected/"
"""What the names of variables begin with that hold the masks of selections."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What a session keeps."""

    spec: CubeSpec  # where the run lies, units, missing marks, derived variables and selections
    variables: Mapping[str, Column] = field(default_factory=FrozenMap)  # arrays that were given
    cube: CubeSpec | None = None  # the last cube, whole, as it was asked for
    aside: Mapping[str, Mapping[str, Any]] = field(default_factory=FrozenMap)
    """Plain parts of `spec` that do not fit the run as it is open now, e.g. without its raw data. They are
    kept for another time.
    """

    def with_spec(self, **parts: Any) -> Notes:
        """Return the same notes with some parts of the spec replaced.

        Raises
        ------
        SpecError
            If the parts are wrong, or do not fit the others.
        """
        return replace(self, spec=changed_spec(self.spec, **parts))

    def with_variable(self, name: str, column: Column) -> Notes:
        """Return the same notes with an array, in place of one of that name."""
        return replace(self, variables=FrozenMap({**self.variables, name: column}))

    def without(self, name: str) -> Notes:
        """Return the same notes without a variable, given or derived, and its unit."""
        spec, gone = self.spec, {name}
        kept = replace(self, variables=FrozenMap(_but(self.variables, gone)))
        return kept.with_spec(derive=_but(spec.derive, gone), units=_but(spec.units, gone))

    def without_masks(self, selection: str) -> Notes:
        """Return the same notes without the variables that hold the masks of a selection."""
        names = mask_names(selection, self.variables)
        return replace(self, variables=FrozenMap(_but(self.variables, names))) if names else self

    @property
    def is_empty(self) -> bool:
        """Whether nothing was told."""
        spec = self.spec
        parts = (spec.units, spec.missing, spec.derive, spec.select, self.variables, self.cube, self.aside)
        return not any(parts)

    def holds_arrays_of(self, other: Notes) -> bool:
        """Return whether the arrays of other notes are here as well, the very same."""
        return all(self.variables.get(name) is column for name, column in other.variables.items())

    def extends(self, other: Notes) -> bool:
        """Return whether all values that were computed under other notes are the same under these."""
        mine, others = self.spec, other.spec
        same_run = (mine.run, mine.missing) == (others.run, others.missing)
        return (
            same_run
            and self.holds_arrays_of(other)
            and _holds(mine.derive, others.derive)
            and _holds(mine.units, others.units)
        )


def mask_names(selection: str, variables: Iterable[str]) -> list[str]:
    """Return which variables hold the masks of a selection: `selected/<name>`, and with a number after it."""
    own = re.compile(re.escape(f"{MASKS}{selection}".replace("__", "/")) + r"(\.[0-9]+)?")
    return [name for name in variables if own.fullmatch(name)]


def _but(items: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: item for name, item in items.items() if name not in names}


def _holds(whole: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    return all(name in whole and whole[name] == item for name, item in part.items())


def changed_spec(spec: CubeSpec, **parts: Any) -> CubeSpec:
    """Return a spec with some parts replaced, checked as a whole, in the same folder."""
    values = {name: getattr(spec, name) for name in type(spec).model_fields}
    try:
        return type(spec).model_validate({**values, **parts}).at(spec.folder)
    except ValidationError as err:
        raise spec_error(problems_of(err)) from None


def check_against(spec: CubeSpec, run: Run) -> None:
    """Raise one SpecError with everything in a spec that does not fit a run, with the nearest names."""
    errors = [found for found in check_fields(spec, None, run.fields, run.label) if found.severity == "error"]
    if errors:
        raise spec_error(errors)


def fitting(spec: CubeSpec, run: Run) -> tuple[CubeSpec, dict[str, dict[str, Any]], tuple[str, ...]]:
    """Split a spec into what fits a run, and entries that do not.

    Returns
    -------
    CubeSpec
        The part that fits.
    dict
        Section -> name -> plain entry that does not.
    tuple of str
        Why not, one sentence per entry.
    """
    aside: dict[str, dict[str, Any]] = {}
    reasons: dict[tuple[Any, ...], str] = {}
    while problems := field_problems(spec, run.fields, run.label):
        plain = spec.to_dict()
        for path, message in problems:
            section, name = str(path[0]), str(path[1])
            if name in plain.get(section, {}):
                aside.setdefault(section, {})[name] = plain[section].pop(name)
                reasons[section, name] = f"{section}.{name}: {message}"
        spec = CubeSpec.from_dict(plain).at(spec.folder)
    return spec, aside, tuple(reasons.values())
