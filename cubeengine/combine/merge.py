"""Cubes of several runs in one: added bin by bin, or stacked along a new dimension `run`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cubeengine.budget import DEFAULT_MEMORY, Budget, parse_size
from cubeengine.combine import agree, arrays
from cubeengine.combine.adding import Sum
from cubeengine.combine.attributes import merged_attributes, unequal_cuts
from cubeengine.combine.blocks import Limits, block_tasks, run_tasks, write_cube
from cubeengine.combine.content import Cube
from cubeengine.combine.hashes import hashes_of
from cubeengine.combine.progress import Combined, Report
from cubeengine.combine.stack import Stack
from cubeengine.errors import SpecError, StoreMismatch, nearest_names
from cubeengine.progress import OnProgress
from cubeengine.schema.calls import as_names, as_path, told
from cubeengine.store.layout import CubeLayout
from cubeengine.store.read import RUN, naming_damage
from cubeengine.store.write import check_target

Owners = Mapping[str, Sequence[Cube]]
"""Signal -> the cubes that have it."""

Matched = Mapping[str, Mapping[str, float]]
"""Axis -> tolerance and largest difference, where settings differ; see `agree.check_bins`."""


@told("ce.merge_cubes", "give the cubes as a list: ce.merge_cubes(['a.zarr', 'b.zarr'], 'both.zarr')")
def merge_cubes(
    cubes: Sequence[str | Path],
    out: str | Path,
    *,
    along: str | None = None,
    runs: Sequence[int] | None = None,
    skip: Collection[str] = (),
    allow: Collection[str] = (),
    require_all: bool = False,
    overwrite: bool = False,
    memory: str | int | None = None,
    workers: int | None = None,
    on_progress: OnProgress = None,
) -> Combined:
    """Add the events of several cubes, bin by bin, or stack the cubes along a new dimension `run`.

    Parameters
    ----------
    cubes : sequence of paths
        Cubes with the same selections, axes, edges and units. Settings of a step scan may differ by the
        tolerance of their axis; those of the first cube are kept.
    out : path
        The new cube.
    along : "run", optional
        Stack instead: `run` comes after `selection`, with the run numbers as coordinate.
    runs : sequence of int, optional
        Run numbers for a stack, if the cubes do not record them.
    skip : collection of str
        Signals that are left out.
    allow : collection of str
        "partial": quick tries on part of a run; "same-run": cubes that share a run or an input file.
    require_all : bool
        Whether a signal that not all cubes have is an error. Else it is merged from those that have it
        (a stack holds NaN and count 0 for the others), which the notes and the cube's `history` say.
    overwrite : bool
        Whether a cube at `out` may be replaced.
    memory : str or int, optional
        Memory of this process, "2 GiB" by default.
    workers : int, optional
        Threads. Default: the processors this process may use.
    on_progress : callable, optional
        Called with a `Progress` as parts of the cubes are read.

    Returns
    -------
    Combined
        Path, notes, seconds and bytes read.

    Raises
    ------
    StoreMismatch
        If the cubes do not fit together, naming the first difference, or `out` may not be replaced.
    SpecError
        If an argument is wrong.
    BudgetExceeded
        If the memory is too little.

    Notes
    -----
    Counts are exact. Mean and std are added in float64 by the parallel formula, without ever going back to
    sums of squares; see docs/combining.md for the accuracy. Memory: bounded by `memory`, however large the
    cubes; only event counts and coordinates are held whole.

    Examples
    --------
    >>> made = merge_cubes(["delay.zarr", "delay.zarr"], "twice.zarr", allow=["same-run"])
    >>> once, twice = ce.open_cube("delay.zarr"), ce.open_cube(made.path)
    >>> bool((twice["n_events"] == 2 * once["n_events"]).all())
    True
    """
    target = as_path(out, "the new cube", "'both.zarr'")
    skip, allow = as_names(skip, "skip", "['ipm2__sum']"), as_names(allow, "allow", "['same-run']")
    limits = Limits.of(Budget(parse_size(memory) if memory is not None else DEFAULT_MEMORY), workers)
    opened = _opened(cubes, target, allow, overwrite=overwrite)
    if along is None and runs is not None:
        raise SpecError("run numbers are only for stacking; add --along run, in Python along='run'")
    if along not in (None, RUN):
        raise SpecError(f"cubes can be stacked only along {RUN!r}, not along {along!r}")
    with naming_damage(*(cube.path for cube in opened)):
        matched = agree.check_bins(opened, beside=RUN if along else None)
        owners = _owners(opened, skip, require_all=require_all)
        plan = Stack.of(opened, runs) if along else Sum(opened)
        return _written(plan, opened, owners, matched, target, limits, overwrite, on_progress)


def _opened(
    paths: Sequence[str | Path], target: Path, allow: Collection[str], *, overwrite: bool
) -> list[Cube]:
    if isinstance(paths, str | Path) or not paths:
        raise SpecError("give the cubes as a list: ce.merge_cubes(['a.zarr', 'b.zarr'], 'both.zarr')")
    for name in allow:
        if name not in agree.ALLOWANCES:
            raise SpecError(f"allow: unknown value {name!r}; known: {', '.join(agree.ALLOWANCES)}")
    check_target(target, overwrite=overwrite)
    opened = [Cube.open(path) for path in paths]
    for cube in opened:
        if cube.path.resolve() == target.resolve():
            raise StoreMismatch(f"{target}: is one of the cubes to merge; choose another output")
    agree.check_files(opened, tuple(allow))
    return opened


def _owners(cubes: Sequence[Cube], skip: Collection[str], *, require_all: bool) -> Owners:
    """Tell which cubes have which signals, and raise where they do not mean the same by them."""
    names = list(dict.fromkeys(name for cube in cubes for name in cube.signals))
    for name in skip:
        if name not in names:
            near = nearest_names(name, names)
            raise SpecError(
                f"skip {name!r}: no cube has this signal; "
                + (f"nearest: {', '.join(near)}" if near else f"signals: {', '.join(names)}")
            )
    owners = {name: [cube for cube in cubes if name in cube.signals] for name in names if name not in skip}
    for name, having in owners.items():
        if require_all and len(having) < len(cubes):
            (lacking, *_) = (cube.path for cube in cubes if name not in cube.signals)
            raise StoreMismatch(
                f"{lacking}: has no signal {name!r}, but {having[0].path} has; without --require-all, "
                "in Python require_all=False, the signal is merged from the cubes that have it"
            )
        for cube in having[1:]:
            agree.check_signal(having[0], cube, name)
    agree.check_statics(cubes, {name: having[0].signals[name] for name, having in owners.items()})
    return owners


def _notes(cubes: Sequence[Cube], owners: Owners, matched: Matched) -> Iterator[str]:
    if len(found_in := agree.experiments(cubes)) > 1:
        yield f"the cubes are of different experiments: {', '.join(found_in)}"
    for axis, found in matched.items():
        yield (
            f"axis {axis!r}: settings and edges differ by up to {found['largest_difference']:.3g}, within "
            f"the tolerance {found['tolerance']:.3g}; the values of {cubes[0].path} are kept"
        )
    for name, lacking in _lacking(cubes, owners).items():
        yield (
            f"signal {name!r} is not in {', '.join(lacking)}: it is of {len(owners[name])} of "
            f"{len(cubes)} cubes"
        )
    yield from agree.differences(cubes)
    for name in unequal_cuts(cubes):
        yield (
            f"selection {name!r}: the cuts differ between the cubes, so each cube's cut flow is kept "
            "separately"
        )
    for cube in cubes:
        if cube.strangers:
            yield (
                f"{cube.path}: left out these arrays, which are not statistics of a signal: "
                f"{', '.join(cube.strangers)}"
            )


def _lacking(cubes: Sequence[Cube], owners: Owners) -> dict[str, list[str]]:
    found = {
        name: [str(cube.path) for cube in cubes if cube not in having] for name, having in owners.items()
    }
    return {name: paths for name, paths in found.items() if paths}


def _written(
    plan: Sum | Stack,
    cubes: Sequence[Cube],
    owners: Owners,
    matched: Matched,
    target: Path,
    limits: Limits,
    overwrite: bool,
    on_progress: OnProgress,
) -> Combined:
    total = sum(cube.signals[name].nbytes for name, having in owners.items() for cube in having)
    hashed = sum(cube.nbytes for cube in cubes)
    report = Report(on_progress, total + hashed, f"{plan.did}, {limits.threads} threads")
    first = {name: having[0].signals[name] for name, having in owners.items()}
    works = [plan.work(name, having, report) for name, having in owners.items()]
    known = [
        arrays.selection_array(cubes[0]),
        *plan.axes(),
        arrays.events_array(plan.dims, plan.n_events(), cubes[0]),
        *arrays.static_arrays(cubes, first),
    ]
    layouts = [layout for layout, _ in known]
    for work in works:
        dtype = np.result_type(*(cube.signals[work.name].dtype for cube in owners[work.name]))
        layouts += arrays.signal_arrays(work, plan.dims, first[work.name], dtype)

    def fill(store: Path) -> Mapping[str, object]:
        run_tasks(block_tasks(store, works), limits.threads)
        digests = hashes_of(cubes, limits, report)
        report.end()
        return merged_attributes(cubes, digests, _lacking(cubes, owners), plan.did, matched)

    small = {layout.name: values for layout, values in known}
    write_cube(target, CubeLayout(tuple(layouts)), small, fill, overwrite=overwrite)
    return Combined(target, tuple(_notes(cubes, owners, matched)), report.seconds, total)
