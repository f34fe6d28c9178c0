"""Selections: named combinations of cuts, expressions and other selections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, PlainValidator, model_validator

from cubeengine.errors import SpecError, nearest_names
from cubeengine.events.expressions import Expression
from cubeengine.schema.base import Amount, AmountOrPercentile, FieldName, Model, Text, raise_problems
from cubeengine.schema.texts import NAME, Percentile, kind_of

MAX_NESTING = 20


class Cut(Model):
    """One condition on one field.

    Attributes
    ----------
    field : str
        Field or derived variable with one number per event.
    min, max : number, percentile as "10 %", or None
        Closed interval; either side may be left out. A percentile is that of the field's finite values among
        the events that the other conditions of the same selection keep; see the guide.
    equal : number, or None
        The value wanted, instead of an interval.
    in_ : tuple of numbers, or None
        Values wanted, instead of one; `in` in YAML.
    """

    positional = "field"
    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("low", "lower", "above", "greater", "gt", "ge"), "write a lower bound as 'min'"),
        **dict.fromkeys(("high", "upper", "below", "less", "lt", "le"), "write an upper bound as 'max'"),
        **dict.fromkeys(("range", "between", "limits"), "write an interval as 'min' and 'max'"),
        **dict.fromkeys(("value", "eq", "is"), "write a single value as 'equal'"),
        **dict.fromkeys(("values", "isin", "one_of"), "write several values as 'in', in Python in_=[...]"),
    }

    field: FieldName
    min: AmountOrPercentile | None = None
    max: AmountOrPercentile | None = None
    equal: Amount | None = None
    in_: Annotated[tuple[Amount, ...] | None, Field(alias="in")] = None

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if set("<>=&|") & set(self.field):
            raise SpecError(
                f"{self.field!r} is an expression; write it in the selection on its own, without 'field'"
            )
        interval = self.min is not None or self.max is not None
        if [interval, self.equal is not None, self.in_ is not None].count(True) != 1:
            raise SpecError("a cut needs 'min' and/or 'max', or 'equal', or 'in'")
        if self.in_ == ():
            raise_problems([(("in",), "must name at least one value")])
        low, high = self.min, self.max
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            raise_problems([(("max",), f"is below 'min': no value is between {low} and {high}")])
        if isinstance(low, Percentile) and isinstance(high, Percentile) and low.share > high.share:
            raise_problems([(("max",), f"is below 'min': no value is between {low} and {high}")])
        return self

    @property
    def by_percentile(self) -> bool:
        """Whether a bound is a percentile, so that its number depends on the events."""
        return isinstance(self.min, Percentile) or isinstance(self.max, Percentile)


def _read_member(value: object) -> Any:
    """Tell cuts, selections and texts apart by their keys."""
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, Cut | Selection):
        return value
    if isinstance(value, list | tuple):
        return Selection.model_validate(value)
    if not isinstance(value, Mapping):
        raise SpecError(
            f"must be a cut, an expression in quotes, or the name of a selection, but is {kind_of(value)}"
        )
    return Cut.model_validate(value) if _looks_like_cut(value) else Selection.model_validate(value)


def _looks_like_cut(value: Mapping[str, object]) -> bool:
    cut, selection = Cut.keys(), Selection.keys()
    keys = set(map(str, value))
    if keys & {*cut, *selection}:
        return bool(keys & set(cut))
    names = [nearest_names(str(key), (*cut, *selection), n=1) for key in value]
    return any(name[0] in cut for name in names if name)


def _read_text(value: str) -> str:
    text = " ".join(value.split("\n")).strip()
    if NAME.fullmatch(text) is None:  # cannot be the name of a selection
        Expression.parse(text)
    return text


Member: TypeAlias = Annotated[Any, PlainValidator(_read_member)]
"""A Cut, a Selection, or a text: the name of a selection if there is one, else an expression."""


class Selection(Model):
    """Conditions on events: keeps those for which all conditions are certainly true.

    Attributes
    ----------
    all : tuple of Cut, Selection, str
        All of these must hold. A list standing for a selection means this.
    any : tuple of Cut, Selection, str
        At least one of these must hold.
    not_ : tuple of Cut, Selection, str
        None of these may hold; `not` in YAML.
    laser, xray : "on", "off" or None
        State of pump laser and X-rays (see `RunSpec.laser`); unknown is neither.
    without : tuple of str
        Patterns of field names: cuts and expressions in `all`, and in the selections it refers to,
        are dropped when all their fields match. `laser` and `xray` beside it stay.
    """

    shorthand = "all"
    takes_several = True
    hints: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("cuts", "and", "and_"), "put conditions that must all hold under 'all'"),
        **dict.fromkeys(("or", "or_"), "put conditions of which at least one must hold under 'any'"),
        **dict.fromkeys(
            ("invert", "none", "exclude"), "put conditions that must not hold under 'not', in Python not_"
        ),
    }

    all: tuple[Member, ...] = ()
    any: tuple[Member, ...] | None = None
    not_: Annotated[tuple[Member, ...] | None, Field(alias="not")] = None
    laser: Literal["on", "off"] | None = None
    xray: Literal["on", "off"] | None = None
    without: Annotated[tuple[Text, ...], Field(max_length=100)] = ()

    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        if isinstance(data, str | Cut) or (isinstance(data, Mapping) and _looks_like_cut(data)):
            return {"all": [data]}
        return super()._spelled_out(data)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        empty = [key for key, members in (("any", self.any), ("not", self.not_)) if members == ()]
        if empty:
            raise_problems([((key,), "must name at least one condition") for key in empty])
        if _nesting(self) > MAX_NESTING:
            raise SpecError(f"selections are nested more than {MAX_NESTING} levels deep")
        return self

    def to_plain(self) -> Any:
        """Return plain data: a list where there is nothing but `all`."""
        plain = super().to_plain()
        return [] if plain == {} else plain

    @property
    def parts(self) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        """All members, by the key they stand under."""
        return ("all", self.all), ("any", self.any or ()), ("not", self.not_ or ())


def _nesting(selection: Selection) -> int:
    inner = [member for _, members in selection.parts for member in members if isinstance(member, Selection)]
    return 1 + max(map(_nesting, inner), default=0)
