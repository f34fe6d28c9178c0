"""Picking by plain loops: what the package should give, of arrays that are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cubeengine.picking.choose import random_keys


def pick_loop(
    bins: Sequence[int],
    values: Sequence[float],
    n_bins: int,
    most: int,
    which: Any,
    stamps: Sequence[int] = (),
) -> list[list[int]]:
    """Pick events one after the other.

    `bins` is -1 for events that are not selected or in no bin; `values` NaN where there is none.
    """
    found = []
    for number in range(n_bins):
        own = [i for i, bin_ in enumerate(bins) if bin_ == number and np.isfinite(values[i])]
        ranked = sorted(own, key=lambda i: (_badness(i, own, values, which, stamps), i))[:most]
        found.append(ranked + [-1] * (most - len(ranked)))
    return found


def _badness(i: int, own: list[int], values: Sequence[float], which: Any, stamps: Sequence[int]) -> float:
    if which == "largest":
        return -values[i]
    if which == "smallest":
        return values[i]
    if which == "first":
        return 0
    if "nearest" in which:
        return abs(values[i] - which["nearest"])
    if "random" in which:
        return int(random_keys(np.array([stamps[i]], np.uint64), which["random"])[0])
    return abs(values[i] - float(np.percentile([values[j] for j in own], which["percentile"])))
