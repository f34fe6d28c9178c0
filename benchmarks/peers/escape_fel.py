"""escape-fel (Paul Scherrer Institute): digitize the delay, sort the frames by it, reduce step by step.

escape is a peer, not a dependency: this module runs in an environment of its own, see `escape_env`.
Dask's threaded scheduler is what escape uses where no cluster is given.
"""

from __future__ import annotations

from pathlib import Path

import dask
import dask.array as da
import escape
import h5py
import numpy as np

from benchmarks.problems import DELAY, FRAMES, IPM, LOW_IPM, XRAY, Cube, Problem

BLOCK_NBYTES = 32 * 2**20


def cube(path: Path, problem: Problem) -> Cube:
    """Bin all frames of the file."""
    with h5py.File(path) as file:
        index = np.arange(1, problem.n_events + 1)
        step = max(10, BLOCK_NBYTES // problem.frame_nbytes // 10 * 10)
        data = da.from_array(file[FRAMES], chunks=(step, *problem.frame_shape))
        frames = escape.Array(data=data, index=index, name="frames")
        delay = escape.Array(data=file[DELAY][:], index=index, name="delay")
        good = escape.Array(data=(file[XRAY][:] == 1) & (file[IPM][:] >= LOW_IPM), index=index, name="good")
        binned = delay[good].digitize(problem.edges)
        return _reduce(binned, binned.categorize(frames), problem)


def _reduce(binned: escape.Array, frames: escape.Array, problem: Problem) -> Cube:
    lazy = [frames.scan.nanmean(axis=0), frames.scan.nanstd(axis=0)]
    if problem.floating:
        lazy.append(frames.isfinite().scan.sum(axis=0))
    mean, std, *counts = dask.compute(*lazy)
    count = counts[0] if counts else binned.scan.count()
    return Cube(np.stack(mean), np.stack(std), np.asarray(count))
