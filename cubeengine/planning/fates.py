"""What became of every event, selection by selection: the numbers add up to the events of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from operator import add

import numpy as np

from cubeengine.events import states
from cubeengine.events.states import States
from cubeengine.planning.axes import Binned
from cubeengine.types import BoolArray


@dataclass(frozen=True, slots=True)
class Fates:
    """Events of one selection."""

    binned: int  # selected, and in a bin
    cut: int  # certainly not wanted
    outside: int  # selected, but beyond the bins of an axis
    nan: int  # a value that a cut or an axis needs is NaN or infinite
    missing: int  # a value that a cut or an axis needs is not there
    damaged: int  # a value that a cut or an axis needs was damaged when it was taken

    @property
    def n_events(self) -> int:
        """All of them."""
        return sum(asdict(self).values())

    def __add__(self, other: Fates) -> Fates:
        return Fates(*map(add, astuple(self), astuple(other)))


def count_fates(selection: States, axes: Sequence[Binned], considered: BoolArray) -> Fates:
    """Count what became of the events that were considered.

    Parameters
    ----------
    selection : (n_events,) int8 states
        What the selection says of each event.
    axes : sequence of Binned
        Where they fall.
    considered : (n_events,) bool
        Events of the run, less those left out by `--events` and `--every`.
    """
    on_axes = states.all_of([axis.states for axis in axes], len(selection))
    kept = considered & (selection == states.TRUE)
    # What the selection does not know counts by its reason; what it keeps, by where it falls.
    fate = np.where(kept, on_axes, selection)
    return Fates(
        binned=_count(kept & (on_axes == states.TRUE)),
        cut=_count(considered & (selection == states.FALSE)),
        outside=_count(kept & (on_axes == states.FALSE)),
        nan=_count(considered & (fate == states.NAN)),
        missing=_count(considered & (fate == states.MISSING)),
        damaged=_count(considered & (fate == states.DAMAGED)),
    )


def _count(mask: BoolArray) -> int:
    return int(np.count_nonzero(mask))
