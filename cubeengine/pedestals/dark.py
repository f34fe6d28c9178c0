"""Whether events are dark: from the run's record of its X-rays, and from the frames themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cubeengine.detectors.kinds import Kind
from cubeengine.errors import CubeEngineError, SpecError, nearest_names
from cubeengine.events.run import Run
from cubeengine.pedestals.compiled import WEIGHT
from cubeengine.pedestals.limits import USUAL
from cubeengine.pedestals.tasks import Evidence
from cubeengine.spec.survey import Survey
from cubeengine.types import BoolArray, FloatArray, IntArray

CHECKS = {
    "xray": "the run's record of its X-rays",
    "i0": "the intensity monitor, compared with the other events",
    "noise": "the noise of the median pixel",
    "skew": "the skewness of the median pixel",
    "bright": "more values far from their pixel's median on one side than on the other",
    "pixels": "pixels whose values are often far from their median",
    "sums": "the spread of the sums of frames",
    "frames": "frames whose sum is far from that of the median frame",
}
"""Name of each check and what it looks at."""

DARK_I0 = 0.05
"""Intensity of dark events, as part of that of the others: what the facility's own script allows."""

MOST_SKEW = 0.3
"""A pixel with half a photon per event on average has 1.4; one in the dark 0, however few the events."""

MOST_BRIGHT = 1e-3
"""Part of values. Cosmic rays and flickering pixels stay below 1e-4."""

MOST_RESTLESS = 0.1
"""Part of the pixels that may have more values rejected than a good pixel may."""

MOST_SPREAD = 0.5
"""Standard deviation of a frame's mean, in those of a pixel. Independent pixels give 1 / sqrt(pixels); a
common mode adds to that, but is an average of many readout banks."""

FAR_FRAME, FAR_LEAST, MOST_FAR = 5.0, 0.25, 0.01
"""A frame is far off: by so many robust standard deviations of the frames' means, and by so much of a
pixel's. Up to that part of them may be: a stray shot is rejected pixel by pixel."""

FEWEST_OTHERS = 10


