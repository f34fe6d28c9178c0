"""Axes of a cube: which field is binned, and where its bins are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, PlainValidator, TypeAdapter, model_validator

from cubeengine.errors import SpecError
from cubeengine.schema.base import (
    Amount,
    FieldName,
    Model,
    Name,
    UnitText,
    WholeNumber,
    printable_text,
    raise_problems,
)
from cubeengine.schema.texts import amount_in, check_field_name, kind_of, variable_name
from cubeengine.types import FloatArray
from cubeengine.units import Quantity, same_dimension

MAX_BINS = 10_000_000
STEP_TOLERANCE = Fraction(1, 10**9)  # of a step: how exactly start + n * step must meet stop
_EXACT = 2**53
_FORMS = ("edges", "centers", "quantiles", "steps")


class Spacing(Model):
    """Evenly spaced values `start + i * step`, `stop` included.

    Attributes
    ----------
    start, stop : number, with a unit or in the axis's unit
        First and last value.
    step : number, or None
        Distance of neighbours.
    bins : int, or None
        Number of steps, instead of `step`; for edges only.
    """

    start: Amount
    stop: Amount
    step: Amount | None = None
    bins: Annotated[WholeNumber, Field(ge=1, le=MAX_BINS)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.step is None) == (self.bins is None):
            raise SpecError("needs either 'step' or 'bins'")
        return self


_LIST = TypeAdapter(tuple[Amount, ...])


def _listed_or_spaced(value: object, wanted: str) -> Any:
    """Read numbers that are listed, or evenly spaced."""
    if isinstance(value, Spacing):
        return value
    if isinstance(value, Mapping):
        return Spacing.model_validate(value)
    if hasattr(value, "__array__") and not isinstance(value, str):
        value = np.asarray(value).tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _LIST.validate_python(tuple(value))
    raise SpecError(f"must be {wanted}, but is {kind_of(value)}")


_EDGES = partial(_listed_or_spaced, wanted="a list of edges or {start, stop, step} or {start, stop, bins}")
_CENTERS = partial(_listed_or_spaced, wanted="a list of centres or {start, stop, step}")


def _steps_of(value: object) -> str:
    """Read the field whose settings are the bins."""
    if value is True:
        raise SpecError("write  steps: auto,  in Python steps='auto'")
    return check_field_name(printable_text(value))


_BINS = ("bins", "nbins", "n_bins", "num", "n")
_LIMITS = ("range", "start", "stop", "step", "min", "max", "low", "high", "width")
"""What other programs call number, limits and width of bins."""


class Axis(Model):
    """One axis of a cube: a field and its bins, given in exactly one of four forms.

    Bins are [low, high), the last one [low, high]. With `steps` they are the settings.

    Attributes
    ----------
    field : str
        Field or derived variable that is binned: one number per event.
    edges : tuple of numbers, or Spacing
        Bin edges, rising strictly.
    centers : tuple of numbers, or Spacing
        Bin centres, rising strictly, with edges midway: the form for step scans. They label the bins.
    quantiles : int
        That many bins with equally many selected events.
    steps : str
        One bin per distinct setting: "auto" of the field itself, or of the field named here. The settings
        label the bins.
    tolerance : number, with a unit or in the axis's unit
        With `steps`: how far apart readings of one setting may be; what lies in no setting is outside.
    unit : str
        Unit of the numbers here and of the axis in the cube; default: the field's declared unit.
        "" says that the axis has none, where none is declared.
    name : str
        Name in the cube; default: the field's, with `__` for `/`.

    Examples
    --------
    >>> axis = Axis("scan/lxt", steps="auto", unit="ps", name="delay")
    >>> axis.form, axis.variable
    ('steps', 'delay')
    """

    positional = "field"
    hints = {"": "name its bins: edges=[...], centers=[...], quantiles=N or steps='auto'"}  # noqa: RUF012

    field: FieldName
    edges: Annotated[tuple[Amount, ...] | Spacing, PlainValidator(_EDGES)] | None = None
    centers: Annotated[tuple[Amount, ...] | Spacing, PlainValidator(_CENTERS)] | None = None
    quantiles: Annotated[WholeNumber, Field(ge=1, le=MAX_BINS)] | None = None
    steps: Annotated[str, PlainValidator(_steps_of)] | None = None
    tolerance: Amount | None = None
    unit: UnitText | None = None
    name: Name | None = None

    if TYPE_CHECKING:  # the field may stand without its name

        def __init__(
            self,
            field: str,
            *,
            edges: object = None,
            centers: object = None,
            quantiles: int | None = None,
            steps: str | None = None,
            tolerance: float | str | Quantity | None = None,
            unit: str | None = None,
            name: str | None = None,
        ) -> None: ...

    @property
    def variable(self) -> str:
        """Name of the axis in the cube."""
        return self.name or variable_name(self.field)

    @classmethod
    def hint(cls, key: str, given: Mapping[str, Any]) -> str:
        """Return what to write for a number of bins, and for limits that stand beside the field."""
        field, asked = given.get("field", "..."), _asked_bins(given)
        if key == "step" and isinstance(given[key], str):
            return f"must be written  steps: {given[key]}"
        if key in _BINS and isinstance(given[key], int):
            edges = f'{{"start": {asked["start"]}, "stop": {asked["stop"]}, "bins": {given[key]}}}'
            return (
                f"bins need a lower and an upper edge:  edges: {edges},  in Python "
                f"ce.Axis({field!r}, edges={edges}); or, for equally many events in each bin:  quantiles: "
                f"{given[key]}"
            )
        if key in _BINS:
            return f"write edges as 'edges', in Python ce.Axis({field!r}, edges=[...])"
        if key in _LIMITS and any(name in given for name in _BINS):
            return "belongs in the edges, as start and stop"
        if key in _LIMITS:
            edges = f'{{"start": {asked["start"]}, "stop": {asked["stop"]}, "step": {asked["step"]}}}'
            return f"belongs in the edges or centers:  edges: {edges}"
        return ""

    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        if isinstance(data, str):
            raise SpecError(
                f"must be a mapping, but is the text {data!r}; write  {{field: {data}, steps: auto}},  or "
                "with edges, centers or quantiles in place of steps"
            )
        return super()._spelled_out(data)

    @property
    def form(self) -> str:
        """Which of the four forms is given: "edges", "centers", "quantiles" or "steps"."""
        return next(name for name in _FORMS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", but has {' and '.join(given)}" if given else ""
            raise SpecError(
                f"an axis needs exactly one of {', '.join(_FORMS)}{found}; for a step scan  steps: auto"
            )
        if self.tolerance is not None and self.steps is None:
            raise_problems([(("tolerance",), "is only for 'steps'")])
        try:
            _checked_edges(self)
        except SpecError as err:
            raise_problems([((given[0],), str(err))])
        return self


def _asked_bins(given: Mapping[str, Any]) -> dict[str, str]:
    """Return start, stop and step as they were meant where they stand beside the field."""
    limits = given.get("range")
    low, high = limits if isinstance(limits, list | tuple) and len(limits) == 2 else (None, None)
    meant = {
        "start": given.get("start", given.get("min", given.get("low", low))),
        "stop": given.get("stop", given.get("max", given.get("high", high))),
        "step": given.get("step", given.get("width")),
    }
    unknown = {"start": "LOW", "stop": "HIGH", "step": "STEP"}
    return {
        name: unknown[name] if value is None else json.dumps(value, default=str)
        for name, value in meant.items()
    }


def axis_unit(axis: Axis) -> str | None:
    """Return the unit of the numbers of an axis: `unit`, else that of its numbers, else None.

    Raises
    ------
    SpecError
        If some numbers carry units and others do not, and `unit` is not given.
    """
    if axis.unit is not None:
        return axis.unit
    numbers = _numbers(axis)
    carried = [number.unit for number in numbers if isinstance(number, Quantity)]
    if carried and len(carried) < len(numbers):
        raise SpecError("some numbers have a unit and others do not; give the axis a 'unit'")
    return carried[0] if carried else None


def edges_of(axis: Axis) -> FloatArray | None:
    """Return the bin edges of an axis, where that needs no data.

    Parameters
    ----------
    axis : Axis
        Any form.

    Returns
    -------
    (n_bins + 1,) float64 in the axis's unit, or None
        None for `quantiles` and `steps`. Evenly spaced edges are the doubles nearest to the
        decimal numbers `start + i * step`.

    Examples
    --------
    >>> edges_of(Axis(field="delay", centers={"start": 0, "stop": 0.2, "step": 0.1}))
    array([-0.05,  0.05,  0.15,  0.25])
    """
    unit = axis_unit(axis)
    if isinstance(axis.edges, tuple):
        return np.array([_in(number, unit) for number in axis.edges], np.float64)
    if axis.edges is not None:
        start, step, n = _steps(axis.edges, unit)
        return _spaced(start, step, n + 1)
    if isinstance(axis.centers, tuple):
        return _midway([_decimal(number, unit) for number in axis.centers])
    if axis.centers is not None:
        start, step, n = _steps(axis.centers, unit)
        return _spaced(start - step / 2, step, n + 2)
    return None


def labels_of(axis: Axis) -> FloatArray | None:
    """Return the labels of the bins of an axis, where that needs no data: its centres.

    Returns
    -------
    (n_bins,) float64 in the axis's unit, or None
        The centres as they are given; else the middles between the edges. None for `quantiles` and `steps`.

    Examples
    --------
    >>> labels_of(Axis(field="delay", centers=[-1, 0, 0.1, 10]))
    array([-1. ,  0. ,  0.1, 10. ])
    """
    unit = axis_unit(axis)
    if isinstance(axis.centers, tuple):
        return np.array([_in(number, unit) for number in axis.centers], np.float64)
    if axis.centers is not None:
        start, step, n = _steps(axis.centers, unit)
        return _spaced(start, step, n + 1)
    edges = edges_of(axis)
    return None if edges is None else middles(edges)


def middles(edges: FloatArray) -> FloatArray:
    """Return the middles between (n + 1,) edges."""
    with np.errstate(over="ignore"):
        between: FloatArray = (edges[:-1] + edges[1:]) / 2
    beyond = np.isinf(between)  # the sum is, not the middle
    between[beyond] = edges[:-1][beyond] / 2 + edges[1:][beyond] / 2
    return between


def _checked_edges(axis: Axis) -> None:
    unit = axis_unit(axis)
    tolerance = axis.tolerance  # its unit may differ from that of the axis, which may not be known yet
    if tolerance is not None and (tolerance.value if isinstance(tolerance, Quantity) else tolerance) < 0:
        raise SpecError("'tolerance' must not be negative")
    if isinstance(axis.centers, Spacing) and axis.centers.step is None:
        raise SpecError("needs 'step'; 'bins' is only for edges")
    if isinstance(axis.centers, tuple):
        _check_rising([_in(number, unit) for number in axis.centers], "centers", unit)
    edges = edges_of(axis)
    if edges is None:
        return
    if len(edges) - 1 > MAX_BINS:
        raise SpecError(too_many_bins(len(edges) - 1))
    _check_rising(edges.tolist(), "edges", unit)
    check_range(edges)


def too_many_bins(n: int) -> str:
    """Say that bins are too many, and what to do."""
    number = f"{n:,}" if n < 10**15 else f"{n:.3g}"
    return f"{number} bins are more than {MAX_BINS:,} bins; take a larger step, or another unit"


def check_range(edges: FloatArray) -> None:
    """Raise SpecError where bins are wider together than the largest float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(edges[-1] - edges[0]):
            return
    raise SpecError(
        f"bins from {edges[0]:.4g} to {edges[-1]:.4g} are wider together than the largest float64; if such "
        "numbers mark what is missing, declare them under  missing,  or leave them out with a cut"
    )


