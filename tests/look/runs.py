"""Small runs to look at, with everything that may be wrong in them."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine.events import window as windows
from cubeengine.events.run import Run
from tests.planning.runs import memory_run

N_EVENTS = 600


def odd_run(n_events: int = N_EVENTS, seed: int = 3) -> Run:
    """A run with NaN, infinite and missing values, integers and booleans."""
    rng = np.random.default_rng(seed)
    events = np.arange(n_events)
    x = rng.normal(size=n_events)
    arrays = {
        "x": np.where(events % 7 == 0, np.nan, x),
        "y": 2 * x + 1 + rng.normal(size=n_events) * 0.3,
        "far": np.where(events % 100 == 3, np.inf, x),
        "n": rng.integers(-3, 9, n_events),
        "b": rng.random(n_events) < 0.25,
        "wide": rng.normal(size=(n_events, 5)),
    }
    valid = {"n": events % 11 != 0}
    return memory_run(arrays, valid)


def tiny_windows(monkeypatch: pytest.MonkeyPatch, n_events: int = 37) -> None:
    """Cut runs at a few events already, as long ones are."""
    monkeypatch.setattr(windows, "WINDOW_EVENTS", n_events)


def pump_probe(n_events: int = 3000, seed: int = 8, unit: str | None = "s") -> Run:
    """A step scan whose diode follows the intensity and, with the laser on, the delay in a unit."""
    rng = np.random.default_rng(seed)
    events = np.arange(n_events)
    step = events * 6 // n_events
    laser = (events % 3 != 2).astype(np.int64)
    laser[:5] = -1
    i0 = rng.gamma(9.0, 1 / 9.0, n_events)
    signal = i0 * (1.0 + 0.1 * step * (laser == 1)) + rng.normal(0, 0.02, n_events)
    signal[events % 50 == 7] = np.nan
    i0[events % 61 == 11] = 0.0
    return memory_run(
        {
            "scan/lxt": step * 1e-12,
            "lightStatus/laser": laser,
            "lightStatus/xray": np.ones(n_events, np.int64),
            "tt/AMPL": np.where(laser == 1, rng.uniform(0.0, 0.1, n_events), 0.0),
            "ipm2/sum": i0,
            "diode": signal,
        }
    ).with_units({"ipm2/sum": "mJ", "diode": "V", **({"scan/lxt": unit} if unit else {})})
