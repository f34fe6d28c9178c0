"""Signals with stages: the answer is that of working on every frame first, in any strategy and order."""

from __future__ import annotations

import dask
import numpy as np
import pytest

from cubeengine import api, merge_cubes
from cubeengine.errors import DataError
from cubeengine.events.run import Run
from cubeengine.sources.memory import MemorySource
from cubeengine.spec.model import CubeSpec
from cubeengine.store.read import cube_facts, open_cube
from tests.makers.frames import N_BINS, STRATEGIES, forced_plan, frame_arrays, memory_run, write_frames
from tests.makers.stages import offsets
from tests.quick import first_quick

SPEC = """
cube: frames
units: {x: ''}
axes: [{field: x, edges: {start: 0, stop: 10, bins: 16}}]
signals: [{field: det/counts, name: det, stages: STAGES}]
"""
WORK = {
    "[test_offset]": lambda frames: (frames.reshape(len(frames), -1) - offsets(frames[0].size)).reshape(
        frames.shape
    ),
    "[test_rows]": lambda frames: frames.sum(axis=-1, dtype=np.int64),
    "[test_turn]": lambda frames: np.pad(
        frames[:, ::-1].astype("f8"), ((0, 0), (0, 1), (0, 0)), constant_values=np.nan
    ),
    "[test_offset, test_rows]": lambda frames: WORK["[test_offset]"](frames).sum(axis=-1),
    "[test_offset, test_turn]": lambda frames: WORK["[test_turn]"](WORK["[test_offset]"](frames)),
}


def spec_of(stages):
    return CubeSpec.loads(SPEC.replace("STAGES", stages))


