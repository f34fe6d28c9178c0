"""Differences between a cube and what the oracle says of it, beyond the bounds that the contract gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import cubeengine as ce
from tests.differential.oracle import Cube, Signal

EPS = 2.0**-52
KINDS = {"complete", "partial", "nothing", "missing"}


def differences(expected: Cube, found: xr.Dataset) -> list[str]:
    """Return every difference, in words."""
    return [
        *_coordinates(expected, found),
        *(_equal("n_events", expected.n_events, found["n_events"].values)),
        *_counts(expected, found),
        *(
            text
            for name, signal in expected.signals.items()
            for text in _signal(name, signal, expected, found)
        ),
    ]


def _coordinates(expected: Cube, found: xr.Dataset) -> Iterator[str]:
    yield from _equal("selection", list(expected.selections), found["selection"].values.tolist())
    for axis in expected.axes:
        if axis.name not in found.coords:
            yield f"axis {axis.name}: not there"
            continue
        bounds, labels = found[f"{axis.name}_bnds"].values, found[axis.name].values
        if len(labels) != len(axis.labels):
            yield f"axis {axis.name}: bins {labels.tolist()}, expected {axis.labels}"
            continue
        edges = [*bounds[:, 0].tolist(), bounds[-1, 1]]
        if axis.exact or not np.allclose(edges, axis.edges, rtol=1e-12, atol=0):
            yield from _equal(f"{axis.name}_bnds", axis.edges, edges)
        tolerance = 4 * EPS * np.abs(axis.edges).max()
        if not np.allclose(labels, axis.labels, rtol=0, atol=tolerance):
            yield f"axis {axis.name}: labels {labels.tolist()}, expected {axis.labels}"
        if found[axis.name].attrs.get("units", "") != axis.unit:
            yield f"axis {axis.name}: unit {found[axis.name].attrs.get('units')!r}, expected {axis.unit!r}"


def _counts(expected: Cube, found: xr.Dataset) -> Iterator[str]:
    facts = ce.cube_facts(found)
    for name in expected.selections:
        yield from _equal(f"fates of {name}", expected.fates[name], facts["fates"][name])
        flow = [(alone, after) for _, alone, after in facts["cut_flow"].get(name, [])]
        yield from _equal(f"cut flow of {name}", [tuple(row) for row in expected.cut_flow[name]], flow)
    known = {**facts["delays"], **facts["near"]}
    for name, counts in expected.derived.items():
        counted = {key: value for key, value in known.get(name, {}).items() if key in counts}
        yield from _equal(f"counts of {name}", counts, counted)
    for name, signal in expected.signals.items():
        # A lazy cube has not been computed when it is described; bins that are left out keep their counts.
        if "left_out" not in facts or "history" in facts:
            continue
        lost = {
            selection: sum(facts["left_out"].get(name, {}).get(selection, {}).values())
            for selection in expected.selections
        }
        yield from _equal(f"left out of {name}", dict(signal.left_out), lost)


def _signal(name: str, signal: Signal, expected: Cube, found: xr.Dataset) -> Iterator[str]:
    if f"{name}_mean" not in found:
        yield f"signal {name}: not there"
        return
    count, mean, std = (found[f"{name}_{key}"].values for key in ("count", "mean", "std"))
    if mean.shape != signal.mean.shape:
        yield f"signal {name}: shape {mean.shape}, expected {signal.mean.shape}"
        return
    count = count.reshape(*count.shape, *(1,) * (mean.ndim - count.ndim))
    yield from _equal(f"{name}_count", signal.count, np.broadcast_to(count, mean.shape))
    narrow = 2.0**-22 if mean.dtype == np.float32 else 0.0
    # Merged cubes start from means that were rounded: docs/combining.md, "How exact it is".
    merged = 16 * EPS if {"merged_from", "history"} & set(ce.cube_facts(found)) else 0.0
    if signal.whole and not merged:
        yield from _close(f"{name}_mean", signal.mean, mean, narrow * signal.size)
        yield from _close(f"{name}_std", signal.std, std, (narrow + 2 * EPS) * np.nan_to_num(signal.std))
        return
    slack = signal.blur + (narrow + merged) * signal.largest
    yield from _close(f"{name}_mean", signal.mean, mean, 1e-14 * signal.size + slack)
    spread = 1e-11 * np.nan_to_num(signal.std) + 4 * EPS * signal.largest
    yield from _close(f"{name}_std", signal.std, std, spread + 2 * slack)


def _equal(what: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, np.ndarray):
        if expected.shape != np.shape(found):
            yield f"{what}: shape {np.shape(found)}, expected {expected.shape}"
        elif not np.array_equal(expected, found):
            yield _worst(what, expected, found, np.asarray(expected != found))
    elif expected != found:
        yield f"{what}: {found}, expected {expected}"


def _close(what: str, expected: NDArray[Any], found: NDArray[Any], bound: Any) -> Iterator[str]:
    with np.errstate(invalid="ignore", over="ignore"):
        least = np.finfo(np.float32).tiny if found.dtype == np.float32 else 0.0  # what is smaller underflows
        off = ~(np.abs(expected - found.astype(float)) <= bound + least) & (expected != found)
        if found.dtype == np.float32:  # beyond its range a mean is infinite, and NaN where such are merged
            off &= ~(np.isinf(expected.astype(np.float32)) & ~np.isfinite(found))
    off &= ~(np.isnan(expected) & np.isnan(found))
    if off.any():
        yield _worst(what, expected, found, off)


def _worst(what: str, expected: Any, found: Any, off: Any) -> str:
    at = tuple(int(index[0]) for index in np.nonzero(off))
    return f"{what}: {int(off.sum())} of {off.size} differ, at {at}: {found[at]!r}, expected {expected[at]!r}"
