"""Variables that look at other events, in specs: right on a run, and the same bits in any windows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.events import window as windows
from cubeengine.planning import nearby
from cubeengine.sources.times import pack
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_facts
from tests.makers.simulated import SPEC
from tests.planning.runs import bound_of, memory_run, plan_of
from tests.planning.test_windows import facts, tiny_windows
from tests.waiting import PATIENCE

N_EVENTS = 300
SECOND = 10**9


def off_run():
    """Every fifth event without laser, one gap of a minute, values missing here and there."""
    rng = np.random.default_rng(3)
    laser = (np.arange(N_EVENTS) % 5 != 2).astype(np.int64)
    times = np.arange(N_EVENTS) * 8_333_333 + 5 * SECOND + (np.arange(N_EVENTS) > 200) * 60 * SECOND
    arrays = {
        "lightStatus/laser": laser,
        "x": np.where(rng.random(N_EVENTS) < 0.1, np.nan, rng.normal(size=N_EVENTS)),
        "n": rng.integers(0, 50, N_EVENTS),
        "w": np.where(rng.random((N_EVENTS, 3)) < 0.2, np.nan, rng.normal(size=(N_EVENTS, 3))),
    }
    valid = {"n": rng.random(N_EVENTS) < 0.9}
    return memory_run(arrays, valid, timestamps=pack(*np.divmod(times, SECOND)))


ALL = """
units: {x: mJ}
derive:
  slow: {running: {field: x, window: 21}}
  trail: {running: {field: x, window: 20, statistic: mean, at: trailing}}
  second: {running: {field: n, window: 0.5 s, statistic: mean}}
  slower: {running: {field: slow, window: 100 ms, at: trailing}}
  near: {neighbours: {field: x, among: off, n: 3}}
  diff: {neighbours: {field: w, among: off, n: 4, give: difference, within: 90 ms}}
  rare: {neighbours: {field: n, among: rare, n: 2}}
  nobody: {neighbours: {field: n, among: nobody}}
  before: {shift: {field: n, events: -1}}
  far: {shift: {field: w, events: 130, within: 1.2 s}}
  ratio: near / slow
select:
  off: {laser: off, all: ["slow > -1"]}
  rare: [off, {field: n, min: 47}]
  nobody: [{field: n, min: 99}]
  on: {laser: on, all: ["near > -5"]}
cubes: [on, off]
axes: [{field: slow, quantiles: 4, unit: uJ}]
signals: [slow, trail, second, slower, near, diff, rare, nobody, before, far, ratio]
"""


def test_events_of_one_time_stay_in_the_order_of_the_file(monkeypatch):
    times, x = [0, 0, 0, 1, 1], [1.0, 2.0, 4.0, 8.0, 16.0]
    stamps = np.array(times, np.uint64) + np.uint64(2**33)
    text = """derive:
  time: {running: {field: x, window: 1 ns, at: trailing, statistic: mean}}
  count: {running: {field: x, window: 2, at: trailing, statistic: mean}}
  next: {shift: {field: x, events: 1}}
  nearest: {neighbours: {field: x, among: all, n: 1, give: mean}}
  both: {running: {field: next, window: 1 ns, at: trailing, statistic: mean}}
