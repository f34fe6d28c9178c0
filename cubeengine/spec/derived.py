"""Derived variables: new per-event values, by an expression or a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import PlainValidator, model_validator

from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.schema.base import Amount, FieldName, Model, printable_text
from cubeengine.schema.texts import kind_of


def _expression(value: object) -> str:
    text = printable_text(" ".join(value.split("\n")) if isinstance(value, str) else value)
    Expression.parse(text)
    return text


ExpressionText: TypeAlias = Annotated[str, PlainValidator(_expression)]


def _sign(value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and value in {1, -1}:
        return int(value)
    raise SpecError(f"must be +1 or -1, but is {kind_of(value)}")


class DelayRecipe(Model):
    """Pump-probe delay in ps: nominal + sign * timetool - t0.

    For laser-off events it is nominal - t0: their time tool means nothing. It is NaN where the time
    tool is missing, or `valid` is not true.

    Attributes
    ----------
    nominal : str
        Field of the delay as set; its unit is declared under `units`.
    timetool : str, or None
        Field of the time tool's correction; its unit is declared under `units`.
    sign : +1 or -1
        Whether a positive correction means a later delay.
    t0 : number
        Delay of the overlap, in ps or with a unit.
    valid : str, or None
        Expression that tells whether the time tool can be trusted.
    laser : "none", or None
        "none" treats all events as laser-on.
    """

    nominal: FieldName
    timetool: FieldName | None = None
    sign: Annotated[int, PlainValidator(_sign)] = 1
    t0: Amount = 0
    valid: ExpressionText | None = None
    laser: Literal["none"] | None = None


class Derived(Model):
    """A derived variable: exactly one of an expression and a recipe. A text stands for `expression`.

    Attributes
    ----------
    expression : str
        Formula of fields and other derived variables.
    delay : DelayRecipe
        Pump-probe delay in ps.
    """

    shorthand = "expression"

    expression: ExpressionText | None = None
    delay: DelayRecipe | None = None

    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        if isinstance(data, Mapping | Model):
            return data
        return {"expression": str(data) if isinstance(data, int | float) else data}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.expression is None) == (self.delay is None):
            raise SpecError("needs an expression or the recipe 'delay'")
        return self
