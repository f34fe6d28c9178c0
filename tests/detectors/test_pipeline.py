"""Stages one after another: the same as one by one, on parts of a frame and in any blocks."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame
from cubeengine.detectors.pipeline import Pipeline, build_pipeline
from cubeengine.detectors.registry import stage_options
from cubeengine.errors import SpecError
from cubeengine.shared import in_files
from tests.makers.geometry import camera
from tests.suites.stages import applied, context, some_frames

PANELS = Frame((3, 6, 10), np.dtype("u2"), "ADU")
CHAINS: list[list[Any]] = [
    [],
    ["sum"],
    [{"roi": [[1, 5], [2, 8]]}, {"rebin": 2}],
    [{"roi": {"ranges": [[1, 5], [2, 8]], "segment": 2}}, {"project": "rows"}],
    [{"threshold": {"min": 3000}}, {"rebin": {"factor": [3, 5], "how": "mean"}}, {"project": 0}],
    [{"mask": {"edges": 1}}, {"roi": [[0, 3]]}, {"project": {"onto": "columns", "how": "mean"}}],
    [{"threshold": {"min": 60000, "below": "missing"}}, {"rebin": 2}, {"sum": "mean"}],
    [{"threshold": {"min": 10}}, {"assemble": "geometry.data"}, {"roi": [[3, 20], [2, 9]]}],
    [{"mask": {"edges": 1}}, {"assemble": "geometry.data"}],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pipeline")
    panels = [(0.0, 0.0), (130.0, 0.0, 0.0, 90.0), (0.0, 120.0, 0.0, 180.0)]
    (home / "geometry.data").write_text(camera("MTRX:V2:6:10:10:10", panels))
    return home


def piped(chain: Sequence[Any], folder: Path, frame: Frame = PANELS) -> Pipeline:
    stages = [(stage, {}) if isinstance(stage, str) else next(iter(stage.items())) for stage in chain]
    read = [stage_options(name).model_validate(options) for name, options in stages]
    return build_pipeline(frame, read, context(folder=folder))


def one_by_one(pipeline: Pipeline, frames: np.ndarray) -> np.ndarray:
    for stage in pipeline.stages:
        frames = applied(stage, frames)
    return frames


@given(data=st.data())
def test_any_part_in_any_blocks_is_what_the_stages_give_one_by_one(folder: Path, data: st.DataObject) -> None:
    pipeline = piped(data.draw(st.sampled_from(CHAINS)), folder)
    frames = some_frames(PANELS, 9)
    limits = st.integers(0, pipeline.output.n_elements)
    start, stop = sorted(data.draw(st.tuples(limits, limits)))
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, 8)))), np.int64)
    capacity = data.draw(st.integers(1, 9))

    work = pipeline.work((start, stop), capacity)
    block = np.ascontiguousarray(frames[:, slice(*work.needs)])
    parts = [work(block, rows[i : i + capacity]).copy() for i in range(0, len(rows), capacity)]

    assert work.needs == pipeline.needs((start, stop))
    wanted = one_by_one(pipeline, frames)[rows, start:stop]
    got = np.concatenate([*parts, np.empty((0, stop - start), pipeline.output.dtype)])
    assert got.dtype == pipeline.output.dtype
    assert_array_equal(got, wanted)


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_memory_is_as_promised(folder: Path, chain: list[Any]) -> None:
    pipeline, capacity = piped(chain, folder), 200
    elements = (0, pipeline.output.n_elements)
    frames, rows = some_frames(PANELS, 400), np.arange(0, 400, 2)
    block = np.ascontiguousarray(frames[:, slice(*pipeline.needs(elements))])
    pipeline.work(elements, capacity)(block, rows)

    tracemalloc.start()
    try:
        pipeline.work(elements, capacity)(block, rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak <= pipeline.memory_nbytes(elements, capacity) + 2**15


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_travels_with_tables_in_files(folder: Path, chain: list[Any], tmp_path: Path) -> None:
    def save(name: str, array: np.ndarray) -> Path:
        np.save(tmp_path / f"{name}.npy", array)
        return tmp_path / f"{name}.npy"

    pipeline, frames = piped(chain, folder), some_frames(PANELS, 3)

    travelled = pickle.loads(pickle.dumps(in_files(pipeline, save, "pipeline")))

    assert travelled.held_nbytes == 0
    assert_array_equal(one_by_one(travelled, frames), one_by_one(pipeline, frames))


def test_only_the_rows_of_a_region_are_needed_before_local_stages(folder: Path) -> None:
    chain = [{"threshold": {"min": 1}}, {"roi": {"ranges": [[2, 4], [0, 10]], "segment": 1}}, "sum"]

    pipeline = piped(chain, folder)

    assert pipeline.needs((0, 1)) == (60 + 20, 60 + 40)
    assert not pipeline.local
    assert piped(chain[:1], folder).local


def test_assembly_as_the_last_stage_can_wait(folder: Path) -> None:
    pipeline, frames = piped(CHAINS[-1], folder), some_frames(PANELS, 3)

    gather = pipeline.gather
    assert gather is not None
    index = gather.load()
    before = one_by_one(pipeline.before_gather(), frames)

    assert_array_equal(np.where(index < 0, np.nan, before[:, index]), one_by_one(pipeline, frames))
    assert piped(CHAINS[-2], folder).gather is None


def test_coordinates_and_facts_come_from_the_stages(folder: Path) -> None:
    pipeline = piped([{"roi": [[1, 5], [2, 8]]}, {"threshold": {"min": 1}}], folder)

    assert [pipeline.coordinates()[dim].name for dim in range(3)] == ["segment", "row", "column"]
    assert_array_equal(pipeline.coordinates()[2].values, np.arange(2, 8))
    assert len(pipeline.facts()) == 2
    assert piped([], folder).coordinates() == {}


def test_stage_that_does_not_fit_what_comes_before_is_refused(folder: Path) -> None:
    with pytest.raises(SpecError, match="cannot be projected"):
        piped(["sum", {"project": "rows"}], folder)
