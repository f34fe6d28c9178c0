"""Whether cubes may be combined: the first difference that matters is an error, the others are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import xarray as xr

from cubeengine.combine.content import Cube, SignalContent
from cubeengine.errors import StoreMismatch

ALLOWANCES = ("partial", "same-run")
"""What is refused unless it is allowed by this name: quick tries on part of a run; the same run twice."""

_OWN = ("run", "cube", "resources")
"""Keys of a spec that may differ from run to run."""

_MOST_KEYS = 5

HOW_TO_JOIN = (
    "cubes can be added only if all edges are equal: join finer bins with `cubeengine rebin`, or make the "
    "cubes again with the same edges"
)


def check_files(cubes: Sequence[Cube], allowed: Sequence[str]) -> None:
    """Raise where cubes may not be combined for what they are.

    Raises
    ------
    StoreMismatch
        If format versions differ, a cube is of part of a run, or two share a run or an input file.
    """
    first = cubes[0]
    for cube in cubes[1:]:
        if (theirs := _format(cube)) != (ours := _format(first)):
            raise StoreMismatch(
                f"{cube.path}: has format {theirs}, but {first.path} has format {ours}; make the older cube "
                "again with this version"
            )
    for cube in cubes:
        partial = cube.attrs.get("partial_run")
        if partial and "partial" not in allowed:
            raise StoreMismatch(
                f"{cube.path}: is a cube of part of a run ({partial}); make it from the whole run, or add "
                "it with --allow partial, in Python allow=['partial']"
            )
    if "same-run" not in allowed:
        _check_runs(cubes)


def _check_runs(cubes: Sequence[Cube]) -> None:
    owners: dict[object, Cube] = {}
    for cube in cubes:
        for key, what in _sources(cube):
            other = owners.setdefault(key, cube)
            if other is not cube:
                again = other.path.resolve() == cube.path.resolve()
                said = "is given twice" if again else f"{what} is also that of {other.path}"
                raise StoreMismatch(
                    f"{cube.path}: {said}, so its events would be counted twice; leave one cube out, or add "
                    "both with --allow same-run, in Python allow=['same-run']"
                )


def _sources(cube: Cube) -> Iterator[tuple[object, str]]:
    """Yield what a cube was made of: runs by name, files by name, size and time, wherever they lie now."""
    yield cube.path.resolve(), "its path"
    for run in run_names(cube):
        yield ("run", run), f"run {run}"
    for file in cube.attrs.get("inputs") or ():
        name = PurePath(file["path"]).name
        yield (name, file["size"], file["mtime_ns"]), f"the input file {name!r}"


def run_names(cube: Cube) -> tuple[str, ...]:
    """Return the runs in a cube, e.g. ("xpptut15:252",); none where it does not say."""
    merged = cube.attrs.get("merged_from")
    names = (
        [str(entry.get("run") or "") for entry in merged] if merged else [str(cube.attrs.get("run") or "")]
    )
    return tuple(name for name in names if name)


def experiments(cubes: Sequence[Cube]) -> tuple[str, ...]:
    """Return the experiments that cubes are of, as far as they or their specs say it."""
    found: dict[str, None] = {}
    for cube in cubes:
        named = (cube.attrs.get("spec") or {}).get("run") or {}
        names = [name.rpartition(":")[0] for name in run_names(cube)] or [str(named.get("experiment") or "")]
        found |= dict.fromkeys(filter(None, names))
    return tuple(found)


def check_bins(cubes: Sequence[Cube], *, beside: str | None = None) -> dict[str, dict[str, float]]:
    """Raise where selections or axes differ; settings may, by no more than the tolerance of their axis.

    Parameters
    ----------
    cubes : sequence of Cube
        The first is what the others are compared with.
    beside : str, optional
        A dimension along which they are stacked, which is not compared.

    Returns
    -------
    dict
        Axis -> the smallest `tolerance` of the cubes, and by how much edges or settings differ from those of
        the first (`largest_difference`), for the axes of which some differ.
    """
    first = cubes[0]
    matched: dict[str, dict[str, float]] = {}
    axes = [axis for axis in first.axes if axis != beside]
    for cube in cubes[1:]:
        if cube.selections != first.selections:
            raise StoreMismatch(
                f"{cube.path}: has the selections {_listed(cube.selections)}, but {first.path} has "
                f"{_listed(first.selections)}; make the cubes with the same `cubes`, in the same order"
            )
        theirs = [axis for axis in cube.axes if axis != beside]
        if theirs != axes:
            raise StoreMismatch(
                f"{cube.path}: has the axes {_listed(theirs)}, but {first.path} has {_listed(axes)}; "
                "sum over an axis with  cubeengine rebin --drop AXIS,  in Python ce.rebin_cube(cube, out, "
                "drop=['AXIS']), or make the cubes with the same axes"
            )
        for axis in axes:
            tolerance, difference = _check_axis(first, cube, axis)
            if difference:
                known = matched.get(axis, {"tolerance": tolerance, "largest_difference": 0.0})
                matched[axis] = {
                    "tolerance": min(tolerance, known["tolerance"]),
                    "largest_difference": max(difference, known["largest_difference"]),
                }
    return matched


def _check_axis(first: Cube, cube: Cube, axis: str) -> tuple[float, float]:
    """Return the tolerance of an axis, and how far its edges and settings are from the first cube's."""
    place = f"{cube.path}: axis {axis!r}"
    if cube.unit(axis) != first.unit(axis):
        raise StoreMismatch(
            f"{place}: its unit is {cube.unit(axis)!r}, but {first.unit(axis)!r} in {first.path}; "
            "make the cubes with the same unit"
        )
    ours, theirs = first.bounds(axis), cube.bounds(axis)
    if ours is None or theirs is None:
        raise StoreMismatch(f"{place}: has no edges ({axis}_bnds) here or in {first.path}")
    if len(ours) != len(theirs):
        raise StoreMismatch(
            f"{place}: has {len(theirs)} bins, but {len(ours)} in {first.path}; {HOW_TO_JOIN}"
        )
    tolerance = min(first.tolerance(axis), cube.tolerance(axis))
    apart = np.abs(ours - theirs)
    differ = np.argwhere(apart > tolerance)
    if len(differ):
        number, side = map(int, differ[0])
        within = f", more than the tolerance {tolerance:.3g} apart" if tolerance else ""
        raise StoreMismatch(
            f"{place}: the {('lower', 'upper')[side]} edge of bin {number} is "
            f"{float(theirs[number, side])!r}, but {float(ours[number, side])!r} in "
            f"{first.path}{within}; {HOW_TO_JOIN}"
        )
    if not tolerance:
        return 0.0, 0.0
    labels = np.abs(first.labels(axis) - cube.labels(axis))
    if labels.max() > tolerance:
        number = int(labels.argmax())
        raise StoreMismatch(
            f"{place}: setting {number} is {float(cube.labels(axis)[number])!r}, but "
            f"{float(first.labels(axis)[number])!r} in {first.path}, more than the tolerance {tolerance:.3g} "
            f"apart; {HOW_TO_JOIN}"
        )
    return tolerance, float(max(apart.max(), labels.max()))


