"""From the parts of the frame to the result: arrays of gain ranges, limits, status, provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cubeengine
from cubeengine.errors import SpecError
from cubeengine.pedestals.dark import Finding
from cubeengine.pedestals.limits import STATUS_BITS, TOO_FEW, RangeLimits
from cubeengine.pedestals.request import Request
from cubeengine.pedestals.result import Pedestal
from cubeengine.pedestals.tasks import Estimates, Evidence
from cubeengine.types import BoolArray, IntArray

PACKAGES = ("numpy", "numba", "h5py", "dask")
HERE = "these data"
PRESENT = 0.5
"""A gain range is in the data if so many of the pixels that can be in it have enough values there."""


class Slotted:
    """The estimates of all parts of a frame, put together as they arrive.

    Attributes
    ----------
    mean, noise : (n_slots, n_elements) float32
    used, rejected : (n_slots, n_elements) int32
        As in `Estimates`.
    evidence : Evidence
        Of all parts so far.
    missing : (2,) int64
        Events without a frame: missing, damaged.
    """

    def __init__(self, n_slots: int, n_elements: int, n_events: int) -> None:
        self.mean, self.noise = (np.full((n_slots, n_elements), np.nan, np.float32) for _ in range(2))
        self.used, self.rejected = (np.zeros((n_slots, n_elements), np.int32) for _ in range(2))
        self.evidence = Evidence.none(n_slots, n_events)
        self.missing: IntArray = np.zeros(2, np.int64)

    def put(self, tile: tuple[int, int], part: Estimates) -> None:
        """Put a part of the frame in its place."""
        for whole, own in (
            (self.mean, part.mean), (self.noise, part.noise),
            (self.used, part.used), (self.rejected, part.rejected),
        ):  # fmt: skip
            whole[:, slice(*tile)] = own
        self.evidence += part.evidence
        self.missing = part.missing  # every part lacks the same events


@dataclass(frozen=True, slots=True, eq=False)
class _Ranges:
    """Arrays over the gain ranges, (n_ranges, n_elements); `possible`: ranges that a pixel can be in."""

    mean: NDArray[np.float32]
    noise: NDArray[np.float32]
    used: NDArray[np.int32]
    rejected: NDArray[np.int32]
    possible: BoolArray
    status: NDArray[np.uint32]


def finished(request: Request, found: Slotted, findings: Sequence[Finding]) -> Pedestal:
    """Judge every pixel, take what these data do not give from the other file, and tell how it was done.

    Parameters
    ----------
    request : Request
        What was asked.
    found : Slotted
        Estimates.
    findings : sequence of Finding
        What the checks of dark events found.

    Raises
    ------
    SpecError
        If no gain range has enough values.
    """
    ranges = _by_range(request, found)
    names = request.kind.range_names
    limits: dict[str, RangeLimits] = {}
    origins: dict[str, str] = {}
    for number, name in enumerate(names):
        if _is_present(ranges, number):
            limits[name] = _judge(request, ranges, number)
            origins[name] = HERE
            continue
        _clear(ranges, number)
        origins[name] = request.others.name if request.others.has_range(number) else ""
        if origins[name]:
            _take_over(request, number, ranges)
    if not limits:
        raise SpecError(
            f"{request.label} have too few values: in no gain range do most pixels have "
            f"{request.rule.fewest}; select more events, or lower --min-events"
        )
    shape = (request.kind.ranges, *request.panels.shape)
    return Pedestal(
        kind=request.kind,
        detector=request.detector,
        pedestals=ranges.mean.reshape(shape),
        noise=ranges.noise.reshape(shape),
        status=ranges.status.reshape(shape),
        used=ranges.used.reshape(shape),
        rejected=ranges.rejected.reshape(shape),
        limits=limits,
        origins=origins,
        frame_shape=request.run.fields[request.field].shape,
        facts=_facts(request, found, findings, limits, origins),
        others=request.others,
    )


def _by_range(request: Request, found: Slotted) -> _Ranges:
    """Turn slots into gain ranges."""
    which = np.asarray(request.slots.ranges.load())
    n_ranges, n_elements = request.kind.ranges, found.mean.shape[1]
    if which.shape[1] == 1 and n_ranges == len(which):  # each slot is a range
        possible = np.ones((n_ranges, n_elements), bool)
        status = np.zeros((n_ranges, n_elements), np.uint32)
        return _Ranges(found.mean, found.noise, found.used, found.rejected, possible, status)
    mean, noise = (np.full((n_ranges, n_elements), np.nan, np.float32) for _ in range(2))
    used, rejected = (np.zeros((n_ranges, n_elements), np.int32) for _ in range(2))
    possible = np.zeros((n_ranges, n_elements), bool)
    for slot, numbers in enumerate(which):
        for number in range(n_ranges):
            here = numbers == number
            possible[number] |= here
            mean[number, here], noise[number, here] = found.mean[slot, here], found.noise[slot, here]
            used[number, here], rejected[number, here] = found.used[slot, here], found.rejected[slot, here]
    return _Ranges(mean, noise, used, rejected, possible, np.zeros((n_ranges, n_elements), np.uint32))


def _is_present(ranges: _Ranges, number: int) -> bool:
    """Return whether a gain range is in the data: not if but a few pixels were in it now and then."""
    possible = np.count_nonzero(ranges.possible[number])
    return bool(possible > 0 and np.count_nonzero(np.isfinite(ranges.mean[number])) >= PRESENT * possible)


def _judge(request: Request, ranges: _Ranges, number: int) -> RangeLimits:
    """Set the status of every pixel that can be in a gain range; gives the limits."""
    mean, noise = ranges.mean[number], ranges.noise[number]
    typical = float(np.nanmedian(noise))
    limits = request.rule.limits.of(request.kind, request.kind.range_names[number], typical)
    words = limits.status(mean, noise, ranges.used[number], ranges.rejected[number])
    ranges.status[number] = np.where(ranges.possible[number], words, 0)
    return limits


def _clear(ranges: _Ranges, number: int) -> None:
    """Drop what a few pixels gave in a range that is not in the data: they are the odd ones."""
    ranges.mean[number] = ranges.noise[number] = np.nan
    ranges.used[number] = ranges.rejected[number] = 0


def _take_over(request: Request, number: int, ranges: _Ranges) -> None:
    """Take a gain range from the other file."""
    known = {key: values[number].reshape(-1) for key, values in request.others.measured.items()}
    ranges.mean[number] = known["pedestals"]
    ranges.noise[number] = known.get("pixel_rms", np.float32(np.nan))
    words = known.get("pixel_status", np.zeros(1, np.uint64))
    upper = (words >> np.uint64(32)) != 0  # no bad pixel is lost
    ranges.status[number] = (words & np.uint64(0xFFFFFFFF)) | upper
    ranges.status[number][~np.isfinite(ranges.mean[number])] |= np.uint32(TOO_FEW)


def _facts(
    request: Request,
    found: Slotted,
    findings: Sequence[Finding],
    limits: Mapping[str, RangeLimits],
    origins: Mapping[str, str],
) -> dict[str, Any]:
    run = request.run
    accepted = sorted(item.check for item in findings if not item.dark)
    chosen = f"{request.n_events:,} of {run.n_events:,} events"
    return {
        "source": f"cubeengine pedestal, {chosen} of {run.label}",
        "run": str(run.run_id) if run.run_id else "",
        "field": request.field,
        "select": request.select,
        "events": {
            "run": run.n_events, "selected": request.n_events, "missing": int(found.missing[0]),
            "damaged": int(found.missing[1]), "used": request.n_events - int(found.missing.sum()),
        },
        "values": {
            "used": int(found.used.sum(dtype=np.int64)), "rejected": int(found.rejected.sum(dtype=np.int64)),
        },
        "rule": {"clip": request.rule.clip, "fewest": request.rule.fewest},
        "limits": {name: asdict(item) for name, item in limits.items()},
        "status_bits": {str(bit): text for bit, text in STATUS_BITS.items()},
        "ranges": dict(origins),
        "merged": dict(request.others.facts),
        "checks": [
            {"check": item.check, "found": item.found, "wanted": item.wanted, "dark": item.dark}
            for item in findings
        ],
        "accepted": accepted,
        "notes": [
            f"taken as dark although the check {item.check} failed: {item.found}, wanted {item.wanted}"
            for item in findings if not item.dark
        ],
        "inputs": [
            {"path": str(file.path), "size": file.size, "mtime_ns": file.mtime_ns}
            for file in run.source.files
        ],
        "versions": {
            "cubeengine": cubeengine.__version__, "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }  # fmt: skip
