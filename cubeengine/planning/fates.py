"""What became of every event, selection by selection: the numbers add up to the events of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cubeengine.events import states
from cubeengine.events.states import States
from cubeengine.planning.axes import BinnedAxis
from cubeengine.types import BoolArray


@dataclass(frozen=True, slots=True)
class Fates:
    """Events of one selection.

    Attributes
    ----------
    binned : int
        Selected, and in a bin.
    cut : int
        Certainly not wanted.
    outside : int
        Selected, but beyond the bins of an axis.
    nan : int
        A value that a cut or an axis needs is NaN or infinite.
    missing : int
        A value that a cut or an axis needs is not there.
    """

    binned: int
    cut: int
    outside: int
    nan: int
    missing: int

    @property
    def n_events(self) -> int:
        """All of them."""
        return sum(asdict(self).values())


def count_fates(selection: States, axes: Sequence[BinnedAxis], considered: BoolArray) -> Fates:
    """Count what became of the events that were considered.

    Parameters
    ----------
    selection : (n_events,) int8 states
        What the selection says of each event.
    axes : sequence of BinnedAxis
        Where they fall.
    considered : (n_events,) bool
        Events of the run, less those left out by `--events` and `--every`.
    """
    on_axes = states.all_of([axis.states for axis in axes], len(selection))
    kept = considered & (selection == states.TRUE)
    unknown = considered & (selection > states.TRUE)
    return Fates(
        binned=_count(kept & (on_axes == states.TRUE)),
        cut=_count(considered & (selection == states.FALSE)),
        outside=_count(kept & (on_axes == states.FALSE)),
        nan=_count(kept & (on_axes == states.NAN)) + _count(unknown & (selection == states.NAN)),
        missing=_count(kept & (on_axes == states.MISSING)) + _count(unknown & (selection > states.NAN)),
    )


def _count(mask: BoolArray) -> int:
    return int(np.count_nonzero(mask))
