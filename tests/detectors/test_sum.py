"""Sums over whole frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cubeengine.detectors.base import Frame, Stage
from tests.suites.stages import StageSuite, applied, built, shaped, some_frames

IMAGE = Frame((12, 9), np.dtype("u2"), "ADU")
PANELS = Frame((3, 6, 70), np.dtype("f4"))


class TestSum(StageSuite):
    @pytest.fixture(
        params=[
            (IMAGE, None),
            (IMAGE, "mean"),
            (PANELS, {"how": "mean"}),
            (PANELS, {}),
            (Frame((), np.dtype("f8")), None),
        ],
        ids=str,
    )
    def stage(self, request: pytest.FixtureRequest) -> Stage:
        return built("sum", request.param[1], request.param[0])


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "?"])
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


def test_sum_that_may_exceed_64_bits_is_an_error() -> None:
    stage = built("sum", None, Frame((3,), np.dtype("i8")))

    assert applied(stage, np.array([[2**61, -(2**61), 2**61]]))[0, 0] == 2**61
    with pytest.raises(OverflowError, match=r"the sum of 3 integers as large as .* use `how: mean`"):
        applied(stage, np.array([[-(2**63), 1, 1]]))
