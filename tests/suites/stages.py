"""What every stage must do, whatever it computes: checked for frames that the stage's own tests choose.

Subclass it and give a fixture `stage`, best with one parameter per case::

    class TestRoi(StageSuite):
        @pytest.fixture(params=[...])
        def stage(self, request) -> Stage:
            return built("roi", request.param, Frame((6, 8), np.dtype("u2")))

`frames` may be overridden for a stage that takes particular values only.
"""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from cubeengine.detectors.base import Context, Frame, Stage
from cubeengine.detectors.registry import stage_options
from cubeengine.shared import held_nbytes, in_files
from cubeengine.types import DetectorInfo

ANY_RANGE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
SMALL = 2**15  # bytes of views and other small objects, generously


def context(detector: DetectorInfo | None = None, folder: Path | None = None) -> Context:
    """Know as little as may be."""
    return Context("area/raw", folder or Path(), detector)


def built(name: str, options: object, frame: Frame, where: Context | None = None) -> Stage:
    """Make a stage from its options as they stand in a spec; None where its name stands alone."""
    read = stage_options(name).model_validate({} if options is None else options)
    assert stage_options(name).model_validate(read.to_plain()) == read
    return read.build(frame, where or context())


def some_frames(frame: Frame, n: int, seed: int = 0) -> NDArray[Any]:
    """Make flattened frames: integers of the whole range of their type, floats some of which are missing."""
    rng, shape = np.random.default_rng(seed), (n, frame.n_elements)
    if frame.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if frame.dtype.kind in "iu":
        limits = np.iinfo(frame.dtype)
        low, high = max(limits.min, -(2**40)), min(limits.max, 2**40)
        return rng.integers(low, high, shape, endpoint=True).astype(frame.dtype)
    values = (rng.normal(size=shape) * 100).astype(frame.dtype)
    values[rng.random(shape) < 0.1] = np.nan
    values[rng.random(shape) < 0.01] = np.inf
    return values


def applied(stage: Stage, frames: NDArray[Any], elements: tuple[int, int] | None = None) -> NDArray[Any]:
    """Return the output for a range of elements, of whole input frames."""
    wanted = (0, stage.output.n_elements) if elements is None else elements
    needed = np.ascontiguousarray(frames[:, slice(*stage.needs(wanted))])
    out = np.empty((len(frames), wanted[1] - wanted[0]), stage.output.dtype)
    out.view(np.uint8)[:] = 0xA5  # what was there before must not matter
    stage.apply(needed, wanted, out)
    return out


def shaped(stage: Stage, frames: NDArray[Any]) -> NDArray[Any]:
    """Return the output in its shape."""
    return applied(stage, frames).reshape(len(frames), *stage.output.shape)


def parts_of(n_elements: int) -> st.SearchStrategy[Sequence[int]]:
    """Return any two places between elements, in order."""
    return st.lists(st.integers(0, n_elements), min_size=2, max_size=2).map(sorted)


