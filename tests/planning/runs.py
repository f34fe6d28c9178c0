"""Small runs in memory, and the short way from a spec's text to what is planned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cubeengine import api
from cubeengine.events.run import Run
from cubeengine.planning.bind import Bound, bind
from cubeengine.planning.sample import Sample
from cubeengine.sources.memory import MemorySource
from cubeengine.spec.model import CubeSpec

DELAYS_PS = np.arange(-1.0, 3.1, 0.5)
"""Settings of `delay_scan`."""


def memory_run(arrays: Mapping[str, Any], valid: Mapping[str, Any] | None = None, **more: Any) -> Run:
    marks = {name: np.asarray(mask, bool) for name, mask in (valid or {}).items()}
    return Run(MemorySource({name: np.asarray(a) for name, a in arrays.items()}, valid=marks, **more))


def delay_scan(n_events: int = 360, seed: int = 5) -> Run:
    """A step scan in seconds; every sixth event without laser, without time-tool signal there."""
    rng = np.random.default_rng(seed)
    events = np.arange(n_events)
    laser = (events % 6 != 5).astype(np.int64)
    step = events * len(DELAYS_PS) // n_events
    return memory_run(
        {
            "scan/lxt": DELAYS_PS[step] * 1e-12,
            "tt/ttCorr": rng.normal(0, 0.2, n_events),
            "tt/AMPL": np.where(laser == 1, rng.uniform(0.05, 0.1, n_events), 0.001),
            "lightStatus/laser": laser,
            "lightStatus/xray": np.ones(n_events, np.int64),
            "ipm2/sum": rng.gamma(12, 1 / 12, n_events),
            "epix/area": rng.poisson(9.0, (n_events, 3, 4)).astype(np.uint16),
        }
    )


DELAY = """
units: {scan/lxt: s, tt/ttCorr: ps}
derive:
  delay: {delay: {nominal: scan/lxt, timetool: tt/ttCorr}}
"""


def bound_of(run: Run, text: str, *, events: int | None = None, every: int | None = None) -> Bound:
    return bind(run, CubeSpec.loads("cube: test\n" + text), sample=Sample(events, every))


def plan_of(run: Run, text: str, **options: Any) -> api.Plan:
    return api.plan(run, CubeSpec.loads("cube: test\n" + text), **options)


def warnings_of(run: Run, text: str) -> list[str]:
    return [warning.message for warning in plan_of(run, text, force=True).warnings]
