"""Events whose frame has no finite element: missing for that signal, counted, whatever splits the work."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import cube_facts, open_cube, pick
from cubeengine.events.run import Run
from cubeengine.graph import tasks
from cubeengine.picking.spec import PickSpec
from cubeengine.sources import memory
from cubeengine.sources.memory import MemorySource, array_blocks
from cubeengine.spec.model import CubeSpec
from tests.makers.frames import STRATEGIES, forced_plan, frame_arrays, memory_run, write_frames
from tests.quick import first_quick

N = 240


def arrays_with_gaps():
    """Frames of which some have nothing finite, some nothing in their first or last rows."""
    arrays = frame_arrays(N)
    volts, random = arrays["det/volts"], np.random.default_rng(9)
    volts[random.choice(N, 30, replace=False)] = np.nan
    volts[random.choice(N, 20, replace=False), :5] = np.nan
    volts[random.choice(N, 20, replace=False), 9:] = np.nan
    volts[random.choice(N, 5, replace=False)] = [[[np.inf, np.nan] * 10]] * 5
    volts[:, 0, :8] = np.nan  # as masked pixels are
    arrays["i0"][random.choice(N, 12, replace=False)] = np.nan
    return arrays


def lacking(arrays, signal):
    """By numpy: selected events in the bins without a finite element, of every selection."""
    flat = arrays[signal].reshape(N, -1)
    empty = ~np.isfinite(flat).any(axis=1)
    inside = (arrays["x"] >= 0) & (arrays["x"] <= 10)
    bright = arrays["i0"] > 0.5  # NaN is not
    kept = {"all": inside, "bright": inside & bright, "lit": inside & bright & (arrays["laser"] == 1)}
    return {name: int((mask & empty).sum()) for name, mask in kept.items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("tile", first_quick([320, 90, 20]))
@pytest.mark.parametrize("filters", first_quick([{"compression": "gzip", "shuffle": True}, {}]))
def test_events_without_a_finite_element_are_counted_as_missing(tmp_path, strategy, tile, filters):
    arrays = arrays_with_gaps()
    run = write_frames(tmp_path / "frames.h5", arrays, chunk_events=7, **filters)
    result = forced_plan(run, strategy, tile_elements=tile).to_zarr(tmp_path / "cube.zarr")
    for signal in ("det/volts", "i0"):
        name, expected = signal.replace("/", "__"), lacking(arrays, signal)
        assert expected["all"] > 0
        assert {key: counts["missing"] for key, counts in result.left_out[name].items()} == expected
    assert cube_facts(open_cube(result.path))["left_out"] == result.left_out
    assert set(result.left_out) == {"det__volts", "i0"}


@pytest.mark.slow
def test_sums_are_those_of_before(tmp_path, monkeypatch):
    """What is counted is not taken out of the sums: their bits, and the order of adding, stay."""
    run = write_frames(tmp_path / "frames.h5", arrays_with_gaps())
    plan = forced_plan(run, "by_tile", tile_elements=50)
    counted = plan.compute()
    monkeypatch.setattr(tasks, "_no_finite", lambda block, *_: np.zeros(len(block.take), bool))
    plain = plan.compute()
    assert cube_facts(plain)["left_out"] == {}
    for name in counted.data_vars:
        np.testing.assert_array_equal(counted[name].values.tobytes(), plain[name].values.tobytes())


def test_only_the_suspects_are_looked_at_again(monkeypatch):
    arrays, asked = arrays_with_gaps(), []

    def noted(array, valid, rows, elements, block_nbytes):
        if array.shape[1:] == (16, 20) and array.dtype.kind == "f":
            asked.append((elements.start, len(rows)))
        return array_blocks(array, valid, rows, elements, block_nbytes)

    monkeypatch.setattr(memory, "array_blocks", noted)
    plan = forced_plan(memory_run(arrays), "by_tile")
    parts = next(signal.parts for signal in plan.work.signals if signal.name == "det__volts")
    assert {part.elements for part in parts} == {(0, 160), (160, 320)}
    plan.compute(workers=1)
    inside = (arrays["x"] >= 0) & (arrays["x"] <= 10)
    suspects = inside & ~np.isfinite(arrays["det/volts"].reshape(N, -1)[:, :160]).any(axis=1)
    assert 0 < suspects.sum() < inside.sum()
    assert sum(n for start, n in asked if start == 0) == inside.sum()
    assert sum(n for start, n in asked if start == 160) == inside.sum() + suspects.sum()


def test_picked_events_without_a_finite_element_are_told(tmp_path):
    arrays = arrays_with_gaps()
    spec = PickSpec.loads(
        "cube: p\nsignals: [{field: det/volts, name: frame}]\npick: {which: first, events: 240}"
    )
    picked = pick(memory_run(arrays), spec).compute()
    empty = ~np.isfinite(arrays["det/volts"].reshape(N, -1)).any(axis=1)
    assert cube_facts(picked)["left_out"]["frame"]["all"]["missing"] == empty.sum()
    np.testing.assert_array_equal(
        picked["frame"].values[..., :, :, :].reshape(N, 16, 20), arrays["det/volts"]
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("block_nbytes", [1, 2**20])
def test_events_of_which_a_formula_of_whole_numbers_is_unknown_are_counted_once(strategy, block_nbytes):
    random = np.random.default_rng(3)
    there, frame = random.random(N) < 0.8, random.integers(0, 3, (N, 4, 5))
    frame[random.choice(N, 60, replace=False)] = 0
    valid, arrays = {"n": there}, {"x": random.random(N) * 10, "frame": frame, "n": np.arange(N)}
    text = """
        cube: c
        derive: {d: 'where(`frame` > 0, `frame`, `n`)'}
        axes: [{field: x, edges: [0, 5, 10], unit: ''}]
        signals: [d, frame]
    """
    run = Run(MemorySource(arrays, valid=valid))
    spec = CubeSpec.loads(text)
    plan = forced_plan(run, strategy, spec=spec, frames="frame", block_nbytes=block_nbytes)
    cube = plan.compute(workers=1)
    known = there[:, None, None] | (frame > 0)
    unknown = ~known.any(axis=(1, 2))
    assert 0 < unknown.sum() < (~there).sum()
    assert cube_facts(cube)["left_out"]["d"]["all"]["missing"] == unknown.sum()
    np.testing.assert_array_equal(cube["d_count"].sum("x").squeeze(), known.sum(axis=0))
