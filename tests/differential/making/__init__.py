"""Making cases of a seed: small runs of both layouts with all that goes wrong in them, and specs that fit."""

from __future__ import annotations

from tests.differential.case import Case
from tests.differential.making.chance import Chance
from tests.differential.making.computing import ways_to_compute
from tests.differential.making.fields import choose_fields
from tests.differential.making.runs import Runs
from tests.differential.making.specs import Specs


def make(seed: int) -> Case:
    """Return the case of a seed."""
    chance = Chance(seed)
    fields = choose_fields(chance)
    runs = Runs(chance, fields)
    merged = chance.happens(0.08)
    made = tuple(runs.run() for _ in range(2 if merged else 1))
    specs = Specs(chance, fields, runs, merged=merged)
    spec = specs.spec()
    how = ways_to_compute(chance, lcls2=runs.lcls2)
    if not merged:
        how |= specs.part_or_coarser()
    return Case(seed, made, spec, how, specs.files)
