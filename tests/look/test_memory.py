"""Memory: ten times the events cost no more of it, whatever is looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

MIB = 2**20
SHORT, LONG = 300_000, 3_000_000
WINDOW = 2**16  # instead of 2**20, and all else as much smaller, so that runs are soon long

SCRIPT = f"""
import gc, json, sys
from pathlib import Path
from cubeengine import look
from cubeengine.events import window
from cubeengine.measure import PeakMemory, anonymous_memory
from cubeengine.planning import distinct, side
from tests.makers.simulated import simulated_run

window.WINDOW_EVENTS = {WINDOW}
distinct.BLOCK_VALUES, distinct.SAMPLE_STEP = 2**17, 2**8
side.Growing.__init__.__defaults__ = (2**19,)
"""
SCRIPT += """
PUMPED = {"all": ["`tt/AMPL` > 0.02", "`ipm2/sum` > 0.2"], "laser": "on"}
LOOKS = {
    "histogram": lambda run: look.histogram(run, "ipm2/sum", select=PUMPED),
    "percentiles": lambda run: look.histogram(run, "ipm2/sum", percentiles=(1, 99)),
    "histogram2d": lambda run: look.histogram2d(run, "ipm2/sum", "tt/AMPL"),
    "correlation": lambda run: look.correlation(run, "ipm2/sum", "`tt/AMPL` * 2", select="`tt/AMPL` > 0.02"),
    "trace": lambda run: look.trace(run, "ipm2/sum", over="event", select="`ipm2/sum` > 0.2"),
    "scan": lambda run: look.scan_curve(run, "tt/AMPL", "ipm2/sum", select="`ipm2/sum` > 0.2"),
    "cut_flow": lambda run: look.cut_flow(run, PUMPED),
    "cuts": lambda run: look.cut_histograms(run, "`ipm2/sum` > 0.2"),
    "missing": look.missing_fractions,
    "shots": look.shots,
    "choices": look.choices,
}
folder, n_events, peaks = Path(sys.argv[1]), int(sys.argv[2]), {}
run = simulated_run(folder / "frames", n_events, (1, 1))
for name, look_at in LOOKS.items():
    look_at(simulated_run(folder / "small", 1000, (1, 1)))  # imports
    gc.collect()
    with PeakMemory() as peak:
        look_at(run)
    peaks[name] = peak.total
print(json.dumps(peaks))
"""


def peaks(folder: Path, n_events: int) -> dict[str, int]:
    """Look at a run in a process of its own; give the peak memory of each way to look."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, str(n_events)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=PATIENCE,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_ten_times_the_events_cost_no_more_memory(tmp_path: Path) -> None:
    short, long = peaks(tmp_path, SHORT), peaks(tmp_path, LONG)
    more = {name: round((long[name] - short[name]) / MIB, 1) for name in short}
    print(more)  # noqa: T201 - shown when it fails
    assert max(more.values()) < 12  # a column of the further events has 21 MiB
