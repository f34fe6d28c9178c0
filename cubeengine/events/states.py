"""What is known of a condition, event by event: true, false, or why it is unknown.

States are int8 arrays. Unknown states are ordered: where several meet, the highest is kept, as the
reason that a user can do least about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import BoolArray

States: TypeAlias = NDArray[np.int8]

FALSE, TRUE, NAN, MISSING, DAMAGED = (np.int8(code) for code in range(5))
"""Certainly false, certainly true; unknown as a value is NaN, is missing, is damaged."""


def from_truth(truth: NDArray[Any], unknown: BoolArray | None = None, reason: np.int8 = NAN) -> States:
    """Return states of a condition; `unknown` events get the state `reason`."""
    states = truth.astype(np.int8)
    if unknown is not None:
        states[unknown] = reason
    return states


def kleene_and(a: States, b: States) -> States:
    """Return where both hold: false if either is false, else unknown if either is unknown."""
    return np.where((a == FALSE) | (b == FALSE), FALSE, np.maximum(a, b))


def kleene_or(a: States, b: States) -> States:
    """Return where one holds: true if either is true, else unknown if either is unknown."""
    return np.where((a == TRUE) | (b == TRUE), TRUE, np.maximum(a, b))


def kleene_not(a: States) -> States:
    """Turn true into false and back; unknown stays, with its reason."""
    return np.where(a <= TRUE, TRUE - a, a).astype(np.int8)


def all_of(parts: Sequence[States], n_events: int) -> States:
    """Return where all parts hold; without parts, everywhere."""
    result = np.full(n_events, TRUE)
    for part in parts:
        result = kleene_and(result, part)
    return result


def any_of(parts: Sequence[States], n_events: int) -> States:
    """Return where any part holds; without parts, nowhere."""
    result = np.full(n_events, FALSE)
    for part in parts:
        result = kleene_or(result, part)
    return result


def none_of(parts: Sequence[States], n_events: int) -> States:
    """Return where no part holds; without parts, everywhere."""
    return kleene_not(any_of(parts, n_events))