signals: [time, count, next, nearest, both]"""
    later = [*x[1:], None]

    def mean_until_now(values):
        near = [[v for v, t in zip(values, times, strict=True) if now - 1 <= t <= now] for now in times]
        there = [[v for v in part if v is not None] for part in near]
        return [sum(part) / len(part) for part in there]

    expected = {
        "time": mean_until_now(x), "count": [1, 1.5, 3, 6, 12], "next": [*x[1:], np.nan],
        "nearest": [2, 1, 2, 16, 8], "both": mean_until_now(later),
    }  # fmt: skip
    for n_events in (5, 2):
        monkeypatch.setattr(windows, "WINDOW_EVENTS", n_events)
        run = plan_of(memory_run({"x": x}, timestamps=stamps), text).bound.run
        for name, values in expected.items():
            np.testing.assert_allclose(run.column(name).data, values, err_msg=name)


@pytest.mark.parametrize(
    ("n_events", "look"),
    [*(pytest.param(4, look, marks=pytest.mark.slow) for look in (1, 50)), (37, 7), (299, 1000)],
)
def test_windows_change_no_bit(monkeypatch, n_events, look):
    plain = plan_of(off_run(), ALL)
    tiny_windows(monkeypatch, n_events)
    monkeypatch.setattr(nearby, "LOOK_EVENTS", look)
    cut = plan_of(off_run(), ALL)
    assert facts(cut) == facts(plain)
    assert cut.bound.near == plain.bound.near
    for name in ("slow", "trail", "second", "slower", "near", "diff", "rare", "nobody", "before", "far"):
        a, b = (plan.bound.run.column(name) for plan in (cut, plain))
        assert a.data.tobytes() == b.data.tobytes(), name
        assert (a.valid is None) == (b.valid is None)
        assert a.valid is None or a.valid.tolist() == b.valid.tolist()


def column(text, name="d", run=None):
    return bound_of(run or off_run(), text).run.column(name).data


def test_neighbours_come_from_the_selection_and_skip_the_gap():
    run = off_run()
    off, x, time = run.column("lightStatus/laser").data == 0, run.column("x").data, run.time.astype(np.int64)
    text = (
        "select: {off: {laser: off}}\nderive: {d: {neighbours: {field: x, among: off, n: 2, within: 50 ms}}}"
    )
    found = column(text, run=run)
    for i in range(N_EVENTS):
        others = [j for j in np.flatnonzero(off & np.isfinite(x)) if j != i and abs(time[j] - time[i]) <= 5e7]
        near = sorted(others, key=lambda j: (abs(time[j] - time[i]), j))[:2]
        assert found[i] == (x[sorted(near)].sum() / len(near) if near else pytest.approx(np.nan, nan_ok=True))


def test_difference_needs_the_events_own_value():
    text = "select: {off: {laser: off}}\nderive: {d: {neighbours: {field: x, among: off, give: %s}}}"
    run = off_run()
    mean, difference = (column(text % give, run=run) for give in ("mean", "difference"))
    np.testing.assert_array_equal(difference, run.column("x").data - mean)
    assert np.isfinite(mean).all()
    missing = int(np.isnan(run.column("x").data).sum())
    assert bound_of(run, text % "difference").near["d"].missing == missing


def test_what_values_rest_on_is_counted_and_shown():
    plan = plan_of(off_run(), ALL)
    assert plan.bound.near["nobody"].nothing == N_EVENTS
    near = plan.bound.near["before"]
    assert (near.nothing, near.missing) == (1, int((~off_run().column("n").valid[:-1]).sum()))
    assert all(sum(counts.values()) == N_EVENTS for counts in plan.to_dict()["near"].values())
    assert f"nobody: {N_EVENTS} without a value from another event" in str(plan)
    assert cube_facts(plan.compute())["near"] == plan.to_dict()["near"]


def test_a_variable_that_is_missing_everywhere_is_warned_of():
    told = [message for message in map(str, plan_of(off_run(), ALL).warnings) if "in every event" in message]
    assert len(told) == 1
    assert "'nobody' is missing in every event: no other event of the selection" in told[0]


@given(st.integers(-12, 12), st.sampled_from(["", ", within: 1 us", ", within: 5 s"]), st.integers(1, 12))
def test_shifted_values_are_those_of_a_plain_loop(events, within, n_events):
    times = np.array([1, 2, 2, 3, 40, 41, 42, 50, 99, 100]) * 10**8
    values = np.array([1.5, np.nan, 3, 4, 5, 6, 7, 8, 9, 10])
    run = memory_run({"x": values}, timestamps=pack(*np.divmod(times, SECOND)))
    longest = {"": 10**18, ", within: 1 us": 1000, ", within: 5 s": 5 * SECOND}[within]
    others = [i + events for i in range(10)]
    there = [0 <= j < 10 and abs(times[j] - times[i]) <= longest for i, j in enumerate(others)]
    expected = [values[j] if ok else np.nan for j, ok in zip(others, there, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        tiny_windows(patch, n_events)
        bound = bound_of(run, f"derive: {{d: {{shift: {{field: x, events: {events}{within}}}}}}}")
    np.testing.assert_array_equal(bound.run.column("d").data, expected)
    assert bound.near["d"].nothing == 10 - sum(there)


def test_the_unit_is_that_of_the_field():
    bound = bound_of(off_run(), ALL)
    assert bound.run.fields["slow"].name == "slow"
    assert {signal.name: signal.unit for signal in bound.signals}["near"] == "mJ"
    assert bound.axes[0].axis.unit == "uJ"
    np.testing.assert_allclose(bound.run.column("slow [uJ]").data, bound.run.column("slow").data * 1000)


def test_a_delay_may_rest_on_a_running_time_tool():
    run = memory_run({"lxt": np.zeros(5), "tt": np.array([1.0, 2, 9, 4, 5])})
    text = """
