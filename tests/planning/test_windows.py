"""Planning in windows of events: whatever their size, plan and bits are those of all events at once."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from cubeengine.events import window as windows
from cubeengine.events.scan import distinct_settings
from cubeengine.events.window import Window
from cubeengine.planning import distinct, grouping, pairs, side
from cubeengine.planning.distinct import Distinct, n_chains, quantile_edges, settings
from cubeengine.planning.grouping import Grouper, group_events
from cubeengine.planning.pairs import order_pairs
from cubeengine.planning.side import Growing, GrowingColumn
from cubeengine.spec.model import CubeSpec
from cubeengine.spec.resolve import resolve_selection
from cubeengine.types import Column
from tests.makers.frames import STRATEGIES, forced_plan, frame_arrays
from tests.planning.runs import DELAY, bound_of, delay_scan, memory_run, plan_of
from tests.quick import first_quick
from tests.waiting import PATIENCE

N_EVENTS = 400
MIB = 2**20


def tiny_windows(monkeypatch: pytest.MonkeyPatch, n_events: int) -> None:
    """Cut everything that is cut for long runs at a few events already."""
    monkeypatch.setattr(windows, "WINDOW_EVENTS", n_events)
    monkeypatch.setattr(grouping, "PIECE_PAIRS", 31)
    monkeypatch.setattr(pairs, "PIECE_PAIRS", 31)
    monkeypatch.setattr(distinct, "BLOCK_VALUES", 16)
    monkeypatch.setattr(distinct, "SAMPLE_STEP", 4)
    monkeypatch.setattr(side, "COPY_ITEMS", 13)
    monkeypatch.setattr(Growing.__init__, "__defaults__", (100,))


def odd_run(*, shuffled: bool):
    rng = np.random.default_rng(8)
    arrays = {
        "x": np.where(np.arange(N_EVENTS) % 7 == 0, np.nan, rng.normal(size=N_EVENTS)),
        "n": rng.integers(-3, 9, N_EVENTS),
        "b": rng.random(N_EVENTS) < 0.5,
        "w": rng.normal(size=(N_EVENTS, 5)),
        "frame": rng.integers(0, 60_000, (N_EVENTS, 6, 5)).astype(np.uint16),
    }
    valid = {"n": rng.random(N_EVENTS) < 0.97, "b": rng.random(N_EVENTS) < 0.8}
    valid["n"][:200] = True  # what is derived from it is of whole numbers there, and of floats later
    order = rng.permutation(N_EVENTS).astype(np.uint64) + np.uint64(2**40)
    return memory_run(arrays, valid, **({"timestamps": order} if shuffled else {}))


SELECT = """
derive: {z: '`n` * 2 + 1', s: 'sum(`w`)', h: '`w`[1:3] / 2', q: '`n` > 2'}
select: {a: [{field: x, min: -1}], b: ['z > 3', {field: s, max: 1}], c: ['q'], d: {not: [a]}}
"""
SPECS = [
    SELECT + "cubes: [a, b, c, d]\naxes: [{field: z, steps: auto}, {field: s, edges: [-9, 0, 9]}]\n"
    "signals: [h, s, q, n, frame]",
    SELECT + "cubes: [a, d]\naxes: [{field: s, quantiles: 7}, {field: b, steps: auto}]\nsignals: [frame, x]",
    SELECT + "cubes: [b, all]\naxes: [{field: x, steps: auto, tolerance: 0.2}, {field: z, quantiles: 2}]",
    "signals: [frame, x, n]",
]


def facts(plan) -> dict:
    found = plan.to_dict()
    del found["memory"]
    return found


@pytest.mark.parametrize("shuffled", first_quick([True, False]))
@pytest.mark.parametrize("n_events", first_quick([37, 1, 399]))
@pytest.mark.parametrize("text", SPECS)
def test_windows_change_neither_plan_nor_bits(monkeypatch, text, n_events, shuffled):
    run = odd_run(shuffled=shuffled)
    plain = plan_of(run, text)
    cube = plain.compute(workers=2)
    tiny_windows(monkeypatch, n_events)
    cut = plan_of(run, text)
    assert cut.work.key == plain.work.key
    assert facts(cut) == facts(plain)
    found = cut.compute(workers=2)
    for name in cube.variables:
        np.testing.assert_array_equal(found[name].values, cube[name].values)


WHOLE = """
derive:
  square: n * n
  ratio: n // k
  chosen: 'where(f > 0, n * n, k)'
  later: {shift: {field: square, events: 1}}
  more: ratio + chosen
  half: ratio * 0.5
select: {square: [{field: square, min: 0}], ratio: [ratio > -1], chosen: [{not: [{field: chosen, equal: 7}]}],
         later: [{field: later, min: 1}], more: [{field: more, min: 0}], half: [{field: half, min: 0}]}
