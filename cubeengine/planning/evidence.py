"""What a run says itself of detectors that lack an event: the fields `damage/<detector>` of smallData.

They are 1 where the detector was read out and whole, and 0 where it is missing or damaged. What is left out
of a signal is decided by its values; these fields are evidence of it, counted and named in the cube.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from cubeengine.events.run import Run
from cubeengine.types import BoolArray, Column, FieldKind

GROUP = "damage"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Selected events in the bins in which a detector is missing or damaged, as the run says."""

    field: str
    """The field that says so, e.g. "damage/epix"."""
    events: Mapping[str, int]  # selection -> number of events


def damage_fields(run: Run, names: Iterable[str]) -> dict[str, str]:
    """Find the fields that tell of damage: field -> that of its detector, where there is one in its file."""
    found = {name: f"{GROUP}/{name.partition('/')[0]}" for name in names if "/" in name}
    return {name: damage for name, damage in found.items() if _tells(run, name, damage)}


def _tells(run: Run, name: str, damage: str) -> bool:
    known = run.source.fields
    if name not in known or damage not in known or name.startswith(f"{GROUP}/"):
        return False
    info = known[damage]
    is_flag = info.kind is FieldKind.EVENT and not info.shape and info.dtype.kind in "biuf"
    return is_flag and info.origin == known[name].origin


def tells_of_damage(column: Column) -> BoolArray:
    """Find the events in which a damage field says that the detector is missing or damaged."""
    there = np.ones(len(column), bool) if column.valid is None else column.valid
    bad: BoolArray = (column.data == 0) & there
    return bad
