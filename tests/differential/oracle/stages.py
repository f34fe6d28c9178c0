"""Stages on the frame of one event: an array of objects, None where a pixel is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np

from tests.differential.oracle.events import Column, Unsigned, elements, finite
from tests.differential.oracle.selections import Refused
from tests.differential.oracle.units import amount

Frame = Column


class TooLarge(float):
    """Stands for a sum of whole numbers that 64 bits do not hold: an error, if a bin needs it."""


def apply(stage: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    """Return what a stage makes of a frame."""
    name, options = (stage, None) if isinstance(stage, str) else next(iter(stage.items()))
    return STAGES[name](options, _there(frame), files)


def _there(frame: Frame) -> Frame:
    """Return a frame with None for every pixel that does not count."""
    return _each(lambda v: v if finite(v) else None, frame)


def _each(function: Callable[..., Any], *frames: Any) -> Frame:
    return np.asarray(np.frompyfunc(function, len(frames), 1)(*frames), object)


def _roi(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    if isinstance(options, dict) and "regions" in options:
        return np.stack([_roi(region, frame, files) for region in options["regions"].values()])
    if isinstance(options, dict) and "segment" in options:
        return _roi(options["ranges"], frame[options["segment"]], files)
    ranges = options["ranges"] if isinstance(options, dict) else options
    ranges = ranges if isinstance(ranges[0], list) else [ranges]
    return frame[(..., *(slice(first, last) for first, last in ranges))]


def _mask(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    options = {"file": options} if isinstance(options, str) else options
    good = np.ones(frame.shape, bool)
    if "file" in options:
        values = files[options["file"]]
        chosen = values == 0 if options.get("invert") else values != 0
        good &= chosen & ~np.isnan(values.astype(float))
    if "constants" in options:
        good &= _good(files[options["constants"]], frame.shape)
    if edges := options.get("edges", 0):
        inner = np.zeros(frame.shape, bool)
        inner[..., edges : frame.shape[-2] - edges, edges : frame.shape[-1] - edges] = True
        if not inner.any():
            raise Refused("no pixel is left within the edges")
        good &= inner
    return _each(lambda v, keep: None if v is None or not keep else float(v), frame, good)


def _good(constants: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
    """Return the good pixels: status 0, the user's mask not 0, gain not 0; NaN is bad."""
    good = np.ones(shape, bool)
    for name, bad in (
        ("pixel_status", lambda v: v != 0),
        ("pixel_mask", lambda v: (v == 0) | np.isnan(v.astype(float))),
    ):
        if name in constants:
            good &= ~bad(np.asarray(constants[name]))
    return good


