"""How close the cube of the demonstration comes to what was put in. Nothing is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cubeengine.demo.camera import PHOTON_KEV
from cubeengine.demo.physics import AMPLITUDE, mean_frames, response
from cubeengine.demo.shots import EPIX_EVERY, Shots
from cubeengine.store.read import sem
from cubeengine.types import BoolArray, FloatArray

I0_RANGE, TIMETOOL_MIN = (0.4, 2.0), 0.02
"""The cuts of the spec, once more: the comparison shares nothing with the engine."""

FEWEST = 10
"""Events in a bin, below which its standard error is too uncertain itself."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The diode of one selection against the truth."""

    name: str  # selection
    n_bins: int  # bins with enough events for an error
    chi2: float  # sum over the bins of (cube - truth)^2 / (standard error)^2; about `n_bins` if all is right
    worst: float  # largest deviation of a bin, in standard errors
    n_events: int  # events in the bins
    same_counts: bool
    """Whether every bin holds as many events as plain numpy puts there, and as many frames of each detector.
    """


@dataclass(frozen=True, slots=True)
class Comparison:
    """The cube against the truth.

    Attributes
    ----------
    curves : tuple of Curve
        Laser on, laser off.
    amplitude, amplitude_error, true_amplitude : float
        Rise of the diode at time zero: the projection of the cube on the known response.
    frame_difference : float
        Largest difference of a mean calibrated frame from that of plain numpy, as part of its largest pixel;
        infinite where other pixels are missing.
    frame_chi2 : float
        Mean over the pixels of (frame - photons put in)^2 / (photon noise)^2; about 1 if all is right.
    """

    curves: tuple[Curve, ...]
    amplitude: float
    amplitude_error: float
    true_amplitude: float
    frame_difference: float
    frame_chi2: float

    @property
    def good(self) -> bool:
        """Whether counts and frames agree, and the rest is within what chance allows."""
        counts = all(curve.same_counts and curve.chi2 <= 2.5 * curve.n_bins for curve in self.curves)
        deviation = abs(self.amplitude - self.true_amplitude) / self.amplitude_error
        frames = self.frame_difference < 1e-6 and abs(self.frame_chi2 - 1) < 0.2  # calibrated in float32
        return counts and deviation < 4 and frames


def compare(cube: xr.Dataset, path: Path) -> Comparison:
    """Compare the cube of the demonstration with the truth, and with plain numpy on the same file.

    Parameters
    ----------
    cube : xarray.Dataset
        As the spec of the demonstration makes it.
    path : Path
        The run.
    """
    edges = np.append(cube["delay_bnds"].values[:, 0], cube["delay_bnds"].values[-1, 1])
    on, off = _read_events(path)
    shots = _read_shots(path)
    curves = tuple(_curve(cube.sel(selection=events.name), events, edges, shots) for events in (on, off))
    pumped = cube.sel(selection="on")
    amplitude, error = _project(pumped, _mean_response(on, edges))
    return Comparison(curves, amplitude, error, AMPLITUDE, *_compare_frames(pumped, on, edges, shots))


@dataclass(frozen=True, slots=True)
class _Events:
    """The events of a selection, found with plain numpy."""

    name: str  # selection
    rows: NDArray[np.int64]  # (n,) int64: Rows in the file
    delay: FloatArray  # (n,) float64: In ps
    truth: FloatArray  # (n,) float64: Known response of every event


def _read_events(path: Path) -> tuple[_Events, _Events]:
    """Select and compute the delay as the spec says."""
    with h5py.File(path) as file:
        nominal, correction = file["scan/lxt"][:] * 1e12, file["tt/ttCorr"][:]
        laser, xray = file["lightStatus/laser"][:], file["lightStatus/xray"][:]
        i0, seen = file["ipm2/sum"][:], file["tt/AMPL"][:] > TIMETOOL_MIN
    good = (xray == 1) & (i0 >= I0_RANGE[0]) & (i0 <= I0_RANGE[1])
    on = np.flatnonzero(good & seen & (laser == 1) & np.isfinite(correction))
    off = np.flatnonzero(good & (laser == 0))
    delay = nominal[on] + correction[on]
    pumped = _Events("on", on, delay, response(delay))
    return pumped, _Events("off", off, nominal[off], np.zeros(len(off)))