def _check_rising(numbers: Sequence[float], name: str, unit: str | None) -> None:
    if len(numbers) < 2:
        one = "; for one bin use  edges: [LOW, HIGH]" if name == "centers" else ""
        raise SpecError(f"needs at least 2 {name}, got {len(numbers)}{one}")
    for i, (low, high) in enumerate(pairwise(numbers)):
        if not low < high:
            tail = f" (unit {unit})" if unit else ""
            raise SpecError(
                f"must rise strictly, but {name}[{i + 1}] = {high:.12g} comes after {low:.12g}{tail}"
            )


def _midway(centers: Sequence[Fraction]) -> FloatArray:
    """Return the edges midway between centres, the outer ones as far out as the next inner ones."""
    inner = [(low + high) / 2 for low, high in pairwise(centers)]
    outer = 2 * centers[0] - inner[0], 2 * centers[-1] - inner[-1]
    return np.array([float(edge) for edge in (outer[0], *inner, outer[1])])


def _steps(spacing: Spacing, unit: str | None) -> tuple[Fraction, Fraction, int]:
    """Return start, step and the number of steps, as exact decimal numbers."""
    start, stop = _decimal(spacing.start, unit), _decimal(spacing.stop, unit)
    if spacing.bins is not None:
        if not start < stop:
            raise SpecError("'stop' must be above 'start'")
        return start, (stop - start) / spacing.bins, spacing.bins
    step = _decimal(spacing.step or 0, unit)
    if step <= 0:
        raise SpecError("'step' must be above 0")
    if stop < start:
        raise SpecError("'stop' must not be below 'start'")
    n = round((stop - start) / step)
    if n > MAX_BINS:
        raise SpecError(too_many_bins(n))
    if abs((stop - start) / step - n) > STEP_TOLERANCE:
        raise SpecError(_remainder(start, stop, step))
    return start, step, n


