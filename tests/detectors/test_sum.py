"""Sums over whole frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from cubeengine.errors import DataError
from tests.quick import first_quick
from tests.suites.stages import StageSuite, applied, built, shaped, some_frames

IMAGE = Frame((12, 9), np.dtype("u2"), "ADU")
PANELS = Frame((3, 6, 70), np.dtype("f4"))


class TestSum(StageSuite):
    @pytest.fixture(
        params=first_quick(
            [
                (IMAGE, None),
                (IMAGE, "mean"),
                (PANELS, {"how": "mean"}),
                (PANELS, {}),
                (Frame((), np.dtype("f8")), None),
            ]
        ),
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        return built("sum", request.param[1], request.param[0])


@pytest.mark.parametrize("dtype", first_quick(["u2", "u1", "i1", "i2", "i4", "u4", "i8", "?"]))
def test_sums_of_integers_are_exact(dtype: str) -> None:
    frame = Frame((7, 101), np.dtype(dtype))
    frames = some_frames(frame, 4)

    stage = built("sum", None, frame)

    assert stage.output == Frame((), np.dtype("i8"))
    assert shaped(stage, frames).tolist() == [sum(map(int, values)) for values in frames]


def test_what_is_missing_is_left_out() -> None:
    frames = some_frames(PANELS, 4)
    frames[3] = np.nan
    kept = [[float(value) for value in values if np.isfinite(value)] for values in frames]

    sums, means = (shaped(built("sum", how, PANELS), frames) for how in ("sum", "mean"))

    wanted = np.array([math.fsum(values) if values else np.nan for values in kept])
    assert_array_equal(np.isnan(sums), [False, False, False, True])
    np.testing.assert_allclose(sums, wanted, rtol=1e-12)
    np.testing.assert_allclose(means, wanted / [max(len(values), 1) for values in kept], rtol=1e-12)


def test_sum_of_uint64_is_float() -> None:
    frame = Frame((3,), np.dtype("u8"))

    stage = built("sum", None, frame)

    assert stage.output.dtype == np.float64
    assert applied(stage, np.array([[2**64 - 1] * 3], "u8"))[0, 0] == 3 * 2.0**64


LARGE = st.sampled_from([0, 1, -1, 2**31, -(2**32), 2**62, -(2**62), 2**62 - 1, 2**63 - 1, -(2**63)])
CUTS: list[tuple[str, object, tuple[int, ...]]] = [  # of frames (4, 6): stage, options, axes that are summed
    ("sum", None, (0, 1, 2, 3)),
    ("project", "rows", (2, 3)),
    ("project", "columns", (0, 1)),
    ("rebin", [2, 3], (1, 3)),
]


@pytest.mark.slow
@given(st.lists(LARGE | st.integers(-(2**63), 2**63 - 1), min_size=48, max_size=48), st.sampled_from(CUTS))
def test_sum_of_large_integers_is_exact_or_an_error(
    numbers: list[int], cut: tuple[str, object, tuple[int, ...]]
) -> None:
    name, options, axes = cut
    stage = built(name, options, Frame((4, 6), np.dtype("i8")))
    wanted = np.array(numbers, object).reshape(2, 2, 2, 2, 3).sum(axis=tuple(axis + 1 for axis in axes))
    fits = [all(-(2**63) <= number < 2**63 for number in np.ravel(event)) for event in wanted]
    frames = np.array(numbers, np.int64).reshape(2, 24)

    for event in range(2):
        if fits[event]:
            assert applied(stage, frames[[event]]).ravel().tolist() == np.ravel(wanted[event]).tolist()
    if not all(fits):
        with pytest.raises(DataError, match="does not fit 64 bits; use 'how: mean'") as error:
            applied(stage, frames)
        assert error.value.row == fits.index(False)


def test_only_the_sums_that_are_wanted_must_fit() -> None:
    stage = built("project", "rows", Frame((2, 2), np.dtype("i8")))
    frames = np.array([[1, 2, 2**62, 2**62]])

    assert applied(stage, frames, (0, 1)).tolist() == [[3]]
    with pytest.raises(DataError):
        applied(stage, frames, (1, 2))
