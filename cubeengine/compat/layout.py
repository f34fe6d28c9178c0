"""A cube in the layout of the original: sums under the fields' names, nEntries, std_*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

FIRST_AXIS = "binVar_bins"
SUM_COMMENT = "mean * nEntries: estimates the sum over all events of the bin; NaN is left out of the mean"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the variables of a cube are called.

    Attributes
    ----------
    axes : tuple of str
        Axes of the cube, as cubeengine names them.
    dims : tuple of str
        What the original calls them.
    selections : mapping of signal to str
        Selection that a signal is taken from.
    base : str
        Selection whose events nEntries counts.
    """

    axes: tuple[str, ...]
    dims: tuple[str, ...]
    selections: Mapping[str, str]
    base: str


def dims_of(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the original's names of the axes of a cube.

    Examples
    --------
    >>> dims_of(["delay", "ipm2/sum"])
    ('bins_delay', 'bins_ipm2_sum')
    """
    if len(fields) == 1:
        return (FIRST_AXIS,)
    return (f"bins_{fields[0]}", *(f"bins_{field.replace('/', '_')}" for field in fields[1:]))


def original_layout(cube: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return a cube as the original would, had it no faults.

    Returns
    -------
    xarray.Dataset
        `nEntries`; for every signal the sum, `std_<name>`, and `nEntries_<name>`, which counts its values.
        The sum is mean * nEntries: what all events of the bin would add up to. Bins without a value are NaN.
        With one axis also `binVar`, the sum of what is binned.
    """
    renamed = dict(zip(layout.axes, layout.dims, strict=True))
    entries = cube["n_events"].sel(selection=layout.base)
    data = {"nEntries": _variable(entries, renamed)}
    for name, selection in layout.selections.items():
        mean, std, count = (
            cube[f"{name}_{statistic}"].sel(selection=selection) for statistic in ("mean", "std", "count")
        )
        data[name] = _variable(
            (mean * entries).transpose(*mean.dims).drop_attrs().assign_attrs(_sum_attrs(mean)), renamed
        )
        data[f"std_{name}"], data[f"nEntries_{name}"] = _variable(std, renamed), _variable(count, renamed)
    if len(layout.axes) == 1:
        data["binVar"] = data[layout.axes[0]]
    sizes = {dim: size for variable in data.values() for dim, size in variable.sizes.items()}
    elements = {dim: (dim, np.arange(size)) for dim, size in sizes.items() if dim not in layout.dims}
    bins = {key: value for old, new in renamed.items() for key, value in _bins(cube, old, new).items()}
    return xr.Dataset(data, coords={**bins, **elements}, attrs=cube.attrs)


def _variable(array: xr.DataArray, renamed: Mapping[str, str]) -> xr.Variable:
    dims = [renamed.get(str(dim), str(dim)) for dim in array.dims]
    return xr.Variable(dims, array.values, dict(array.attrs))


def _sum_attrs(mean: xr.DataArray) -> dict[str, str]:
    kept = {key: value for key, value in mean.attrs.items() if key in ("units", "field")}
    return {
        **kept,
        "comment": SUM_COMMENT,
    }


def _bins(cube: xr.Dataset, old: str, new: str) -> dict[str, xr.Variable]:
    """Return the centres and the edges of the bins of an axis."""
    bounds = f"{new}_bnds"
    centres = xr.Variable((new,), cube[old].values, {**cube[old].attrs, "bounds": bounds})
    return {new: centres, bounds: xr.Variable((new, "bnds"), cube[f"{old}_bnds"].values)}