def assert_right(cube, arrays, stages):
    values = WORK[stages](arrays["det/counts"])
    bins = np.digitize(arrays["x"], np.linspace(0, 10, N_BINS + 1)) - 1
    for number in range(N_BINS):
        chosen = values[bins == number]
        found = cube.isel(x=number, selection=0)
        finite = np.isfinite(chosen)
        count = finite.sum(axis=0)
        whole = np.where(finite, chosen, 0)
        with np.errstate(invalid="ignore"):
            mean = whole.sum(axis=0) / count
            std = np.sqrt((np.where(finite, chosen - mean, 0) ** 2).sum(axis=0) / count)
        np.testing.assert_array_equal(np.broadcast_to(found["det_count"], count.shape), count)
        np.testing.assert_allclose(found["det_mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(found["det_std"], std, rtol=1e-9)


@pytest.mark.parametrize("stages", WORK)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("filters", first_quick([{"chunk_events": 7, "compression": "gzip"}, {}]))
def test_every_strategy_gives_the_answer_of_working_on_each_frame(tmp_path, stages, strategy, filters):
    arrays = frame_arrays(300)
    run = write_frames(tmp_path / "frames.h5", arrays, **filters)
    plan = forced_plan(run, strategy, spec=spec_of(stages), block_nbytes=3000)
    with dask.config.set(scheduler="synchronous"):
        assert_right(plan.lazy().compute(), arrays, stages)


@pytest.mark.parametrize("stages", WORK)
@pytest.mark.parametrize("launcher", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_written_cubes_are_right_on_workers_too(tmp_path, stages, launcher):
    arrays = frame_arrays(200)
    run = write_frames(tmp_path / "frames.h5", arrays)
    cube = api.plan(run, spec_of(stages)).compute(launcher=launcher, workers=2)
    assert_right(cube, arrays, stages)


def test_missing_events_are_left_out_and_counted(tmp_path):
    arrays = frame_arrays(200)
    missing = np.arange(200) % 9 == 4
    run = Run(MemorySource(arrays, valid={"det/counts": ~missing}))
    plan = api.plan(run, spec_of("[test_rows]"))

    result = plan.to_zarr(tmp_path / "cube.zarr")

    inside = (arrays["x"] >= 0) & (arrays["x"] <= 10)
    lacking = int((missing & inside).sum())
    assert result.left_out == {"det": {"all": {"missing": lacking, "damaged": 0, "failed": 0}}}
    cube = open_cube(tmp_path / "cube.zarr")
    assert cube_facts(cube)["left_out"] == result.left_out
    assert int(cube["det_count"].sum()) == int((inside & ~missing).sum())
    assert_right(cube, {name: array[~missing] for name, array in arrays.items()}, "[test_rows]")


@pytest.mark.slow
def test_sum_that_does_not_fit_is_an_error_about_its_event(tmp_path):
    frames = np.zeros((30, 2, 8), np.int64)
    frames[:, 0, :2] = 2**62, -(2**62)  # fits
    frames[17, 1, :2] = 2**62
    arrays = {"x": np.linspace(0, 10, 30), "det/counts": frames}
    run = write_frames(tmp_path / "frames.h5", {**arrays, "i0": arrays["x"]})

    plan = api.plan(run, spec_of("[sum]"))

    for launcher in ("threads", "processes"):
        with pytest.raises(
            DataError, match=r"field 'det/counts', the event in row 17 \(from 0\): a sum"
        ) as error:
            plan.compute(launcher=launcher, workers=1)
        assert (error.value.row, error.value.exit_code) == (17, 3)


def test_frames_that_are_missing_are_not_worked_on():
    frames = np.zeros((40, 2, 8), np.int64)
    frames[:, 0, :2] = 2**62  # what stands there means nothing
    there = np.arange(40) % 5 == 0
    frames[there] = np.arange(16).reshape(2, 8)
    arrays = {"x": np.linspace(0, 10, 40), "det/counts": frames}
    for valid in (there, np.zeros(40, bool)):
        run = Run(MemorySource(arrays, valid={"det/counts": valid}))

        cube = api.plan(run, spec_of("[{project: rows}]")).compute()

        assert int(cube["det_count"].sum()) == valid.sum()
        found = cube["det_mean"].values[cube["det_count"].values > 0]
        np.testing.assert_array_equal(found, np.broadcast_to([28, 92], found.shape))


def test_events_that_are_all_missing_leave_a_stage_of_floats_nothing_to_do(tmp_path):
    frames = np.full((40, 2, 8), 2**40)
    run = Run(
        MemorySource(
            {"x": np.linspace(0, 10, 40), "det/counts": frames}, valid={"det/counts": np.zeros(40, bool)}
        )
    )

    result = api.plan(run, spec_of("[{threshold: {max: 7, above: missing}}]")).to_zarr(tmp_path / "cube.zarr")

    assert result.left_out["det"]["all"]["missing"] == 40
    assert not open_cube(result.path)["det_count"].any()


def test_cube_records_stages_unit_and_coordinates(tmp_path):
    run = memory_run(frame_arrays(60))
    cube = api.plan(run, spec_of("[test_offset, test_rows]")).compute()
    assert cube_facts(cube)["stages"]["det"] == [
        {"stage": "test_offset", "options": {}, "bad": 46},
        {"stage": "test_rows", "options": {}},
    ]
    assert cube["det_dim0"].attrs["units"] == "pixel"
    np.testing.assert_array_equal(cube["det_dim0"], np.arange(16))
    kev = api.plan(run, spec_of("[test_offset]")).compute()
    assert kev["det_mean"].attrs["units"] == "keV"


def test_several_regions_are_stored_with_their_names(tmp_path):
    arrays = frame_arrays(60)
    regions = "{roi: {regions: {signal: [[2, 6], [0, 5]], dark: [[9, 13], [10, 15]]}}}"
    paths = [tmp_path / "one.zarr", tmp_path / "other.zarr"]
    for number, path in enumerate(paths):
        run = write_frames(tmp_path / f"{number}.h5", arrays)
        api.plan(run, spec_of(f"[{regions}]")).to_zarr(path)
    merge_cubes(paths, tmp_path / "both.zarr")

    inside = (arrays["x"] >= 0) & (arrays["x"] <= 10)
    for path in (*paths, tmp_path / "both.zarr"):
        cube = open_cube(path)
        assert cube["det_dim0"].values.tolist() == ["signal", "dark"]
        n_events = int(cube["n_events"].sum())
        whole = (cube["det_mean"] * cube["det_count"]).sel(det_dim0="dark").sum()
        frames = arrays["det/counts"][inside, 9:13, 10:15].sum(dtype=np.int64)
        assert float(whole) == pytest.approx(frames * n_events / inside.sum(), rel=1e-12)


def test_other_tables_are_another_plan(monkeypatch):
    run = memory_run(frame_arrays(60))
    before = api.plan(run, spec_of("[test_offset]")).work.key
    monkeypatch.setattr("tests.makers.stages.offsets", lambda n: np.ones(n, np.float32))
    assert api.plan(run, spec_of("[test_offset]")).work.key != before


def test_image_is_put_together_once_and_event_by_event_where_frames_do_not_fit(tmp_path):
    run = write_frames(tmp_path / "frames.h5", frame_arrays(20, shape=(1024, 1024)))
    roomy = api.plan(run, spec_of("[test_turn]")).work.signals[-1]
    tight = api.plan(run, spec_of("[test_turn]"), memory=360 * 2**20).work.signals[-1]
    assert roomy.late_image
    assert (tight.late_image, tight.strategy) == (False, "by_tile")


def test_plan_tells_what_is_done_to_frames(tmp_path):
    run = write_frames(tmp_path / "frames.h5", frame_arrays(60))
    assert "reads 16 x 20 uint16: test_offset -> test_rows of every event" in str(
        api.plan(run, spec_of("[test_offset, test_rows]"))
    )
    assert "test_offset of every event, test_turn of the finished cube" in str(
        api.plan(run, spec_of("[test_offset, test_turn]"))
    )
