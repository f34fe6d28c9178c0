"""Which cases of a test run at once, and which among the long tests (`pytest -m slow`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_quick(cases: Iterable[Any], n_quick: int = 1) -> list[Any]:
    """Return the cases of one parameter, all but the first `n_quick` marked slow."""
    every = list(cases)
    return every[:n_quick] + [pytest.param(case, marks=pytest.mark.slow) for case in every[n_quick:]]
