"""Writes the demonstration run as an LCLS-I smallData file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.columns import Columns, make_columns
from cubeengine.demo.physics import FRAME, N_Q, azimuthal_weights, frames, radii
from cubeengine.types import BoolArray, FloatArray

N_EVENTS = 12_000
CHUNK_EVENTS = 100
BLOCK_EVENTS = 1000
DAMAGED = 0.005
"""Part of the events whose frame did not arrive."""


def write_run(path: Path, *, n_events: int = N_EVENTS, seed: int = 20) -> None:
    """Write the run: about 12.5 kB per event. The same seed gives the same values.

    Parameters
    ----------
    path : Path
        The file; it appears when it is complete.
    n_events : int
        Shots, at 120 Hz.
    seed : int
        Of all random numbers.
    """
    rng = np.random.default_rng(seed)
    columns, pumped = make_columns(n_events, rng)
    damaged = rng.random(n_events) < DAMAGED
    columns["damage/jungfrau"] = (~damaged).astype(np.int64)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with h5py.File(partial, "w") as file:
            _write_columns(file, columns)
            _write_frames(file, columns["ipm2/sum"], pumped, damaged, rng)
            _write_settings(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_columns(file: h5py.File, columns: Columns) -> None:
    for name, values in columns.items():
        file.create_dataset(name, data=values, chunks=(CHUNK_EVENTS, *values.shape[1:]))


def _write_frames(
    file: h5py.File, intensity: FloatArray, pumped: FloatArray, damaged: BoolArray, rng: np.random.Generator
) -> None:
    n_events, weights = len(intensity), azimuthal_weights()
    area, curve, total = (
        file.create_dataset(f"jungfrau/{name}", (n_events, *shape), dtype, chunks=(CHUNK_EVENTS, *shape))
        for name, shape, dtype in (
            ("ROI_0_area", FRAME, "f4"), ("azav_azav", (N_Q,), "f4"), ("ROI_0_sum", (), "f8")
        )
    )  # fmt: skip
    for start in range(0, n_events, BLOCK_EVENTS):
        block = slice(start, min(start + BLOCK_EVENTS, n_events))
        images = frames(np.maximum(intensity[block], 0.0), pumped[block], rng)
        images[damaged[block]] = np.nan
        flat = images.reshape(len(images), -1)
        area[block], curve[block], total[block] = images, flat @ weights, _sum(flat)


def _sum(flat: NDArray[np.float32]) -> FloatArray:
    total: FloatArray = flat.sum(axis=1, dtype=np.float64)
    return total


def _write_settings(file: h5py.File) -> None:
    height, width = FRAME
    file["UserDataCfg/jungfrau/ROI_0_ROI"] = np.array([[0, 1], [100, 100 + height], [200, 200 + width]])
    file["UserDataCfg/jungfrau/azav_q"] = (np.arange(N_Q) + 0.5) / N_Q * radii().max() * 0.05
    file["UserDataCfg/jungfrau/mask"] = np.ones(FRAME, np.uint8)