units: {lxt: s, tt: ps}
derive:
  slow: {running: {field: tt, window: 3}}
  d: {delay: {nominal: lxt, timetool: slow, laser: none}}
"""
    assert column(text, run=run).tolist() == [1.5, 2, 4, 5, 4.5]


def test_runs_without_events_have_no_values():
    run = memory_run({"x": np.empty(0), "n": np.empty(0, np.int64), "w": np.empty((0, 3))})
    text = ALL.replace("laser: off, ", "").replace("laser: on, ", "").replace("quantiles: 4", "edges: [0, 1]")
    bound = bound_of(run, text)
    assert all(len(bound.run.column(name)) == 0 for name in bound.spec.derive)


def test_the_events_of_a_selection_are_looked_for_once(monkeypatch):
    looked = []
    plain = nearby._chosen
    monkeypatch.setattr(
        nearby, "_chosen", lambda value, window: looked.append(window) or plain(value, window)
    )
    tiny_windows(monkeypatch, 10)
    monkeypatch.setattr(nearby, "LOOK_EVENTS", 10)
    text = "select: {nobody: [{field: n, min: 99}]}\nderive: {d: {neighbours: {field: n, among: nobody}}}"
    bound_of(off_run(), text)
    assert len(looked) <= 2 * N_EVENTS / 10


def test_only_the_events_that_are_needed_are_read_beyond_a_window(monkeypatch):
    read = []
    run = off_run()
    plain = windows.Window.__init__

    def watched(self, run, events):
        read.append(events)
        plain(self, run, events)

    monkeypatch.setattr(windows.Window, "__init__", watched)
    tiny_windows(monkeypatch, 100)
    bound_of(run, "derive: {d: {running: {field: x, window: 21}}}")
    beyond = {(e.start, e.stop) for e in read} - {(0, 300), (0, 100), (100, 200), (200, 300)}
    assert beyond == {(90, 100), (100, 110), (190, 200), (200, 210)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("derive: {d: {running: {field: w, window: 3}}}", "a running median needs one number"),
        ("derive: {d: {running: {field: xx, window: 3}}}", "nearest: 'x'"),
        ("derive: {d: {neighbours: {field: Sums, among: all}}}", "'Sums'"),
        ("derive: {x: {shift: {field: n, events: 1}}}", "is already a field of"),
    ],
)
def test_fields_that_do_not_fit_are_told(text, said):
    with pytest.raises(SpecError, match=said):
        bound_of(off_run(), text)


def test_the_spec_of_a_plan_reads_back():
    spec = CubeSpec.loads("cube: c\n" + ALL)
    assert CubeSpec.loads(spec.to_yaml()) == spec


@pytest.mark.slow
def test_memory_is_that_of_a_window_however_long_the_run_is(tmp_path):
    spec = SPEC.to_dict()
    spec["signals"] = ["ipm2/sum"]
    spec["derive"] |= {
        "slow": {"running": {"field": "ipm2/sum", "window": 101}},
        "second": {"running": {"field": "tt/AMPL", "window": "2 s", "statistic": "mean"}},
        "near": {"neighbours": {"field": "ipm2/sum", "among": "off", "n": 3}},
        "before": {"shift": {"field": "ipm2/sum", "events": -1}},
    }
    short, long = 2_200_000, 6_600_000
    small, large = (planned_beside(tmp_path, n, json.dumps(spec)) for n in (short, long))
    assert large - small < 8 * (long - short)  # one column of the further events


SCRIPT = """
import json, sys
from pathlib import Path
from cubeengine import CubeSpec, api
from cubeengine.measure import PeakMemory
from tests.makers.simulated import simulated_run

folder, n_events, spec = Path(sys.argv[1]), int(sys.argv[2]), CubeSpec.from_dict(json.loads(sys.argv[3]))
api.plan(simulated_run(folder / "small", 1000), spec).explain()  # imports
run = simulated_run(folder / "frames", n_events)
times = run.timestamps
type(run.source).timestamps = times  # as other sources have them: made once
with PeakMemory() as peak:
    assert api.plan(run, spec).bound.near["near"].nothing == 0
print(peak.total - times.nbytes)
"""


def planned_beside(folder, n_events: int, spec: str) -> int:
    """Plan in a process of its own; give its peak of memory."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, str(n_events), spec],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=PATIENCE,
    )  # fmt: skip
    return int(done.stdout)
