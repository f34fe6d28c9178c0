"""What is picked: a cube's spec with a section `pick`.

The names mirror the YAML one to one, as those of a cube do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PlainValidator, model_validator

from cubeengine.errors import SpecError, nearest_names
from cubeengine.schema.base import Amount, FieldName, Model, raise_problems
from cubeengine.schema.problems import SpecPath
from cubeengine.schema.texts import amount_in, is_variable_name, kind_of, variable_name
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.overrides import override_document
from cubeengine.spec.resolve import declared_unit
from cubeengine.spec.yaml import parse_document

MOST_PER_BIN = 1_000_000
PLAIN = ("largest", "smallest", "first")
VALUE = "_value"
"""Ends the names of the variables that hold the picked events' values of the axes and of the field."""

RESERVED = (
    "selection",
    "bnds",
    "pick",
    "event",
    "row",
    "timestamp",
    "time",
    "n_events",
    "n_candidates",
    "n_picked",
)


class Which(Model):
    """Which events are best, where a word does not say it: exactly one of these."""

    nearest: Amount | None = None  # those nearest to this value; with a unit, or in the field's declared unit
    percentile: Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)] | None = None
    """Those nearest to this percentile of the events of the bin."""
    random: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    """Any; the seed. The same seed gives the same events, however the work is split."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", but has {' and '.join(given)}" if given else ""
            raise SpecError(f"needs exactly one of {', '.join(type(self).model_fields)}{found}")
        return self


def _read_which(value: object) -> Any:
    """Read a word, or a mapping."""
    if isinstance(value, Which | Mapping):
        return Which.model_validate(value)
    if not isinstance(value, str):
        raise SpecError(f"must be {', '.join(PLAIN)} or {{nearest: 0.5}}, but is {kind_of(value)}")
    word = value.strip()
    if word in Which.model_fields:
        raise SpecError(f"{word!r} needs a number: {_EXAMPLES[word]}")
    if word not in PLAIN:
        near = nearest_names(word, (*PLAIN, *Which.model_fields))
        hint = f"; nearest: {', '.join(map(repr, near))}" if near else ""
        raise SpecError(f"{word[:60]!r} is not one of {', '.join((*PLAIN, *Which.model_fields))}{hint}")
    return word


_EXAMPLES = {
    "nearest": "{nearest: 0.5}",
    "percentile": "{percentile: 50}",
    "random": "{random: 1}, the seed",
}


class Pick(Model):
    """Which events of every bin are picked.

    Attributes
    ----------
    field : str, or None
        The variable they are judged by, one number per event; events that lack it are never picked.
        `first` and `random` need none.
    which : "largest", "smallest", "first", or Which
        What is best. Of events that are equally good the earliest is taken.
    events : int
        How many per bin.
    """

    field: FieldName | None = None
    which: Annotated[str | Which, PlainValidator(_read_which)]
    events: Annotated[int, Field(strict=True, ge=1, le=MOST_PER_BIN)] = 1

    @model_validator(mode="after")
    def _has_field(self) -> Self:
        if self.field is None and not self.goes_without:
            raise SpecError(f"needs 'field', the variable whose {self.kind} value it picks")
        return self

    @property
    def kind(self) -> str:
        """The word that says what is best."""
        if isinstance(self.which, str):
            return self.which
        return next(name for name in Which.model_fields if getattr(self.which, name) is not None)

    @property
    def goes_without(self) -> bool:
        """Whether no variable is needed."""
        return self.kind in ("first", "random")

    @property
    def value_name(self) -> str | None:
        """Name of the variable that holds the picked events' values."""
        return None if self.field is None else variable_name(self.field) + VALUE

    def __str__(self) -> str:
        count = f"{self.events:,} events" if self.events > 1 else "one event"
        return f"{count} per bin: {self._rule}"

    @property
    def _rule(self) -> str:
        which, having = self.which, "" if self.field is None else f" that have {self.field}"
        if isinstance(which, str):
            return f"the first{having}" if which == "first" else f"{which} in {self.field}"
        if which.random is not None:
            return f"at random{having.replace(' that', ', of those that')} (seed {which.random})"
        if which.nearest is not None:
            return f"nearest to {which.nearest} in {self.field}"
        return f"nearest to percentile {which.percentile:g} of {self.field} in the bin"


class PickSpec(CubeSpec):
    """The spec of picked events: bins and signals as in a cube, and which events of every bin to pick.

    Attributes
    ----------
    pick : Pick
        Which events, and how many.
    """

    hints: ClassVar[Mapping[str, str]] = {
        "pick": "needs 'pick', e.g.  pick: {field: ipm2/sum, which: largest};  for a cube use  cubeengine run"
    }
    planned_by: ClassVar[str] = "ce.pick"
    standins: ClassVar[Mapping[str, Any]] = {**CubeSpec.standins, "pick": {"which": "first"}}

    pick: Pick

    @property
    def further_scalars(self) -> tuple[tuple[SpecPath, str, str], ...]:
        """The field that events are picked by."""
        field = self.pick.field
        return () if field is None else ((("pick", "field"), field, "the field that events are picked by"),)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if problems := [*_nearest_unit(self), *_names(self)]:
            raise_problems(problems)
        return self


def _nearest_unit(spec: PickSpec) -> Iterator[tuple[SpecPath, str]]:
    try:
        nearest_value(spec)
    except SpecError as err:
        yield ("pick", "which", "nearest"), str(err)


def nearest_value(spec: PickSpec) -> float:
    """Return what the field is to be near to, in its declared unit; NaN where nothing is asked for.

    Raises
    ------
    SpecError
        If it carries a unit that the field's does not convert to, or none is declared.
    """
    field, which = spec.pick.field, spec.pick.which
    if field is None or isinstance(which, str) or which.nearest is None:
        return float("nan")
    return float(amount_in(which.nearest, declared_unit(spec, field), f"the field {field!r}"))


def _names(spec: PickSpec) -> Iterator[tuple[SpecPath, str]]:
    """Check the names that the variables of the store will have."""
    taken = Counter(RESERVED)
    claims: list[tuple[SpecPath, str]] = []
    for i, axis in enumerate(spec.axes):
        claims += [
            (("axes", i, "name" if axis.name else "field"), axis.variable + ending)
            for ending in ("", "_bnds", VALUE)
        ]
    value, axes = spec.pick.value_name, {axis.variable for axis in spec.axes}
    if value is not None and spec.pick.field not in {axis.field for axis in spec.axes}:
        claims.append((("pick", "field"), value))
    for i, signal in enumerate(spec.signals):
        path: SpecPath = ("signals", i, "name" if signal.name else "field")
        if signal.variable not in axes:
            claims += [(path, signal.variable + ending) for ending in ("", "_valid")]
    for path, name in claims:
        if not is_variable_name(name):
            yield (
                path,
                f"{name[:80]!r} cannot be used as a name in the store; derive a variable with a shorter name",
            )
        elif taken[name]:
            yield path, f"two variables would be called {name!r}; choose another name"
        taken[name] += 1


def kind_of_spec(text: str | bytes, overrides: Mapping[str, object] | None = None) -> type[CubeSpec]:
    """Tell what the text of a spec is meant to be: `PickSpec` if it has a section `pick`.

    Raises
    ------
    SpecError
        If an override does not fit the text.
    """
    document = parse_document(text)
    data = override_document(document, overrides or {}).data if document.data is not None else None
    return PickSpec if isinstance(data, dict) and "pick" in data else CubeSpec