def _remainder(start: Fraction, stop: Fraction, step: Fraction) -> str:
    n = (stop - start) // step
    near = " or ".join(f"{float(start + i * step):.10g}" for i in (n, n + 1))
    steps = f"steps of {float(step):.10g} from {float(start):.10g}"
    return f"{steps} miss 'stop' {float(stop):.10g}; nearest: {near}"


def _spaced(start: Fraction, step: Fraction, n: int) -> FloatArray:
    """Return start + i * step, each the double nearest to the exact value where that fits 53 bits."""
    denominator = start.denominator * step.denominator
    first, each = int(start * denominator), int(step * denominator)
    numbers = np.arange(n, dtype=np.float64)
    if max(abs(first), abs(first + n * each), denominator) < _EXACT:
        return (first + numbers * each) / denominator
    return float(start) + numbers * float(step)


def _decimal(number: float | Quantity, unit: str | None) -> Fraction:
    """Return the decimal number that the user wrote, exactly: 0.1 is a tenth."""
    return Fraction(repr(_in(number, unit)))


def _in(number: float | Quantity, unit: str | None) -> float:
    if isinstance(number, Quantity) and unit is not None and not same_dimension(number.unit, unit):
        raise SpecError(f"{number} is not a number in the axis's unit {unit!r}")
    return float(amount_in(number, unit, "the axis"))


def _numbers(axis: Axis) -> list[float | Quantity]:
    given = axis.centers if axis.edges is None else axis.edges
    numbers = list(given) if isinstance(given, tuple) else []
    if isinstance(given, Spacing):
        numbers += [given.start, given.stop] + ([] if given.step is None else [given.step])
    return numbers
