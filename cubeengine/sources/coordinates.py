"""Coordinates of element dimensions, from the settings that the producer stores under UserDataCfg."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.types import FieldInfo

Coordinates = dict[int, tuple[str, NDArray[Any]]]


def element_coordinates(
    info: FieldInfo, fields: Mapping[str, FieldInfo], read: Callable[[str], NDArray[Any]]
) -> Coordinates:
    """Find the coordinates of a field's element dimensions.

    `azav_azav` and its like have q (and phi) values; a ROI has the pixel numbers it was cut from.

    Parameters
    ----------
    info : FieldInfo
        The field.
    fields : mapping
        All fields of the run.
    read : callable
        Reads a run-level field.

    Returns
    -------
    dict of dimension to (name, values)
        Only what is known; (length of the dimension,) values.
    """
    detector, _, leaf = info.name.rpartition("/")
    settings = f"UserDataCfg/{detector}/"
    function = leaf.rpartition("_")[0]
    if leaf.endswith("_area"):
        return _roi_pixels(info.shape, settings + f"{function}_ROI", fields, read)
    return _one_dimensional(info.shape, settings + function, fields, read)


def _one_dimensional(
    shape: tuple[int, ...], prefix: str, fields: Mapping[str, FieldInfo], read: Callable[[str], NDArray[Any]]
) -> Coordinates:
    found: Coordinates = {}
    for dimension, quantity in zip(reversed(range(len(shape))), ("q", "phi"), strict=False):
        name = f"{prefix}_{quantity}"
        if name in fields and fields[name].shape == (shape[dimension],) and not fields[name].note:
            found[dimension] = (quantity, read(name))
    return found


def _roi_pixels(
    shape: tuple[int, ...], name: str, fields: Mapping[str, FieldInfo], read: Callable[[str], NDArray[Any]]
) -> Coordinates:
    if (
        len(shape) != 2
        or name not in fields
        or fields[name].note
        or fields[name].shape not in ((2, 2), (3, 2))
    ):
        return {}
    bounds = np.asarray(read(name))[-2:].astype(np.int64)
    found: Coordinates = {}
    for dimension, (quantity, (low, high)) in enumerate(zip(("row", "col"), bounds.tolist(), strict=True)):
        if high - low == shape[dimension]:
            found[dimension] = (quantity, np.arange(low, high))
    return found
