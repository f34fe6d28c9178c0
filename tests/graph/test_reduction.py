"""The graph's answer against plain numpy: any strategy, order, block, chunk; each byte read once."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cubeengine.graph import tasks
from tests.makers.frames import N_BINS, STRATEGIES, forced_plan, frame_arrays, memory_run, write_frames
from tests.quick import first_quick


def expected(arrays, signal, selection):
    """Mean, std, count per bin by numpy."""
    edges = np.linspace(0, 10, N_BINS + 1)
    bins = np.digitize(arrays["x"], edges) - 1
    bins[arrays["x"] == 10] = N_BINS - 1
    keep = {
        "all": np.ones(len(bins), bool),
        "bright": arrays["i0"] > 0.5,
        "lit": (arrays["i0"] > 0.5) & (arrays["laser"] == 1),
    }[selection]
    values = arrays[signal].astype(np.float64)
    with np.errstate(invalid="ignore"):
        for number in range(N_BINS):
            chosen = values[keep & (bins == number)]
            finite = np.isfinite(chosen)
            count = finite.sum(axis=0)
            mean = np.where(finite, chosen, 0).sum(axis=0) / count
            std = np.sqrt((np.where(finite, chosen - mean, 0) ** 2).sum(axis=0) / count)
            yield number, count, mean, std


def assert_right(cube, arrays):
    for signal in ("det/counts", "det/volts"):
        name = signal.replace("/", "__")
        for selection in ("all", "bright", "lit"):
            found = cube.sel(selection=selection)
            for number, count, mean, std in expected(arrays, signal, selection):
                np.testing.assert_array_equal(
                    found[f"{name}_count"][number], count if "volts" in name else count.max()
                )
                np.testing.assert_allclose(found[f"{name}_mean"][number], mean, rtol=1e-13)
                np.testing.assert_allclose(found[f"{name}_std"][number], std, rtol=1e-9)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("order", ["storage", "group"])
@pytest.mark.parametrize("filters", first_quick([{"compression": "gzip", "shuffle": True}, {}]))
def test_every_strategy_gives_the_plain_answer(tmp_path, strategy, order, filters):
    arrays = frame_arrays(400)
    run = write_frames(tmp_path / "frames.h5", arrays, chunk_events=7, **filters)
    plan = forced_plan(run, strategy, order=order)
    assert_right(plan.lazy().compute(), arrays)


@given(
    seed=st.integers(0, 100),
    n_events=st.integers(1, 120),
    strategy=st.sampled_from(STRATEGIES),
    order=st.sampled_from(["storage", "group"]),
    leaves=st.integers(1, 12),
    block=st.integers(1, 5000),
    tile=st.integers(1, 40),
    chunk=st.integers(1, 9),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_split_order_block_and_chunk_gives_the_plain_answer(
    tmp_path_factory, seed, n_events, strategy, order, leaves, block, tile, chunk
):
    arrays = frame_arrays(n_events, shape=(5, 8), seed=seed)
    run = write_frames(
        tmp_path_factory.mktemp("run") / "frames.h5", arrays, chunk_events=min(chunk, n_events)
    )
    plan = forced_plan(run, strategy, leaves=leaves, order=order, block_nbytes=block, tile_elements=tile)
    with dask.config.set(scheduler="synchronous"), np.errstate(all="ignore"):
        assert_right(plan.lazy().compute(), arrays)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plan_has_leaves_enough_to_be_a_test(tmp_path, strategy):
    run = write_frames(tmp_path / "frames.h5", frame_arrays(400))
    plan = forced_plan(run, strategy)
    heavy = [signal for signal in plan.work.signals if signal.info.n_elements > 1]
    assert all(signal.strategy == strategy for signal in heavy)
    assert all(signal.n_leaves >= 8 for signal in heavy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_mean_std_and_count_together_read_each_byte_once(tmp_path, strategy):
    arrays = frame_arrays(100, shape=(128, 256))  # larger than the gaps that are read through
    run = write_frames(tmp_path / "frames.h5", arrays)
    plan = forced_plan(run, strategy)
    wanted = sum(arrays[name].nbytes for name in ("det/counts", "det/volts"))
    selected = plan.work.n_selected / len(arrays["x"])
    plan.lazy().compute()  # modules and compiled kernels are read, too
    before = bytes_read()
    plan.lazy().compute()
    read = bytes_read() - before
    assert wanted * selected <= read <= wanted * 1.02


def bytes_read():
    """Bytes this process has had from read calls, cached or not; mapped side files are none."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar:")))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_planning_and_building_the_graph_compute_nothing(tmp_path, strategy):
    run = write_frames(tmp_path / "frames.h5", frame_arrays(50))

    def refuse(*_args, **_kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        assert forced_plan(run, strategy).lazy()["det__counts_mean"].shape == (3, N_BINS, 16, 20)


def test_graph_keys_are_made_of_the_content(tmp_path):
    run = write_frames(tmp_path / "frames.h5", frame_arrays(60))
    one, two = (forced_plan(run, "stream").lazy() for _ in range(2))
    assert one["det__counts_mean"].data.name == two["det__counts_mean"].data.name
    other = forced_plan(run, "stream", leaves=3).lazy()
    assert one["det__counts_mean"].data.name != other["det__counts_mean"].data.name


def test_few_partials_are_alive_however_long_the_run_is(tmp_path, monkeypatch):
    alive, peak = set(), [0]
    plain_leaf, plain_fold = tasks.reduce_leaf, tasks.fold

    def watched(function):
        def call(*arguments):
            result = function(*arguments)
            import weakref

            token = id(result.tiles[0])
            alive.add(token)
            weakref.finalize(result.tiles[0].n_events, alive.discard, token)
            peak[0] = max(peak[0], len(alive))
            return result

        return call

    monkeypatch.setattr("cubeengine.graph.compile.reduce_leaf", watched(plain_leaf))
    monkeypatch.setattr("cubeengine.graph.compile.fold", watched(plain_fold))
    peaks = []
    for leaves in (16, 64):
        run = write_frames(tmp_path / f"{leaves}.h5", frame_arrays(640))
        plan = forced_plan(run, "stream", leaves=leaves)
        alive.clear()
        peak[0] = 0
        plan.compute(launcher="threads", workers=2)
        peaks.append(peak[0])
    running, ahead, folding = 2, 2, 3  # a fold holds its two inputs and its result
    assert max(peaks) <= running + ahead + folding


def test_sums_of_a_part_of_one_leaf_are_handed_to_no_other_task(tmp_path, monkeypatch):
    arrays = frame_arrays(300)
    plan = forced_plan(write_frames(tmp_path / "frames.h5", arrays), "by_bin")
    assert all(len(part.leaves) == 1 for signal in plan.work.signals[-2:] for part in signal.parts)

    def refuse(*_):
        raise AssertionError("sums went to a task that only writes them")

    monkeypatch.setattr("cubeengine.graph.compile.write_bins", refuse)
    assert_right(plan.compute(launcher="threads", workers=2), arrays)


def test_memory_and_file_give_the_same_bits(tmp_path):
    arrays = frame_arrays(300)
    from_file = forced_plan(write_frames(tmp_path / "frames.h5", arrays), "stream").compute()
    from_memory = forced_plan(memory_run(arrays), "stream").compute()
    for name in from_file.data_vars:
        np.testing.assert_array_equal(from_file[name].values, from_memory[name].values)
