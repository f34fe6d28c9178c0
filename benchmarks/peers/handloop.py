"""A loop as a good scientist writes it: h5py and numpy, one process, float64 sums per bin, one pass.

Blocks of 32 MiB are split by bin with a mask. Adding frame by frame took 1.1 to 1.2 times as long, a
matrix product with a one-hot matrix 6 times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.problems import DELAY, FRAMES, IPM, LOW_IPM, XRAY, Cube, Problem

BLOCK_NBYTES = 32 * 2**20


def cube(path: Path, problem: Problem) -> Cube:
    """Bin all frames of the file."""
    total = np.zeros((problem.n_bins, *problem.frame_shape))
    square = np.zeros_like(total)
    count = np.zeros(total.shape if problem.floating else problem.n_bins, np.int64)
    step = max(10, BLOCK_NBYTES // problem.frame_nbytes // 10 * 10)
    with h5py.File(path) as file:
        good = (file[XRAY][:] == 1) & (file[IPM][:] >= LOW_IPM)
        index = np.where(good, np.digitize(file[DELAY][:], problem.edges) - 1, -1)
        for start in range(0, len(index), step):
            block, bins = file[FRAMES][start : start + step], index[start : start + step]
            for number in np.unique(bins[bins >= 0]):
                values = block[bins == number].astype(np.float64)
                count[number] += _clean(values) if problem.floating else len(values)
                total[number] += values.sum(axis=0)
                square[number] += (values**2).sum(axis=0)
    return _finish(total, square, count)


def _clean(values: NDArray[np.float64]) -> NDArray[Any]:
    """Set what is not finite to 0, in place, and count the rest."""
    finite = np.isfinite(values)
    values[~finite] = 0
    return finite.sum(axis=0)


def _finish(total: NDArray[np.float64], square: NDArray[np.float64], count: NDArray[np.int64]) -> Cube:
    events = count.reshape(*count.shape, *[1] * (total.ndim - count.ndim))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / events
        std = np.sqrt(np.maximum(square / events - mean**2, 0))
    return Cube(mean, std, count)
