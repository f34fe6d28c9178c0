"""Derived variables: new per-event values, by an expression or a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, PlainValidator, model_validator

from cubeengine.errors import SpecError
from cubeengine.events.expressions import Expression
from cubeengine.schema.base import Amount, FieldName, Model, Name, printable_text
from cubeengine.schema.texts import kind_of, read_amount
from cubeengine.units import Quantity, convert, same_dimension


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

    positional = "nominal"

    nominal: FieldName
    timetool: FieldName | None = None
    sign: Annotated[int, PlainValidator(_sign)] = 1
    t0: Amount = 0
    valid: ExpressionText | None = None
    laser: Literal["none"] | None = None


MAX_EVENTS = 10**9
MAX_NEIGHBOURS = 1000
MAX_NANOSECONDS = 10**18


def _window(value: object) -> int | Quantity:
    amount = read_amount(value)
    if isinstance(amount, Quantity):
        return _duration(amount)
    if amount != int(amount) or not 1 <= amount <= MAX_EVENTS:
        raise SpecError(f"must be a number of events, or a time such as '2 s', but is {kind_of(value)}")
    return int(amount)


def _duration(value: object) -> Quantity:
    amount = read_amount(value)
    if not isinstance(amount, Quantity) or not same_dimension(amount.unit, "s"):
        raise SpecError(f"must be a time with its unit, such as '2 s', but is {kind_of(value)}")
    if not 1 <= convert(float(amount.value), amount.unit, "ns") < MAX_NANOSECONDS:
        raise SpecError(f"must be a time from 1 ns to 30 years, but is {amount}")
    return amount


Duration: TypeAlias = Annotated[Quantity, PlainValidator(_duration)]


class Running(Model):
    """Running median or mean of a variable; in the unit of that variable.

    What is missing, NaN or infinite is left out of the windows; where a window holds nothing else, the
    result is missing. An event whose own value is missing has the result of its window. At the ends of the
    run windows are cut.

    Attributes
    ----------
    field : str
        Of which field or derived variable; one number per event.
    window : int, or Quantity
        Events of a window, or its length in real time ("2 s"). A centred window of time holds what is at
        most half of it away, a trailing one what is at most that much earlier.
    statistic : "median" or "mean"
        What is computed.
    at : "center" or "trailing"
        Whether the event stands in the middle of its window, which then has an odd number of events, or at
        its end.
    """

    positional = "field"

    field: FieldName
    window: Annotated[int | Quantity, PlainValidator(_window)]
    statistic: Literal["median", "mean"] = "median"
    at: Literal["center", "trailing"] = "center"

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.at == "center" and isinstance(self.window, int) and self.window % 2 == 0:
            raise SpecError(
                f"a centred window has as many events before as after: window {self.window - 1} or "
                f"{self.window + 1}, not {self.window}; or  at: trailing"
            )
        return self


class Neighbours(Model):
    """The mean over the events of a selection that are nearest in time; in the unit of the variable.

    Only events that have a value count, and never the event itself. Of two that are equally far the earlier
    is nearer. Where there are fewer, these are taken; where there are none, the result is missing.

    Attributes
    ----------
    field : str
        Of which field or derived variable; arrays element by element.
    among : str
        The selection that neighbours are taken from, as the laser-off events.
    n : int
        How many neighbours.
    give : "mean" or "difference"
        The mean, or the event's own value minus the mean.
    within : Quantity, or None
        No neighbour is farther in time ("1 s").
    """

    positional = "field"

    field: FieldName
    among: Name
    n: Annotated[int, Field(strict=True, ge=1, le=MAX_NEIGHBOURS)] = 1
    give: Literal["mean", "difference"] = "mean"
    within: Duration | None = None


class Shift(Model):
    """The value of another event: `events` later, or earlier where negative; missing at the ends.

    Attributes
    ----------
    field : str
        Of which field or derived variable.
    events : int
        How many events later.
    within : Quantity, or None
        The other event is not farther in time ("20 ms"): events may lack in the file.
    """

    positional = "field"

    field: FieldName
    events: Annotated[int, Field(strict=True, ge=-MAX_EVENTS, le=MAX_EVENTS)]
    within: Duration | None = None


Recipe: TypeAlias = DelayRecipe | Running | Neighbours | Shift
RECIPES: Mapping[str, type[Model]] = {
    "delay": DelayRecipe, "running": Running, "neighbours": Neighbours, "shift": Shift,
}  # fmt: skip


class Derived(Model):
    """A derived variable: exactly one of an expression and a recipe. A text stands for `expression`.

    In Python a recipe may stand alone: ``derive={"slow": Running(field="ipm2/sum", window=101)}``.

    Attributes
    ----------
    expression : str
        Formula of fields and other derived variables.
    delay : DelayRecipe
        Pump-probe delay in ps.
    running : Running
        Running median or mean.
    neighbours : Neighbours
        Mean over the nearest events of a selection, or the difference from it.
    shift : Shift
        Value of an event before or after.
    """

    shorthand = "expression"

    expression: ExpressionText | None = None
    delay: DelayRecipe | None = None
    running: Running | None = None
    neighbours: Neighbours | None = None
    shift: Shift | None = None

    @property
    def recipe(self) -> Recipe | None:
        """The recipe; None for an expression."""
        return self.delay or self.running or self.neighbours or self.shift

    @property
    def source(self) -> str | None:
        """The field or variable whose unit this one has; None where it has one of its own."""
        recipe = self.recipe
        return None if recipe is None or isinstance(recipe, DelayRecipe) else recipe.field

    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        for key, kind in RECIPES.items():
            if isinstance(data, kind):
                return {key: data}
        if isinstance(data, Mapping | Model):
            return data
        return {"expression": str(data) if isinstance(data, int | float) else data}

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.expression, self.delay, self.running, self.neighbours, self.shift)
        if sum(way is not None for way in ways) != 1:
            raise SpecError(f"needs an expression, or one of the recipes {', '.join(map(repr, RECIPES))}")
        return self