def check_signal(first: Cube, cube: Cube, name: str) -> None:
    """Raise where a signal of one name is not the same thing in two cubes."""
    ours, theirs = first.signals[name], cube.signals[name]
    for what, here, there in (
        ("field", ours.field, theirs.field),
        ("unit", ours.unit, theirs.unit),
        ("shape", ours.shape, theirs.shape),
        ("stages", _stages(first, name), _stages(cube, name)),
    ):
        if here != there:
            raise StoreMismatch(
                f"{cube.path}: signal {name!r} has the {what} {there!r}, but {here!r} in {first.path}; "
                f"make the cubes in the same way, or leave the signal out with --skip {name}, "
                f"in Python skip=[{name!r}]"
            )


def _stages(cube: Cube, name: str) -> tuple[str, ...]:
    """Name the stages of a signal; their options, such as the constants of a run, may differ."""
    return tuple(str(stage["stage"]) for stage in (cube.attrs.get("stages") or {}).get(name, ()))


def check_statics(cubes: Sequence[Cube], signals: Mapping[str, SignalContent]) -> None:
    """Raise where the elements of a signal are at other places in one cube than in another."""
    owners: dict[str, Cube] = {}
    places = {dim for signal in signals.values() for dim in signal.element_dims}
    for cube in cubes:
        for name, array in cube.statics.items():
            if not set(array.dims) <= places:
                continue
            first = owners.setdefault(name, cube)
            if first is not cube and not _same(array, first.statics[name]):
                signal = next(s.name for s in signals.values() if set(array.dims) & set(s.element_dims))
                raise StoreMismatch(
                    f"{cube.path}: {name!r}, the coordinate of the elements of {signal!r}, differs from "
                    f"{first.path}; make the cubes in the same way, or leave the signal out with --skip "
                    f"{signal}, in Python skip=[{signal!r}]"
                )


def _same(array: xr.DataArray, other: xr.DataArray) -> bool:
    numbers = array.dtype.kind == "f" and other.dtype.kind == "f"
    return array.dims == other.dims and np.array_equal(array.values, other.values, equal_nan=numbers)


def differences(cubes: Sequence[Cube]) -> tuple[str, ...]:
    """Tell where cubes differ in what is allowed to: specs, stages, versions of the package."""
    first, notes = cubes[0], []
    ours = dict(_flat(_common(first)))
    for cube in cubes[1:]:
        theirs = dict(_flat(_common(cube)))
        keys = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        if keys:
            more = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
            notes.append(
                f"{cube.path}: made differently from {first.path}: {', '.join(keys[:_MOST_KEYS])}{more}"
            )
    versions = Counter(str((cube.attrs.get("cubeengine") or {}).get("version")) for cube in cubes)
    if len(versions) > 1:
        notes.append(f"the cubes were made by several versions of cubeengine: {', '.join(sorted(versions))}")
    return tuple(notes)


def _common(cube: Cube) -> dict[str, Any]:
    spec = cube.attrs.get("spec") or {}
    return {key: value for key, value in spec.items() if key not in _OWN}


def _flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of nested data by dotted key."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _flat(item, f"{key}[{number}]")
    else:
        yield key, value


def _format(cube: Cube) -> object:
    return (cube.attrs.get("cubeengine") or {}).get("format")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
