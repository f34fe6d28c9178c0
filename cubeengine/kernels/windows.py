"""Windows of one width along rising values: where events lie densest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.jit import jit
from cubeengine.types import IntArray


@jit
def densest_windows(
    values: NDArray[Any], width: float, before: IntArray, stop: IntArray, denser: IntArray
) -> tuple[IntArray, IntArray]:
    """Find the windows that hold more events than every window they overlap.

    A window begins at a value and reaches `width` further, both ends included. Of windows that overlap and
    hold equally many events, none of them beside a denser one, the lowest is taken.

    Parameters
    ----------
    values : (n,) numbers
        Distinct, rising, finite; compared as float64.
    width : float
        At least 0.
    before : (n + 1,) int64
        Events at values below each, and all events.
    stop, denser : (n,) int64
        Room to work in: it may be mapped from a file, so that memory stays bounded.

    Returns
    -------
    first, stop : (n_windows,) int64
        Window k holds `values[first[k]:stop[k]]`; windows share no value.

    Notes
    -----
    Cost: O(n). Memory: that of the windows found, beside the arrays given.
    """
    n = len(values)
    end = 0
    for i in range(n):
        while end < n and float(values[end]) <= float(values[i]) + width:
            end += 1
        stop[i] = end
    # The next window above that holds more, found by hopping over those that hold no more.
    for i in range(n - 1, -1, -1):
        held, other = before[stop[i]] - before[i], i + 1
        while other < n and before[stop[other]] - before[other] <= held:
            other = denser[other]
        denser[i] = other
    chosen, taken = [0 for _ in range(0)], 0
    for i in range(n):
        held, above, other = before[stop[i]] - before[i], denser[i], i - 1
        while other >= 0 and before[stop[other]] - before[other] <= held:
            other = denser[other]
        denser[i] = other  # from here on the next one below that holds more
        if above >= stop[i] and (other < 0 or stop[other] <= i) and i >= taken:
            chosen.append(i)
            taken = stop[i]
    first = np.array(chosen, np.int64)
    return first, stop[first]
