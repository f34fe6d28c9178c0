"""Events picked from runs in memory, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import cubeengine as ce
from cubeengine.planning.cost import Tuning
from cubeengine.sources.times import pack
from cubeengine.store.read import cube_facts
from tests.picking.loops import pick_loop
from tests.planning.runs import memory_run
from tests.quick import first_quick

WHICH = ["largest", "smallest", "first", {"nearest": 0.5}, {"percentile": 40}, {"random": 7}]
EDGES = [0.0, 1.0, 2.0, 3.0, 4.0]


def spec_of(which, events=2, *, field="v", signals=("frame",), **more) -> ce.PickSpec:
    return ce.PickSpec.from_dict(
        {
            "cube": "test",
            "units": {"x": ""},
            "axes": [{"field": "x", "edges": EDGES}],
            "signals": list(signals),
            "pick": {"field": field, "which": which, "events": events},
            **more,
        }
    )


def made_run(n_events=200, seed=1, *, valid=None):
    rng = np.random.default_rng(seed)
    arrays = {
        "x": rng.uniform(-0.5, 3.0, n_events),  # the last bin stays empty
        "v": np.where(rng.random(n_events) < 0.2, np.nan, rng.integers(0, 8, n_events) / 4),  # ties, NaN
        "flag": rng.integers(0, 2, n_events),
        "frame": rng.integers(0, 60_000, (n_events, 3, 5)).astype(np.uint16),
        "map": rng.normal(size=(n_events, 4)).astype(np.float32),
    }
    return memory_run(arrays, valid), arrays


def bins_of(arrays, kept=True):
    bins = np.digitize(arrays["x"], EDGES) - 1
    return np.where(kept & (bins >= 0) & (bins < 4), bins, -1)


def assert_frames(picked: xr.Dataset, arrays, wanted) -> None:
    """Check events, frames and marks of one selection."""
    np.testing.assert_array_equal(picked["event"], wanted)
    there = np.asarray(wanted) >= 0
    np.testing.assert_array_equal(picked["n_picked"], there.sum(axis=1))
    np.testing.assert_array_equal(picked["frame"].values[there], arrays["frame"][np.asarray(wanted)[there]])
    np.testing.assert_array_equal(picked["frame_valid"], there)
    assert (picked["frame"].values[~there] == 65_535).all()
    assert picked["frame"].dtype == np.uint16
    assert np.isnat(picked["time"].values[~there]).all()
    assert (picked["row"].values[~there] == -1).all()


@pytest.mark.parametrize("order", "<>")
def test_any_byte_order_is_stored_as_it_is_read(tmp_path, order):
    rng = np.random.default_rng(3)
    types = {"x": "f8", "v": "f4", "frame": "u2", "map": "f2", "n": "i4"}
    arrays = {
        name: rng.integers(0, 4, (20, 3) if name in {"frame", "map"} else 20).astype(order + dtype)
        for name, dtype in types.items()
    }
    spec = spec_of("first", 2, signals=("frame", "map", "n"))
    ce.pick(memory_run(arrays), spec).to_zarr(tmp_path / "p.zarr")
    picked = ce.open_cube(tmp_path / "p.zarr")
    events = picked["event"].values
    for name in ("frame", "map", "n"):
        there = arrays[name][events[events >= 0]]
        np.testing.assert_array_equal(picked[name].values[events >= 0], there)
        assert picked[name].dtype.itemsize == (4 if name == "map" else there.dtype.itemsize)


@pytest.mark.parametrize("which", WHICH, ids=str)
@pytest.mark.parametrize("most", first_quick([3, 1]))
def test_picked_events_are_those_of_a_loop(which, most):
    run, arrays = made_run()
    picked = ce.pick(run, spec_of(which, most)).compute(workers=2)

    wanted = pick_loop(bins_of(arrays), arrays["v"], 4, most, which, run.timestamps)
    assert_frames(picked.isel(selection=0), arrays, wanted)
    there = np.asarray(wanted) >= 0
    np.testing.assert_array_equal(picked["v_value"].values[0][there], arrays["v"][np.asarray(wanted)[there]])
    np.testing.assert_array_equal(picked["x_value"].values[0][there], arrays["x"][np.asarray(wanted)[there]])
    np.testing.assert_array_equal(picked["time"].values[0][there], run.time[np.asarray(wanted)[there]])
    np.testing.assert_array_equal(
        picked["timestamp"].values[0][there], run.timestamps[np.asarray(wanted)[there]]
    )
    assert picked["n_picked"].values[0, 3] == 0
    assert np.isnan(picked["v_value"].values[0, 3]).all()


def test_candidates_and_selected_events_are_counted():
    run, arrays = made_run()
    picked = ce.pick(run, spec_of("largest")).compute(workers=1).isel(selection=0)

    bins = bins_of(arrays)
    finite = np.isfinite(arrays["v"])
    np.testing.assert_array_equal(picked["n_events"], [(bins == b).sum() for b in range(4)])
    np.testing.assert_array_equal(picked["n_candidates"], [(finite & (bins == b)).sum() for b in range(4)])


@pytest.mark.parametrize("which", ["first", {"random": 3}], ids=str)
def test_first_and_random_need_no_field(which):
    run, arrays = made_run()
    picked = ce.pick(run, spec_of(which, field=None)).compute(workers=1)

    wanted = pick_loop(bins_of(arrays), np.zeros(200), 4, 2, which, run.timestamps)
    assert_frames(picked.isel(selection=0), arrays, wanted)
    assert "v_value" not in picked


def test_overlapping_selections_pick_by_themselves():
    run, arrays = made_run()
    more = {"select": {"on": [{"field": "flag", "equal": 1}]}, "cubes": ["all", "on"]}
    picked = ce.pick(run, spec_of("largest", **more)).compute(workers=2)

    for name, kept in (("all", True), ("on", arrays["flag"] == 1)):
        wanted = pick_loop(bins_of(arrays, kept), arrays["v"], 4, 2, "largest")
        assert_frames(picked.sel(selection=name), arrays, wanted)


def test_integer_field_of_which_some_are_missing():
    there = np.random.default_rng(9).random(200) < 0.7
    run, arrays = made_run(valid={"flag": there})
    picked = ce.pick(run, spec_of("largest", 3, field="flag")).compute(workers=1)

    values = np.where(there, arrays["flag"], np.nan)
    assert_frames(picked.isel(selection=0), arrays, pick_loop(bins_of(arrays), values, 4, 3, "largest"))
    assert picked["flag_value"].dtype == arrays["flag"].dtype


def test_missing_frames_are_marked_and_counted():
    there = np.random.default_rng(9).random(200) < 0.5
    run, _ = made_run(valid={"frame": there})
    picked = ce.pick(run, spec_of("largest", 3)).compute(workers=1).isel(selection=0)

    events = picked["event"].values
    lacks = (events >= 0) & ~there[events]
    assert lacks.any()
    np.testing.assert_array_equal(picked["frame_valid"], (events >= 0) & there[events])
    assert (picked["frame"].values[lacks] == 65_535).all()
    assert cube_facts(picked)["left_out"]["frame"]["all"] == {
        "missing": int(lacks.sum()), "damaged": 0, "failed": 0,
    }  # fmt: skip


def test_float_frames_are_nan_where_nothing_was_picked():
    run, arrays = made_run()
    picked = ce.pick(run, spec_of("smallest", signals=["map"])).compute(workers=1).isel(selection=0)

    events = picked["event"].values
    np.testing.assert_array_equal(picked["map"].values[events >= 0], arrays["map"][events[events >= 0]])
    assert np.isnan(picked["map"].values[events < 0]).all()
    assert picked["map"].dtype == np.float32
    assert "map_valid" not in picked


def test_stages_are_applied_to_picked_frames():
    run, arrays = made_run()
    signal = {"field": "frame", "name": "cut", "stages": [{"roi": [[1, 3], [0, 4]]}, "sum"]}
    picked = ce.pick(run, spec_of("largest", signals=[signal])).compute(workers=1).isel(selection=0)

    events = picked["event"].values
    sums = arrays["frame"][:, 1:3, 0:4].astype(np.int64).sum(axis=(1, 2))
    np.testing.assert_array_equal(picked["cut"].values[events >= 0], sums[events[events >= 0]])
    np.testing.assert_array_equal(picked["cut_valid"], events >= 0)


def test_without_axes_there_is_one_bin():
    run, arrays = made_run()
    spec = ce.PickSpec(cube="all", signals=["frame"], pick=ce.Pick(field="v", which="largest", events=5))
    picked = ce.pick(run, spec).compute(workers=1)

    assert picked["frame"].dims[:2] == ("selection", "pick")
    wanted = pick_loop([0] * 200, arrays["v"], 1, 5, "largest")
    assert picked["event"].values.tolist() == wanted


def test_derived_variable_and_axis_in_another_unit():
    run, arrays = made_run()
    spec = ce.PickSpec.from_dict(
        {
            "cube": "test",
            "units": {"x": "ns"},
            "derive": {"ratio": "v / (x + 1)"},
            "axes": [{"field": "x", "edges": [0, 1000, 2000, 3000, 4000], "unit": "ps"}],
            "signals": ["frame"],
            "pick": {"field": "ratio", "which": "largest", "events": 2},
        }
    )
    picked = ce.pick(run, spec).compute(workers=1).isel(selection=0)

    wanted = np.array(pick_loop(bins_of(arrays), arrays["v"] / (arrays["x"] + 1), 4, 2, "largest"))
    assert_frames(picked, arrays, wanted)
    np.testing.assert_allclose(picked["x_value"].values[wanted >= 0], arrays["x"][wanted[wanted >= 0]] * 1000)


def test_axis_that_events_are_picked_by_with_a_unit():
    run, arrays = made_run()
    spec = ce.PickSpec.from_dict(
        {
            "cube": "test",
            "units": {"x": "ns"},
            "axes": [{"field": "x", "edges": EDGES}],
            "signals": ["frame"],
            "pick": {"field": "x", "which": {"nearest": "1400 ps"}},
        }
    )
    picked = ce.pick(run, spec).compute(workers=1).isel(selection=0)

    wanted = pick_loop(bins_of(arrays), arrays["x"], 4, 1, {"nearest": 1.4})
    assert picked["event"].values.tolist() == wanted
    assert "x_value" in picked


def test_part_of_the_run_is_marked():
    run, arrays = made_run()
    picked = ce.pick(run, spec_of("largest"), events=50).compute(workers=1)

    kept = np.arange(200) < 50
    wanted = pick_loop(bins_of(arrays, kept), arrays["v"], 4, 2, "largest")
    assert picked["event"].values[0].tolist() == wanted
    assert "first 50" in picked.attrs["partial_run"]


@pytest.mark.parametrize("which", WHICH, ids=str)
def test_windows_change_nothing(monkeypatch, which):
    run, _ = made_run()
    before = ce.pick(run, spec_of(which, 3)).picked

    monkeypatch.setattr("cubeengine.events.window.WINDOW_EVENTS", 17)
    monkeypatch.setattr("cubeengine.picking.candidates.PIECE_PAIRS", 5)
    monkeypatch.setattr("cubeengine.planning.side.KEEP_NBYTES", 64)
    after = ce.pick(made_run()[0], spec_of(which, 3)).picked

    np.testing.assert_array_equal(before.events, after.events)
    np.testing.assert_array_equal(before.n_candidates, after.n_candidates)


@pytest.mark.slow
@pytest.mark.parametrize("tuning", [Tuning(chunk_nbytes=100, write_nbytes=300), Tuning(chunk_nbytes=16)])
def test_chunks_and_workers_change_nothing(tmp_path, tuning):
    run, _ = made_run()
    more = {"select": {"on": [{"field": "flag", "equal": 1}]}, "cubes": ["all", "on"]}
    spec = spec_of({"random": 5}, 3, signals=["frame", "map"], **more)
    plain = ce.pick(run, spec).compute(workers=1)
    cut = ce.pick(run, spec, tuning=tuning)

    assert cut.work.n_tasks > ce.pick(run, spec).work.n_tasks
    cut.to_zarr(tmp_path / "cut.zarr", launcher="processes", workers=2)
    xr.testing.assert_equal(plain, ce.open_cube(tmp_path / "cut.zarr").load())


@given(
    events=st.lists(
        st.tuples(
            st.integers(-1, 3),  # bin
            st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 0.5, 0.5, 2.0]),
            st.integers(1, 10**12),  # nanoseconds since the last event
        ),
        min_size=1,
        max_size=30,
    ),
    which=st.sampled_from(WHICH),
    most=st.integers(1, 3),
)
def test_any_events_are_picked_as_a_loop_does(events, which, most):
    bins, values, gaps = zip(*events, strict=True)
    nanoseconds = np.cumsum(gaps)
    stamps = pack(nanoseconds // 10**9, nanoseconds % 10**9)
    run = memory_run({"x": np.array(bins) + 0.5, "v": np.array(values)}, timestamps=stamps)

    found = ce.pick(run, spec_of(which, most, signals=[])).picked

    assert found.events[0].tolist() == pick_loop(bins, values, 4, most, which, run.timestamps)


@pytest.mark.slow
def test_events_are_in_the_order_of_time_and_rows_in_that_of_storage():
    run, arrays = made_run()
    order = np.random.default_rng(2).permutation(200)  # row r holds event order[r]
    stored = {name: array[order] for name, array in arrays.items()}
    mixed = memory_run(stored, timestamps=run.timestamps[order])

    for which in WHICH:
        before = ce.pick(run, spec_of(which, 3)).compute(workers=1)
        after = ce.pick(mixed, spec_of(which, 3)).compute(workers=2)
        xr.testing.assert_equal(before.drop_vars("row"), after.drop_vars("row"))
        events, rows = after["event"].values, after["row"].values
        np.testing.assert_array_equal(order[rows[events >= 0]], events[events >= 0])


def test_cube_spec_is_refused_and_says_why():
    run, _ = made_run()

    with pytest.raises(ce.SpecError, match=r"no section 'pick'.*ce\.plan"):
        ce.pick(run, ce.CubeSpec(cube="x"))
    with pytest.raises(ce.SpecError, match=r"PickSpec.*use ce\.pick"):
        ce.plan(run, spec_of("largest"))


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f4", "i8"])
def test_type_of_frames_is_kept(dtype):
    frames = (np.random.default_rng(3).random((6, 2, 2)) * 100).astype(dtype)
    run = memory_run(
        {"x": [0.5, 0.5, 1.5, 1.5, 1.5, 9], "flag": [True, False, False, True, True, True], "f": frames}
    )
    picked = (
        ce.pick(run, spec_of("largest", 2, field="flag", signals=["f"])).compute(workers=1).isel(selection=0)
    )

    assert picked["event"].values.tolist() == [[0, 1], [3, 4], [-1, -1], [-1, -1]]
    assert picked["f"].dtype == dtype
    np.testing.assert_array_equal(picked["f"].values[:2], frames[[[0, 1], [3, 4]]])
    assert picked["flag_value"].values[:2].tolist() == [[True, False], [True, True]]
    assert picked["flag_value_valid"].values.tolist() == [[True, True]] * 2 + [[False, False]] * 2


def test_leading_zeros_are_told_of_what_the_spec_names_alone():
    code = np.array([0] * 40 + [90] * 60)
    run = memory_run({"code": code, "fiducials": np.arange(100)})
    spec = ce.PickSpec(cube="test", pick=ce.Pick(field="code", which="largest"))
    plan = ce.pick(run, spec)

    assert [warning.path for warning in plan.warnings] == [("pick", "field")]
    assert "'code' is 0 in the first 40 events" in str(plan)
    assert plan.compute(workers=1)["fiducials"].values.tolist() == [[40]]
