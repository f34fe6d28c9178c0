"""Events that are not dark are refused, whatever kind of light; those that are dark never."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cubeengine.errors import SpecError
from cubeengine.pedestals import NotDark, pedestal
from tests.pedestals.makers import Truth, run_of

SHAPE = (2, 24, 64)
N = 300
PHOTON = 400


def dark_frames(seed: int = 1) -> NDArray[np.uint16]:
    return Truth.of(SHAPE, mean=2900, noise=6).frames(N, seed=seed)


def found_by(frames: NDArray[Any], **options: Any) -> set[str]:
    """Return the names of the checks that refuse frames; none where they are taken."""
    try:
        pedestal(run_of(frames.astype(np.uint16), "jungfrau"), "cam", **options)
    except NotDark as err:
        return {finding.check for finding in err.findings}
    return set()


@pytest.mark.parametrize("seed", range(5))
def test_dark_events_are_taken(seed: int) -> None:
    assert found_by(dark_frames(seed)) == set()


def test_common_mode_cosmic_rays_flicker_and_bad_pixels_are_dark() -> None:
    rng = np.random.default_rng(0)
    frames = dark_frames().astype(np.int64)
    frames += np.rint(rng.normal(0, 2, (N, 2, 1, 1))).astype(np.int64)  # a third of a pixel's noise
    frames += (rng.random(frames.shape) < 5e-5) * 3000
    frames[:, 0, 0, :20] += 60 * rng.integers(0, 2, (N, 20))  # telegraph noise
    frames[:, 1, 1, :10] = 0x3FFF
    assert found_by(frames) == set()


def test_slow_drift_within_the_noise_is_dark() -> None:
    frames = dark_frames() + np.linspace(0, 6, N).astype(np.uint16)[:, None, None, None]
    assert found_by(frames) == set()


@pytest.mark.parametrize("rate", [0.002, 0.02, 0.2, 0.5, 1.0, 3.0, 20.0])
def test_photons_are_light_at_any_rate(rate: float) -> None:
    photons = np.random.default_rng(2).poisson(rate, (N, *SHAPE))
    assert found_by(dark_frames() + PHOTON * photons)


@pytest.mark.parametrize("rate", [0.3, 3.0, 20.0])
def test_light_as_weak_as_the_noise_is_found_where_it_varies(rate: float) -> None:
    rng = np.random.default_rng(3)
    intensity = rng.gamma(4, 0.25, (N, 1, 1, 1))
    assert found_by(dark_frames() + 8 * rng.poisson(4 * rate * intensity, (N, *SHAPE)))


def test_light_in_some_events_only_is_found() -> None:
    frames = dark_frames()
    frames[::20] += np.random.default_rng(4).poisson(2, (len(frames[::20]), *SHAPE)).astype("u2") * 10
    assert "frames" in found_by(frames)


def test_light_that_a_sample_misses_is_found_in_the_pass() -> None:
    frames = np.concatenate([dark_frames(seed) for seed in range(8)])
    looked_at = np.linspace(0, len(frames) - 1, 256).astype(int)
    others = np.setdiff1d(np.arange(len(frames)), looked_at)[::20]
    frames[others] += 200
    assert "frames" in found_by(frames)


def test_message_names_what_was_found_wanted_and_the_next_step() -> None:
    frames = dark_frames() + PHOTON * np.random.default_rng(2).poisson(1, (N, *SHAPE))
    with pytest.raises(NotDark) as caught:
        pedestal(run_of(frames.astype("u2"), "jungfrau"), "cam")

    told = str(caught.value)
    assert told.startswith("the 300 events (all events of the run) of in memory are not dark:")
    assert "noise: the median pixel has a noise of " in told
    assert "wanted at most 40 ADU" in told
    assert "--select" in told
    assert "--accept noise --accept skew" in told
    assert caught.value.exit_code == 3


def test_accepted_checks_are_recorded() -> None:
    frames = dark_frames()
    frames[::20] += 10
    refused = found_by(frames)
    found = pedestal(run_of(frames, "jungfrau"), "cam", accept=sorted(refused))

    assert refused == {"frames"}
    assert found.facts["accepted"] == ["frames"]
    assert "taken as dark although the check frames failed" in found.summary()
    told = {check["check"]: check["dark"] for check in found.facts["checks"]}
    assert told["skew"]
    assert not told["frames"]


def test_status_field_tells_of_xrays() -> None:
    xray = np.arange(N) % 4 == 0
    run = run_of(dark_frames(), "jungfrau", lightStatus__xray=xray.astype(np.int64))
    with pytest.raises(
        NotDark, match=r"75 of 300 events have X-rays \(`lightStatus/xray` == 1\); wanted none"
    ):
        pedestal(run, "cam")

    found = pedestal(run, "cam", select="`lightStatus/xray` == 0")
    assert found.facts["events"]["selected"] == 225
    masked = pedestal(run, "cam", select=run["lightStatus/xray"] == 0)
    np.testing.assert_array_equal(masked.pedestals, found.pedestals)
    assert pedestal(run, "cam", accept=["xray"]).facts["accepted"] == ["xray"]


def test_intensity_is_compared_where_nothing_else_tells() -> None:
    rng = np.random.default_rng(7)
    dark = np.arange(N) % 4 == 0
    lit = np.where(dark, 0.0, rng.gamma(25, 0.04, N)) + rng.normal(0, 0.002, N)
    run = run_of(dark_frames(), "jungfrau", ipm2__sum=lit)

    assert pedestal(run, "cam", select="`ipm2/sum` < 0.1").facts["events"]["selected"] == dark.sum()
    with pytest.raises(
        NotDark, match=r"i0: the median of 'ipm2/sum' is [0-9.]+% of that of the other events"
    ):
        pedestal(run, "cam", select="`ipm2/sum` > 1")


def test_monitor_that_sees_nothing_but_noise_says_nothing() -> None:
    noise = np.random.default_rng(7).normal(0, 0.002, N)
    run = run_of(dark_frames(), "jungfrau", ipm2__sum=noise, scan__mode=np.arange(N) % 2)
    assert pedestal(run, "cam", select="`scan/mode` == 0").limits


def test_unknown_check_is_named() -> None:
    with pytest.raises(SpecError, match=r"'frame' is not a check.*nearest: 'frames'"):
        pedestal(run_of(dark_frames(), "jungfrau"), "cam", accept=["frame"])
