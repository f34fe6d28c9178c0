"""Bins as the original takes them: edges, a range with a number or a step, a step alone, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cubeengine.compat.differences import Teller
from cubeengine.errors import SpecError
from cubeengine.events.scan import Scan
from cubeengine.spec.axes import STEP_TOLERANCE, Axis, edges_of
from cubeengine.types import FloatArray

Bins: TypeAlias = "Sequence[float] | NDArray[np.generic]"
AddedBins: TypeAlias = "Mapping[str, Bins] | Sequence[object] | None"

EDGES_AT_LEAST = 4
"""So many numbers are always edges."""


def read_edges(bins: Bins, teller: Teller) -> FloatArray | None:
    """Return the edges that bins stand for; None where they depend on the data.

    Parameters
    ----------
    bins : sequence or array of numbers
        Four numbers or more: edges. Three: [a, b, n] with an integer n makes n bins, [a, b, step] steps
        from a, with what remains up to b as the last bin. Three rising numbers are edges if they are an
        array, or if the step would not fit between a and b. Two: one bin.
    teller : Teller
        Tells of three edges.

    Raises
    ------
    SpecError
        If a step is not above 0, or a range is empty.

    Examples
    --------
    >>> read_edges([0, 1, 0.4], Teller())
    array([0. , 0.4, 0.8, 1. ])
    """
    if len(bins) >= EDGES_AT_LEAST:
        return np.asarray(bins, np.float64)
    if len(bins) < 2:
        return None
    low, high = sorted(map(float, bins[:2]))
    if not low < high:
        raise SpecError(f"bins {list(bins)}: there are no numbers between {low:g} and {high:g}")
    if len(bins) == 2:
        return np.array([low, high])
    if _are_edges(bins):
        if not isinstance(bins, np.ndarray):
            teller.tell("three-edges", bins=list(bins), step=bins[2], low=bins[0], high=bins[1])
        return np.asarray(bins, np.float64)
    return _range(low, high, bins[2])


def _are_edges(bins: Bins) -> bool:
    first, second, third = bins
    if _is_count(third):
        return False
    fits = third <= abs(second - first) * (1 + float(STEP_TOLERANCE))
    return bool(first < second < third and (isinstance(bins, np.ndarray) or not fits))


def _is_count(number: float) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)


def _range(low: float, high: float, division: float) -> FloatArray:
    if _is_count(division):
        return _evenly({"start": low, "stop": high, "bins": int(division)})
    if not division > 0:
        raise SpecError(f"bins from {low:g} to {high:g}: the step {division:g} must be above 0")
    start, stop, step = (Fraction(repr(float(number))) for number in (low, high, division))
    n_steps = math.floor((stop - start) / step)
    if n_steps < 1:
        return np.array([low, high])
    whole = _evenly({"start": low, "stop": float(start + n_steps * step), "step": float(division)})
    return whole if start + n_steps * step == stop else np.append(whole, high)


def _evenly(spacing: Mapping[str, float]) -> FloatArray:
    """Return evenly spaced edges as an axis of a spec has them."""
    edges = edges_of(Axis(field="bins", edges=spacing))
    if edges is None:
        raise SpecError(f"{spacing} gives no edges")
    return edges


def edges_over(values: FloatArray, division: float) -> FloatArray:
    """Return edges over the range of values: so many bins, or bins at multiples of a step.

    Raises
    ------
    SpecError
        If all values are the same, or none is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        raise SpecError(f"bins [{division:g}] need values that differ; give the edges")
    low, high = float(finite.min()), float(finite.max())
    if _is_count(division):
        return _range(low, high, division)
    step = Fraction(repr(float(division)))
    first, last = math.floor(Fraction(low) / step), math.ceil(Fraction(high) / step)
    return _range(float(first * step), float(last * step), division)


def axis_of(
    field: str, bins: Bins, *, scan: Scan, values: Callable[[], FloatArray], teller: Teller, of_scan: bool
) -> Axis:
    """Return the axis of a cube.

    Parameters
    ----------
    field : str
        What is binned.
    bins
        See `read_edges`; one number makes bins over the values, none makes one for each setting of the scan.
    scan : Scan
        The scan of the run.
    values : callable
        Gives the values of the field.
    teller : Teller
        Tells of differences.
    of_scan : bool
        Whether the field is what the scan moves, or the delay made of it.

    Raises
    ------
    SpecError
        If there are no bins, and the field has nothing to do with a scan.
    """
    edges = read_edges(bins, teller)
    if edges is None and len(bins) == 1:
        edges = edges_over(values(), bins[0])
    if edges is not None:
        return Axis(field=field, edges=tuple(edges.tolist()))
    if not scan.variables or not of_scan:
        reason = "the run is not a scan" if not scan.variables else f"the scan is of {scan.variables[0]!r}"
        raise SpecError(f"a cube over {field!r} needs bins, because {reason}")
    moved = field if field in scan.variables else scan.variables[0]
    if field not in scan.variables:
        teller.tell("scan-steps", n=len(scan.values[moved]), field=moved)
    return Axis(field=field, steps="auto" if moved == field else moved)


def read_added(added: AddedBins) -> tuple[tuple[str, Bins], ...]:
    """Read further axes: {name: bins}, [name, bins] or [name, edge, edge, ...].

    Raises
    ------
    SpecError
        If it is none of these.
    """
    if not added:
        return ()
    if isinstance(added, Mapping):
        return tuple((str(name), bins) for name, bins in added.items())
    name, rest = added[0], added[1:]
    bins = rest[0] if len(rest) == 1 and not isinstance(rest[0], int | float) else rest
    if not isinstance(name, str) or isinstance(bins, str) or not isinstance(bins, Sequence | np.ndarray):
        raise SpecError(f"addBinVars {added!r}: give {{name: bins}}, [name, bins] or [name, edge, edge, ...]")
    return ((name, bins),)
