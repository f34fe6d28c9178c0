"""Writes the demonstration run: smallData as LCLS-II lays it out, raw data (xtc2), and constants."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.camera import write_calibration
from cubeengine.demo.columns import Columns
from cubeengine.demo.files import CONSTANTS_FOLDER, DATA_NAME, EXPERIMENT, RAW_FOLDER, RUN
from cubeengine.demo.physics import FRAME, N_Q, azimuthal_weights, radii
from cubeengine.demo.raw import RawRun, open_raw_run
from cubeengine.demo.shots import Shots
from cubeengine.types import FloatArray

N_EVENTS = 6000
CHUNK_EVENTS = 100

_CAMERA = {"ROI_0_area": (FRAME, "f4"), "azav_azav": ((N_Q,), "f4"), "ROI_0_sum": ((), "f8")}
"""Of the jungfrau in smallData: shape and type of one event, in photons."""


def write_run(folder: str | Path, *, n_events: int = N_EVENTS, seed: int = 20) -> None:
    """Write the run: about 20 kB per event. The same seed gives the same values.

    Parameters
    ----------
    folder : str or Path
        Gets the smallData file, the folder of raw data, and the files of constants. Those with events
        appear when they are complete. It is made where it is not there.
    n_events : int
        Shots, at 120 Hz.
    seed : int
        Of all random numbers.
    """
    folder, shots = Path(folder), Shots(n_events, seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / DATA_NAME
    partial = path.with_name(f".{path.name}.partial")
    write_calibration(folder / CONSTANTS_FOLDER, shots.camera)
    try:
        with h5py.File(partial, "w") as file, open_raw_run(folder / RAW_FOLDER, EXPERIMENT, RUN) as out:
            file.attrs["seed"] = seed
            _write_columns(file, shots.columns)
            _write_frames(file, RawRun(out, shots), shots)
            _write_settings(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_columns(file: h5py.File, columns: Columns) -> None:
    for name, values in columns.items():
        file.create_dataset(name, data=values, chunks=(CHUNK_EVENTS, *values.shape[1:]))


def _write_frames(file: h5py.File, raw: RawRun, shots: Shots) -> None:
    """Write the frames, block after block: raw, and as the facility's analysis has them in smallData."""
    weights = azimuthal_weights()
    for name, (shape, dtype) in _CAMERA.items():
        file.create_dataset(
            f"jungfrau/{name}", (shots.n_events, *shape), dtype, chunks=(CHUNK_EVENTS, *shape)
        )
    for step, block in shots.blocks():
        images = shots.photons(block)
        raw.write(step, block, shots.camera.digitize(images))
        images[~shots.whole[block]] = np.nan
        flat = images.reshape(len(images), -1)
        for name, values in zip(_CAMERA, (images, flat @ weights, _sum(flat)), strict=True):
            file[f"jungfrau/{name}"][block] = values
    raw.end()


def _sum(flat: NDArray[np.float32]) -> FloatArray:
    total: FloatArray = flat.sum(axis=1, dtype=np.float64)
    return total


def _write_settings(file: h5py.File) -> None:
    height, width = FRAME
    file["UserDataCfg/jungfrau/ROI_0_ROI"] = np.array([[0, 1], [100, 100 + height], [200, 200 + width]])
    file["UserDataCfg/jungfrau/azav_q"] = (np.arange(N_Q) + 0.5) / N_Q * radii().max() * 0.05
    file["UserDataCfg/jungfrau/mask"] = np.ones(FRAME, np.uint8)