cubes: [square, ratio, chosen, later, more, half]
axes: [{field: one, edges: [0, 2]}]
"""
FEW_NUMBERS = st.sampled_from([None, 0, 1, 2, 3, 2**40])


@settings_of_hypothesis(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(FEW_NUMBERS, FEW_NUMBERS, st.sampled_from([-1.0, 1.0, np.nan])), min_size=2, max_size=9
    )
)
def test_why_a_value_is_unknown_does_not_depend_on_other_events(events):
    """A number that int64 does not hold makes floats of its window: what others lack is missing still."""
    numbers, k, f = zip(*events, strict=True)
    arrays = {"n": [n or 0 for n in numbers], "k": [n or 0 for n in k], "f": f, "one": np.ones(len(events))}
    run = memory_run(arrays, {"n": [n is not None for n in numbers], "k": [n is not None for n in k]})
    squares = [n is None for n in numbers]
    ratios = [a is None or b is None or a == b == 0 for a, b, _ in events]
    chosen = [a is None if c > 0 else b is None or np.isnan(c) for a, b, c in events]
    missing = {
        "square": squares, "ratio": ratios, "chosen": chosen, "later": [*squares[1:], True],
        "more": [a or b for a, b in zip(ratios, chosen, strict=True)], "half": [False] * len(events),
    }  # fmt: skip
    for n_events in (2, len(events)):
        with pytest.MonkeyPatch.context() as patch:
            tiny_windows(patch, n_events)
            fates = bound_of(run, WHOLE).fates
        for name, lacks in missing.items():
            assert fates[name].missing == sum(lacks), (name, n_events)
        assert [fates[name].nan for name in missing] == [0, 0, 0, 0, 0, sum(ratios)]


def test_delays_are_counted_over_windows(monkeypatch):
    text = DELAY + (
        "select: {off: {all: ['`tt/AMPL` > 0.02'], laser: off}, on: {laser: on}}\ncubes: [on, off]\n"
        "axes: [{field: delay, edges: {start: -1, stop: 3, step: 0.5}, unit: fs}]\nsignals: [delay]"
    )
    plain = plan_of(delay_scan(), text, every=2)
    tiny_windows(monkeypatch, 23)
    cut = plan_of(delay_scan(), text, every=2)
    assert facts(cut) == facts(plain)
    assert cut.bound.delays == plain.bound.delays
    assert len(cut.warnings) == len(plain.warnings) == 2
    for name in ("on", "off"):
        np.testing.assert_array_equal(cut.bound.selections[name], plain.bound.selections[name])
    np.testing.assert_array_equal(cut.bound.axes[0].index, plain.bound.axes[0].index)


def test_no_window_is_larger_than_it_may_be(monkeypatch):
    seen = []
    plain = Window.__init__

    def watched(self, run, events):
        seen.append(events.stop - events.start)
        plain(self, run, events)

    run = odd_run(shuffled=False)
    monkeypatch.setattr(Window, "__init__", watched)
    monkeypatch.setattr(Window, "_read", lambda self, name: run.source.read(name, self.events))
    tiny_windows(monkeypatch, 50)
    assert plan_of(run, SPECS[1]).work.n_tasks
    assert set(seen) == {N_EVENTS, 50}  # the run itself, of which nothing is read


def test_arrays_of_other_events_make_windows_smaller_and_formulas_do_not(monkeypatch):
    monkeypatch.setattr(windows, "WINDOW_NBYTES", 10 * 5 * 8)
    run = plan_of(odd_run(shuffled=False), SELECT).bound.run
    assert {window.n_events for window in run.windows()} == {50}
    shifted = SELECT.replace("q: ", "later: {shift: {field: w, events: 1}}, q: ")
    run = plan_of(odd_run(shuffled=False), shifted).bound.run
    assert {window.n_events for window in run.windows()} == {10}


def test_window_is_gone_when_it_is_let_go():
    run = plan_of(odd_run(shuffled=False), SELECT + "cubes: [a, b]").bound.run
    window = Window(run, slice(0, 50))
    window.states(resolve_selection(CubeSpec.loads("cube: one\n" + SELECT), "b"))
    gone = weakref.ref(window)
    gc.disable()
    try:
        del window
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pairs_in_pieces_are_sorted_as_all_at_once(monkeypatch, strategy):
    run = memory_run(frame_arrays(300, (200, 200)))
    monkeypatch.setattr(pairs, "PIECE_PAIRS", 23)
    plan = forced_plan(run, strategy, leaves=8)
    (signal,) = [one for one in plan.work.signals if one.name == "det__counts"]
    made = plan.bound.grouping
    out = np.empty(len(made.events), np.int64), np.empty(len(made.events), np.int32)
    order_pairs(signal, made, None, out)
    starts = np.array([part.bins[0] for part in signal.parts])
    part = np.searchsorted(starts, made.groups // made.width, side="right")
    keys = [made.groups, made.events, *([part] if strategy == "by_bin" else [])]
    order = np.lexsort(keys)
    rows, groups = made.events[order], made.groups[order]
    if signal.order == "group":
        leaves = sorted({start for part in signal.parts for start, _ in part.leaves})
        order = np.lexsort((rows, groups, np.searchsorted(leaves, np.arange(len(rows)), side="right")))
        rows, groups = rows[order], groups[order]
    np.testing.assert_array_equal(out[0], rows)
    np.testing.assert_array_equal(out[1], groups)


numbers = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=2, max_size=300)


def counted(values: np.ndarray, cuts: int) -> Distinct:
    found = Distinct()
    for part in np.array_split(values, cuts):
        found.add(part)
    return found


@given(numbers, st.integers(1, 9), st.integers(1, 12))
def test_quantiles_are_those_of_numpy(values, cuts, n_bins):
    with pytest.MonkeyPatch.context() as patch:
        tiny_windows(patch, 1)
        found = quantile_edges(counted(np.array(values), cuts), n_bins)
    np.testing.assert_array_equal(found, np.quantile(values, np.linspace(0, 1, n_bins + 1)))


@given(numbers, st.integers(1, 9), st.sampled_from([0.0, 0.125, 0.25, 1.0]))
def test_settings_are_those_of_all_values_at_once(values, cuts, tolerance):
    array = np.array(values)
    whole = distinct_settings(array, tolerance)
    with pytest.MonkeyPatch.context() as patch:
        tiny_windows(patch, 1)
        parts = counted(array, cuts)
        found = settings(parts, tolerance)
        assert n_chains(parts, tolerance) == 1 + np.count_nonzero(np.diff(np.sort(array)) > tolerance)
    np.testing.assert_array_equal(found.values, whole.values)
    np.testing.assert_array_equal(found.index(array), whole.index)
    assert found.events.tolist() == whole.events.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 12))
def test_events_are_grouped_alike_in_windows(seed, n_selections, cuts):
    rng = np.random.default_rng(seed)
    masks = rng.random((n_selections, 200)) < rng.random((n_selections, 1))
    if seed % 2:
        masks[1:] = masks[0]
    bins = rng.integers(-1, 4, 200)
    grouper = Grouper(n_selections, 4)
    for part in np.array_split(np.arange(200), cuts):
        grouper.add(list(masks[:, part]), bins[part])
    found, whole = grouper.grouping(), group_events(list(masks), bins, 4)
    assert (found.width, found.members, found.disjoint) == (whole.width, whole.members, whole.disjoint)
    np.testing.assert_array_equal(found.events, whole.events)
    np.testing.assert_array_equal(found.groups, whole.groups)
    assert found.n_distinct == whole.n_distinct == np.count_nonzero(masks.any(axis=0) & (bins >= 0))


@pytest.mark.parametrize("keep_nbytes", [0, 50, 10**6])
def test_growing_arrays_are_as_if_put_together(keep_nbytes):
    parts = [np.arange(5), np.arange(3, dtype=np.int16), np.linspace(0, 1, 4), np.arange(2)]
    growing = Growing(keep_nbytes)
    for part in parts:
        growing.append(part)
    found, whole = growing.array(), np.concatenate(parts)
    assert found.dtype == whole.dtype
    assert isinstance(found, np.memmap) == (keep_nbytes < 10**6)
    np.testing.assert_array_equal(found, whole)


def test_growing_columns_have_marks_where_one_part_has():
    growing = GrowingColumn()
    growing.append(Column(np.arange(3)))
    growing.append(Column(np.arange(2), np.array([True, False])))
    growing.append(Column(np.arange(2), damaged=np.array([False, True])))
    column = growing.column()
    assert column.data.tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert column.valid.tolist() == [True, True, True, True, False, True, True]
    assert column.damaged.tolist() == [False] * 6 + [True]


SCRIPT = """
import json, sys
from pathlib import Path
from cubeengine import api
from cubeengine.measure import PeakMemory
from tests.makers.simulated import SPEC, simulated_run

folder, n_events = Path(sys.argv[1]), int(sys.argv[2])
api.plan(simulated_run(folder / "small", 1000), SPEC).explain()  # imports
with PeakMemory() as peak:
    plan = api.plan(simulated_run(folder / "frames", n_events), SPEC)
    plan.explain()
counts = plan.bound.n_events
print(json.dumps([peak.total, plan.work.projected_memory(), plan.work.n_tasks, counts.sum(1).tolist()]))
"""


def planned(folder: Path, n_events: int) -> tuple[int, int, int, list[int]]:
    """Plan in a process of its own: peak and projected memory, tasks, events of each selection."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, str(n_events)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=PATIENCE,
    )  # fmt: skip
    return tuple(json.loads(done.stdout))


@pytest.mark.slow
def test_long_run_is_planned_in_the_memory_of_a_window(tmp_path):
    peak, projected, n_tasks, (good, on, off) = planned(tmp_path, 10**7)
    assert peak < 350 * MIB  # 130 of them imports; a column of all events has 76, and there are some dozen
    assert peak < projected
    assert n_tasks < 10_000
    assert good > 8.9 * 10**6
    assert good == pytest.approx(on + off, rel=0.06)
