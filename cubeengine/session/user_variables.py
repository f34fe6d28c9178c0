"""A run's data in memory, with what is missing kept missing."""

from __future__ import annotations

import numpy as np
import xarray as xr

_EXACT = 2**53
"""Integers up to this size are the same as float64."""


def honest(dataset: xr.Dataset) -> xr.Dataset:
    """Give a run's data with missing integers and booleans as NaN, so that arithmetic keeps them missing.

    Those with values beyond 2**53, which float64 does not hold, stay as they are, with `<name>_valid`.
    """
    for key in [str(key) for key in dataset.data_vars]:
        marks = dataset.coords.get(f"{key}_valid")
        array = dataset[key]
        if marks is None or marks.dims != ("event",) or array.dtype.kind not in "biu":
            continue
        data = array.to_numpy()
        if data.size and max(abs(int(data.min())), abs(int(data.max()))) > _EXACT:
            continue
        held = data.astype(np.float64)
        held[~marks.to_numpy().astype(bool)] = np.nan
        dataset = dataset.assign({key: (array.dims, held, array.attrs)}).drop_vars(f"{key}_valid")
    return dataset
