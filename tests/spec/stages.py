"""Stages that tests of the spec use: they are never built."""

from cubeengine.detectors.base import Options
from cubeengine.detectors.registry import register
from cubeengine.schema.base import Amount


@register
class Gain(Options):
    name = "spec_gain"
    shorthand = "constants"

    constants: str
    mode: str | None = None


@register
class Floor(Options):
    name = "spec_floor"

    min: Amount
    below: str = "zero"


@register
class Total(Options):
    name = "spec_total"
