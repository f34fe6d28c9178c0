"""The scalars of the demonstration run: a stepped delay scan as XPP records it, good and bad shots."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.demo.physics import AMPLITUDE, DELAYS_PS, response
from cubeengine.types import BoolArray, FloatArray, IntArray

Columns = dict[str, NDArray[Any]]

START = 1_078_500_000
"""Seconds of the first event, from 1990 on as LCLS-II counts them: 2024-03-05."""

SECONDS_PER_EVENT = 1 / 120
LASER_OFF_EVERY = 6
UNKNOWN_LASER = 8
"""Events at the start whose event receiver sent nothing."""

SIGNAL_CHANNEL = 3
"""Of the 16 of `diode2/channels`."""


def make_columns(n_events: int, rng: np.random.Generator) -> tuple[Columns, FloatArray]:
    """Make all fields of one value, or a few, per event.

    Returns
    -------
    columns : mapping of name to (n_events, ...) array
    pumped : (n_events,) float64
        Response of every event, 0 where the laser is off.
    """
    events = np.arange(n_events)
    nominal: FloatArray = DELAYS_PS[setting_of(n_events)]
    laser = events % LASER_OFF_EVERY != LASER_OFF_EVERY - 1
    xray = rng.random(n_events) > 0.02
    jitter = rng.normal(0.0, 0.15, n_events)
    intensity = _intensity(xray, rng)
    pumped = np.where(laser, response(nominal + jitter), 0.0)
    columns = {
        **_times(n_events),
        **_states(xray, laser),
        **_scan(nominal),
        **_timetool(jitter, laser & xray, rng),
        **_beam(intensity, rng),
        "diode2/channels": _diode(intensity, pumped, rng),
    }
    return columns, pumped


def _times(n_events: int) -> Columns:
    nanoseconds = (np.arange(n_events) * SECONDS_PER_EVENT * 1e9).astype(np.int64)
    return {"timestamp": ((START + nanoseconds // 10**9) << 32) | (nanoseconds % 10**9)}


def setting_of(n_events: int) -> IntArray:
    """Return the number of the delay setting of every event, (n_events,): they are gone through once."""
    return np.arange(n_events) * len(DELAYS_PS) // max(n_events, 1)


def _states(xray: BoolArray, laser: BoolArray) -> Columns:
    status = laser.astype(np.int64)
    status[:UNKNOWN_LASER] = -1
    return {
        "evr/code_90": laser.astype(np.uint8),
        "evr/code_91": (~laser).astype(np.uint8),
        "evr/code_137": xray.astype(np.uint8),
        "evr/code_162": (~xray).astype(np.uint8),
        "lightStatus/laser": status,
        "lightStatus/xray": xray.astype(np.int64),
    }


def _scan(nominal: FloatArray) -> Columns:
    seconds = nominal * 1e-12
    step = np.searchsorted(DELAYS_PS, nominal).astype(np.int64)
    return {"scan/lxt": seconds, "scan/var0": seconds, "scan/varStep": step, "enc/lasDelay": nominal}


def _timetool(jitter: FloatArray, lit: BoolArray, rng: np.random.Generator) -> Columns:
    """Make the time tool: right where its amplitude is large, and anything where it is small."""
    n_events = len(jitter)
    found = lit & (rng.random(n_events) > 0.04)
    amplitude = np.where(found, rng.uniform(0.03, 0.1, n_events), rng.uniform(0.0, 0.015, n_events))
    correction = np.where(found, jitter, rng.uniform(-1.0, 1.0, n_events))
    lost = rng.random(n_events) < 0.005
    columns = {
        "tt/AMPL": amplitude,
        "tt/FLTPOS": 512.0 + 400.0 * correction,
        "tt/FLTPOSFWHM": np.where(found, rng.normal(110.0, 8.0, n_events), 400.0),
        "tt/FLTPOS_PS": correction,
        "tt/ttCorr": correction,
    }
    return {name: np.where(lost, np.nan, values) for name, values in columns.items()}


def _intensity(xray: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Make the X-ray intensity: 1 on average, some weak shots, none where the shot was dropped."""
    good = rng.gamma(25.0, 1 / 25.0, len(xray))
    weak = rng.random(len(xray)) < 0.03
    found: FloatArray = np.where(xray, good * np.where(weak, 0.1, 1.0), 0.0)
    return found


def _beam(intensity: FloatArray, rng: np.random.Generator) -> Columns:
    n_events = len(intensity)
    after = 0.6 * intensity + rng.normal(0.0, 0.01, n_events)
    after[rng.random(n_events) < 0.01] = np.nan
    corners = rng.normal(1.0, 0.05, (n_events, 4))
    return {
        "ebeam/charge": rng.normal(0.25, 0.002, n_events),
        "ebeam/photon_energy": rng.normal(9500.0, 8.0, n_events),
        "gas_detector/f_11_ENRC": 2.0 * intensity + rng.normal(0.0, 0.02, n_events),
        "ipm2/sum": intensity + np.where(intensity > 0, 0.0, rng.normal(0.0, 0.002, n_events)),
        "ipm2/channels": intensity[:, None] / 4 * corners,
        "ipm3/sum": after,
    }


def _diode(intensity: FloatArray, pumped: FloatArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Make the 16 diodes: one sees the sample, the others little more than noise."""
    channels = 0.05 * intensity[:, None] + rng.normal(0.0, 0.005, (len(intensity), 16))
    scatter = rng.normal(1.0, 0.03, len(intensity))
    channels[:, SIGNAL_CHANNEL] = intensity * (1 + AMPLITUDE * pumped) * scatter
    channels[:, SIGNAL_CHANNEL] += rng.normal(0.0, 0.005, len(intensity))
    return channels.astype(np.float32)
