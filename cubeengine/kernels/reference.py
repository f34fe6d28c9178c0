"""The plain numpy twin of the compiled kernels: slow, short, and what they are compared with.

Floats: each group's rows of a block by the two-pass formula, merged into the state by the parallel
formula. Integers: Python's own unlimited integers.

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance: analysis and
recommendations", The American Statistician 37 (1983) 242-247.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cubeengine.kernels.partial import MAX_RESIDUAL, Partial, State, Words, empty_partial, words_of
from cubeengine.types import FloatArray, IntArray

_WORD = 2**64


def add(partial: Partial, data: NDArray[Any], take: IntArray, groups: NDArray[np.int32]) -> None:
    """Add the rows `take` of `data` to the state of their groups, in place; `n_events` included."""
    for group in np.unique(groups):
        rows = data[take[groups == group]]
        state = partial.groups(int(group), int(group) + 1)
        merge_into(state, state, _block_moments(partial.dtype, rows))


def merge_into(target: Partial, a: Partial, b: Partial) -> None:
    """Write the moments of the events of both over `target`, which may be a."""
    if a.kind == "int":
        sums = [x + y for x, y in zip(_integers(a), _integers(b), strict=True)]
        merged: State = {"words": _words(sums, words_of(a.dtype))}
    else:
        merged = _merge_floats(a, b)
    for name, array in merged.items():
        target.arrays[name][:] = array
    np.add(a.n_events, b.n_events, out=target.n_events)


def mean(partial: Partial) -> FloatArray:
    """Return the mean; NaN where there is no value."""
    if partial.kind == "float":
        exact = partial.arrays["mean"] + partial.arrays["residual"]
        return np.where(partial.count == 0, np.nan, exact)
    total, _ = _integers(partial)
    return _per_element(_ratio, total, partial.n_events)


def std(partial: Partial) -> FloatArray:
    """Return the standard deviation (ddof 0); NaN where there is no value."""
    if partial.kind == "float":
        count = partial.count
        with np.errstate(over="ignore"):
            spread = np.sqrt(partial.arrays["m2"] / np.maximum(count, 1))
        return np.where(count == 0, np.nan, spread)
    total, squares = _integers(partial)
    spread = squares * partial.n_events[:, None].astype(object) - total * total
    return _per_element(_root_ratio, spread, partial.n_events)


def _block_moments(dtype: np.dtype[Any], rows: NDArray[Any]) -> Partial:
    block = empty_partial(dtype, 1, rows.shape[1])
    block.n_events[0] = len(rows)
    if block.kind == "int":
        values = rows.astype(object)
        sums = [values.sum(axis=0)[None], (values * values).sum(axis=0)[None]]
        block.arrays["words"][:] = _words(sums, words_of(dtype))
        return block
    values = rows.astype(np.float64)
    finite = np.isfinite(values)
    count = np.maximum(finite.sum(axis=0), 1)
    base = np.take_along_axis(values, finite.argmax(axis=0)[None], axis=0)[0]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(2):  # the second time from a base that no stray first value spoils
            shift = np.where(finite, values - base, 0.0)
            step = np.where(finite.any(axis=0), _sum_rows(shift) / count, 0.0)
            base = np.where(finite.any(axis=0), base + step, 0.0)
        block.arrays["mean"][0] = base
        block.arrays["m2"][0] = _sum_rows(np.where(finite, shift - step, 0.0) ** 2)
    block.arrays["missing"][0] = len(rows) - finite.sum(axis=0)
    return block


def _sum_rows(values: NDArray[Any]) -> NDArray[Any]:
    """Sum over rows pairwise: numpy itself does so only along the contiguous axis."""
    return np.asarray(np.ascontiguousarray(values.T).sum(axis=1))


def _merge_floats(a: Partial, b: Partial) -> State:
    left, right, count_a, count_b = a.arrays, b.arrays, a.count, b.count
    share = count_b / np.maximum(count_a + count_b, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        residual = left["residual"].astype(np.float64)
        shift = (right["mean"] - left["mean"]) + (right["residual"] - residual)
        step = shift * share + residual
        mean = left["mean"] + step
        back = mean - left["mean"]
        lost = (left["mean"] - (mean - back)) + (step - back)
        m2 = left["m2"] + right["m2"] + shift * shift * (count_a * share)
    rest = np.where(np.abs(lost) < MAX_RESIDUAL, lost, 0.0).astype(np.float32)
    merged = {"mean": mean, "residual": rest, "m2": m2}
    whole = {name: _unless_empty(left[name], right[name], a, b, merged[name]) for name in merged}
    return {**whole, "missing": left["missing"] + right["missing"]}


def _unless_empty(
    left: NDArray[Any], right: NDArray[Any], a: Partial, b: Partial, merged: NDArray[Any]
) -> NDArray[Any]:
    """Keep one side as it is where the other is empty."""
    return np.where(b.count == 0, left, np.where(a.count == 0, right, merged))


def _integers(partial: Partial) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return the sums and the sums of squares as (n_groups, n_elements) arrays of Python integers."""
    total, squares = words_of(partial.dtype)
    words = partial.arrays["words"].astype(object)
    whole = _join(words[:, :total])
    limit = 1 << (64 * total)
    signed = np.where(whole >= limit // 2, whole - limit, whole)
    return signed, _join(words[:, total : total + squares])


def _join(words: NDArray[np.object_]) -> NDArray[np.object_]:
    powers = np.array([_WORD**i for i in range(words.shape[1])], object)
    joined: NDArray[np.object_] = (words * powers[None, :, None]).sum(axis=1)
    return joined


def _words(sums: list[NDArray[np.object_]], layout: Words) -> NDArray[np.uint64]:
    planes = [(value >> (64 * i)) % _WORD for value, n in zip(sums, layout, strict=True) for i in range(n)]
    return np.stack(planes, axis=1).astype(np.uint64)


def _per_element(function: Any, values: NDArray[np.object_], n_events: IntArray) -> FloatArray:
    cells = [[function(value, int(n)) for value in row] for row, n in zip(values, n_events, strict=True)]
    return np.array(cells, np.float64).reshape(values.shape)


def _ratio(total: int, n: int) -> float:
    return float(Fraction(total, n)) if n else math.nan


def _root_ratio(spread: int, n: int) -> float:
    """Return sqrt(spread) / n, from 64 more bits of the root than a float holds."""
    return float(Fraction(math.isqrt(spread << 256), n << 128)) if n else math.nan