def _threshold(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    options = options if isinstance(options, dict) else {"min": options}
    low, high = (_limit(options.get(key, none)) for key, none in (("min", -math.inf), ("max", math.inf)))
    new = {"zero": 0, "missing": None}
    below, above = (new[options.get(key, "zero")] for key in ("below", "above"))
    noise = np.ones(frame.shape)
    if "constants" in options:
        noise = _noise(files[options["constants"]])
    # Integers have no pixel that is missing.
    floating = None in (below, above) or not np.isfinite(noise).all()

    def limited(v: Any, unit: float) -> Any:
        if v is None or not math.isfinite(unit):
            return None
        new = below if v < low * unit else above if v > high * unit else v
        return new if new is None or not floating else float(new)

    return _each(limited, frame, noise)


def _noise(constants: Mapping[str, Any]) -> Any:
    """Return the noise of calibrated pixels, in keV where there are gains; NaN where it is not known."""
    rms = np.asarray(constants["pixel_rms"], np.float32)
    gain = np.asarray(constants.get("pixel_gain", np.ones(rms.shape)), np.float32)
    with np.errstate(all="ignore"):
        return np.where(gain == 0, np.nan, rms / np.abs(gain)).astype(float)


def _limit(written: Any) -> float:
    """Return a limit: a number, in ADU, or in units of the noise."""
    return float(written.removesuffix("sigma") if isinstance(written, str) else written)


def _calibrate(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    constants = files[options["constants"]]
    good = _good(constants, frame.shape)
    offset = np.broadcast_to(np.asarray(constants["pedestals"], np.float32), frame.shape)
    if "pixel_offset" in constants:
        offset = offset + np.asarray(constants["pixel_offset"], np.float32)
    gain = np.ones(frame.shape, np.float32)
    if "pixel_gain" in constants and options.get("gain", True):
        gain = np.asarray(constants["pixel_gain"], np.float32)
        good = good & (gain != 0) & np.isfinite(gain)
    good = good & np.isfinite(offset)
    with np.errstate(all="ignore"):
        factor = np.float32(1) / gain
        return _each(
            lambda v, keep, pedestal, each: None
            if v is None or not keep
            else float((np.float32(v) - np.float32(pedestal)) * np.float32(each)),
            frame, good, elements(offset), elements(factor),
        )  # fmt: skip


def _joined(values: list[Any], how: str, whole: bool = False) -> Any:
    """Return the sum or mean of the pixels that are there; None of none, or of some if `whole`."""
    there = [v for v in values if v is not None]
    if not there or (whole and len(there) < len(values)):
        return None
    if how == "mean":
        return math.fsum(there) / len(there)
    if not all(isinstance(v, int) and not isinstance(v, Unsigned) for v in there):
        return math.fsum(there)
    return sum(there) if -(2**63) <= sum(there) < 2**63 else TooLarge("inf")


def _sum(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    return np.array(_joined(list(frame.flat), (options or {}).get("how", "sum")), object)


def _project(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    options = options if isinstance(options, dict) else {"onto": options}
    onto = options.get("onto", options.get("axis"))
    axis = {"rows": frame.ndim - 1, "columns": frame.ndim - 2}.get(onto, onto)
    moved = np.moveaxis(frame, axis, -1)
    return _by_place(moved.shape[:-1], lambda at: _joined(list(moved[at]), options.get("how", "sum")))


def _rebin(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    options = options if isinstance(options, dict) else {"factor": options}
    factor, how = options["factor"], options.get("how", "sum")
    last = min(frame.ndim, 2)
    factors = [1] * (frame.ndim - last) + ([factor] * last if isinstance(factor, int) else list(factor))

    def joined(at: tuple[int, ...]) -> Any:
        block = frame[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        return _joined(list(block.flat), how, whole=how == "sum")

    return _by_place(tuple(size // f for size, f in zip(frame.shape, factors, strict=True)), joined)


def _azav(options: Any, frame: Frame, files: Mapping[str, Any]) -> Frame:
    """Average over rings, in a sector, the pixels whose middles lie in them; radii are in mm."""
    size = amount(options["pixel_size"], "mm")
    rows, columns = np.indices(frame.shape, dtype=float)
    y, x = rows - options["center"][0], columns - options["center"][1]
    radius, angle = np.hypot(y, x) * size, np.degrees(np.arctan2(y, x))
    low, high = options["range"]
    number = np.floor((radius - low) / (high - low) * options["bins"])
    start, stop = options.get("azimuth", [-180, 180])
    inside = (angle - start) % 360 <= stop - start if stop - start < 360 else np.ones(frame.shape, bool)
    return _by_place((options["bins"],), lambda at: _joined(list(frame[(number == at[0]) & inside]), "mean"))


def _by_place(shape: tuple[int, ...], value: Callable[[tuple[int, ...]], Any]) -> Frame:
    result = np.empty(shape, object)
    for at in product(*map(range, shape)):
        result[at] = value(at)
    return result


STAGES: Mapping[str, Callable[[Any, Frame, Mapping[str, Any]], Frame]] = {
    "roi": _roi,
    "mask": _mask,
    "threshold": _threshold,
    "calibrate": _calibrate,
    "sum": _sum,
    "project": _project,
    "rebin": _rebin,
    "azav": _azav,
}