class StageSuite:
    """Tests for the fixture `stage`."""

    def frames(self, stage: Stage, n: int, seed: int = 0) -> NDArray[Any]:
        return some_frames(stage.input, n, seed)

    def test_types_are_native(self, stage: Stage) -> None:
        assert stage.output.dtype.isnative
        assert stage.output.dtype.kind in "biuf"
        assert all(size > 0 for size in stage.output.shape)

    def test_frames_are_not_changed_and_may_be_read_only(self, stage: Stage) -> None:
        frames = self.frames(stage, 3)
        frames.flags.writeable = False
        before = frames.copy()

        applied(stage, frames)

        assert frames.tobytes() == before.tobytes()

    def test_every_element_of_the_output_is_written(self, stage: Stage) -> None:
        frames = self.frames(stage, 2)
        wanted = (0, stage.output.n_elements)
        outs = []
        for byte in (0x00, 0x7B):
            out = np.empty((2, stage.output.n_elements), stage.output.dtype)
            out.view(np.uint8)[:] = byte & 1 if out.dtype.kind == "b" else byte
            stage.apply(np.ascontiguousarray(frames[:, slice(*stage.needs(wanted))]), wanted, out)
            outs.append(out)

        assert_array_equal(*outs)

    @ANY_RANGE
    @given(data=st.data())
    def test_any_range_of_elements_is_cut_from_the_whole(self, stage: Stage, data: st.DataObject) -> None:
        start, stop = data.draw(parts_of(stage.output.n_elements))
        frames = self.frames(stage, 2)

        assert_array_equal(applied(stage, frames, (start, stop)), applied(stage, frames)[:, start:stop])

    @ANY_RANGE
    @given(data=st.data())
    def test_needs_lie_within_the_input(self, stage: Stage, data: st.DataObject) -> None:
        wanted = data.draw(parts_of(stage.output.n_elements))
        start, stop = stage.needs((wanted[0], wanted[1]))

        assert 0 <= start <= stop <= stage.input.n_elements
        if stage.local:
            assert stage.input.shape == stage.output.shape
            assert [start, stop] == list(wanted)

    def test_events_do_not_depend_on_one_another(self, stage: Stage) -> None:
        frames = self.frames(stage, 5)
        together = applied(stage, frames)

        alone = np.concatenate([applied(stage, frames[i : i + 1]) for i in range(5)])

        assert_array_equal(alone, together)
        assert applied(stage, frames[:0]).shape == (0, stage.output.n_elements)

    def test_frames_without_any_value_are_no_error(self, stage: Stage) -> None:
        if stage.input.dtype.kind != "f":
            return
        frames = np.full((2, stage.input.n_elements), np.nan, stage.input.dtype)

        out = applied(stage, frames)

        assert not np.isfinite(out).any() if stage.output.dtype.kind == "f" else True

    def test_travels_to_another_process(self, stage: Stage) -> None:
        frames = self.frames(stage, 2)

        travelled = pickle.loads(pickle.dumps(stage))

        assert (travelled.input, travelled.output) == (stage.input, stage.output)
        assert_array_equal(applied(travelled, frames), applied(stage, frames))

    def test_tables_can_lie_in_files(self, stage: Stage, tmp_path: Path) -> None:
        def save(name: str, array: NDArray[Any]) -> Path:
            np.save(tmp_path / f"{name}.npy", array)
            return tmp_path / f"{name}.npy"

        frames = self.frames(stage, 2)

        filed = in_files(stage, save, "stage")

        assert held_nbytes(filed) == 0
        assert filed.needs((0, 1)) == stage.needs((0, 1))
        assert_array_equal(applied(filed, frames), applied(stage, frames))
        assert len(pickle.dumps(filed)) < 20_000

    def test_coordinates_fit_the_output(self, stage: Stage) -> None:
        coordinates = stage.coordinates()

        names = [coordinate.name for coordinate in coordinates.values()]
        assert len(set(names)) == len(names)
        for dim, coordinate in coordinates.items():
            assert coordinate.values.shape == (stage.output.shape[dim],)

    def test_facts_can_be_recorded(self, stage: Stage) -> None:
        assert json.loads(json.dumps(dict(stage.facts()))) is not None

    def test_memory_beside_the_output_is_as_promised(self, stage: Stage) -> None:
        for n, wanted in ((1, (0, stage.output.n_elements)), (40, (0, -(-stage.output.n_elements // 2)))):
            frames = self.frames(stage, n)
            needed = np.ascontiguousarray(frames[:, slice(*stage.needs(wanted))])
            out = np.empty((n, wanted[1] - wanted[0]), stage.output.dtype)
            stage.apply(needed, wanted, out)  # compiled, loaded

            tracemalloc.start()
            try:
                stage.apply(needed, wanted, out)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

            assert peak <= stage.scratch_nbytes(n, wanted[1] - wanted[0]) + SMALL
