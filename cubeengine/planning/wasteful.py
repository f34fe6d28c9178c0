"""Warnings of bins that stay empty, and of cubes that are larger than they need be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from cubeengine.budget import format_size
from cubeengine.planning.bind import Bound
from cubeengine.planning.disk import output_nbytes
from cubeengine.planning.plan import CubePlan, SignalPlan
from cubeengine.schema.problems import Problem
from cubeengine.schema.texts import counted
from cubeengine.types import BoolArray

LACKING = 0.2
"""Of the bins that another selection fills: fewer are usual, as the time tool spreads beyond the ends."""

MANY_BINS = 100
EMPTY = 0.9
"""Of many bins, in every selection: a plane of two scanned variables may well be half empty."""

LARGE_NBYTES = 16 * 2**30
"""No longer copied, opened or drawn at once."""

WORTH_NBYTES = 2**30
"""From here on a cube should be smaller than what it is made of."""


def empty_bins(bound: Bound) -> Iterator[Problem]:
    """Warn of bins without an event: of laser-off events where there are laser-on ones, and of any."""
    dark = [name for name in bound.selections if _is_off(bound, name)]
    for name in dark:
        yield from _lacking_off(bound, name, [other for other in bound.selections if other not in dark])
    filled = np.count_nonzero(bound.n_events, axis=0) > 0
    n_bins, n_empty = len(filled), int(np.count_nonzero(~filled))
    if n_bins >= MANY_BINS and EMPTY * n_bins < n_empty < n_bins:
        yield _warning(
            ("axes",),
            f"{n_empty:,} of {n_bins:,} bins have no event in any selection; use coarser bins, a smaller "
            "range, or  steps: auto  for one bin per setting",
        )


def _is_off(bound: Bound, name: str) -> bool:
    """Return whether a selection is of laser-off events: by its cut on the laser, or by its name."""
    return bound.census.counts[name].dark is not None or "off" in re.split(r"[^a-z]+", name.lower())


def _lacking_off(bound: Bound, off: str, others: Sequence[str]) -> Iterator[Problem]:
    """Tell of a laser-off selection that is empty in bins which another one fills."""
    counts = dict(zip(bound.selections, bound.n_events > 0, strict=True))
    lacking = {name: int(np.count_nonzero(counts[name] & ~counts[off])) for name in others}
    on = max(lacking, key=lambda name: lacking[name], default=None)
    if on is None or not counts[off].any() or lacking[on] <= LACKING * np.count_nonzero(counts[on]):
        return
    drops = " ".join(f"--drop {axis.axis.name}" for axis in bound.axes)
    n_filled = int(np.count_nonzero(counts[on]))
    yield _warning(
        ("axes",),
        f"selection {off!r} has no event in {lacking[on]:,} of the {n_filled:,} bins that {on!r} fills, so "
        f"{on} minus {off} is NaN there: laser-off events are at the nominal settings. Use coarser bins"
        f"{_width(bound, counts[off])}, or an {off} reference over all bins  (cubeengine rebin CUBE.zarr "
        f"-o ALL.zarr {drops}), or each event's nearest {off} events  (derive: neighbours)",
    )


def _width(bound: Bound, filled: BoolArray) -> str:
    """Say how wide bins have to be, so that none lies between two settings; of one axis."""
    if len(bound.axes) != 1 or np.count_nonzero(filled) < 2:
        return ""
    axis = bound.axes[0].axis
    wide = float(np.diff(axis.centers[filled]).max())
    return f" (of at least {wide:.3g}{' ' * bool(axis.unit)}{axis.unit})"


def large_cube(plan: CubePlan) -> Iterator[Problem]:
    """Warn of a cube that is large, or larger than what it is made of."""
    if not plan.signals:
        return
    largest = max(plan.signals, key=_values)
    numbers = (plan.n_bins, "bin"), (len(plan.selections), "selection"), (largest.info.n_elements, "element")
    what = ", ".join(counted(n, one) for n, one in numbers)
    yield from large_output(output_nbytes(plan), plan.read_nbytes, f"{largest.name!r} has {what}")


def large_output(nbytes: int, read_nbytes: int, what: str) -> Iterator[Problem]:
    """Warn of a store that is large, or larger than what it is made of.

    Parameters
    ----------
    nbytes, read_nbytes : int
        Bytes of the store before compression, and bytes that are read for it.
    what : str
        What is largest in it.
    """
    wasteful = nbytes > WORTH_NBYTES and nbytes > read_nbytes
    if nbytes > LARGE_NBYTES or wasteful:
        beside = f", more than the {format_size(read_nbytes)} of input" if wasteful else ""
        yield _warning(
            ("signals",),
            f"the result has {format_size(nbytes)} before compression{beside}: {what}; use fewer bins or "
            "selections, smaller frames (stages such as roi or rebin), or  dtype: float32  for images",
        )


def _values(signal: SignalPlan) -> int:
    return signal.info.n_elements


def _warning(path: tuple[str, ...], message: str) -> Problem:
    return Problem(path, message, severity="warning")
