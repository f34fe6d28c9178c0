"""Stage `threshold`: what lies below a value is no signal."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from cubeengine.detectors.base import Context, Elements, Frame, Options, Stage
from cubeengine.detectors.constants import open_constants
from cubeengine.detectors.lookup import choose
from cubeengine.detectors.missing import with_missing
from cubeengine.detectors.noise import pixel_noise
from cubeengine.errors import SpecError
from cubeengine.kernels.jit import jit
from cubeengine.schema.base import Amount, Text, raise_problems
from cubeengine.shared import SharedArray
from cubeengine.units import Quantity, convert, same_dimension

SIGMA = "sigma"
Fate = Literal["zero", "missing"]


@dataclass(frozen=True, slots=True, eq=False)
class Threshold(Stage):
    """Replacement of elements below a limit, and above another; what is missing, or infinite, stays so.

    Attributes
    ----------
    input, output : Frame
        Of one shape; the output's type is floating where elements can become missing.
    low, high : float
        Limits in the frames' unit, or in units of `noise`. An element that is equal to one stays.
    below, above : "zero" or "missing"
        What becomes of elements outside.
    noise : (n_elements,) float32, or None
        Unit of the limits for each element. Where it is NaN no limit is known, and the element is missing.
    record : mapping
        What the cube should record.
    """

    local: ClassVar[bool] = True

    input: Frame
    output: Frame
    low: float
    high: float
    below: Fate
    above: Fate
    noise: SharedArray | None
    record: Mapping[str, Any]

    def apply(self, frames: NDArray[Any], elements: Elements, out: NDArray[Any]) -> None:
        """Replace what is outside the limits, in a block of events; see `Stage.apply`."""
        new = {"zero": 0.0, "missing": np.nan}
        below, above = (out.dtype.type(new[fate] if out.dtype.kind == "f" else 0) for fate in self._fates())
        if self.noise is None:
            _replace(frames, self.low, self.high, below, above, out)
        else:
            noise = self.noise.load()[slice(*elements)]
            nothing = out.dtype.type(np.nan if out.dtype.kind == "f" else 0)  # integers have no NaN noise
            _replace_by_noise(frames, noise, self.low, self.high, below, above, nothing, out)

    def _fates(self) -> tuple[Fate, Fate]:
        return self.below, self.above

    def facts(self) -> Mapping[str, Any]:
        """Return the constants, where the noise was taken from some."""
        return self.record


@jit
def _replace(frames, low, high, below, above, out):  # type: ignore[no-untyped-def]
    for i in range(frames.shape[0]):
        source, target = frames[i], out[i]
        for e in range(source.size):
            x = source[e]
            target[e] = choose(np.isfinite(x), choose(x < low, below, choose(x > high, above, x)), x)


@jit
def _replace_by_noise(frames, noise, low, high, below, above, nothing, out):  # type: ignore[no-untyped-def]
    for i in range(frames.shape[0]):
        source, target = frames[i], out[i]
        for e in range(source.size):
            x, unit = source[e], np.float64(noise[e])
            kept = choose(x < low * unit, below, choose(x > high * unit, above, x))
            target[e] = choose(np.isnan(unit), nothing, choose(np.isfinite(x), kept, x))


class StageOptions(Options):
    """Sets elements below `min`, and above `max`, to zero, or leaves them out. A number stands for `min`.

    Attributes
    ----------
    min, max : number, or text such as "3 keV", "20 ADU", "4 sigma"
        Limits; elements equal to one stay. A bare number is in the unit of the frames.
    below, above : "zero" or "missing"
        What becomes of elements below `min` and above `max`: 0, which counts as a value, or missing.
    constants : str, or None
        For limits in sigma: file of constants that holds the noise, `pixel_rms`.
    """

    name = "threshold"
    shorthand = "min"
    files = ("constants",)
    keeps_shape = True

    min: Amount | None = None
    max: Amount | None = None
    below: Fate = "zero"
    above: Fate = "zero"
    constants: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise_problems([((), problem) for problem in problems])
        return self

    def _problems(self) -> list[str]:
        sides = (("min", "below", self.min), ("max", "above", self.max))
        unused = [
            f"{fate!r} needs {side!r}"
            for side, fate, limit in sides
            if limit is None and getattr(self, fate) != "zero"
        ]
        given = [limit for _, _, limit in sides if limit is not None]
        sigmas = {_in_sigma(limit) for limit in given}
        return unused + [
            problem
            for problem, true in [
                ("needs 'min', or 'max'", not given),
                ("'min' and 'max' must both be in sigma, or neither", len(sigmas) == 2),
                ("a threshold in sigma needs 'constants', a file with the noise", self._lacks(sigmas)),
                ("'constants' is only for limits in sigma", self.constants and sigmas == {False}),
            ]
            if true
        ]

    def _lacks(self, sigmas: set[bool]) -> bool:
        return sigmas == {True} and self.constants is None

    def build(self, frame: Frame, context: Context) -> Stage:
        """Bring the limits into the frames' unit; see `Options.build` for the errors."""
        low = -np.inf if self.min is None else _limit("min", self.min, frame, context)
        high = np.inf if self.max is None else _limit("max", self.max, frame, context)
        if frame.dtype.kind == "f" and self.constants is None:  # as the frames hold them: what is equal stays
            with np.errstate(over="ignore"):
                low, high = (float(frame.dtype.type(limit)) for limit in (low, high))
        if low > high:
            raise SpecError(f"field {context.field!r}: threshold: min {self.min} is above max {self.max}")
        noise, record = self._noise(frame, context)
        unknown = noise is not None and bool(np.isnan(noise).any())
        dtype = with_missing(frame.dtype) if unknown or "missing" in (self.below, self.above) else frame.dtype
        output = Frame(frame.shape, dtype, frame.unit)
        table = None if noise is None else SharedArray(noise)
        return Threshold(frame, output, float(low), float(high), self.below, self.above, table, record)

    def _noise(self, frame: Frame, context: Context) -> tuple[NDArray[np.float32] | None, dict[str, object]]:
        """Read the noise for limits in sigma; give what to record of it."""
        if self.constants is None:
            return None, {}
        constants = open_constants(context.folder / self.constants)
        noise = pixel_noise(constants, frame, context)
        noise.setflags(write=False)
        return noise, {"constants": constants.facts(), "noise_unknown": int(np.isnan(noise).sum())}


def _in_sigma(limit: Any) -> bool:
    return isinstance(limit, Quantity) and limit.unit == SIGMA


def _limit(side: str, limit: Any, frame: Frame, context: Context) -> float:
    """Return a limit in the unit of the frames; one in sigma as it is.

    Raw frames, which have no unit, are in ADU.
    """
    if not isinstance(limit, Quantity) or limit.unit == SIGMA:
        return float(limit.value if isinstance(limit, Quantity) else limit)
    unit = frame.unit or "ADU"
    if not same_dimension(limit.unit, unit):
        known = repr(unit) if frame.unit else "raw, in 'ADU'; for keV put `calibrate` with gains before it"
        raise SpecError(
            f"field {context.field!r}: threshold: {side} is in {limit.unit!r}, but frames are {known}"
        )
    return float(convert(limit.value, limit.unit, unit))
