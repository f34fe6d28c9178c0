"""xarray `groupby_bins` on dask arrays, with and without flox, on dask's threaded scheduler.

The frames are wrapped with `dask.array.from_array`, as smallData files have no dimension scales that
`xarray.open_dataset` could use. Mean, std and count are computed together, so they share reading.
"""

from __future__ import annotations

from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import xarray as xr

from benchmarks.problems import DELAY, FRAMES, IPM, LOW_IPM, XRAY, Cube, Problem

BLOCK_NBYTES = 32 * 2**20


def cube(path: Path, problem: Problem, *, flox: bool) -> Cube:
    """Bin all frames of the file."""
    with h5py.File(path) as file, xr.set_options(use_flox=flox):
        frames = _open(file, problem)
        grouped = frames.groupby_bins("delay", problem.edges, right=False)
        counted = (
            grouped if problem.floating else frames.delay.groupby_bins("delay", problem.edges, right=False)
        )
        lazy = (grouped.mean("event"), grouped.std("event"), counted.count("event"))
        mean, std, count = dask.compute(*lazy)
    return Cube(mean.values, std.values, count.values)


def _open(file: h5py.File, problem: Problem) -> xr.DataArray:
    """Return the frames with their delays: NaN, which is in no bin, where the event is not selected."""
    step = max(10, BLOCK_NBYTES // problem.frame_nbytes // 10 * 10)
    data = da.from_array(file[FRAMES], chunks=(step, *problem.frame_shape))
    dims = ("event", *(f"dim{number}" for number in range(len(problem.frame_shape))))
    good = (file[XRAY][:] == 1) & (file[IPM][:] >= LOW_IPM)
    delay = np.where(good, file[DELAY][:], np.nan)
    return xr.DataArray(data, dims=dims, coords={"delay": ("event", delay)})
