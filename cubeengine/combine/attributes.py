"""What a combined cube says of itself: what it was made of, and the counts of all events together."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import cubeengine
from cubeengine.combine.agree import run_names
from cubeengine.combine.content import Cube
from cubeengine.types import IntArray

PACKAGES = ("numpy", "xarray", "zarr")

_OF_ONE = (
    "run", "title", "cubeengine", "spec", "stages", "cut_flow", "percentiles", "fates", "delays", "near",
    "shared_events", "join", "evidence", "announced", "left_out", "n_events_total", "partial_run", "inputs",
    "versions", "history",
)  # fmt: skip
"""What is kept of each cube that was merged."""

_OF_THE_RUN = ("plan", "memory", "launcher")
"""What is true of the computation of a cube from events only."""

Attributes = dict[str, Any]


def merged_attributes(
    cubes: Sequence[Cube],
    hashes: Sequence[str],
    lacking: Mapping[str, Sequence[str]],
    how: str,
    matched: Mapping[str, Mapping[str, float]],
) -> Attributes:
    """Return the attributes of a cube of several.

    Parameters
    ----------
    cubes : sequence of Cube
        In the order of the arguments.
    hashes : sequence of str
        Of their values.
    lacking : mapping
        Signal -> paths of the cubes that do not have it.
    how : str
        "merge", or "stack along run".
    matched : mapping
        Axis -> tolerance and largest difference, where the settings of the cubes are not the same to the bit.
    """
    first = cubes[0].attrs
    entries = [entry for cube, digest in zip(cubes, hashes, strict=True) for entry in _entries(cube, digest)]
    parents = [{"path": str(cube.path), "hash": digest} for cube, digest in zip(cubes, hashes, strict=True)]
    step = {"did": how, "of": parents, "lacking": {name: list(paths) for name, paths in lacking.items()}}
    if matched:
        step["matched_axes"] = {axis: dict(found) for axis, found in matched.items()}
    values: Attributes = {
        "title": _joined(str(cube.attrs.get("title", "")) for cube in cubes),
        "run": _joined(name for cube in cubes for name in run_names(cube)),
        "spec": _common_spec([cube.attrs.get("spec") or {} for cube in cubes]),
        "stages": first.get("stages"),
        "cut_flow": _cut_flows([cube.attrs.get("cut_flow") or {} for cube in cubes]),
        "fates": _of_all(cubes, "fates", _summed),
        "delays": _of_all(cubes, "delays", _summed),
        "near": _of_all(cubes, "near", _summed),
        "shared_events": _of_all(cubes, "shared_events", _summed),
        "join": _summed([joins for cube in cubes if (joins := cube.attrs.get("join"))]) or None,
        "evidence": _summed([cube.attrs.get("evidence") or {} for cube in cubes]),
        "announced": [entry for cube in cubes for entry in cube.attrs.get("announced") or ()],
        "left_out": dict(sorted(_summed([cube.attrs.get("left_out") or {} for cube in cubes]).items())),
        "n_events_total": _of_all(cubes, "n_events_total", sum),
        "partial_run": _joined(str(cube.attrs.get("partial_run") or "") for cube in cubes) or None,
        "inputs": _distinct(file for cube in cubes for file in cube.attrs.get("inputs") or ()),
        "merged_from": entries,
    }
    return {key: value for key, value in values.items() if value is not None} | _of_this(None, step)


def rebinned_attributes(cube: Cube, digest: str, n_events: IntArray, axes: Mapping[str, Any]) -> Attributes:
    """Return the attributes of a cube with other bins.

    Parameters
    ----------
    cube : Cube
        The cube with the old bins.
    digest : str
        Hash of its values.
    n_events : (n_selections, axes...) int64
        Selected events per new bin.
    axes : mapping
        Axis -> new edges, or "all" for one that is summed over.
    """
    lost = cube.n_events.sum(tuple(range(1, cube.n_events.ndim))) - n_events.sum(
        tuple(range(1, n_events.ndim))
    )
    fates = dict(cube.attrs.get("fates") or {})
    for name, n_lost in zip(cube.selections, lost.tolist(), strict=True):
        if name in fates:
            old = fates[name]
            fates[name] = {
                **old, "binned": old["binned"] - n_lost, "outside": old.get("outside", 0) + n_lost
            }  # fmt: skip
    step = {"did": "rebin", "of": [{"path": str(cube.path), "hash": digest}], "axes": axes}
    kept = {key: value for key, value in cube.attrs.items() if key not in _OF_THE_RUN}
    return {**kept, "fates": fates, **_of_this(cube, step)}


def _of_this(cube: Cube | None, step: Attributes) -> Attributes:
    """Return what is true of this computation."""
    history = list(cube.attrs.get("history") or []) if cube else []
    return {
        "history": [*history, {**step, "version": cubeengine.__version__}],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "ddof": 0,
    }


def _entries(cube: Cube, digest: str) -> list[Attributes]:
    """Describe a cube, or the cubes it was merged from."""
    merged = cube.attrs.get("merged_from")
    if merged:
        return list(merged)
    kept = {key: cube.attrs[key] for key in _OF_ONE if cube.attrs.get(key) is not None}
    return [{"path": str(cube.path), "hash": digest, **kept}]


def _common_spec(specs: Sequence[Mapping[str, Any]]) -> Attributes:
    """Return the first spec, without what of its `run` is not said of all."""
    first = dict(specs[0])
    run = {key: value for key, value in (first.get("run") or {}).items()
           if all((spec.get("run") or {}).get(key) == value for spec in specs)}  # fmt: skip
    return first | {"run": run} if "run" in first else first


def _cut_flows(flows: Sequence[Mapping[str, Sequence[Sequence[Any]]]]) -> Attributes:
    """Add the cut flows of the selections whose cuts are the same everywhere."""
    labels = [{name: [row[0] for row in rows] for name, rows in flow.items()} for flow in flows]
    same = [name for name in flows[0] if all(each.get(name) == labels[0][name] for each in labels)]
    return {
        name: [
            [rows[0][0], sum(row[1] for row in rows), sum(row[2] for row in rows)]
            for rows in zip(*(flow[name] for flow in flows), strict=True)
        ]
        for name in same
    }


def unequal_cuts(cubes: Sequence[Cube]) -> tuple[str, ...]:
    """Name the selections whose cuts are not the same in all cubes: their cut flows cannot be added."""
    flows = [cube.attrs.get("cut_flow") or {} for cube in cubes]
    names = dict.fromkeys(name for flow in flows for name in flow)
    return tuple(name for name in names if name not in _cut_flows(flows))


def _of_all(cubes: Sequence[Cube], key: str, combine: Callable[[list[Any]], Any]) -> Any:
    """Combine an attribute where all cubes have it."""
    values = [cube.attrs.get(key) for cube in cubes]
    return None if any(value is None for value in values) else combine(values)


def _summed(values: Sequence[Any]) -> Any:
    """Add nested counts; texts that differ are put side by side."""
    if not values or isinstance(values[0], Mapping):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _summed([value[key] for value in values if key in value]) for key in keys}
    return sum(values) if all(isinstance(value, int) for value in values) else _joined(map(str, values))


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


def _distinct(files: Iterable[Attributes]) -> list[Attributes]:
    found: list[Attributes] = []
    seen = set()
    for file in files:
        key = (file.get("path"), file.get("size"), file.get("mtime_ns"))
        found += [] if key in seen else [file]
        seen.add(key)
    return found
