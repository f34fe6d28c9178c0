"""Sort of (row, group) pairs by group, so that each group's rows are added in one go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.jit import jit
from cubeengine.types import IntArray


@jit
def runs_by_group(take: IntArray, groups: NDArray[np.int32], n_groups: int) -> tuple[IntArray, IntArray]:
    """Sort pairs by group, keeping their order within a group (a counting sort).

    Returns
    -------
    rows : (k,) int64
        `take`, group after group.
    starts : (n_groups + 1,) int64
        The rows of group g are `rows[starts[g]:starts[g + 1]]`.
    """
    starts = np.zeros(n_groups + 2, np.int64)
    for i in range(len(groups)):
        starts[groups[i] + 2] += 1
    for group in range(2, n_groups + 2):
        starts[group] += starts[group - 1]
    rows = np.empty(len(take), np.int64)
    for i in range(len(take)):
        group = groups[i] + 1
        rows[starts[group]] = take[i]
        starts[group] += 1
    return rows, starts[:-1]