class NotDark(CubeEngineError, ValueError):
    """Events that are not dark; `findings` holds the failed checks."""

    exit_code = 3

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    check : str
        Its name.
    found, wanted : str
        In words.
    dark : bool
        Whether it is as in the dark.
    advice : str
        What to do if it is not, where there is something better to say than for all of them.
    """

    check: str
    found: str
    wanted: str
    dark: bool
    advice: str = ""


def check_names(names: Iterable[str]) -> frozenset[str]:
    """Check the names of checks that a user wants to have passed over.

    Raises
    ------
    SpecError
        If one is no check.
    """
    for name in names:
        if name not in CHECKS:
            near = nearest_names(name, tuple(CHECKS))
            hint = f"nearest: {near[0]!r}; " if near else ""
            raise SpecError(
                f"accept: {name!r} is not a check of dark events; {hint}known: {', '.join(CHECKS)}"
            )
    return frozenset(names)


def refuse(findings: Sequence[Finding], accepted: Collection[str], what: str) -> None:
    """Refuse events that are not dark, unless all that tells so is accepted.

    Parameters
    ----------
    findings : sequence of Finding
        What was found.
    accepted : names of checks
        What the user says is right all the same.
    what : str
        Names the events.

    Raises
    ------
    NotDark
        Names everything that was found, what was wanted, and what to do.
    """
    light = [finding for finding in findings if not finding.dark and finding.check not in accepted]
    if not light:
        return
    told = "".join(f"\n  {item.check}: {item.found}; wanted {item.wanted}" for item in light)
    advice = next(
        (item.advice for item in light if item.advice), "choose the dark events with --select EXPRESSION"
    )
    names = " ".join(f"--accept {item.check}" for item in light)
    raise NotDark(
        f"{what} are not dark:{told}\n  next: {advice}; or, if they are dark after all, {names} (recorded "
        "in the file)",
        light,
    )


def scalar_findings(run: Run, chosen: BoolArray) -> Iterator[Finding]:
    """Look at the run's record of its X-rays, and at its intensity monitor.

    Parameters
    ----------
    run : Run
        The run.
    chosen : (n_events,) bool
        The events that should be dark.
    """
    survey = Survey(run)
    shots = survey.xray_shots
    if shots.text is not None:
        n_on = int(np.count_nonzero(shots.on & chosen))
        quoted = shots.text if shots.by_code else f"`{shots.text}` == 1"
        n_off = int(np.count_nonzero(shots.off))
        off = f"not ({quoted})" if shots.by_code else f"`{shots.text}` == 0"
        advice = f'choose the {n_off:,} events without X-rays, --select "{off}"' if n_off else ""
        found = f"{n_on:,} of {np.count_nonzero(chosen):,} events have X-rays ({quoted})"
        yield Finding("xray", found, "none", n_on == 0, advice)
        return
    if survey.i0 is not None:
        yield from _intensity(survey.i0, survey.values(survey.i0), chosen)


def _intensity(name: str, values: FloatArray, chosen: BoolArray) -> Iterator[Finding]:
    """Compare the intensity with that of the other events, if these have some."""
    known = np.isfinite(values)
    inside, others = np.abs(values[chosen & known]), values[~chosen & known]
    if not len(inside) or len(others) < FEWEST_OTHERS:
        return
    middle = float(np.median(others))
    if abs(middle) <= 3 * float(np.median(np.abs(others - middle))):
        return  # that is nothing but noise: the others are dark as well
    part = float(np.median(inside)) / abs(middle)
    found = f"the median of {name!r} is {part:.1%} of that of the other events"
    yield Finding("i0", found, f"at most {DARK_I0:.0%}", part <= DARK_I0)


def frame_findings(evidence: Evidence, kind: Kind, clip: float) -> Iterator[Finding]:
    """Look at frames: at the noise, at skewness, at what is far off, and at the sums of frames.

    Parameters
    ----------
    evidence : Evidence
        Of the whole frame.
    kind : Kind
        Of the detector.
    clip : float
        Half width of the windows, in standard deviations.
    """
    yield from _noise(evidence, kind)
    yield from _skewness(evidence)
    pixels = evidence.pixels
    excess = abs(int(pixels[3])) / max(int(pixels[2]), 1)
    found = f"{excess:.2%} of all values are more than {clip:g} standard deviations away on one side"
    yield Finding("bright", found, f"at most {MOST_BRIGHT:.1%}", excess <= MOST_BRIGHT)
    restless = int(pixels[1]) / max(int(pixels[0]), 1)
    found = f"{restless:.1%} of the pixels have more such values than a good pixel can have"
    yield Finding("pixels", found, f"at most {MOST_RESTLESS:.0%}", restless <= MOST_RESTLESS)
    yield from _frame_sums(evidence.events, clip)


def _noise(evidence: Evidence, kind: Kind) -> Iterator[Finding]:
    usual = USUAL[kind.name].dark_noise
    found = _medians(evidence.noise)
    if usual is not None and found:
        worst = max(found)
        wanted = f"at most {usual:g} ADU, the usual noise of {kind.name} in the dark"
        yield Finding("noise", f"the median pixel has a noise of {worst:.3g} ADU", wanted, worst <= usual)


def _skewness(evidence: Evidence) -> Iterator[Finding]:
    found = _medians(evidence.skew)
    if found:
        worst = max(found, key=abs)
        dark = abs(worst) <= MOST_SKEW
        yield Finding(
            "skew",
            f"the median pixel has a skewness of {worst:.2g}",
            f"at most {MOST_SKEW} in either direction",
            dark,
        )


def _medians(values: NDArray[np.float32]) -> list[float]:
    """Return the median over the pixels, of each slot that has some."""
    kept = (row[np.isfinite(row)] for row in values)
    return [float(np.median(row)) for row in kept if row.size]


def _frame_sums(events: IntArray, clip: float) -> Iterator[Finding]:
    """Look at the means of frames, in standard deviations of a pixel."""
    seen = events[0] > 0
    if np.count_nonzero(seen) < 2:
        return
    means = events[3, seen] * (clip / WEIGHT) / events[0, seen]
    spread = float(np.std(means))
    found = f"the mean of a frame varies by {spread:.2g} of a pixel's noise"
    yield Finding("sums", found, f"at most {MOST_SPREAD}", spread <= MOST_SPREAD)
    middle = float(np.median(means))
    robust = 1.4826 * float(np.median(np.abs(means - middle)))
    off = np.abs(means - middle) > max(FAR_FRAME * robust, FAR_LEAST)
    part = float(np.mean(off))
    found = f"{np.count_nonzero(off):,} of {len(means):,} frames are far from the median frame"
    yield Finding("frames", found, f"at most {MOST_FAR:.0%}", part <= MOST_FAR)