def _read_shots(path: Path) -> Shots:
    """Return what was put in, made anew: nothing is read but how many events there are, and the seed."""
    with h5py.File(path) as file:
        return Shots(len(file["timestamp"]), int(file.attrs["seed"]))


def _mean_response(events: _Events, edges: FloatArray) -> FloatArray:
    """Average the known response over the events of each bin; NaN where there are none."""
    total = np.histogram(events.delay, edges, weights=events.truth)[0]
    counts = np.histogram(events.delay, edges)[0]
    found: FloatArray = total / np.where(counts > 0, counts, np.nan)
    return found


def _curve(selected: xr.Dataset, events: _Events, edges: FloatArray, shots: Shots) -> Curve:
    counts = np.histogram(events.delay, edges)[0]
    error = _sem(selected)
    wanted = 1 + AMPLITUDE * _mean_response(events, edges)
    deviation = (selected["diode_ratio_mean"].values - wanted) / error
    known: BoolArray = np.isfinite(deviation)
    return Curve(
        name=events.name,
        n_bins=int(known.sum()),
        chi2=float((deviation[known] ** 2).sum()),
        worst=float(np.abs(deviation[known]).max(initial=0.0)),
        n_events=int(counts.sum()),
        same_counts=bool((selected["n_events"].values == counts).all())
        and _same_frame_counts(selected, events, edges, shots),
    )


def _same_frame_counts(selected: xr.Dataset, events: _Events, edges: FloatArray, shots: Shots) -> bool:
    """Compare how many frames there are in every bin: some did not arrive, or were damaged."""
    there = {"frame": shots.whole, "line": np.arange(shots.n_events) % EPIX_EVERY == 0}
    for name, arrived in there.items():
        counts = np.histogram(events.delay[arrived[events.rows]], edges)[0]
        found = selected[f"{name}_count"].values.reshape(len(counts), -1).max(axis=1)
        if not (found == counts).all():
            return False
    return True


def _sem(selected: xr.Dataset) -> FloatArray:
    """Return the standard errors of the ratio; NaN in bins of too few events for one to be known."""
    values: FloatArray = sem(selected, "diode_ratio").values
    return np.where(selected["n_events"].values >= FEWEST, values, np.nan)


def _project(selected: xr.Dataset, unit: FloatArray) -> tuple[float, float]:
    """Return the factor of the known response that the ratio holds, and its standard error."""
    mean, error = selected["diode_ratio_mean"].values - 1, _sem(selected)
    known = np.isfinite(mean) & np.isfinite(error) & np.isfinite(unit)
    weight = unit[known] / error[known] ** 2
    norm = float((weight * unit[known]).sum())
    return float((weight * mean[known]).sum()) / norm, 1 / norm**0.5


def _compare_frames(
    selected: xr.Dataset, events: _Events, edges: FloatArray, shots: Shots
) -> tuple[float, float]:
    """Compare the mean frame of the bin with most events: with plain numpy, and with the photons put in."""
    fullest = int(selected["n_events"].values.argmax())
    inside = (events.delay >= edges[fullest]) & (events.delay < edges[fullest + 1])
    wanted, photons, n_frames = _mean_frame(shots, events.rows[inside & shots.whole[events.rows]])
    found = selected["frame_mean"].values[fullest]
    if (np.isnan(found) != np.isnan(wanted)).any():
        return np.inf, np.inf
    difference = np.nanmax(np.abs(found - wanted)) / np.nanmax(np.abs(wanted))
    noise = np.sqrt((photons + 1) / n_frames)
    chi2 = np.nanmean(((found / PHOTON_KEV - photons) / noise) ** 2)
    return float(difference), float(chi2)


def _mean_frame(shots: Shots, rows: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, int]:
    """Average the calibrated frames of some events, and the photons that were to be expected in them."""
    energy, photons = np.zeros(shots.camera.bad.shape), np.zeros(shots.camera.bad.shape)
    for _, block in shots.blocks():
        wanted = rows[(rows >= block.start) & (rows < block.stop)]
        if not len(wanted):
            continue
        raw = shots.camera.digitize(shots.photons(block)[wanted - block.start])
        energy += shots.camera.calibrate(raw).sum(axis=0)
        expected = mean_frames(shots.intensity[wanted], shots.pumped[wanted])
        photons += expected.sum(axis=0, dtype=np.float64).reshape(photons.shape)
    return energy / len(rows), photons / len(rows), len(rows)
