"""Decisions that follow from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Chance:
    """Decides; the same seed decides alike.

    Attributes
    ----------
    numpy : numpy.random.Generator
        For arrays.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)

    def pick(self, *choices: Any) -> Any:
        """Return one of some values."""
        return self._random.choice(choices)

    def one_of(self, *makers: Callable[[], Any]) -> Any:
        """Return what one of some functions makes."""
        return self._random.choice(makers)()

    def happens(self, share: float) -> bool:
        """Return True in so many of all cases."""
        return self._random.random() < share

    def between(self, low: int, high: int) -> int:
        """Return a whole number, both ends included."""
        return self._random.randint(low, high)

    def some(self, choices: Sequence[Any], n: int) -> list[Any]:
        """Return n different ones of some values, in any order."""
        return self._random.sample(choices, min(n, len(choices)))
