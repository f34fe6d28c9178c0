from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cubeengine.detectors.kinds import KINDS
from cubeengine.errors import SpecError
from cubeengine.pedestals import Limits
from cubeengine.pedestals.limits import USUAL, RangeLimits

JUNGFRAU = KINDS["jungfrau"]


def parsed(*noise: str) -> Limits:
    return Limits.parse(pedestal=[], noise=noise, rejected=0.02)


def test_noise_is_judged_by_that_of_the_median_pixel() -> None:
    limits = Limits().of(JUNGFRAU, "g0", 6.0)

    assert limits == RangeLimits((100.0, 16_300.0), (1.5, 24.0), 0.02)


def test_every_kind_has_usual_limits() -> None:
    assert USUAL.keys() == KINDS.keys()


def test_camera_whose_values_do_not_vary_is_not_all_bad() -> None:
    assert Limits().of(KINDS["single"], "all", 0.0).noise == (0.0, 2.0)


def test_limits_go_for_all_ranges_or_for_one() -> None:
    limits = parsed("1:9", "g1 = 0.5:3")

    assert limits.of(JUNGFRAU, "g0", 6.0).noise == (1, 9)
    assert limits.of(JUNGFRAU, "g1", 6.0).noise == (0.5, 3)
    assert Limits(noise=(1, 9)).of(JUNGFRAU, "g1", 6.0).noise == (1, 9)
    assert parsed("g1=0.5:3").of(JUNGFRAU, "g0", 6.0).noise == (1.5, 24.0)


@pytest.mark.parametrize("text", ["", "3", "2-7", "a:b", "g0=2", "1:2:3", "g0=g1=1:2", "nan:2"])
def test_what_is_no_interval_is_named(text: str) -> None:
    with pytest.raises(SpecError, match="limits of noise"):
        parsed(text)


@pytest.mark.parametrize("values", [{"noise": (3, 2)}, {"pedestal": {"g0": (3, 2)}}, {"rejected": 0.0}])
def test_impossible_limits_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        Limits(**values)


def test_unknown_range_is_named() -> None:
    with pytest.raises(SpecError, match=r"'g4' is not a gain range of jungfrau: g0, g1, g2"):
        Limits(noise={"g4": (1, 2)}).check(JUNGFRAU)


def test_status_has_a_bit_for_each_reason() -> None:
    mean = np.array([50, 20_000, 3000, 3000, np.nan, 3000, 3000], np.float32)
    noise = np.array([6, 6, 30, 0.1, np.nan, 6, 6], np.float32)
    used = np.array([100, 100, 100, 100, 10, 98, 97], np.int32)
    rejected = np.array([0, 0, 0, 0, 0, 2, 3], np.int32)
    words = RangeLimits((100, 16_300), (1.5, 24), 0.02).status(mean, noise, used, rejected)

    assert words.tolist() == [32, 16, 1, 2, 64, 0, 128]
